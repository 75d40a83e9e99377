"""One walk through a plan: who is called, how often, and what the client is told when nobody answers."""

import asyncio
import gc
import random
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import SYSTEM
from gateway.errors import UpstreamFailed
from gateway.routing.plan import Ask, Plan, plan
from gateway.service.board import SPARE_RETRIES, Board
from gateway.service.failover import Walk, first_answer
from providers.errors import ErrorKind, ProviderError
from tests.routing.values import route, target

A, B, C = target("a", window=1000), target("b", window=1000), target("c", window=9000)


def ask(made):
    return Ask(costs=[1] * len(made.targets))


class Upstreams:
    """Answers by script: a list of error kinds (or None for success) per target; the last one repeats."""

    def __init__(self, **script: list[ErrorKind | None]) -> None:
        self.script = script
        self.calls: list[tuple[str, str]] = []

    async def attempt(self, one, kind):
        name = one.target.provider
        self.calls.append((name, kind))
        script = self.script[name]
        what = script.pop(0) if len(script) > 1 else script[0]
        if what is not None:
            raise ProviderError(what, f"{name} says {what}", retry_after=0.01)
        return name


async def _walk(made, upstreams: Upstreams, board: Board | None = None):
    board = board or Board(dice=random.Random(1).random)
    board.enter(made)
    walk = Walk(
        route=made,
        plan=plan(made, ask(made), board.known, SYSTEM.monotonic(), board.dice),
        deadline=SYSTEM.monotonic() + 5,
        clock=SYSTEM,
        board=board,
    )
    try:
        return await first_answer(walk, upstreams.attempt)
    finally:
        board.leave(made)


async def test_the_next_target_answers_when_the_first_is_down():
    upstreams = Upstreams(a=[ErrorKind.UNAVAILABLE], b=[None])
    assert await _walk(route(A, B), upstreams) == "b"
    assert upstreams.calls == [("a", "primary"), ("b", "failover")]


async def test_nothing_of_what_failed_waits_for_the_garbage_collector():
    """Under an outage that would stop everybody for a tenth of a second, again and again."""
    upstreams, left = Upstreams(a=[ErrorKind.UNAVAILABLE], b=[ErrorKind.TIMEOUT]), []
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            try:
                await _walk(route(A, B), upstreams)
            except UpstreamFailed as failed:
                left += [weakref.ref(one) for one in (failed, *failed.causes)]
        assert len(left) >= 6
        assert not any(one() for one in left)
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", [ErrorKind.INVALID_REQUEST, ErrorKind.CONTENT_POLICY])
async def test_an_error_about_the_request_is_not_shopped_around(kind):
    upstreams = Upstreams(a=[kind], b=[None])
    with pytest.raises(UpstreamFailed) as failed:
        await _walk(route(A, B), upstreams)
    assert len(upstreams.calls) == 1
    assert failed.value.status == 400
    assert failed.value.message == f"a says {kind}"


async def test_a_too_long_request_only_goes_to_a_larger_window():
    upstreams = Upstreams(a=[ErrorKind.CONTEXT_LENGTH], b=[None], c=[None])
    assert await _walk(route(A, B, C), upstreams) == "c"
    assert [name for name, _ in upstreams.calls] == ["a", "c"]


async def test_the_only_target_is_asked_once_more_after_a_passing_failure():
    upstreams = Upstreams(a=[ErrorKind.UNAVAILABLE, None])
    assert await _walk(route(A), upstreams) == "a"
    assert upstreams.calls == [("a", "primary"), ("a", "retry")]


class Slipping(Upstreams):
    """The same, but what fails fails with a 500."""

    async def attempt(self, one, kind):
        try:
            return await super().attempt(one, kind)
        except ProviderError as error:
            error.status = 500
            raise


async def test_a_slip_is_asked_again_where_it_happened():
    upstreams = Slipping(a=[ErrorKind.UNAVAILABLE, None], b=[None])
    assert await _walk(route(A, B), upstreams) == "a"
    assert upstreams.calls == [("a", "primary"), ("a", "retry")]


