"""A runner that is killed again and again loses no job, submits none twice, and charges none twice."""

import asyncio
import json
import os
import random
import sys
from collections import Counter
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from gateway.errors import Unavailable
from tests.servers import PostgresServer, postgres_server, running  # noqa: F401
from tests.service.receiver import OK, Receiver
from tests.service.video_provider import Provider
from tests.service.video_rig import ANN, SECRETS, Rig, rig, snapshot, target
from tests.transport.faulty import Hangup, Peer

JOBS = 15
KILLS = 5


class Victim:
    """The runner's process. It is killed at a random request of the provider's, before or after its effect."""

    def __init__(self, arguments: list[str]) -> None:
        self.kills = 0
        self._arguments = arguments
        self._dice = random.Random(7)
        self._process: asyncio.subprocess.Process | None = None
        self._killed: asyncio.subprocess.Process | None = None
        self._left = 1

    async def live(self) -> None:
        """Start it, and start it again whenever it has been killed."""
        try:
            while True:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "tests.service.runner_process", *self._arguments,
                    stdout=asyncio.subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(Path.cwd())},
                )  # fmt: skip
                await self._process.wait()
                assert self._process.returncode == -9
        finally:
            if self._process is not None and self._process.returncode is None:
                self._process.kill()
                await self._process.wait()

    def watch(self, _moment: str) -> None:
        self._left -= 1
        process = self._process
        if self._left <= 0 and self.kills < KILLS and process is not None and process is not self._killed:
            self._left = self._dice.randint(2, 24)
            self.kills += 1
            self._killed = process  # what it had sent may still come in; it is not killed twice for that
            process.kill()


async def survive(r: Rig, one: Provider, arguments: list[str]) -> Counter[str]:
    """Run JOBS jobs through KILLS kills; returns how they ended."""
    jobs = [await r.create(prompt=f"Kite {number}") for number in range(JOBS)]
    victim = Victim(arguments)
    one.watch = victim.watch
    living = asyncio.create_task(victim.live())
    try:
        ended = [await r.until(job, lambda found: found.phase == "done", seconds=40) for job in jobs]
    finally:
        living.cancel()
        await asyncio.gather(living, return_exceptions=True)
    assert victim.kills == KILLS
    begun = Counter({token.rpartition("-")[0]: count for token, count in one.accepted.items()})
    assert set(begun.values()) == {1}, "a video was begun twice"
    assert begun.total() == one.accepted.total() <= JOBS
    completed = [job.id for job in ended if job.state == "completed"]
    charged = await r.rows("select source from ledger")
    assert sorted(row.source for row in charged) == sorted(completed)
    files = {row.name for job in ended for row in job.media}
    assert len(files) == len(completed)
    return Counter(job.error["code"] if job.error else job.state for job in ended)


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_every_job_is_completed_where_the_provider_recognises_repeats(
    tmp_path: Path, engine: str, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/jobs.db"
    if engine == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        url = server.create_database()
    async with Provider(polls=2, deduplicates=True) as one:
        config = snapshot(target("one", one.url, repeats=True))
        async with rig(tmp_path, config, url=url, running=False) as r:
            ends = await survive(r, one, [url, str(tmp_path), one.url, "repeats"])
    assert ends == {"completed": JOBS}


async def test_a_doubtful_submit_is_parked_and_never_made_again_at_any_other_provider(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/jobs.db"
    async with Provider(polls=2) as one:
        config = snapshot(target("one", one.url))
        async with rig(tmp_path, config, url=url, running=False) as r:
            ends = await survive(r, one, [url, str(tmp_path), one.url, "blind"])
    assert set(ends) <= {"completed", "submit_uncertain"}
    assert ends["submit_uncertain"] >= 1


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_whatever_ended_is_told_however_often_whoever_tells_it_is_killed(
    tmp_path: Path, engine: str, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/jobs.db"
    if engine == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        url = server.create_database()
    async with Provider(polls=1, deduplicates=True) as one, Receiver() as hook:
        config = snapshot(target("one", one.url, repeats=True), webhook_networks=("127.0.0.0/8",))
        async with rig(tmp_path, config, url=url, running=False) as r:
            jobs = [await r.create(prompt=f"Kite {number}", callback_url=hook.hook) for number in range(JOBS)]
            victim = Victim([url, str(tmp_path), one.url, "repeats"])
            told_of: set[str] = set()

            async def die(_peer: Peer) -> None:
                """Between the commit of the end and the answer that it was heard."""
                states = {row.id: row.state for row in await r.rows("select id, state from jobs")}
                told_of.add(states[hook.events[-1]["job_id"]])
                victim.watch("told")
                raise Hangup

            hook.always(die)
            living = asyncio.create_task(victim.live())
            try:
                async with asyncio.timeout(40):
                    while victim.kills < KILLS:
                        await asyncio.sleep(0.01)
                    hook.always(OK)
                    while len(await r.rows("select id from outbox where delivered_at is not null")) < JOBS:
                        await asyncio.sleep(0.02)
            finally:
                living.cancel()
                await asyncio.gather(living, return_exceptions=True)
            rows = await r.rows("select id, job from outbox")
    assert sorted(row.job for row in rows) == sorted(job.id for job in jobs)
    assert {(event["job_id"], event["id"]) for event in hook.events} == {(row.job, row.id) for row in rows}
    assert told_of == {"completed"}
    for seen in hook.requests:
        assert seen.headers["webhook-id"] == json.loads(seen.body)["id"]
        Webhook(SECRETS["ann"][0]).verify(seen.body, dict(seen.headers))


async def test_a_database_that_is_killed_costs_only_time(tmp_path: Path) -> None:
    with running(PostgresServer) as server:
        url = server.create_database()
        async with Provider(polls=2, deduplicates=True) as one:
            config = snapshot(target("one", one.url, repeats=True))
            async with rig(tmp_path, config, url=url, lease=1.0, renew=0.3) as r:
                jobs = [await r.create(prompt=f"Kite {number}") for number in range(JOBS)]
                await r.until(jobs[0], lambda found: found.state == "in_progress")
                await asyncio.to_thread(server.kill9)
                with pytest.raises(Unavailable):
                    await r.videos.get(ANN, jobs[0].id)
                await asyncio.to_thread(server.start)
                ended = [await r.until(job, lambda found: found.phase == "done", seconds=30) for job in jobs]
                assert {job.state for job in ended} == {"completed"}
                assert len(await r.rows("select * from ledger")) == JOBS
            assert sorted(one.accepted.values()) == [1] * JOBS


async def test_an_answer_that_comes_while_the_database_is_away_is_written_down_when_it_is_back(
    tmp_path: Path,
) -> None:
    with running(PostgresServer) as server:
        url, gate = server.create_database(), asyncio.Event()
        submits = ["ok", "ok", (429, "busy")]
        async with Provider(submit=submits, gate=gate) as one:
            async with rig(tmp_path, snapshot(target("one", one.url)), url=url) as r:
                jobs = [await r.create(prompt=f"Kite {number}") for number in range(3)]
                for job in jobs:
                    await r.until(job, lambda found: found.phase == "submitting")
                await asyncio.to_thread(server.kill9)
                gate.set()
                while len(one.accepted) < 2:
                    await asyncio.sleep(0.01)
                await asyncio.to_thread(server.start)
                ended = [await r.until(job, lambda found: found.phase == "done", seconds=30) for job in jobs]
            assert {job.state for job in ended} == {"completed"}
            assert sorted(one.accepted.values()) == [1, 1, 1]
