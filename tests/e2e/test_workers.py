"""Several worker processes behind one gateway: found out, fed when free, missed when dead, restarted without loss."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.service import fleet as fleet_module
from tests.e2e.processes import Studio, query
from tests.e2e.stage import TINY
from tests.running import KEY, routing, running

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
SLOW = 1.5
"""Seconds that a second of video takes the slow worker."""


class Fleet:
    """A gateway with two workers: model `film` may go to either, the slow one first.

    `urgent` may go to the slow one, and to the quick one as to a cloud, which is no worker to the gateway.
    """

    def __init__(self, http: httpx2.AsyncClient, quick: Studio, slow: Studio, folder: Path) -> None:
        self.http = http
        self.quick = quick
        self.slow = slow
        self._database = folder / "data" / "fairlead.db"

    async def begin(self, prompt: str, **more: Any) -> str:
        answer = await self.http.post("/v1/videos", json={"model": "film", "prompt": prompt, **TINY, **more})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    async def until(self, video: str, holds: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        async with asyncio.timeout(30):
            while True:
                body: dict[str, Any] = (await self.http.get(f"/v1/videos/{video}")).json()
                if holds(body):
                    return body
                await asyncio.sleep(0.05)

    async def done(self, video: str) -> dict[str, Any]:
        body = await self.until(video, lambda one: one["status"] in ("completed", "failed"))
        assert body["status"] == "completed", body
        return body

    def charged(self) -> list[Any]:
        return query(self._database, "select source, nano_dollars from ledger")


@pytest.fixture(scope="module")
def studios(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Studio, Studio]]:
    """A quick worker and a slow one."""
    made = tuple(Studio(tmp_path_factory.mktemp("studio"), pace) for pace in (0.0, SLOW))
    yield made[0], made[1]
    for studio in made:
        studio.stop()


@contextlib.asynccontextmanager
async def serving(folder: Path, studios: tuple[Studio, Studio], **environment: str) -> AsyncIterator[Fleet]:
    quick, slow = studios
    rows = {
        name: {"dialect": "worker", "kind": "video", "base_url": studio.base_url}
        for name, studio in (("quick", quick), ("slow", slow))
    }
    targets = [
        {"provider": name, "model": "testcard", "price": {"per_gpu_hour": 3600}} for name in ("slow", "quick")
    ]
    rows["cloud"] = {"dialect": "openai", "kind": "video", "base_url": quick.base_url}
    cloud = {"provider": "cloud", "model": "testcard", "price": {"per_second": 0.1}}
    text = routing(
        {
            "film": {"kind": "video", "targets": targets},
            "urgent": {"kind": "video", "policy": "in_order", "targets": [targets[0], cloud]},
        },
        rows,
    )
    async with running(text, folder, environment) as gateway:
        headers = {"authorization": f"Bearer {KEY}"}
        async with httpx2.AsyncClient(base_url=gateway.url, headers=headers, verify=False) as http:
            yield Fleet(http, quick, slow, folder)


async def models(fleet: Fleet) -> dict[str, Any]:
    """The video models that are listed, once a worker has told of its own."""
    async with asyncio.timeout(15):
        while True:
            rows = (await fleet.http.get("/v1/videos/models")).json()["data"]
            found = {row["id"]: row for row in rows}
            if "quick/testcard" in found:
                return found
            await asyncio.sleep(0.02)


def makers(bodies: list[dict[str, Any]]) -> list[str]:
    return [body["provider"] for body in bodies]


async def test_workers_tell_what_they_can_and_are_paid_by_the_time_they_work(
    tmp_path: Path, studios: tuple[Studio, Studio]
) -> None:
    async with serving(tmp_path, studios) as fleet:
        row = (await models(fleet))["quick/testcard"]
        assert (row["min_seconds"], row["max_seconds"]) == (1, 60)
        assert row["operations"] == ["generate", "remix", "edit", "extend"]
        wrong = await fleet.http.post(
            "/v1/videos", json={"model": "film", "prompt": "x", "seconds": "1", "size": "32x32"}
        )
        assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "size")
        assert "64x64 to 1920x1080" in wrong.json()["error"]["message"]
        unknown = await fleet.http.post("/v1/videos", json={"model": "quick/wan", "prompt": "x", **TINY})
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")
        done = await fleet.done(await fleet.begin("A paid kite", model="quick/testcard"))
        assert done["cost_usd"] is None  # nobody said what its time costs
        paid = await fleet.done(await fleet.begin("A paid kite"))
        assert paid["output"]["gpu_seconds"] > 0
        assert paid["cost_usd"] == pytest.approx(paid["output"]["gpu_seconds"])
        assert (paid["id"], round(paid["cost_usd"] * 1e9)) in fleet.charged()


async def test_a_gateway_that_leaves_videos_to_others_knows_what_workers_can_make(
    tmp_path: Path, studios: tuple[Studio, Studio]
) -> None:
    async with serving(tmp_path, studios, FAIRLEAD_RUNNER="off") as fleet:
        assert (await models(fleet))["quick/testcard"]["max_seconds"] == 60
        small = {"model": "quick/testcard", "prompt": "x", "seconds": "1", "size": "32x32"}
        for path in ("/v1/videos", "/v1/route/explain"):
            wrong = await fleet.http.post(path, json=small)
            assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "size")
        waiting = await fleet.begin("A kite that waits", model="quick/testcard")
        assert (await fleet.until(waiting, bool))["status"] == "queued"


async def test_a_slow_worker_gets_what_the_quick_one_would_finish_later(
    tmp_path: Path, studios: tuple[Studio, Studio]
) -> None:
    async with serving(tmp_path, studios) as fleet:
        for studio in studios:  # each has made one, so that their pace is known
            studio.wait(studio.create("to warm up"))
        videos = [await fleet.begin(f"Kite {number}") for number in range(6)]
        bodies = [await fleet.done(video) for video in videos]
        assert makers(bodies).count("slow") <= 2
        assert {len(body["attempts"]) for body in bodies} == {1}


async def test_whoever_cannot_wait_for_a_slow_worker_goes_to_a_cloud(
    tmp_path: Path, studios: tuple[Studio, Studio]
) -> None:
    async with serving(tmp_path, studios) as fleet:
        occupied = fleet.slow.create("keeps the slow one busy", seconds=40)  # a minute of work
        async with asyncio.timeout(20):
            while not (await asyncio.to_thread(fleet.slow.get, "/worker")).json()["eta_s"]:
                await asyncio.sleep(0.05)
        patient = await fleet.begin("A kite with time", model="urgent")
        waits = await fleet.until(patient, lambda body: (body["eta"] or 0) > 30)
        assert (waits["status"], waits["attempts"]) == ("queued", [])
        hurried = await fleet.done(await fleet.begin("A kite in a hurry", model="urgent", deadline=20))
        assert makers([hurried]) == ["cloud"]
        fleet.slow.client().videos.delete(occupied)
        assert makers([await fleet.done(patient)]) == ["slow"]


async def test_a_worker_that_dies_in_the_middle_loses_its_job_to_another_under_the_same_id(
    tmp_path: Path, studios: tuple[Studio, Studio], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_module, "AWAY", 1.0)
    async with serving(tmp_path, studios) as fleet:
        occupied = fleet.quick.create("keeps the quick one busy", seconds=60, size="1920x1080")
        video = await fleet.begin("The kite that flew on", seconds="2")
        await fleet.until(video, lambda body: body["status"] == "in_progress")
        fleet.slow.kill9()
        fleet.quick.client().videos.delete(occupied)
        done = await fleet.done(video)
        told = [(one["provider"], one["certainty"], one["error_code"]) for one in done["attempts"]]
        assert told == [("slow", "created", "worker_away"), ("quick", "created", None)]
        assert [source for source, _ in fleet.charged()] == [video]
        await asyncio.to_thread(fleet.slow.start)
        async with asyncio.timeout(15):  # and what it took up again is called off
            while await asyncio.to_thread(fleet.slow.jobs, "The kite that flew on"):
                await asyncio.sleep(0.05)


async def test_workers_are_restarted_one_after_the_other_without_loss(
    tmp_path: Path, studios: tuple[Studio, Studio]
) -> None:
    async with serving(tmp_path, studios) as fleet:
        prompts = [f"Rolling kite {number}" for number in range(5)]
        videos = [await fleet.begin(prompt) for prompt in prompts]
        for studio in studios:
            await asyncio.to_thread(studio.end, signal.SIGTERM)
            await asyncio.to_thread(studio.start)
        bodies = [await fleet.done(video) for video in videos]
        assert {one["error_code"] for body in bodies for one in body["attempts"]} == {None}
        made = [len(fleet.quick.jobs(prompt) + fleet.slow.jobs(prompt)) for prompt in prompts]
        assert made == [1] * len(prompts)
