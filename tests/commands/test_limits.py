"""`fairlead limits unsettled --close`: what nobody will settle ends with what is known of it, or as one wishes."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import redis
import typer

from gateway.commands.limits import show_unsettled
from gateway.limits.rules import Dimension
from gateway.store import jobs, ledger
from tests.limits.asked import budget, limiter, slots
from tests.servers import RedisServer, redis_server, running  # noqa: F401 - a fixture
from tests.store.values import entry, job, opened

TENANT = "acme"
HELD = {"req_a": 30, "req_a.1": 10, "req_b": 50, "req_b-hedge": 7, "req_b.1": 20, "video_c": 9}
"""What each lease holds, in nano-dollars: of a request that nobody knows, of one that was booked, of a video."""
BOOKED = [entry("req_b", 20, kind="chat"), entry("req_b", 4, kind="chat.2"), entry("req_b", 5, kind="hedge")]


def database_in(folder: Path) -> str:
    return f"sqlite+aiosqlite:///{folder}/fairlead.db"


async def spent_by_k(folder: Path) -> int:
    """What the ledger says of the key whose reservations were charged, its organisation named."""
    async with opened(database_in(folder)) as database, database.read() as transaction:
        return await ledger.spent(transaction, {"caller": "k", "organisation": TENANT}, 0.0)


def asked(cost: int) -> Sequence[Dimension]:
    return [budget(TENANT, 1000, cost), slots(TENANT, 9)]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    """A Redis with reservations whose gateway died a minute ago, and the ledger that goes with it."""
    with running(RedisServer) as server, redis.Redis.from_url(server.url) as admin:
        monkeypatch.setenv("FAIRLEAD_REDIS_URL", server.url)
        monkeypatch.setenv("FAIRLEAD_DATA_DIR", str(tmp_path))
        asyncio.run(left_behind(server, tmp_path))
        for key in admin.keys("gw:*:l:*"):
            admin.pexpire(key, admin.pttl(key) - 61_000)
        yield server


SPENT = {"req_x": 40, "req_y": 60, "req_y-hedge": 6}
"""What other requests of gateways that died had spent: of one the ledger has nothing, of the other a part."""


async def left_behind(server: RedisServer, folder: Path) -> None:
    async with limiter(server.url) as asker:
        await asker.seed(budget(TENANT, 1000, 0), 100)
        for lease, cost in HELD.items():
            assert (await asker.acquire(lease, asked(cost))).allowed
    async with opened(database_in(folder)) as database, database.write() as transaction:
        await ledger.add(transaction, BOOKED)
        await jobs.insert_job(transaction, job("c", lease="video_c", due_at=1.0))


async def spend(server: RedisServer, folder: Path) -> None:
    async with limiter(server.url) as asker:
        await asker.seed(budget(TENANT, 1000, 0), 0)
        for lease, cost in SPENT.items():
            assert (await asker.acquire(lease, [budget(TENANT, 1000, 100)])).allowed
            await asker.settle(lease, [budget(TENANT, 1000, 100)], [cost], time.time() - 100)
    async with opened(database_in(folder)) as database, database.write() as transaction:
        await ledger.add(transaction, [entry("req_y", 20, kind="chat")])


@pytest.mark.parametrize("closing", ["charge", "release"])
def test_what_was_spent_and_not_written_down_is_entered_whatever_one_wishes(
    redis_server: RedisServer,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    closing: str,
) -> None:
    monkeypatch.setenv("FAIRLEAD_REDIS_URL", redis_server.url)
    monkeypatch.setenv("FAIRLEAD_DATA_DIR", str(tmp_path))
    with redis.Redis.from_url(redis_server.url) as admin:
        admin.flushall()
        asyncio.run(spend(redis_server, tmp_path))
        show_unsettled(None, 60, None)
        told = capsys.readouterr().out.splitlines()
        assert {line.split()[0] for line in told} == set(SPENT)
        assert all("spent, and not in the ledger: $" in line for line in told)
        show_unsettled(None, 200, closing)
        show_unsettled(None, 60, closing)
        assert len(capsys.readouterr().out.splitlines()) == len(SPENT), "of younger ones nothing is said"
        counted = admin.hgetall(budget(TENANT, 1000, 0).key)
        assert (int(counted[b"spent"]), int(counted[b"held"])) == (sum(SPENT.values()), 0)
        show_unsettled(None, 0, None)
        assert not capsys.readouterr().out, "it is over"
    assert asyncio.run(spent_by_k(tmp_path)) == sum(SPENT.values()) - 20, "and 20 were there"


@pytest.mark.parametrize(("closing", "lost"), [("charge", 40), ("release", 0)])
def test_it_ends_with_what_is_known_or_as_one_wishes(
    server: RedisServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], closing: str, lost: int
) -> None:
    show_unsettled(None, 60, None)
    assert len(capsys.readouterr().out.splitlines()) == len(HELD)
    show_unsettled(None, 60, closing)
    told = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert told["video_c"].endswith("left: the video is not finished")
    assert told["req_b"].endswith("as the ledger has it")
    show_unsettled(None, 60, closing)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["video_c"], (
        "the rest is over"
    )
    with redis.Redis.from_url(server.url) as admin:
        counted = admin.hgetall(budget(TENANT, 1000, 0).key)
        assert (int(counted[b"spent"]), int(counted[b"held"])) == (100 + lost + 29, HELD["video_c"])
        assert admin.zcard(slots(TENANT, 9).key) == 1
    assert asyncio.run(spent_by_k(tmp_path)) == lost


def test_what_may_still_run_is_not_closed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.BadParameter, match="may belong to a request that runs"):
        show_unsettled(None, 59, "charge")
