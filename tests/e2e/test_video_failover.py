"""A video that was accepted is made by whoever can, under the same id; what is in doubt is never made twice."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from openai.types import Video

from tests.e2e.processes import query
from tests.e2e.stage import PRICE, TINY, Stage, check_answer_async
from tests.running import KEY, Running, routing, running, upstream
from tests.service.video_provider import MP4, Provider

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")


class Play:
    """A gateway whose model `film` goes to a scripted provider first, and then to the real worker."""

    def __init__(self, gateway: Running, first: Provider, client: openai.AsyncOpenAI) -> None:
        self.first = first
        self.client = client
        self._database = gateway.config.parent / "data" / "fairlead.db"

    async def begin(self, prompt: str, **more: Any) -> Video:
        return await self.client.videos.create(model="film", prompt=prompt, **TINY, **more)

    async def until(self, video: Video, wanted: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """The video once something holds of it; every look at it is checked."""
        async with asyncio.timeout(20):
            while True:
                answer = await self.client.videos.with_raw_response.retrieve(video.id)
                body: dict[str, Any] = answer.http_response.json()
                if wanted(body):
                    return body
                await asyncio.sleep(0.05)

    async def over(self, video: Video) -> dict[str, Any]:
        return await self.until(video, lambda body: body["status"] in ("completed", "failed"))

    def sql(self, statement: str) -> list[Any]:
        """Run one statement on the gateway's SQLite file."""
        return query(self._database, statement)


@contextlib.asynccontextmanager
async def play(folder: Path, stage: Stage, first: Provider, **rules: Any) -> AsyncIterator[Play]:
    price = {"price": {"per_second": PRICE}}
    dearer = {"price": {"per_second": 10 * PRICE}}
    text = routing(
        {"film": {"kind": "video", "targets": [
            {"provider": "first", "model": rules.pop("model", "m"), **dearer},
            {"provider": "second", "model": "testcard", **price},
        ]}},
        {
            "first": {**upstream(first.url), "kind": "video"},
            "second": {"dialect": "openai", "kind": "video", "base_url": stage.studio.base_url},
        },
        **rules,
    )  # fmt: skip
    http = httpx2.AsyncClient(event_hooks={"response": [check_answer_async]}, verify=False)
    async with running(text, folder) as gateway:
        async with openai.AsyncOpenAI(
            base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0, http_client=http
        ) as client:
            yield Play(gateway, first, client)


def told(body: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    """Of each attempt: who, whether it was begun, and what went wrong."""
    return [(one["provider"], one["certainty"], one["error_code"]) for one in body["attempts"]]


SECOND = ("second", "created", None)
REFUSALS = [
    ((429, "rate_limit_exceeded"), "provider_overloaded"),
    ((429, "queue_full"), "provider_overloaded"),
    ((503, "server_is_overloaded"), "provider_overloaded"),
    ((503, "engine_starting"), "provider_overloaded"),
    ((401, "invalid_api_key"), "provider_auth_error"),
    ((429, "insufficient_quota"), "provider_quota_exceeded"),
    ((404, "model_not_found"), "model_unavailable"),
    ((400, "unsupported_parameter"), "unsupported_parameter"),
]
"""What the first answers, and what is told of it."""


async def test_whoever_refuses_is_passed_over(tmp_path: Path, stage: Stage) -> None:
    faults = [fault for fault, _ in REFUSALS]
    async with Provider(submit=faults) as first, play(tmp_path, stage, first) as p:
        prompts = [stage.prompt() for _ in REFUSALS]
        videos = await asyncio.gather(*map(p.begin, prompts))
        ends = await asyncio.gather(*map(p.over, videos))
        assert [done["id"] for done in ends] == [video.id for video in videos]
        assert {(done["status"], done["error"]) for done in ends} == {("completed", None)}
        assert {(done["provider"], done["cost_usd"]) for done in ends} == {("second", PRICE)}
        refused = [told(done) for done in ends]
        assert all(both == [("first", "not_created", both[0][2]), SECOND] for both in refused)
        assert Counter(both[0][2] for both in refused) == Counter(code for _, code in REFUSALS)
        assert first.accepted.total() == 0
        assert sorted(p.sql("select source, nano_dollars from ledger")) == sorted(
            (video.id, 4_000_000) for video in videos
        )
    assert [len(stage.studio.jobs(prompt)) for prompt in prompts] == [1] * len(prompts)


async def test_whoever_is_not_there_is_passed_over(tmp_path: Path, stage: Stage) -> None:
    async with Provider() as first:
        pass
    async with play(tmp_path, stage, first) as p:
        done = await p.over(await p.begin(stage.prompt()))
        assert (done["status"], told(done)) == (
            "completed",
            [("first", "not_created", "provider_error"), SECOND],
        )


async def test_whoever_accepts_and_then_fails_is_passed_over(tmp_path: Path, stage: Stage) -> None:
    prompt = stage.prompt()
    async with Provider(poll=["ok", "fail"], polls=100) as first, play(tmp_path, stage, first) as p:
        video = await p.begin(prompt)
        states: list[tuple[str, int]] = []

        def seen(body: dict[str, Any]) -> bool:
            states.append((body["status"], body["progress"]))
            return body["status"] in ("completed", "failed")

        done = await p.until(video, seen)
        assert (done["status"], told(done)) == ("completed", [("first", "created", "render_failed"), SECOND])
        assert done["cost_usd"] == PRICE
        assert p.sql("select target, nano_dollars from ledger") == [("second/testcard", 4_000_000)]
        ranks = [
            (["queued", "in_progress", "completed"].index(state), progress) for state, progress in states
        ]
        assert ranks == sorted(ranks), "neither state nor progress ever went back"
    assert len(stage.studio.jobs(prompt)) == 1


async def test_a_picture_travels_to_the_second_as_to_the_first(tmp_path: Path, stage: Stage) -> None:
    png = b"\x89PNG\r\n\x1a\n" + b"not a picture after all"
    async with Provider(poll=["fail"]) as first, play(tmp_path, stage, first) as p:
        done = await p.over(await p.begin(stage.prompt(), input_reference=png))
        assert [png in video.fields["form"] for video in first.videos.values()] == [True]
        assert (done["status"], done["error"]["code"]) == ("failed", "invalid_input_reference")
        assert told(done)[1] == ("second", "created", "invalid_input_reference")


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ({"submit": [(400, "moderation_blocked")]}, "moderation_blocked"),
        ({"submit": [(400, "invalid_value")]}, "invalid_request"),
        ({"submit": [(422, "bad_prompt")]}, "invalid_request"),
        ({"poll": ["blame"]}, "moderation_blocked"),
    ],
)
async def test_a_request_at_fault_is_not_carried_from_one_to_the_next(
    tmp_path: Path, stage: Stage, script: dict[str, Any], code: str
) -> None:
    prompt = stage.prompt()
    async with Provider(**script) as first, play(tmp_path, stage, first) as p:
        done = await p.over(await p.begin(prompt))
        assert (done["status"], done["error"]["code"]) == ("failed", code)
        assert done["cost_usd"] is None
        assert [provider for provider, *_ in told(done)] == ["first"]
        assert p.sql("select * from ledger") == []
    assert stage.studio.jobs(prompt) == []


