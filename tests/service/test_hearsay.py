"""What one process finds out about a target, the others know within a second; and no request waits for that."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from gateway.config.snapshot import HealthRule
from gateway.limits.connection import NoAnswerError
from gateway.limits.rests import KEY, SharedRests
from gateway.routing.health import NEW, Rest, failed
from gateway.service.board import Board
from gateway.service.hearsay import Hearsay
from providers.errors import ErrorKind, ProviderError
from tests.answers import completion
from tests.api.test_admin import ENVIRONMENT, scraped, targets
from tests.api.test_routing import asked, model
from tests.running import Running, routing, running, upstream
from tests.servers import RedisServer, redis_server  # noqa: F401
from tests.servers import running as server_running
from tests.transport.faulty import Faulty, answer, send

A, B = "a/m", "b/m"
RATE = ProviderError(ErrorKind.RATE_LIMITED, "busy", retry_after=60.0)
BAD_KEY = ProviderError(ErrorKind.AUTHENTICATION, "no such key")


class Time:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.at = 1000.0

    def monotonic(self) -> float:
        return self.at

    def now(self) -> float:
        return self.at


def forget_nothing(_target: str) -> None: ...


class Fleet:
    """Processes that share one Redis: a board each, and their hearsay."""

    def __init__(self, url: str, number: int) -> None:
        self.clock = Time()
        self.boards = [Board(self.clock) for _ in range(number)]
        self._rests = [SharedRests(url) for _ in range(number)]
        self._hearsay = [
            Hearsay(board, rests, forget_nothing)
            for board, rests in zip(self.boards, self._rests, strict=True)
        ]

    async def talk(self) -> None:
        """Everybody tells and hears, twice: after that all is known to all."""
        for one in (*self._hearsay, *self._hearsay):
            await one.exchange()

    def meets(self, number: int, target: str, error: ProviderError) -> None:
        """One process's call fails."""
        known = self.boards[number].known
        known[target] = failed(known.get(target, NEW), error, HealthRule(), self.clock.at, 0.0)

    def shut(self, target: str) -> list[ErrorKind | None]:
        return [board.known.get(target, NEW).shut for board in self.boards]

    def heard(self, target: str) -> list[bool]:
        return [board.known.get(target, NEW).heard for board in self.boards]

    async def close(self) -> None:
        for rests in self._rests:
            await rests.close()


@contextlib.asynccontextmanager
async def fleet(url: str, number: int = 3) -> AsyncIterator[Fleet]:
    made = Fleet(url, number)
    rests = SharedRests(url)
    await rests._redis.call(("DEL", KEY))
    await rests.close()
    try:
        yield made
    finally:
        await made.close()


async def test_a_rest_is_known_to_all_and_ends_for_all_at_the_same_time(redis_server: RedisServer):  # noqa: F811
    async with fleet(redis_server.url) as all_of_them:
        all_of_them.meets(0, A, RATE)
        await all_of_them.talk()
        assert all_of_them.shut(A) == [ErrorKind.RATE_LIMITED] * 3
        assert all_of_them.heard(A) == [False, True, True]
        ends = [board.known[A].shut_until - all_of_them.clock.at for board in all_of_them.boards]
        assert all(58.0 < end <= 60.1 for end in ends)


async def test_an_opened_breaker_is_known_with_its_count(redis_server: RedisServer):  # noqa: F811
    async with fleet(redis_server.url) as all_of_them:
        for _ in range(HealthRule().failures):
            all_of_them.meets(1, A, ProviderError(ErrorKind.UNAVAILABLE, "gone"))
        await all_of_them.talk()
        assert [board.known[A].openings for board in all_of_them.boards] == [1, 1, 1]


async def test_who_finds_a_target_well_takes_back_what_others_have_only_heard(redis_server: RedisServer):  # noqa: F811
    async with fleet(redis_server.url) as all_of_them:
        all_of_them.meets(0, A, BAD_KEY)
        all_of_them.meets(1, B, BAD_KEY)
        await all_of_them.talk()
        all_of_them.boards[0].reconsider()  # its configuration was mended
        await all_of_them.talk()
        assert all_of_them.shut(A) == [None] * 3
        assert all_of_them.shut(B) == [None, ErrorKind.AUTHENTICATION, None], "who met it must see for itself"
        all_of_them.boards[1].reconsider()
        await all_of_them.talk()
        assert all_of_them.shut(B) == [None] * 3


async def test_an_old_rest_does_not_come_back_to_who_has_seen_better(redis_server: RedisServer):  # noqa: F811
    async with fleet(redis_server.url) as all_of_them:
        all_of_them.meets(0, A, RATE)
        await all_of_them.talk()
        all_of_them.meets(0, A, ProviderError(ErrorKind.RATE_LIMITED, "busy", retry_after=90.0))
        all_of_them.boards[2].known[A] = NEW  # a last resort that answered
        await all_of_them.talk()
        assert all_of_them.shut(A) == [ErrorKind.RATE_LIMITED] * 3, "this one is news"


