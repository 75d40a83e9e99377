"""Accepting, finding, listing and deleting jobs, on both databases, with no provider in sight."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from gateway.api.hints import REGION, TAGS, placed
from gateway.clock import Clock
from gateway.config.snapshot import NANO, Caller, LimitRule, Terms
from gateway.errors import (
    Conflict,
    Forbidden,
    GatewayError,
    InvalidRequest,
    LimitExceeded,
    NotFound,
    Unavailable,
    Unprocessable,
)
from gateway.service.video_inputs import Upload
from gateway.service.video_repeats import Origin, Repeats
from gateway.service.video_request import read_remix
from gateway.service.video_sweep import sweep
from gateway.store.idempotency import Use
from gateway.store.jobs import Job
from tests.servers import PostgresServer, postgres_server  # noqa: F401
from tests.service.video_provider import PNG, Provider
from tests.service.video_rig import ANN, BOB, Rig, rig, snapshot, target, wish

REMIX = Origin(route="videos/remix")
CONFIG = snapshot(target("one", "http://127.0.0.1:9"))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of an empty database; empty text for SQLite in the rig's folder."""
    if request.param == "sqlite":
        yield ""
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        yield server.create_database()


async def count(r: Rig, table: str) -> int:
    [row] = await r.rows(f"select count(*) from {table}")  # noqa: S608 - a name from this file
    return int(row[0])


async def test_a_video_stays_where_its_key_is_held_to_and_its_job_remembers(tmp_path: Path) -> None:
    far, near, canary = (
        replace(target(name, "http://127.0.0.1:9", price=price), terms=Terms(region=region, canary=share))
        for name, price, region, share in (
            ("far", 9.0, "us", None), ("near", 1.0, "eu-1", None), ("new", 2.0, "eu-2", (0.0, 1.0))
        )
    )  # fmt: skip
    held = replace(ANN, region="eu")
    async with rig(tmp_path, snapshot(far, near, canary), running=False) as r:
        job = await r.create(held, seconds="4")
        assert (job.request["region"], job.request["model"]) == ("eu", "sora-2")
        assert 0 <= job.request["draw"] < 1
        assert job.held["nano_dollars"] == 2 * 4 * NANO, "what the dearest in its region would charge"
        for caller, headers, refused in (
            (held, {REGION: b"us"}, Forbidden),
            (ANN, {REGION: b"asia"}, InvalidRequest),
            (held, {TAGS: b"gold"}, InvalidRequest),
        ):
            with pytest.raises(refused):
                await r.videos.create(caller, placed(wish(), headers), Origin(route="videos"))


async def test_accepting_touches_no_provider_and_is_on_disk(tmp_path: Path, url: str) -> None:
    async with rig(tmp_path, CONFIG, url=url, running=False) as r:
        job = await r.create(seconds="8", seed="7", nonsense=1)
        assert msgspec.json.encode(await r.videos.get(ANN, job.id)) == msgspec.json.encode(job)
        assert job.warnings == ["`nonsense` is not a field of this call and was ignored"]
        assert r.door.held == {job.lease: 8000}
        held = {"caller": "ann", "model": "sora-2", "video_ms": 8000, "nano_dollars": 800_000_000}
        assert job.held == held


async def test_fifty_identical_posts_with_one_key_make_one_job(tmp_path: Path, url: str) -> None:
    async with rig(tmp_path, CONFIG, url=url, running=False) as r:
        made = await asyncio.gather(*(r.create(key="k1") for _ in range(50)))
        assert len({job.id for job in made}) == 1
        assert await count(r, "jobs") == 1
        assert len(r.door.held) == 1
        assert len(r.notes.accepted) == 1


async def test_a_twin_of_ones_own_is_not_a_reason_for_a_limit(tmp_path: Path) -> None:
    async with rig(tmp_path, CONFIG, running=False) as r:
        r.door.room = 1
        first = await r.create(key="k1")
        assert (await r.create(key="k1")).id == first.id
        with pytest.raises(LimitExceeded):
            await r.create(key="k2")
        assert await count(r, "jobs") == 1


async def test_a_retry_of_the_official_client_makes_no_second_job(tmp_path: Path, url: str) -> None:
    async with rig(tmp_path, CONFIG, url=url, running=False) as r:
        first = await r.create()
        again = await asyncio.gather(*(r.create(retries=count) for count in (1, 2, 1, 2)))
        assert {job.id for job in again} == {first.id}
        assert (await r.create()).id != first.id  # the same wish, said anew, is a new video
        assert (await r.create(retries=1, prompt="Another kite")).id != first.id
        other = await r.create(BOB, retries=1)
        assert other.caller == "bob"
        assert await count(r, "jobs") == 4