DOUBTFUL: list[Any] = ["lose", "drop", (500, "broken"), (502, "bad_gateway"), (504, "timeout")]


async def test_what_may_have_been_accepted_is_parked_and_never_asked_for_again(
    tmp_path: Path, stage: Stage
) -> None:
    prompts = [stage.prompt() for _ in DOUBTFUL]
    async with Provider(submit=list(DOUBTFUL)) as first, play(tmp_path, stage, first) as p:
        videos = await asyncio.gather(*map(p.begin, prompts))
        for video in videos:
            parked = await p.until(video, lambda body: body["attempts"] and body["attempts"][0]["error_code"])
            assert parked["status"] in ("queued", "in_progress")
            assert told(parked) == [("first", "unknown", "submit_uncertain")]
        assert p.sql("select distinct phase from jobs") == [("uncertain",)]
        p.sql("update jobs set due_at = 0, tries = 9")  # the time to wait for a sign is over
        for done in await asyncio.gather(*map(p.over, videos)):
            assert (done["status"], done["error"]["code"]) == ("failed", "submit_uncertain")
            assert told(done) == [("first", "unknown", "submit_uncertain")]
        assert [path for method, path in first.requests if method == "POST"] == ["/v1/videos"] * len(DOUBTFUL)
        assert p.sql("select * from ledger") == []
    assert [stage.studio.jobs(prompt) for prompt in prompts] == [[]] * len(prompts)


async def test_whoever_recognises_a_repeated_submit_is_asked_again_and_begins_one_video(
    tmp_path: Path, stage: Stage
) -> None:
    async with Provider(submit=list(DOUBTFUL), deduplicates=True) as first:
        async with play(tmp_path, stage, first, model="testcard") as p:  # a model whose rules say so
            videos = await asyncio.gather(*(p.begin(stage.prompt()) for _ in DOUBTFUL))
            for done in await asyncio.gather(*map(p.over, videos)):
                assert (done["status"], told(done)) == ("completed", [("first", "created", None)])
                assert (await p.client.videos.download_content(done["id"])).content == MP4
        assert list(first.accepted.values()) == [1] * len(DOUBTFUL)


async def test_a_provider_that_tells_too_much_is_not_quoted(tmp_path: Path, stage: Stage) -> None:
    async with Provider(poll=["fail"]) as first, play(tmp_path, stage, first) as p:
        p.first.submit.append("ok")
        done = await p.over(await p.begin(stage.prompt()))
        shown = str(done)
        for secret in ("up_0", first.url, stage.studio.base_url, "The words of the provider", "sk-provider"):
            assert secret not in shown
