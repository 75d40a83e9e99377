"""What videos cost, and the limits they count in: nothing over the limit begins, and only what was made is paid."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from tests.e2e.processes import query
from tests.e2e.stage import PRICE, TINY, Stage, check_answer_async
from tests.running import KEY, routing, running

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
BEARER = {"authorization": f"Bearer {KEY}"}
NANO = 1_000_000_000
CHAT: dict[str, Any] = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}


class Till:
    """A gateway whose guest has limits, seen by that guest, and its books."""

    def __init__(self, url: str, client: openai.AsyncOpenAI, folder: Path) -> None:
        self.client = client
        self.url = url
        self._database = folder / "data" / "fairlead.db"

    def sql(self, statement: str, *values: object) -> list[Any]:
        """Run one statement on the gateway's SQLite file."""
        return query(self._database, statement, *values)

    async def create(self, prompt: str, seconds: str = "1", **more: Any) -> httpx2.Response:
        """The answer to a create, whatever it is."""
        body = {"model": "sora-2", "prompt": prompt, "seconds": seconds, "size": "64x64", **more}
        async with httpx2.AsyncClient(headers=BEARER, timeout=20, verify=False) as http:
            answer = await http.post(f"{self.url}/v1/videos", json=body)
            assert answer.status_code < 500
            return answer

    async def made(self, prompt: str, seconds: str = "1", **more: Any) -> dict[str, Any]:
        """A video at its end, and settled."""
        answer = await self.create(prompt, seconds, **more)
        assert answer.status_code == 200, answer.text
        return await self.settled(answer.json()["id"])

    async def settled(self, identity: str) -> dict[str, Any]:
        async with asyncio.timeout(20):
            while self.sql("select phase from jobs where id = ?", identity) != [("done",)]:
                await asyncio.sleep(0.05)
        answer = await self.client.videos.with_raw_response.retrieve(identity)
        body: dict[str, Any] = answer.http_response.json()
        return body

    async def count(self) -> int:
        return len([video async for video in self.client.videos.list()])


@contextlib.asynccontextmanager
async def till(folder: Path, stage: Stage, limits: Sequence[dict[str, Any]]) -> AsyncIterator[Till]:
    price = {"price": {"per_second": PRICE}}
    testcard = {"provider": "studio", "model": "testcard"}
    text = routing(
        {
            "sora-2": {"kind": "video", "targets": [{**testcard, **price}]},
            "broken": {"kind": "video", "targets": [{**testcard, "model": "no-such-engine", **price}]},
            "unpriced": {"kind": "video", "targets": [testcard]},
            "chat": {
                "targets": [{"provider": "demo", "model": "small", "price": {"input": 100, "output": 100}}]
            },
        },
        {
            "studio": {"dialect": "openai", "kind": "video", "base_url": stage.studio.base_url},
            "demo": {"dialect": "scripted"},
        },
        key={"limits": list(limits)},
    )
    http = httpx2.AsyncClient(event_hooks={"response": [check_answer_async]}, verify=False)
    async with running(text, folder) as gateway:
        async with openai.AsyncOpenAI(
            base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0, http_client=http
        ) as client:
            yield Till(gateway.url, client, folder)


async def test_a_video_costs_its_price_times_its_seconds(tmp_path: Path, stage: Stage) -> None:
    async with till(tmp_path, stage, []) as t:
        prices = {}
        for seconds in ("1", "2", "1.5"):
            video = await t.made(stage.prompt(), seconds)
            assert video["cost_usd"] == pytest.approx(PRICE * float(seconds))
            assert sum(attempt["cost_usd"] for attempt in video["attempts"]) == video["cost_usd"]
            prices[video["id"]] = (round(PRICE * NANO * float(seconds)), round(1000 * float(seconds)))
        rows = t.sql("select source, nano_dollars, video_ms, kind, caller, model, target from ledger")
        assert {row[0]: (row[1], row[2]) for row in rows} == prices
        assert {row[3:] for row in rows} == {("video", "test", "sora-2", "studio/testcard")}


async def test_no_video_begins_beyond_the_seconds_of_a_day(tmp_path: Path, stage: Stage) -> None:
    async with till(tmp_path, stage, [{"video_seconds": 3, "per": "day"}]) as t:
        words = stage.prompt()
        refused = await t.create(words, "4")
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "request_exceeds_limit")
        await t.made(stage.prompt(), "2")
        refused = await t.create(words, "2")
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
        assert int(refused.headers["retry-after"]) > 0
        assert await t.count() == 1
        await t.made(stage.prompt(), "1")
        assert (await t.create(words, "1")).status_code == 429
        assert stage.studio.jobs(words) == []
        assert await t.count() == 2


async def test_parallel_posts_never_pass_the_limit_together(tmp_path: Path, stage: Stage) -> None:
    async with till(tmp_path, stage, [{"video_seconds": 3, "per": "day"}]) as t:
        words = stage.prompt()
        answers = await asyncio.gather(*(t.create(words) for _ in range(12)))
        assert sorted(answer.status_code for answer in answers) == [200] * 3 + [429] * 9
        for answer in answers:
            if answer.status_code == 200:
                assert (await t.settled(answer.json()["id"]))["status"] == "completed"
        assert len(stage.studio.jobs(words)) == 3