async def test_parallel_retries_of_a_request_that_never_arrived_make_one_job(
    tmp_path: Path, url: str
) -> None:
    async with rig(tmp_path, CONFIG, url=url, running=False) as r:
        made = await asyncio.gather(*(r.create(retries=1) for _ in range(20)))
        assert len({job.id for job in made}) == 1
        assert len(r.door.held) == 1


async def test_a_key_used_for_another_request_is_refused(tmp_path: Path) -> None:
    async with rig(tmp_path, CONFIG, running=False) as r:
        first = await r.create(key='"k1"')
        assert (await r.create(key="k1")).id == first.id
        with pytest.raises(Unprocessable):
            await r.create(key="k1", prompt="Another kite")
        assert (await r.create(BOB, key="k1")).id != first.id
        await r.videos.delete(ANN, first.id)
        with pytest.raises(Conflict, match="deleted"):
            await r.create(key="k1")
        for bad in ("", '""', "x" * 256, "a\nb"):
            with pytest.raises(InvalidRequest, match="Idempotency-Key"):
                await r.create(key=bad)


async def test_a_request_that_was_refused_uses_up_no_key_and_holds_nothing(tmp_path: Path) -> None:
    async with rig(tmp_path, snapshot(target("one", "http://x", max_seconds=5)), running=False) as r:
        with pytest.raises(InvalidRequest):
            await r.create(key="k1", seconds="9")
        assert r.door.held == {}
        assert (await r.create(key="k1", seconds="5")).state == "queued"


async def test_what_cannot_be_written_down_is_not_held_either(tmp_path: Path) -> None:
    async def broken():  # type: ignore[no-untyped-def]
        yield b"\x89PNG"
        raise OSError("the client's connection broke")

    picture = Upload(mime="image/png", sha256="x", size=9, chunks=broken)
    async with rig(tmp_path, CONFIG, running=False) as r:
        with pytest.raises(OSError, match="broke"):
            await r.create(input_reference=picture)
        assert r.door.held == {}
        assert await count(r, "jobs") == 0
        assert [path.name for path in (tmp_path / "media").iterdir()] == []


@pytest.mark.parametrize("written", [True, False])
async def test_of_a_job_that_may_be_written_down_nothing_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    """The database goes away in the middle of the one transaction: was it still committed?"""
    write = Repeats.write

    async def cut(self: Repeats, caller: Caller, job: Job, origin: Origin) -> Use:
        if written:
            await write(self, caller, job, origin)
        raise Unavailable("it does not answer")

    async def pieces() -> AsyncIterator[bytes]:
        yield PNG

    monkeypatch.setattr(Repeats, "write", cut)
    picture = Upload(mime="image/png", sha256="x", size=len(PNG), chunks=pieces)
    async with rig(tmp_path, CONFIG, running=False) as r:
        with pytest.raises(Unavailable):
            await r.create(input_reference=picture)
        (lease,) = r.door.held
        assert len(list((tmp_path / "media").iterdir())) == 1
        r.door.old.add(lease)
        await sweep(r.parts)
        assert (lease in r.door.held) is written
        assert await count(r, "jobs") == int(written)


async def test_every_verb_tells_a_stranger_what_it_tells_of_a_job_that_never_was(tmp_path: Path) -> None:
    async with Provider() as one, rig(tmp_path, snapshot(target("one", one.url))) as r:
        job = await r.over(await r.create())

        def verbs(identity: str):  # type: ignore[no-untyped-def]
            yield r.videos.get(BOB, identity)
            yield r.videos.delete(BOB, identity)
            yield r.videos.content(BOB, identity, "video")
            yield r.videos.content(BOB, identity, "thumbnail")
            yield r.videos.remix(BOB, identity, {"prompt": "Bluer"}, REMIX)

        told = []
        for identity in (job.id, "video_00000000000000000000000000", "x"):
            for verb in verbs(identity):
                with pytest.raises(NotFound) as refused:
                    await verb
                error = refused.value
                told.append((error.message, error.code, error.param, error.status, tuple(error.headers)))
        assert len(set(told)) == 1
        assert (await r.videos.page(BOB, after=job.id, limit=5, newest_first=False)) == ([], False)


async def test_pages_say_truly_whether_there_are_more(tmp_path: Path) -> None:
    async with rig(tmp_path, CONFIG, running=False) as r:
        ids = [(await r.create(prompt=f"Kite {number}")).id for number in range(5)]
        first, more = await r.videos.page(ANN, after=None, limit=2, newest_first=False)
        rest, end = await r.videos.page(ANN, after=first[-1].id, limit=3, newest_first=False)
        assert [job.id for job in (*first, *rest)] == sorted(ids)
        assert (more, end) == (True, False)