async def test_redis_forgets_by_itself(redis_server: RedisServer):  # noqa: F811
    rests = SharedRests(redis_server.url)
    await rests._redis.call(("DEL", KEY))
    short = Rest(target=A, kind=ErrorKind.OVERLOADED, openings=2, seconds=0.2)
    (held,) = await rests.exchange([short], {})
    assert (held.target, held.kind, held.openings) == (A, ErrorKind.OVERLOADED, 2)
    while await rests.exchange([], {}):
        await asyncio.sleep(0.02)
    assert await rests._redis.call(("EXISTS", KEY)) == 0
    await rests.close()


async def test_a_rest_is_never_made_shorter_by_another(redis_server: RedisServer):  # noqa: F811
    rests = SharedRests(redis_server.url)
    await rests._redis.call(("DEL", KEY))
    for seconds in (60.0, 5.0):
        (held,) = await rests.exchange(
            [Rest(target=A, kind=ErrorKind.RATE_LIMITED, openings=0, seconds=seconds)], {}
        )
    assert held.seconds > 55
    await rests.close()


async def test_what_could_not_be_told_is_told_when_redis_is_back():
    class Away:
        def __init__(self) -> None:
            self.away = True
            self.told: list[str] = []

        async def exchange(self, fresh: list[Rest], _over: object) -> list[Rest]:
            if self.away:
                raise NoAnswerError("it is away")
            self.told += [rest.target for rest in fresh]
            return []

        async def close(self) -> None: ...

    store, board = Away(), Board(Time())
    board.known[A] = failed(NEW, RATE, HealthRule(), 1000.0, 0.0)
    hearsay = Hearsay(board, store, forget_nothing)
    await hearsay.exchange()
    store.away = False
    for _ in range(3):
        await hearsay.exchange()
    assert store.told == [A]


async def until(check: Callable[[], object], seconds: float = 10.0) -> float:
    """How long it took until something was so."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while not check():
            await asyncio.sleep(0.01)
    return time.monotonic() - began


@contextlib.asynccontextmanager
async def two(text: str, folder: Path, url: str) -> AsyncIterator[tuple[Running, Running]]:
    environment = {**ENVIRONMENT, "FAIRLEAD_REDIS_URL": url}
    folders = [folder / name for name in ("one", "other")]
    for each in folders:
        each.mkdir()
    async with running(text, folders[0], environment) as one, running(text, folders[1], environment) as other:
        yield one, other


async def test_two_gateways_know_of_each_others_rests_and_one_reload_ends_them(
    tmp_path: Path,
    redis_server: RedisServer,  # noqa: F811
):
    async with fleet(redis_server.url), Faulty() as resting, Faulty() as out, Faulty() as well:
        resting.always(send(answer(b"{}", status="429 Too Many Requests", headers={"retry-after": "60"})))
        out.always(send(answer(b"{}", status="401 X")))
        well.always(send(completion()))
        urls = {"resting": resting.url, "out": out.url, "well": well.url}
        text = routing(
            model(*({"provider": name} for name in urls)),
            {name: upstream(url) for name, url in urls.items()},
            defaults={"retries": {"attempts": 9}},
        )
        async with two(text, tmp_path, redis_server.url) as (one, other):
            await asked(one)
            known = other.gateway._board.known
            took = await until(lambda: {"resting/m", "out/m"} <= known.keys())
            assert took < 2.0  # a second, and a busy machine
            row = (await targets(other))["resting/m"]
            assert (row["state"], row["reason"], row["learnt"]) == ("throttled", "rate_limited", True)
            assert not (await targets(one))["resting/m"]["learnt"]
            counted = await scraped(other)
            assert (
                'gateway_target_rest{error_type="rate_limited",gateway_rest_source="learnt",'
                'gateway_target_id="resting/m"}' in counted
            )
            calls = len(resting.requests), len(out.requests)
            assert (await asked(other)).headers["x-fairlead-target"] == "well/m"
            assert (len(resting.requests), len(out.requests)) == calls
            one.config.write_text(text.replace("attempts: 9", "attempts: 8"))
            await until(lambda: known["out/m"].shut is None)
            assert known["resting/m"].shut is ErrorKind.RATE_LIMITED


async def test_a_gateway_whose_redis_is_away_knows_what_it_knows(tmp_path: Path):
    with server_running(RedisServer) as redis:
        async with Faulty() as down, Faulty() as well:
            down.always(send(answer(b"{}", status="503 X")))
            well.always(send(completion()))
            text = routing(
                model({"provider": "down"}, {"provider": "well"}, health={"failures": 1}),
                {"down": upstream(down.url), "well": upstream(well.url)},
            )
            async with two(text, tmp_path, redis.url) as (one, other):
                redis.kill9()
                assert (await asked(one)).headers["x-fairlead-target"] == "well/m"
                assert (await asked(other)).headers["x-fairlead-target"] == "well/m"
                assert (await targets(other))["down/m"]["learnt"] is False
