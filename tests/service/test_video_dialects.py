"""Jobs at providers that speak dialects of their own, from the client's wish to the stored bytes."""

import base64
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.config.catalogue import catalogue
from gateway.config.snapshot import RouteTarget
from gateway.errors import InvalidRequest, NotFound
from gateway.service.video_repeats import Origin
from gateway.store.jobs import Job
from gateway.store.media import whole
from gateway.transport.fetch import Fetcher
from providers.types import Secret
from tests.service.video_provider import MP4
from tests.service.video_rig import ANN, Hasty, Rig, rig, snapshot, target
from tests.service.video_upstream import Scripted
from tests.transport.certificates import authority
from tests.transport.faulty import Faulty, send
from tests.transport.faulty import answer as cdn_answer
from tests.transport.names import Names

TASK = {"id": "task-1", "status": "RUNNING", "progress": 0.5}
DONE = {"id": "task-1", "status": "SUCCEEDED", "output": ["URL/out.mp4?sign=1"]}


def at(dialect: str, model: str, provider: Scripted, price: float = 0.12) -> RouteTarget:
    """A target of the shipped tables, at the test's own address."""
    made = target(dialect, provider.url, model=model, price=price)
    where = replace(
        made.target, dialect=dialect, base_url=provider.url, credential=Secret("key"),
        video=catalogue().video_limits(dialect, model),
    )  # fmt: skip
    return replace(made, target=where)


async def made(r: Rig, clock: Hasty, **fields: Any) -> Job:
    return await r.hurry(await r.create(**fields), clock)


async def content(r: Rig, job: Job) -> bytes:
    found = await r.videos.content(ANN, job.id, "video")
    try:
        return await whole(found.file, found.row.size + 1)
    finally:
        found.file.close()


def runway(**more: Any) -> Scripted:
    return Scripted(
        {
            "POST /v1/text_to_video": [{"id": "task-1"}],
            "GET /v1/tasks/task-1": [TASK | {"status": "THROTTLED"}, TASK, DONE],
            "GET /out.mp4?sign=1": [MP4],
            **more,
        }
    )


async def test_runway_from_wish_to_bytes(tmp_path: Path) -> None:
    clock = Hasty()
    async with runway() as up, rig(
        tmp_path, snapshot(at("runway", "gen4.5", up)), clock=clock.clock, lease=1e6
    ) as r:  # fmt: skip
        job = await made(r, clock, seconds="4", size="1280x720", seed=7, negative_prompt="blur", fps=24)
        assert (job.state, job.progress, job.cost) == ("completed", 100, 480_000_000)
        assert await content(r, job) == MP4
        [submit] = up.sent("POST")
        assert submit.json == {
            "model": "gen4.5", "promptText": "A red kite. Avoid: blur.", "ratio": "1280:720", "duration": 4,
            "seed": 7,
        }  # fmt: skip
        assert submit.headers["authorization"] == "Bearer key"
        assert "`negative_prompt` was written into the prompt for runway" in job.warnings
        assert [one.path for one in up.sent("GET")].count("/v1/tasks/task-1") == 3
        with pytest.raises(InvalidRequest, match="cannot remix"):
            await r.videos.remix(ANN, job.id, {"prompt": "At night"}, Origin(route="remix"))


async def test_a_link_that_ran_out_is_asked_for_again(tmp_path: Path) -> None:
    clock, later = Hasty(), DONE | {"output": ["URL/fresh.mp4"]}
    script = {
        "GET /v1/tasks/task-1": [DONE, later],
        "GET /out.mp4?sign=1": [(403, {"error": "expired"})],
        "GET /fresh.mp4": [MP4],
    }
    async with runway(**script) as up, rig(
        tmp_path, snapshot(at("runway", "gen4.5", up)), clock=clock.clock, lease=1e6
    ) as r:  # fmt: skip
        job = await made(r, clock, size="1280x720")
        assert (job.state, await content(r, job)) == ("completed", MP4)
        assert len(up.sent("POST")) == 1


@pytest.mark.parametrize("link", ["OTHER/out.mp4", "URL/moved"])
async def test_a_provider_cannot_lead_us_inside(tmp_path: Path, link: str) -> None:
    clock = Hasty()
    async with Scripted({"GET /out.mp4": [MP4]}) as inside:
        script = {"GET /v1/tasks/task-1": [DONE | {"output": [link.replace("OTHER", inside.url)]}]}
        up = runway(**script)
        up.redirects["/moved"] = f"{inside.url}/out.mp4"
        async with up, rig(
            tmp_path, snapshot(at("runway", "gen4.5", up)), clock=clock.clock, lease=1e6, download_tries=2
        ) as r:  # fmt: skip
            job = await made(r, clock, size="1280x720")
            assert (job.state, job.error and job.error["code"]) == ("failed", "result_unavailable")
        assert not inside.heard