async def test_a_second_500_in_a_row_is_no_slip():
    board = Board(dice=random.Random(1).random)
    upstreams = Slipping(a=[ErrorKind.UNAVAILABLE], b=[None])
    assert await _walk(route(A, B), upstreams, board) == "b"
    assert upstreams.calls == [("a", "primary"), ("a", "retry"), ("b", "failover")]
    assert await _walk(route(A, B), upstreams, board) == "b"
    assert upstreams.calls[3:] == [("a", "primary"), ("b", "failover")]


async def test_the_last_call_that_is_left_goes_to_another_target():
    upstreams = Slipping(a=[ErrorKind.UNAVAILABLE], b=[None])
    assert await _walk(route(A, B, attempts=2), upstreams) == "b"
    assert upstreams.calls == [("a", "primary"), ("b", "failover")]


async def test_the_only_target_is_asked_again_after_a_short_retry_after():
    upstreams = Upstreams(a=[ErrorKind.RATE_LIMITED, None])
    assert await _walk(route(A), upstreams) == "a"


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        (ErrorKind.AUTHENTICATION, 502, "upstream_auth"),
        (ErrorKind.QUOTA, 429, "upstream_quota"),
        (ErrorKind.NOT_FOUND, 502, "upstream_model_not_found"),
        (ErrorKind.RATE_LIMITED, 429, "rate_limit_exceeded"),
        (ErrorKind.OVERLOADED, 503, "server_is_overloaded"),
        (ErrorKind.UNAVAILABLE, 503, "upstream_unavailable"),
        (ErrorKind.TIMEOUT, 504, "upstream_timeout"),
        (ErrorKind.PROTOCOL, 502, "bad_upstream_response"),
    ],
)
async def test_what_the_client_sees_when_every_target_failed(kind, status, code):
    upstreams = Upstreams(a=[kind], b=[kind])
    with pytest.raises(UpstreamFailed) as failed:
        await _walk(route(A, B), upstreams)
    assert (failed.value.status, failed.value.code, failed.value.retry) == (status, code, False)
    assert "says" not in failed.value.message, "an upstream's own words may name keys and organisations"


@given(st.lists(st.sampled_from([None, *ErrorKind]), min_size=3, max_size=3), st.integers(1, 4))
def test_never_more_calls_than_allowed_and_nothing_stays_open(script, attempts):
    made = route(A, B, C, attempts=attempts)
    upstreams = Upstreams(a=script[:1], b=script[1:2], c=script[2:])
    board = Board(dice=random.Random(1).random)
    try:
        asyncio.run(_walk(made, upstreams, board))
    except UpstreamFailed:
        open_calls = 0
    else:
        open_calls = 1
    assert len(upstreams.calls) <= attempts
    assert sum(seen.in_flight for seen in board.known.values()) == open_calls


async def test_everybody_who_met_the_same_dead_target_at_once_is_served_by_the_next():
    made = route(A, B)
    board = Board(dice=random.Random(1).random)
    together = asyncio.Barrier(64)

    async def attempt(one, _kind):
        if one is A:
            await together.wait()
            raise ProviderError(ErrorKind.UNAVAILABLE, "down")
        await asyncio.sleep(0)
        return "b"

    async def one_request():
        board.enter(made)
        order = Plan(policy="in_order", order=[A, B])
        walk = Walk(route=made, plan=order, deadline=SYSTEM.monotonic() + 5, clock=SYSTEM, board=board)
        return await first_answer(walk, attempt)

    assert await asyncio.gather(*(one_request() for _ in range(64))) == ["b"] * 64


async def test_when_all_are_known_to_be_down_a_request_makes_one_call():
    board = Board(dice=random.Random(1).random)
    for one in (A, B):
        for _ in range(5):
            board.fail(one, ProviderError(ErrorKind.UNAVAILABLE, "down"))
    upstreams = Upstreams(a=[ErrorKind.UNAVAILABLE], b=[ErrorKind.UNAVAILABLE])
    with pytest.raises(UpstreamFailed):
        await _walk(route(A, B), upstreams, board)
    assert len(upstreams.calls) == 1


