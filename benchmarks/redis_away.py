"""What Redis being away costs callers: `python -m benchmarks.redis_away` prints a row for each fault and mode.

A gateway of its own is asked 500 times a second, over a TCP proxy to a real Redis that counts its limits. Redis
is hung, dead, killed and started at once, or killed and its replica promoted in its place. Told are:

* first: the longest wait of those asked within 0.2 s of the fault, beyond the median before it;
* p99: the 99th percentile before the fault, and from 0.2 s after it until Redis is back;
* decides again: how soon after its return Redis lets in a request of another key, by the gateway's metrics;
* admitted: how many were let in within the minute that the limit is for, and how many too many;
* answers: what callers got, by status.
"""

import argparse
import asyncio
import json
import os
import re
import statistics
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import redis
import uvloop

from benchmarks.load import Job, percentile
from benchmarks.processes import Started, answers, free_port, listens
from benchmarks.subjects import KEY, MODEL, Subject, fairlead
from tests.faults import TcpProxy
from tests.servers import RedisServer, running

BEFORE, AWAY, AFTER = 1.5, 2.0, 3.0
FIRST = 0.2
"""Seconds from the fault within which a request is one of the first."""
LIMIT = 1_500
MODES = ("local", "open", "closed")
OTHER_KEY = "sk-fl-other"
"""Of a caller whose limits are never reached, so that Redis can be seen to decide."""
_ASK = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 50}
_BODY = json.dumps(_ASK).encode()
_DECIDED = re.compile(
    r'^gateway_admission_decisions_total\{[^}]*backend="redis"[^}]*\} ([\d.e+]+)', re.MULTILINE
)


class Answer(msgspec.Struct, array_like=True, frozen=True):
    """One request: when it was due (monotonic), how long its answer took (seconds), and the status."""

    due: float
    took: float
    status: int


class Stage(msgspec.Struct, frozen=True):
    """Redis, the way to it, and its replica."""

    proxy: TcpProxy
    master: RedisServer
    replica: RedisServer


async def hung(stage: Stage) -> None:
    """Nothing comes through, and connections stay open."""
    await stage.proxy.set("hang")
    await asyncio.sleep(AWAY)
    await stage.proxy.set("pass")


async def dead(stage: Stage) -> None:
    """Connections are cut, and nobody listens."""
    await stage.proxy.set("refuse")
    await asyncio.sleep(AWAY)
    await stage.proxy.set("pass")


async def restarted(stage: Stage) -> None:
    """Killed, and started with what it wrote down."""
    await asyncio.to_thread(stage.master.kill9)
    await asyncio.to_thread(stage.master.start)


async def failed_over(stage: Stage) -> None:
    """Killed; after a while the address leads to its replica, which may be written to by then."""
    await asyncio.to_thread(stage.master.kill9)
    await asyncio.sleep(AWAY)
    with redis.Redis(port=stage.replica.port) as admin:
        admin.replicaof("NO", "ONE")
    stage.proxy.upstream = stage.replica.port


FAULTS: Mapping[str, Callable[[Stage], Awaitable[None]]] = {
    "hung": hung,
    "dead": dead,
    "restarted": restarted,
    "failed over": failed_over,
}


def asked(subject: Subject, key: str) -> bool:
    """Ask once; whether it was answered."""
    return answers(subject.port, subject.path, key, _BODY, {})


def let_in(subject: Subject) -> float:
    """How many requests Redis has let in so far."""
    with urllib.request.urlopen(f"http://127.0.0.1:{subject.port}/metrics", timeout=10) as reply:
        return sum(float(one) for one in _DECIDED.findall(reply.read().decode()))


async def reached(subject: Subject, count: float) -> None:
    """Wait until Redis has let in so many."""
    async with asyncio.timeout(30.0):
        while await asyncio.to_thread(let_in, subject) < count:
            await asyncio.sleep(0.01)


async def decides(subject: Subject) -> None:
    """Ask with the other key until it is Redis that lets a request in."""
    before = await asyncio.to_thread(let_in, subject)
    async with asyncio.timeout(30.0):
        while await asyncio.to_thread(let_in, subject) <= before:
            await asyncio.to_thread(asked, subject, OTHER_KEY)


async def followed(stage: Stage) -> None:
    """Make the replica one, and wait until it has caught up."""
    with redis.Redis(port=stage.replica.port) as admin:
        admin.replicaof("127.0.0.1", str(stage.master.port))
        async with asyncio.timeout(30.0):
            while admin.info("replication")["master_link_status"] != "up":
                await asyncio.sleep(0.05)