async def test_content_that_is_not_there_says_why(tmp_path: Path) -> None:
    ahead = [0.0]
    clock = Clock(now=lambda: time.time() + ahead[0])
    async with Provider() as one, rig(tmp_path, snapshot(target("one", one.url)), clock=clock) as r:
        job = await r.create()

        async def refusal(variant: str = "video") -> GatewayError:
            with pytest.raises(GatewayError) as refused:
                await r.videos.content(ANN, job.id, variant)
            return refused.value

        early = await refusal()
        assert (early.status, early.code, early.retry) == (409, "video_not_ready", False)
        done = await r.over(job)
        assert (await refusal("spritesheet")).code == "variant_unavailable"
        assert (await refusal("thumbnail")).code == "variant_unavailable"
        assert (await refusal("nonsense")).param == "variant"
        assert done.expires_at is not None
        ahead[0] = done.expires_at - time.time()
        assert (await refusal()).code == "expired"


async def test_a_remix_goes_to_the_target_that_made_the_source(tmp_path: Path) -> None:
    async with Provider() as one, Provider() as two:
        config = snapshot(target("one", one.url), target("two", two.url, price=0.01))
        async with rig(tmp_path, config) as r:
            source = await r.over(await r.create(seconds="8"))
            r.config["now"] = snapshot(
                target("two", two.url, price=0.01), target("one", one.url), policy="cheapest"
            )
            remix = await r.videos.remix(
                ANN, source.id, read_remix({"prompt": "Bluer", "strength": "0.4"}), REMIX
            )
            done = await r.over(remix)
            assert done.state == "completed"
            assert done.request["remixed_from"] == source.id
            assert [video.fields["path"] for video in one.videos.values()] == ["", "/up_0/remix"]
            assert [video.fields.get("strength") for video in one.videos.values()] == [None, 0.4]
            r.config["now"] = snapshot(target("two", two.url))
            with pytest.raises(Conflict, match="not configured any more"):
                await r.videos.remix(ANN, source.id, {"prompt": "Greener"}, REMIX)
        assert not two.requests


async def test_a_remix_of_an_extended_video_is_reserved_as_long_as_that_is(tmp_path: Path) -> None:
    async with Provider() as one, rig(tmp_path, snapshot(target("one", one.url, max_seconds=8))) as r:
        source = await r.over(await r.create(seconds="4"))
        longer = msgspec.json.encode(
            {**source.request, "operation": "extend", "source_seconds": 8.0}
        ).decode()
        async with r.parts.database.write() as transaction:
            await transaction.exec_driver_sql("update jobs set request = ? where id = ?", (longer, source.id))
        remix = await r.videos.remix(ANN, source.id, {"prompt": "Bluer"}, REMIX)
        assert (remix.held["video_ms"], remix.held["nano_dollars"]) == (12_000, 1_200_000_000)
        assert (await r.over(remix)).state == "completed"


@pytest.mark.parametrize("strength", [0, 1.5, "much", True])
def test_a_strength_that_is_no_share_is_refused(strength: object) -> None:
    with pytest.raises(InvalidRequest, match="above 0, up to 1") as refused:
        read_remix({"prompt": "x", "strength": strength})
    assert refused.value.param == "strength"


async def test_only_a_finished_video_can_be_remixed(tmp_path: Path) -> None:
    async with rig(tmp_path, CONFIG, running=False) as r:
        job: Job = await r.create()
        with pytest.raises(Conflict, match="queued"):
            await r.videos.remix(ANN, job.id, {"prompt": "Bluer"}, REMIX)


async def test_models_and_prices_are_checked_at_the_door(tmp_path: Path) -> None:
    unpriced = snapshot(target("one", "http://x", price=None))
    picky = Caller(id="ann", name="ann", models=frozenset(["other"]))
    poor = Caller(id="ann", name="ann", limits=[LimitRule(dimension="dollars", limit=1, per="day")])
    async with rig(tmp_path, unpriced, running=False) as r:
        with pytest.raises(NotFound, match="`sora-9` does not exist"):
            await r.create(model="sora-9")
        with pytest.raises(Forbidden):
            await r.create(picky)
        with pytest.raises(InvalidRequest, match="known price"):
            await r.create(poor)
        job = await r.create()
        assert job.held["nano_dollars"] is None
        r.config["now"] = snapshot(target("one", "http://x", price=None), on_unknown_price="allow")
        assert (await r.create(poor)).state == "queued"