async def test_so_many_unfinished_videos_and_no_more(tmp_path: Path, stage: Stage) -> None:
    async with till(tmp_path, stage, [{"video_jobs": 2}]) as t:
        words = stage.prompt()
        answers = await asyncio.gather(*(t.create(words) for _ in range(6)))
        made = [answer.json()["id"] for answer in answers if answer.status_code == 200]
        assert len(made) == 2
        assert {answer.status_code for answer in answers} == {200, 429}
        for identity in made:
            await t.settled(identity)
        assert (await t.made(words))["status"] == "completed", "a finished video holds no slot"


async def test_a_video_that_failed_or_was_cancelled_in_time_costs_nothing(
    tmp_path: Path, stage: Stage
) -> None:
    async with till(
        tmp_path, stage, [{"video_seconds": 2, "per": "day"}, {"dollars": 0.008, "per": "day"}]
    ) as t:
        for _ in range(3):
            failed = await t.made(stage.prompt(), "2", model="broken")
            assert (failed["status"], failed["cost_usd"]) == ("failed", None)
        assert t.sql("select * from ledger") == []
        answer = await t.create(stage.prompt(), "2", size="1920x1080")
        assert (await t.create(stage.prompt(), "2")).status_code == 429, "it is held while it runs"
        await t.client.videos.delete(answer.json()["id"])
        async with asyncio.timeout(10):
            while t.sql("select id from jobs where id = ?", answer.json()["id"]):
                await asyncio.sleep(0.05)
        assert (await t.made(stage.prompt(), "2"))["status"] == "completed"
        assert (await t.create(stage.prompt(), "1")).status_code == 429


async def test_what_makes_no_sense_holds_nothing(tmp_path: Path, stage: Stage) -> None:
    async with till(tmp_path, stage, [{"video_seconds": 2, "per": "day"}]) as t:
        wrongs: list[dict[str, Any]] = [
            {"size": "1x1"},
            {"model": "none"},
            {"seed": -1},
            {"n": 2},
            {"prompt": ""},
        ]
        for wrong in wrongs:
            assert (await t.create(**{"prompt": stage.prompt(), **wrong})).status_code in (400, 404)
        assert (await t.made(stage.prompt(), "2"))["status"] == "completed"


async def test_dollars_are_one_purse_for_videos_and_words_and_outlive_the_process(
    tmp_path: Path, stage: Stage
) -> None:
    limits = [{"dollars": 2.5 * PRICE, "per": "month"}]
    async with till(tmp_path, stage, limits) as t:
        for _ in range(2):
            await t.made(stage.prompt())
        refused = await t.create(stage.prompt())
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "insufficient_quota")
        assert refused.headers["x-should-retry"] == "false"
        assert await t.count() == 2
    async with till(tmp_path, stage, limits) as t:
        refused = await t.create(stage.prompt())
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "insufficient_quota")
        with pytest.raises(openai.RateLimitError) as chat:
            await t.client.chat.completions.create(**CHAT, max_tokens=10)
        assert chat.value.code == "insufficient_quota"
        assert t.sql("select sum(nano_dollars), count(*) from ledger") == [(2 * round(PRICE * NANO), 2)]


async def test_a_key_with_a_purse_is_refused_what_has_no_price(tmp_path: Path, stage: Stage) -> None:
    async with till(tmp_path, stage, [{"dollars": 1, "per": "day"}]) as t:
        refused = await t.create(stage.prompt(), model="unpriced")
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unknown_price")
        assert await t.count() == 0
    async with till(tmp_path, stage, []) as t:
        video = await t.made(stage.prompt(), model="unpriced")
        assert (video["status"], video["cost_usd"]) == ("completed", None)
        assert t.sql("select nano_dollars, video_ms from ledger") == [(None, 1000)]


async def test_a_repetition_counts_once_and_is_answered_when_nothing_is_left(
    tmp_path: Path, stage: Stage
) -> None:
    async with till(tmp_path, stage, [{"video_seconds": 20, "per": "day"}]) as t:
        body = {"model": "sora-2", "prompt": stage.prompt(), **TINY, "seconds": "2"}
        headers = {**BEARER, "idempotency-key": "k"}
        async with httpx2.AsyncClient(base_url=t.url, headers=headers, timeout=20, verify=False) as http:
            answers = await asyncio.gather(*(http.post("/v1/videos", json=body) for _ in range(10)))
            assert {answer.status_code for answer in answers} == {200}
            assert len({answer.json()["id"] for answer in answers}) == 1
            await t.settled(answers[0].json()["id"])
            assert t.sql("select video_ms from ledger") == [(2000,)]
            assert (await t.create(stage.prompt(), "18")).status_code == 200
            assert (await t.create(stage.prompt(), "1")).status_code == 429
            again = await http.post("/v1/videos", json=body)
            assert (again.status_code, again.json()["id"]) == (200, answers[0].json()["id"])