def gateway(folder: Path, upstream: int, proxy: int, mode: str) -> Subject:
    """Fairlead with four limits, of which that on requests is the one to be reached."""
    environment = {"FAIRLEAD_REDIS_URL": f"redis://127.0.0.1:{proxy}/0", "OTHER_KEY": OTHER_KEY}
    subject = fairlead(folder, (upstream, upstream), free_port(), environment)
    file = Path(subject.environment["FAIRLEAD_CONFIG"])
    routing = json.loads(file.read_text())
    routing["defaults"] = {"on_store_error": mode}
    for limit in routing["limits"]["high"]:
        limit["on_store_error"] = mode  # hard dollars, too
        if "requests" in limit:
            limit["requests"] = LIMIT
    plenty = [{"requests": 10**9, "per": "minute", "on_store_error": mode}]
    routing["keys"].append({"name": "other", "key": "env:OTHER_KEY", "models": ["*"], "limits": plenty})
    file.write_text(json.dumps(routing))
    return subject


async def load(subject: Subject, rate: float) -> Sequence[Answer]:
    """The load from beginning to end."""
    requests = int(rate * (BEFORE + AWAY + AFTER))
    job = Job(
        port=subject.port, body=dict(_ASK), key=KEY, connections=64, requests=requests, rate=rate, each=True
    )
    words = [sys.executable, "-m", "benchmarks.load", msgspec.json.encode(job).decode()]
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    told, _ = await process.communicate()
    return msgspec.convert(json.loads(told)["answers"], list[Answer])


async def case(folder: Path, fault: str, mode: str, rate: float) -> str:
    """One fault in one mode, as a row."""
    async with AsyncExitStack() as stack:
        stage = Stage(
            master=(master := stack.enter_context(running(RedisServer))),
            replica=stack.enter_context(running(RedisServer)),
            proxy=await stack.enter_async_context(TcpProxy(master.port)),
        )
        await followed(stage)
        mock = free_port()
        provider = Started([sys.executable, "-m", "benchmarks.upstream", str(mock)], {}, folder / "provider")
        stack.callback(provider.stop)
        await asyncio.to_thread(provider.wait_until, lambda: listens(mock))
        subject = gateway(folder / "gateway", mock, stage.proxy.port, mode)
        started = Started(subject.command, subject.environment, folder / "log")
        stack.callback(started.stop)
        await asyncio.to_thread(started.wait_until, lambda: asked(subject, KEY))  # the first that is let in
        loading = asyncio.create_task(load(subject, rate))
        await reached(subject, rate * BEFORE)
        fell = time.perf_counter()
        await FAULTS[fault](stage)
        back = time.perf_counter()
        await decides(subject)
        healed = time.perf_counter()
        return row(fault, mode, await loading, (fell, back, healed))


def row(fault: str, mode: str, told: Sequence[Answer], times: tuple[float, float, float]) -> str:
    """What callers noticed."""
    fell, back, healed = times
    before = [one.took * 1e3 for one in told if one.due + one.took < fell]
    first = [one.took * 1e3 for one in told if fell - one.took < one.due < fell + FIRST]
    away = [one.took * 1e3 for one in told if fell + FIRST <= one.due < back]
    usual = statistics.median(before)
    admitted = 1 + sum(one.status == 200 for one in told)
    cells = (
        fault,
        mode,
        f"{max(first) - usual:.0f} ms",
        f"{percentile(before, 0.99)}",
        f"{percentile(away, 0.99)}" if away else "",
        f"{healed - back:.2f} s",
        f"{admitted:,}, {max(0, admitted - LIMIT):,} over",
        ", ".join(
            f"{status}: {count:,}" for status, count in sorted(Counter(one.status for one in told).items())
        ),
    )
    return f"| {' | '.join(cells)} |\n"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=500.0, help="requests a second")
    parser.add_argument("--fault", choices=FAULTS, help="only this one")
    parser.add_argument("--mode", choices=MODES, help="only this one")
    given = parser.parse_args()
    faults, modes = [given.fault] if given.fault else FAULTS, [given.mode] if given.mode else MODES
    out = sys.stdout
    out.write(
        f"{given.rate:g} requests a second, {LIMIT:,} allowed in the minute, load {os.getloadavg()[0]:.1f}.\n\n"
    )
    out.write(
        "| Redis | mode | first, added | p99 before, ms | p99 away, ms | decides again | admitted | answers |\n"
    )
    out.write(f"{'|---' * 8}|\n")
    for fault in faults:
        for mode in modes:
            with tempfile.TemporaryDirectory() as name:
                out.write(uvloop.run(case(Path(name), fault, mode, given.rate)))
                out.flush()


if __name__ == "__main__":
    main()