async def test_a_refusal_of_moderation_is_final_and_the_next_target_is_not_asked(tmp_path: Path) -> None:
    clock = Hasty()
    failed = {"id": "task-1", "status": "FAILED", "failureCode": "SAFETY.INPUT.TEXT", "failure": "No."}
    async with runway(**{"GET /v1/tasks/task-1": [failed]}) as up, runway() as other, rig(
        tmp_path,
        snapshot(at("runway", "gen4.5", up), replace(at("runway", "gen4.5", other), id="other/gen4.5")),
        clock=clock.clock,
        lease=1e6,
    ) as r:  # fmt: skip
        job = await made(r, clock, size="1280x720")
        assert job.error == {"code": "moderation_blocked", "message": "No."}
        assert not other.heard


async def test_what_a_provider_bills_is_what_is_booked_even_for_nothing(tmp_path: Path) -> None:
    clock = Hasty()
    done, stopped = DONE | {"cost": {"credits": 45}}, TASK | {"status": "CANCELLED", "cost": {"credits": 20}}
    for task, cost in ((done, 450_000_000), (stopped, 200_000_000)):
        async with runway(**{"GET /v1/tasks/task-1": [task]}) as up, rig(
            tmp_path, snapshot(at("runway", "gen4.5", up)), clock=clock.clock, lease=1e6
        ) as r:  # fmt: skip
            job = await made(r, clock, size="1280x720")
            assert (job.cost, job.attempts[0].cost) == (cost, cost)
            assert r.door.settled[job.lease][1] == cost
            booked = await r.rows("select nano_dollars from ledger order by created_at")
            assert booked[-1][0] == cost


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        ({"size": "1920x1080"}, "size", "1280x720, 720x1280"),
        ({"seconds": "11"}, "seconds", "2, 3, 4, 5, 6, 7, 8, 9, 10"),
        ({"audio": True}, "audio", "false"),
        ({"prompt": "x" * 990, "style_preset": "noir"}, "prompt", "at most 1000 characters"),
        ({"style_preset": "noir", "on_unsupported": "reject"}, "on_unsupported", "style_preset"),
    ],
)
async def test_what_the_model_cannot_do_is_refused_before_anything_is_reserved(
    tmp_path: Path, fields: dict[str, Any], param: str, says: str
) -> None:
    async with runway() as up, rig(tmp_path, snapshot(at("runway", "gen4.5", up)), running=False) as r:
        with pytest.raises(InvalidRequest) as refused:
            await r.create(**{"size": "1280x720", **fields})
        assert refused.value.param == param
        assert says in str(refused.value)
        assert (r.door.held, up.heard) == ({}, [])


async def test_a_model_that_was_shut_down_is_not_asked(tmp_path: Path) -> None:
    async with Scripted({}) as up, rig(
        tmp_path, snapshot(at("veo", "veo-3.1-generate-001", up)), running=False
    ) as r:  # fmt: skip
        with pytest.raises(NotFound) as refused:
            await r.create(size="1280x720", seconds="8")
        assert (refused.value.code, refused.value.param) == ("model_unavailable", "model")


async def test_a_task_that_kling_heard_of_and_does_not_find_is_not_paid_for_again(tmp_path: Path) -> None:
    clock = Hasty()
    duplicate = (400, {"code": 1201, "message": "external_task_id already exists"})
    up = kling(**{"POST /text-to-video/kling-3.0-turbo": [None, duplicate]})
    async with up, runway() as other, rig(
        tmp_path,
        snapshot(at("kling", "kling-3.0-turbo", up), at("runway", "gen4.5", other)),
        clock=clock.clock,
        lease=1e6,
    ) as r:  # fmt: skip
        job = await r.create(seconds="5", size="720x1280")
        empty = {"code": 0, "data": []}
        up.script = {**up.script, f"GET /tasks?external_task_ids={job.id}-1": [empty]}
        job = await r.hurry(job, clock)
        assert (job.state, job.error and job.error["code"]) == ("failed", "submit_uncertain")
        assert not other.heard


async def test_a_file_on_the_public_internet_is_fetched_without_our_credential(tmp_path: Path) -> None:
    clock = Hasty()
    async with Faulty(tls=authority().server("cdn.example")) as cdn:
        cdn.next(send(cdn_answer(MP4)))
        fetcher = Fetcher(Names({"cdn.example": [["93.184.215.14"]]}, cdn.port, authority().client()))
        done = DONE | {"output": ["https://cdn.example/out.mp4?sign=1"]}
        async with runway(**{"GET /v1/tasks/task-1": [done]}) as up, rig(
            tmp_path, snapshot(at("runway", "gen4.5", up)), clock=clock.clock, fetcher=fetcher, lease=1e6
        ) as r:  # fmt: skip
            job = await made(r, clock, size="1280x720")
            assert (job.state, await content(r, job)) == ("completed", MP4)
        [asked] = cdn.requests
        assert asked.line == "GET /out.mp4?sign=1 HTTP/1.1"
        assert "authorization" not in asked.headers


