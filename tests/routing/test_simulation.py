"""Each policy reaches its own goal better than taking turns does, over minutes of simulated traffic.

Virtual time and seeded dice: what runs is the real plan and the real health; only the servers are invented. A
server works on `slots` requests at once, the others wait; its first token takes `first` seconds from then on.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import cycle
from typing import NamedTuple

import pytest

from gateway.config.snapshot import RouteTarget
from gateway.routing import cost, health
from gateway.routing.health import Health
from gateway.routing.plan import Ask, plan
from tests.routing.values import NANO, route, target

TOKENS = 200


class Server(NamedTuple):
    """How fast a target is, and USD per million tokens there."""

    first: float
    speed: float
    price: float = 1.0
    slots: int = 1000


class Served(NamedTuple):
    """One request as it went: when it came, who served it, seconds in the queue and until done, nano-dollars."""

    at: float
    target: str
    waited: float
    seconds: float
    cost: int


Servers = Callable[[float], Mapping[str, Server]]
"""The servers as they are at a time."""
Choose = Callable[[Sequence[RouteTarget], Mapping[str, Health], float], RouteTarget]
"""Picks a target, knowing what one gateway knows at a time."""


class Traffic(NamedTuple):
    """Requests per second, over so many seconds, through so many gateways that tell each other nothing."""

    rate: float
    seconds: float = 120.0
    gateways: int = 1
    spread: float = 0.0
    """How unequal answers are: the sigma of a log-normal length."""


def simulate(servers: Servers, traffic: Traffic, choose: Choose) -> list[Served]:
    """What becomes of all requests."""
    dice = random.Random(17)
    targets = [target(name, price=one.price) for name, one in servers(0.0).items()]
    known: list[dict[str, Health]] = [{} for _ in range(traffic.gateways)]
    free = {one.id: [0.0] * servers(0.0)[one.target.provider].slots for one in targets}
    events: list[tuple[float, int, Callable[[float], None]]] = []
    served: list[Served] = []

    def arrive(now: float) -> None:
        mine = known[dice.randrange(traffic.gateways)]
        chosen = choose(targets, mine, now)
        server = servers(now)[chosen.target.provider]
        tokens = int(TOKENS * dice.lognormvariate(0.0, traffic.spread))
        begin = max(now, heappop(free[chosen.id]))
        first = begin + server.first
        end = first + tokens / server.speed
        heappush(free[chosen.id], end)
        mine[chosen.id] = health.started(mine.get(chosen.id, health.NEW), now)
        bill = cost.estimate(chosen.price, TOKENS, tokens) or 0
        served.append(Served(now, chosen.id, begin - now, end - now, bill))

        def begun(then: float) -> None:
            mine[chosen.id] = health.answered(mine[chosen.id], then, then - now)

        def done(then: float) -> None:
            mine[chosen.id] = health.ended(mine[chosen.id], then, tokens, end - first)

        heappush(events, (first, len(served) * 2, begun))
        heappush(events, (end, len(served) * 2 + 1, done))

    now = 0.0
    while (now := now + dice.expovariate(traffic.rate)) < traffic.seconds:
        events.append((now, -len(events), arrive))
    heapify(events)
    while events:
        at, _, happen = heappop(events)
        happen(at)
    return served


def by(policy: str, *, second: float = 0.0) -> Choose:
    """What the gateway does under a policy; `second` is USD that a second saved is worth."""
    dice = random.Random(23)

    def choose(targets: Sequence[RouteTarget], known: Mapping[str, Health], now: float) -> RouteTarget:
        made = route(*targets, policy=policy, second=int(second * NANO))
        costs = [cost.estimate(one.price, TOKENS, TOKENS) for one in targets]
        return plan(made, Ask(costs=costs, output_tokens=TOKENS), known, now, dice.random).order[0]

    return choose


def taking_turns() -> Choose:
    """Round robin."""
    turn = cycle(range(1_000_000))
    return lambda targets, _known, _now: targets[next(turn) % len(targets)]


def mean(served: Sequence[Served]) -> float:
    return sum(one.seconds for one in served) / len(served)


def spent(served: Sequence[Served]) -> int:
    return sum(one.cost for one in served)


UNEQUAL = {
    "swift": Server(0.2, 200.0, price=9.0),
    "usual": Server(0.6, 80.0, price=3.0),
    "slow": Server(1.5, 25.0),
}


def unequal(_now: float) -> Mapping[str, Server]:
    return UNEQUAL


def test_fastest_answers_sooner_than_taking_turns():
    traffic = Traffic(rate=20.0)
    turns = mean(simulate(unequal, traffic, taking_turns()))
    assert mean(simulate(unequal, traffic, by("fastest"))) < 0.6 * turns


def test_fastest_leaves_a_target_that_turns_slow_and_comes_back_when_it_is_well():
    def failing(now: float) -> Mapping[str, Server]:
        return UNEQUAL | {"swift": Server(8.0, 20.0)} if 40 <= now < 60 else UNEQUAL

    served = simulate(failing, Traffic(rate=20.0), by("fastest"))

    def share(begin: float, end: float) -> float:
        ours = [one.target for one in served if begin <= one.at < end]
        return ours.count("swift/model") / len(ours)

    assert share(20, 40) > 0.5
    assert share(50, 60) < 0.1
    assert share(100, 120) > 0.5


@pytest.mark.parametrize("policy", ["fastest", "balanced"])
def test_a_target_that_was_slow_is_tried_again_though_nobody_is_busy(policy: str):
    """One request at a time and two targets: nothing but time speaks for the one that was slow once."""

    def once_slow(now: float) -> Mapping[str, Server]:
        return {"swift": Server(8.0 if now < 20 else 0.2, 200.0), "usual": Server(1.0, 100.0)}

    served = simulate(once_slow, Traffic(rate=0.2, seconds=1200.0), by(policy, second=0.001))
    late = [one.target for one in served if one.at > 600]
    assert late.count("swift/model") > 0.8 * len(late)


def test_cheapest_costs_less_than_taking_turns():
    traffic = Traffic(rate=20.0)
    turns = spent(simulate(unequal, traffic, taking_turns()))
    assert spent(simulate(unequal, traffic, by("cheapest"))) < 0.3 * turns


@pytest.mark.parametrize("second", [0.0002, 0.0005])
def test_balanced_beats_taking_turns_and_both_extremes_at_its_exchange_rate(second: float):
    traffic = Traffic(rate=5.0)

    def toll(choose: Choose) -> float:
        served = simulate(unequal, traffic, choose)
        return spent(served) / NANO + second * sum(one.seconds for one in served)

    ours = toll(by("balanced", second=second))
    assert ours < 0.8 * toll(taking_turns())
    assert ours < toll(by("cheapest"))
    assert ours < toll(by("fastest"))


def test_least_busy_evens_out_what_taking_turns_piles_up():
    def equal(_now: float) -> Mapping[str, Server]:
        return {name: Server(0.2, 100.0, slots=8) for name in "abcd"}

    traffic = Traffic(rate=6.0, spread=1.0)

    def waited(choose: Choose) -> float:
        return sum(one.waited for one in simulate(equal, traffic, choose))

    assert waited(by("least_busy")) < 0.5 * waited(taking_turns())


def test_weighted_and_in_order_share_as_written_which_taking_turns_does_not():
    traffic = Traffic(rate=20.0)
    first = Counter(one.target for one in simulate(unequal, traffic, by("in_order")))
    assert set(first) == {"swift/model"}
    shares = Counter(one.target for one in simulate(unequal, traffic, by("weighted")))
    assert all(abs(count / shares.total() - 1 / 3) < 0.05 for count in shares.values())


def test_many_gateways_by_fastest_do_not_stampede_where_the_best_of_all_would():
    """One of four equal targets becomes twice as fast; each of 40 gateways sees that for itself."""

    def servers(now: float) -> Mapping[str, Server]:
        usual = Server(0.4, 100.0, slots=60)
        return dict.fromkeys("abc", usual) | {"d": usual._replace(first=0.2) if now > 30 else usual}

    def best_of_all(targets: Sequence[RouteTarget], known: Mapping[str, Health], _now: float) -> RouteTarget:
        return min(targets, key=lambda one: known.get(one.id, health.NEW).latency or 0.0)

    def burden(choose: Choose) -> tuple[float, float]:
        """The largest share of five seconds' requests that one target got, and all the waiting together."""
        served = simulate(servers, Traffic(rate=60.0, seconds=90.0, gateways=40), choose)
        spans: dict[int, Counter[str]] = {}
        for one in served:
            spans.setdefault(int(one.at / 5), Counter())[one.target] += 1
        return max(max(each.values()) / each.total() for each in spans.values()), sum(
            one.waited for one in served
        )

    crowd, waited = burden(best_of_all)
    assert crowd > 0.6
    assert waited > 1000
    crowd, waited = burden(by("fastest"))
    assert crowd < 0.4
    assert not waited
