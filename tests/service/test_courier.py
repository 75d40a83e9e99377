"""Webhooks over real sockets: told at least once, under one id, after the end is written down, until a day is over."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from standardwebhooks import WebhookVerificationError

from gateway.config.snapshot import Hook
from gateway.errors import InvalidRequest
from gateway.service import courier
from gateway.service.video_repeats import Origin
from gateway.service.webhooks import receiver_of
from gateway.store import outbox
from gateway.store.outbox import Notice
from tests.service.receiver import Receiver, genuine
from tests.service.video_provider import Provider
from tests.service.video_rig import ANN, BOB, SECRETS, Rig, rig, snapshot, target, wish
from tests.transport.faulty import Peer, answer, close, reset, send, until_left
from tests.transport.names import Names

HOME: dict[str, Any] = {"webhook_networks": ("127.0.0.0/8",)}
QUICK: dict[str, Any] = {"webhook_waits": (0.05,) * 6, "lease": 3.0, "renew": 1.0}
[ANNS] = SECRETS["ann"]


async def notices(r: Rig) -> list[Notice]:
    async with r.parts.database.read() as transaction:
        return await outbox.page(transaction, None, 100)


async def until(r: Rig, state: str, seconds: float = 15.0) -> Notice:
    """The only webhook there is, once it is in that state."""
    async with asyncio.timeout(seconds):
        while True:
            found = [notice for notice in await notices(r) if notice.state == state]
            if found:
                return found[0]
            await asyncio.sleep(0.01)


async def test_the_end_of_a_video_is_told_to_library_client_and_plain_receiver_alike(tmp_path: Path) -> None:
    async with Provider() as one, Receiver() as hook:
        async with rig(tmp_path, snapshot(target("one", one.url), **HOME), **QUICK) as r:
            origin = Origin(route="videos", base_url="https://gateway.example/")
            job = await r.videos.create(ANN, wish(callback_url=hook.hook), origin)
            await until(r, "delivered", 5.0)
        [seen] = hook.requests
        event = genuine(seen, ANNS)
        assert seen.line == "POST /hooks?token=canary-callback HTTP/1.1"
        assert seen.headers["content-type"] == "application/json"
        assert event["id"] == seen.headers["webhook-id"]
        link = event.pop("video_url")  # type: ignore[attr-defined]  # it is a dict
        assert event == {
            "id": event["id"], "object": "event", "created_at": event["created_at"], "type": "video.completed",
            "data": {"id": job.id}, "job_id": job.id, "status": "completed", "error_message": None,
        }  # fmt: skip
        assert link.startswith(f"https://gateway.example/v1/video/generations/{job.id}/content?expires=")
        assert "callback" not in repr([video.fields for video in one.videos.values()])
        for wrong in (SECRETS["bob"][0], "whsec_" + "QUFB" * 10):
            with pytest.raises(WebhookVerificationError):
                genuine(seen, wrong)


async def test_its_link_leads_through_the_address_that_clients_know(tmp_path: Path) -> None:
    async with Provider() as one, Receiver() as hook:
        config = snapshot(target("one", one.url), public_url="https://ai.example/gateway", **HOME)
        async with rig(tmp_path, config, **QUICK) as r:
            origin = Origin(route="videos", base_url="http://inside:4000/")
            job = await r.videos.create(ANN, wish(callback_url=hook.hook), origin)
            await hook.until(1)
            path = f"https://ai.example/gateway/v1/video/generations/{job.id}/content?"
            assert hook.events[0]["video_url"].startswith(path)
            shown = r.videos.link(await r.over(job), "http://inside:4000/")
            assert shown is not None
            assert shown.startswith(path)


async def test_a_failed_video_is_told_with_its_reason(tmp_path: Path) -> None:
    async with Provider(poll=["blame"]) as one, Receiver() as hook:
        async with rig(tmp_path, snapshot(target("one", one.url), **HOME), **QUICK) as r:
            await r.create(callback_url=hook.hook)
            await until(r, "delivered")
        event = genuine(hook.requests[0], ANNS)
        assert (event["type"], event["status"], event["video_url"]) == ("video.failed", "failed", None)
        assert event["error_message"] == "The words of the provider."


async def test_a_key_has_an_endpoint_of_its_own_which_a_request_may_replace(tmp_path: Path) -> None:
    async with Provider() as one, Receiver() as hers, Receiver() as other:
        ann = replace(ANN, hook=Hook(url=hers.hook))
        async with rig(tmp_path, snapshot(target("one", one.url), **HOME), **QUICK) as r:
            first = await r.create(ann, prompt="One")
            await hers.until(1)
            second = await r.create(ann, prompt="Two", callback_url=other.hook)
            await other.until(1)
            await r.over(await r.create(prompt="Three"))
        assert [event["job_id"] for event in hers.events] == [first.id]
        assert [event["job_id"] for event in other.events] == [second.id]


async def test_while_a_secret_is_changed_receivers_may_know_either(tmp_path: Path) -> None:
    async with Provider() as one, Receiver() as hook:
        async with rig(tmp_path, snapshot(target("one", one.url), **HOME), **QUICK) as r:
            await r.create(BOB, callback_url=hook.hook)
            await hook.until(1)
        for secret in SECRETS["bob"]:
            assert genuine(hook.requests[0], secret)["status"] == "completed"


async def test_whatever_a_receiver_does_it_is_told_again_under_the_same_id(tmp_path: Path) -> None:
    async with Provider() as one, Receiver() as hook:
        hook.next(send(answer(b"", "500 Internal Server Error")))
        hook.next(send(answer(b"", "302 Found", {"location": "http://127.0.0.1/elsewhere"})))
        hook.next(reset())
        hook.next(send(b"nonsense\r\n\r\n"), close())
        hook.next(send(answer(b"", "404 Not Found")))
        async with rig(tmp_path, snapshot(target("one", one.url), **HOME), **QUICK) as r:
            await r.create(callback_url=hook.hook)
            told = await until(r, "delivered")
        assert (told.tries, told.reason) == (6, None)
        assert len(hook.requests) == 6
        assert set(hook.ids) == {told.id}
        for seen in hook.requests:
            genuine(seen, ANNS)


async def test_a_receiver_that_is_down_or_slow_is_given_up_in_the_end_and_can_be_told_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.service.courier.SECONDS", 0.2)
    async with Provider() as one, Receiver() as hook:
        hook.always(until_left())
        figures = {**QUICK, "webhook_waits": (0.05, 0.05)}
        async with rig(tmp_path, snapshot(target("one", one.url), **HOME), **figures) as r:
            await r.create(callback_url=hook.hook)
            dead = await until(r, "dead")
            assert (dead.tries, dead.due_at, dead.delivered_at) == (3, None, None)
            assert dead.reason == "it took longer than 0.2 seconds"
            hook.always(send(answer(b"")))
            async with r.parts.database.write() as transaction:
                assert await outbox.replay(transaction, dead.id, r.parts.clock.now())
                assert not await outbox.replay(transaction, "evt_none", r.parts.clock.now())
            delivered = await until(r, "delivered")
        assert (delivered.id, delivered.tries) == (dead.id, 1)
        assert set(hook.ids) == {dead.id}


async def test_a_receiver_that_is_gone_for_good_is_asked_once(tmp_path: Path) -> None:
    async with Provider() as one, Receiver() as hook:
        hook.next(send(answer(b"", "410 Gone")))
        async with rig(tmp_path, snapshot(target("one", one.url), **HOME), **QUICK) as r:
            await r.create(callback_url=hook.hook)
            dead = await until(r, "dead")
        assert (dead.tries, dead.reason) == (1, "the receiver answered with status 410")
        assert len(hook.requests) == 1


async def test_a_receiver_that_asks_for_time_gets_it(tmp_path: Path) -> None:
    async with Provider() as one, Receiver() as hook:
        hook.next(send(answer(b"", "429 Too Many Requests", {"retry-after": "600"})))
        async with rig(tmp_path, snapshot(target("one", one.url), **HOME), **QUICK) as r:
            await r.create(callback_url=hook.hook)
            await hook.until(1)
            told = await r.rows("select created_at, due_at from outbox where tries = 1")
            while not told:
                told = await r.rows("select created_at, due_at from outbox where tries = 1")
            assert told[0].due_at > told[0].created_at + 599


async def test_who_stops_lets_a_sending_finish(tmp_path: Path) -> None:
    answered = asyncio.Event()

    async def slowly(peer: Peer) -> None:
        await answered.wait()
        await peer.send(answer(b""))

    async with Provider() as one, Receiver() as hook:
        hook.next(slowly)
        async with rig(tmp_path, snapshot(target("one", one.url), **HOME), **QUICK) as r:
            await r.create(callback_url=hook.hook)
            await hook.until(1)
            stopping = asyncio.create_task(r.runner.stop(grace=10.0))
            await asyncio.sleep(0)
            assert not stopping.done()
            answered.set()
            await stopping
            assert [notice.state for notice in await notices(r)] == ["delivered"]
        assert len(hook.requests) == 1


async def test_who_must_stop_gives_a_sending_back_for_the_next_one(tmp_path: Path) -> None:
    async with Provider() as one, Receiver() as hook:
        hook.next(until_left())
        config = snapshot(target("one", one.url), **HOME)
        async with rig(tmp_path, config, **QUICK) as r:
            await r.create(callback_url=hook.hook)
            await hook.until(1)
            await r.runner.stop(grace=0.0)
            [left] = await notices(r)
            assert (left.state, left.tries, left.leased_until) == ("waiting", 0, 0.0)
            async with rig(tmp_path, config, **QUICK):
                await hook.until(2, 5.0)
        assert len(set(hook.ids)) == 1


async def test_two_processes_on_one_outbox_send_each_once(tmp_path: Path) -> None:
    config = snapshot(target("one", "http://127.0.0.1:9"), **HOME)
    async with Receiver() as hook, rig(tmp_path, config, **QUICK), rig(tmp_path, config, **QUICK) as r:
        async with r.parts.database.write() as transaction:
            for number in range(40):
                made = notice(f"evt_{number:02}", hook.hook)
                await outbox.add(transaction, made)
        await hook.until(40)
        assert sorted(hook.ids) == [f"evt_{number:02}" for number in range(40)]


def notice(identity: str, url: str) -> Notice:
    payload = {"id": identity, "type": "video.completed", "data": {"id": "video_1"}, "video_url": None}
    return Notice(
        id=identity, job=identity, caller="ann", event="video.completed", url=url, payload=payload,
        created_at=1.0, due_at=1.0, receiver=receiver_of(url),
    )  # fmt: skip


async def test_a_video_that_its_owner_deleted_is_told_to_nobody(tmp_path: Path) -> None:
    async with Provider(polls=10**6) as one, Receiver() as hook:
        async with rig(tmp_path, snapshot(target("one", one.url), **HOME), **QUICK) as r:
            job = await r.create(callback_url=hook.hook)
            await r.until(job, lambda found: found.state == "in_progress")
            await r.videos.delete(ANN, job.id)
            async with asyncio.timeout(10):
                while await r.rows("select id from jobs"):
                    await asyncio.sleep(0.02)
            assert await notices(r) == []
        assert hook.requests == []


async def test_without_a_key_to_sign_for_nothing_is_sent(tmp_path: Path) -> None:
    figures = {**QUICK, "webhook_waits": ()}
    async with Receiver() as hook:
        async with rig(tmp_path, snapshot(target("one", "http://127.0.0.1:9"), **HOME), **figures) as r:
            async with r.parts.database.write() as transaction:
                await outbox.add(transaction, replace(notice("evt_1", hook.hook), caller="nobody"))
            dead = await until(r, "dead")
        assert dead.reason is not None
        assert "the key" in dead.reason
        assert hook.requests == []


# -- where a webhook may go

REFUSED = [
    "", "hooks", "ftp://hooks.example/", "http://hooks.example/", "https://user@hooks.example/",
    "https://hooks.example:22/", "https://127.0.0.1/", "https://169.254.169.254/latest", "https://[::1]/",
    "https://0x7f.1/", "https://inside.example/", "https://mixed.example/", "https://unknown.example/",
]  # fmt: skip
NAMES = {"inside.example": [["10.0.0.7"]], "mixed.example": [["93.184.215.14", "10.0.0.7"]]}


@pytest.mark.parametrize("url", REFUSED)
async def test_a_callback_that_leads_inside_is_refused_at_once(tmp_path: Path, url: str) -> None:
    names = Names(NAMES)
    async with rig(tmp_path, snapshot(target("one", "http://127.0.0.1:9")), dialer=names, running=False) as r:
        with pytest.raises(InvalidRequest, match="callback_url") as caught:
            await r.create(callback_url=url)
        assert caught.value.param == "callback_url"
        assert "10.0.0" not in caught.value.message
        assert (r.door.held, await r.rows("select id from jobs")) == ({}, [])
    assert names.dialled == []


async def test_a_name_that_leads_inside_later_is_not_followed(tmp_path: Path) -> None:
    names = Names({"hooks.example": [["93.184.215.14"], ["10.0.0.7"]]})
    figures = {**QUICK, "webhook_waits": ()}
    async with Provider() as one:
        async with rig(tmp_path, snapshot(target("one", one.url)), dialer=names, **figures) as r:
            await r.create(callback_url="https://hooks.example/x")
            dead = await until(r, "dead")
    assert dead.reason == "its host does not lead to the public internet"
    assert names.dialled == []


async def test_plain_http_and_odd_ports_are_for_networks_of_the_house_alone(tmp_path: Path) -> None:
    names = Names({"hooks.example": [["93.184.215.14"]], "house.example": [["10.0.0.7"]]})
    config = snapshot(target("one", "http://127.0.0.1:9"), webhook_networks=("10.0.0.0/8",))
    async with rig(tmp_path, config, dialer=names, running=False) as r:
        for fine in ("http://house.example:9000/x", "https://hooks.example/x", "http://10.1.2.3/"):
            names._answers["10.1.2.3"] = [["10.1.2.3"]]
            await r.create(prompt=fine, callback_url=fine)
        for wrong in ("http://hooks.example/x", "https://hooks.example:9000/x", "http://127.0.0.1/"):
            with pytest.raises(InvalidRequest, match="callback_url"):
                await r.create(prompt=wrong, callback_url=wrong)


async def test_a_links_answer_is_never_kept(tmp_path: Path) -> None:
    async with Provider() as one, Receiver() as hook:
        hook.next(send(answer(b"canary-answer", "500 canary-words")))
        async with rig(tmp_path, snapshot(target("one", one.url), **HOME), **QUICK) as r:
            await r.create(callback_url=hook.hook)
            await until(r, "delivered")
            kept = await r.rows("select tries, reason, payload, event from outbox")
    assert kept
    assert "canary" not in repr(kept)


async def test_one_receiver_that_hangs_does_not_hold_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "PER_RECEIVER", 2)
    config = snapshot(target("one", "http://127.0.0.1:9"), **HOME)
    async with Receiver() as slow, Receiver() as quick, rig(tmp_path, config, **QUICK) as r:
        slow.always(until_left())
        async with r.parts.database.write() as transaction:
            for number in range(8):
                await outbox.add(transaction, notice(f"evt_{number}", slow.hook))
            await outbox.add(transaction, notice("evt_8", quick.hook))
        await quick.until(1)
        await slow.until(2)
        assert len(slow.requests) == 2
        await r.runner.stop(grace=0.0)