def kling(**more: Any) -> Scripted:
    task = {"id": "k1", "external_id": "x"}
    done = task | {
        "status": "succeeded",
        "outputs": [{"type": "video", "url": "URL/k.mp4", "duration": "5.041"}],
    }
    return Scripted(
        {
            "POST /text-to-video/kling-3.0-turbo": [{"code": 0, "data": task | {"status": "submitted"}}],
            "GET /tasks?task_ids=k1": [
                {"code": 0, "data": [task | {"status": "processing"}]},
                {"code": 0, "data": [done]},
            ],
            "GET /k.mp4": [MP4],
            **more,
        }
    )


async def test_kling_from_wish_to_bytes(tmp_path: Path) -> None:
    clock = Hasty()
    async with kling() as up, rig(
        tmp_path, snapshot(at("kling", "kling-3.0-turbo", up)), clock=clock.clock, lease=1e6
    ) as r:  # fmt: skip
        job = await made(r, clock, seconds="5", size="720x1280", camera_movement="pan_left", seed=1)
        assert (job.state, await content(r, job)) == ("completed", MP4)
        [submit] = up.sent("POST")
        assert submit.json["settings"] == {"resolution": "720p", "aspect_ratio": "9:16", "duration": 5}
        assert submit.json["options"] == {"external_task_id": f"{job.id}-1"}
        assert job.cost == 600_000_000
        assert job.output is not None
        assert job.output["seconds"] == pytest.approx(5.041)
        assert {
            "`camera_movement` was written into the prompt for kling",
            "`seed` could not be passed on to kling",
        } <= {*job.warnings}


async def test_kling_finds_the_task_of_a_submit_whose_answer_was_lost(tmp_path: Path) -> None:
    clock = Hasty()
    duplicate = (400, {"code": 1201, "message": "external_task_id already exists"})
    up = kling(**{"POST /text-to-video/kling-3.0-turbo": [None, duplicate]})
    async with up, rig(
        tmp_path, snapshot(at("kling", "kling-3.0-turbo", up)), clock=clock.clock, lease=1e6
    ) as r:  # fmt: skip
        job = await r.create(seconds="5", size="720x1280")
        up.script = {  # the id we chose is only known now
            **up.script,
            f"GET /tasks?external_task_ids={job.id}-1": [
                {"code": 0, "data": [{"id": "k1", "status": "processing"}]}
            ],
        }
        job = await r.hurry(job, clock)
        assert (job.state, await content(r, job)) == ("completed", MP4)
        first, second = up.sent("POST")
        assert first.body == second.body
        assert len(job.attempts) == 1


async def test_a_video_inside_an_answer_is_stored_like_any_other(tmp_path: Path) -> None:
    clock, path = Hasty(), "POST /publishers/google/models/veo-3.1-lite-generate-001"
    video = {"bytesBase64Encoded": base64.b64encode(MP4).decode(), "mimeType": "video/mp4"}
    script = {
        f"{path}:predictLongRunning": [{"name": "op"}],
        f"{path}:fetchPredictOperation": [
            {"name": "op"},
            {"name": "op", "done": True, "response": {"videos": [video]}},
        ],
    }
    async with Scripted(script) as up, rig(
        tmp_path, snapshot(at("veo", "veo-3.1-lite-generate-001", up)), clock=clock.clock, lease=1e6
    ) as r:  # fmt: skip
        job = await made(r, clock, seconds="8", size="1280x720", audio=True)
        assert (job.state, await content(r, job)) == ("completed", MP4)
        assert up.heard[0].json["parameters"]["generateAudio"] is True


async def test_fal_is_asked_for_the_result_once_it_has_ended(tmp_path: Path) -> None:
    clock, model = Hasty(), "fal-ai/kling-video/v3/pro/text-to-video"
    links = {f"{name}_url": f"URL/requests/1/{name}" for name in ("status", "response", "cancel")}
    script = {
        f"POST /{model}": [{"request_id": "1", **links}],
        "GET /requests/1/status": [(202, {"status": "IN_QUEUE"}), {"status": "COMPLETED"}],
        "GET /requests/1/response": [{"video": {"url": "URL/fal.mp4", "width": 1920, "height": 1080}}],
        "GET /fal.mp4": [MP4],
    }
    async with Scripted(script) as up, rig(
        tmp_path, snapshot(at("fal", model, up)), clock=clock.clock, lease=1e6
    ) as r:  # fmt: skip
        job = await made(r, clock, seconds="5", size="1920x1080")
        assert (job.state, await content(r, job)) == ("completed", MP4)
        assert job.output is not None
        assert (job.output["width"], job.output["height"]) == (1920, 1080)
        assert [one.path.rpartition("/")[2] for one in up.sent("GET")] == [
            "status",
            "status",
            "response",
            "fal.mp4",
        ]