async def test_whoever_pauses_before_a_retry_holds_a_place_in_the_budget():
    made, calls = route(A, budget=0.0), 0
    board = Board(dice=lambda: 0.1)
    held = asyncio.Barrier(8)

    async def attempt(_one, _kind):
        nonlocal calls
        calls += 1
        if calls <= 8:
            await held.wait()
        raise ProviderError(ErrorKind.OVERLOADED, "busy")

    async def one_request():
        board.enter(made)
        order = Plan(policy="in_order", order=[A])
        walk = Walk(route=made, plan=order, deadline=SYSTEM.monotonic() + 5, clock=SYSTEM, board=board)
        with pytest.raises(UpstreamFailed):
            await first_answer(walk, attempt)

    await asyncio.gather(*(one_request() for _ in range(8)))
    assert calls == 8 + SPARE_RETRIES


async def test_a_failover_to_a_target_that_is_not_well_takes_from_the_budget():
    made = route(A, B)
    board = Board(dice=random.Random(1).random)
    board.fail(B, ProviderError(ErrorKind.UNAVAILABLE, "down"))
    while board.take_retry(made):
        pass
    with pytest.raises(UpstreamFailed) as failed:
        await _walk(made, Upstreams(a=[ErrorKind.OVERLOADED], b=[None]), board)
    assert failed.value.code == "server_is_overloaded"


async def test_an_outage_is_not_multiplied_by_retries():
    made = route(A, B, budget=0.2)
    board = Board(dice=random.Random(1).random)
    for _ in range(100):
        board.enter(made)
    granted = sum(board.take_retry(made) for _ in range(100))
    assert granted == 20
    board.give_retry(made, granted)
    assert board.take_retry(made)


async def test_a_bad_credential_shuts_every_target_that_uses_it():
    first, second = target("a"), target("a")
    board = Board()
    board.fail(first, ProviderError(ErrorKind.AUTHENTICATION, "no"), [first, second, B])
    assert set(board.known) == {"a/model"}
    pair = route(first, B)
    made = plan(pair, ask(pair), board.known, SYSTEM.monotonic(), board.dice)
    assert [one.id for one in made.order] == ["b/model"]


async def test_a_cancelled_call_is_closed_on_the_board():
    board = Board()
    entered = asyncio.Event()

    async def hang(_target, _kind):
        entered.set()
        await asyncio.Event().wait()

    made = route(A)
    walk = Walk(
        route=made,
        plan=plan(made, ask(made), {}, 0.0, random.random),
        deadline=SYSTEM.monotonic() + 9,
        clock=SYSTEM,
        board=board,
    )
    task = asyncio.ensure_future(first_answer(walk, hang))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert board.known["a/model"].in_flight == 0


async def test_targets_that_refuse_before_they_are_called_use_up_no_attempts():
    made = route(A, target("b"), target("d"), target("e"), attempts=2)
    calls: list[str] = []

    async def attempt(one, _kind):
        calls.append(one.target.provider)
        if one.target.provider != "e":
            raise ProviderError(ErrorKind.UNSUPPORTED, "no tools here", sent=False)
        return "e"

    board = Board(dice=random.Random(1).random)
    board.enter(made)
    walk = Walk(
        route=made,
        plan=plan(made, ask(made), {}, 0.0, board.dice),
        deadline=SYSTEM.monotonic() + 5,
        clock=SYSTEM,
        board=board,
    )
    assert await first_answer(walk, attempt) == "e"
    assert calls == ["a", "b", "d", "e"]


async def test_the_client_hears_of_the_outage_and_not_of_the_other_targets_taste():
    upstreams = Upstreams(a=[ErrorKind.UNAVAILABLE], b=[ErrorKind.UNSUPPORTED])
    with pytest.raises(UpstreamFailed) as failed:
        await _walk(route(A, B), upstreams)
    assert failed.value.status == 503
