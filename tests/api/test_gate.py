"""What happens when there is too much: a refusal at once, for the excess alone, and an end of it."""

import asyncio
import contextlib
import json
import math
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.gate import BACK, EACH_TURN, LEAST, LINE, STANDING, STILL, TICK, Gate, next_limit
from gateway.app import Gateway
from gateway.commands import server
from gateway.config.settings import read
from tests.api.test_edge import BODY, CHAT, CLOSE, HOST, KEYED, LENGTH, Answer, Door, answers
from tests.running import KEY, PROVIDER_KEY, routing, serving, upstream
from tests.transport.faulty import Faulty, wait

MOST = 2000
LIMITS = st.integers(LEAST, MOST)
LATE = st.floats(0, 1)
CHATTING = CHAT + HOST + KEYED + LENGTH + b"\r\n" + BODY
MODELS = {"demo": {"targets": [{"provider": "a", "model": "m"}]}}


@given(limit=LIMITS, running=st.integers(0, MOST), late=LATE)
def test_the_limit_stays_between_the_least_and_the_most(limit: int, running: int, late: float):
    assert LEAST <= next_limit(limit, MOST, running, late) <= MOST


@given(most=st.integers(1, LEAST), running=st.integers(0, MOST), late=LATE)
def test_a_small_bound_of_the_operators_is_kept(most: int, running: int, late: float):
    assert next_limit(most, most, running, late) == most


@given(running=st.integers(0, MOST), late=st.floats(0, STANDING, exclude_max=True))
def test_a_burst_refuses_nobody(running: int, late: float):
    assert next_limit(MOST, MOST, running, late) == MOST


@given(running=st.integers(2 * LEAST, MOST))
def test_a_queue_that_stays_is_cut_below_what_runs_until_it_is_gone(running: int):
    first = next_limit(MOST, MOST, running, STANDING)
    assert LEAST <= first < running
    assert next_limit(first, MOST, running, 10 * STANDING) == first, "what was taken on before must end first"
    assert LEAST <= next_limit(first, MOST, int(first), STILL) < first


@given(limit=st.floats(LEAST, MOST / 2))
def test_a_limit_that_is_used_rises_by_less_than_half_in_half_a_second(limit: float):
    risen = limit
    for _ in range(int(0.5 / TICK)):
        risen = next_limit(risen, MOST, int(risen), 0.0)
    assert 1.0 < risen / limit < 1.5


def test_all_is_taken_on_again_within_two_seconds_of_punctual_rings():
    limit, rings = float(LEAST), 0
    while limit < MOST:
        limit, rings = next_limit(limit, MOST, 0, 0.0), rings + 1
    assert rings < 200


async def test_a_loop_that_is_always_late_closes_the_gate_and_an_idle_one_opens_it_again():
    def work() -> None:
        end = asyncio.get_running_loop().time() + 0.03
        while asyncio.get_running_loop().time() < end:
            math.factorial(500)

    gate = Gate(MOST, lambda: None)
    running = {object() for _ in range(500)}
    gate.watch(running)
    while gate.limit == MOST:
        work()
        await asyncio.sleep(0)
    assert gate.limit == BACK * len(running)
    running.clear()
    while gate.limit < MOST:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.03)
    assert not gate.watching, "an idle process has no timer"


async def test_a_turn_of_the_loop_begins_so_many_and_the_line_is_served_in_its_order():
    gate, served, many = Gate(MOST, lambda: None), list[int](), 2 * EACH_TURN + 1
    gate.line.extend(partial(served.append, number) for number in range(many))
    gate.next_turn()
    for turn in (1, 2, 3):
        assert served == list(range(min(turn * EACH_TURN, many)))
        await asyncio.sleep(0)
    assert gate.begun == 0


class Small(Door):
    """A gateway that takes two requests at once; its only provider answers none of them."""

    def __init__(self, port: int, gateway: Gateway, provider: Faulty) -> None:
        super().__init__(port)
        self.gateway = gateway
        self.provider = provider

    async def fill(self, stack: contextlib.AsyncExitStack) -> None:
        """Two requests that stay."""
        for _ in range(2):
            _, writer = await asyncio.open_connection("127.0.0.1", self._port)
            stack.callback(writer.close)
            writer.write(CHATTING)
        while self.gateway.metrics.active < 2:
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def small(folder: Path, most: int = 2) -> AsyncIterator[Small]:
    async with Faulty() as provider:
        provider.always(wait(asyncio.Event()))
        config = folder / "fairlead.yaml"
        config.write_text(routing(MODELS, {"a": upstream(provider.url)}))
        env = {"FAIRLEAD_DATA_DIR": str(folder / "data"), "FAIRLEAD_MAX_IN_FLIGHT": str(most)}
        env |= {"TEST_KEY": KEY, "OTHER_KEY": "sk-fl-other", "PROVIDER_KEY": PROVIDER_KEY}
        gateway = Gateway(read(env, config), env)
        async with serving(server.configured(gateway.asgi, 1, gateway.gate)) as port:
            yield Small(port, gateway, provider)


def told(answer: Answer) -> tuple[int, str, str]:
    return answer.status, answer.code, answer.headers["retry-after"]


async def test_the_excess_is_refused_in_openais_form_and_the_rest_goes_on(tmp_path: Path):
    async with small(tmp_path) as door, contextlib.AsyncExitStack() as stack:
        await door.fill(stack)
        (refused,) = await door.say(CHAT + HOST + CLOSE + LENGTH + b"\r\n" + BODY)
        assert told(refused) == (503, "gateway_overloaded", "1"), "not even a key is looked up"
        for path in (b"/livez", b"/readyz", b"/metrics"):
            assert (await door.ask(b"GET " + path)).status == 200
        assert b"gateway_overload_refusals_total 1.0" in (await door.ask(b"GET /metrics")).body
        assert (await door.ask(b"GET /v1/models")).status == 503
        assert (await door.ask(b"GET /admin/targets")).status == 401
    assert door.gateway.gate.limit == 2


async def test_a_burst_stands_in_line_and_what_the_line_does_not_hold_is_refused(tmp_path: Path):
    async with small(tmp_path, most=1000) as door:
        gate = door.gateway.gate
        gate.begun, gate.room = EACH_TURN, LINE  # a turn that begins nobody more
        gate.line.extend([lambda: None] * (LINE - 1))
        served = asyncio.create_task(door.ask(b"GET /v1/models"))
        while len(gate.line) < LINE:
            await asyncio.sleep(0.005)
        refused = await door.ask(b"POST /v1/chat/completions", body=BODY)
        assert told(refused) == (503, "gateway_overloaded", "1")
        gate.next_turn()
        assert (await served).status == 200
        assert gate.room > LINE, "a line that ends may be longer"


async def test_only_a_line_that_does_not_end_is_kept_short(monkeypatch: pytest.MonkeyPatch):
    gate = Gate(MOST, lambda: None)
    for _ in range(3 * EACH_TURN):
        gate.stand_in_line(lambda: None)
    gate.next_turn()
    assert gate.room == MOST, "a burst"
    monkeypatch.setattr("gateway.api.gate.PATIENCE", -1.0)
    await asyncio.sleep(0)
    assert gate.room == LINE
    await asyncio.sleep(0)
    assert (len(gate.line), gate.room) == (0, 2 * LINE)


async def test_a_place_that_becomes_free_is_given_on_the_same_connection(tmp_path: Path):
    async with small(tmp_path) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door._port)
        async with contextlib.AsyncExitStack() as stack:
            await door.fill(stack)
            for _ in range(2):
                writer.write(CHATTING)
                (refused,) = answers(await reader.readuntil(b"}}"))
                assert told(refused)[0] == 503
                assert "connection" not in refused.headers
        while door.gateway.metrics.active:
            await asyncio.sleep(0.005)
        writer.write(b"GET /v1/models HTTP/1.1\r\n" + HOST + KEYED + b"\r\n")
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200 ")
        writer.close()


async def test_a_connection_on_which_nobody_asks_again_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server, "KEEP_ALIVE_SECONDS", 0.05)
    async with small(tmp_path) as door, contextlib.AsyncExitStack() as stack:
        await door.fill(stack)
        reader, writer = await asyncio.open_connection("127.0.0.1", door._port)
        writer.write(CHATTING)
        assert told(*answers(await reader.readuntil(b"}}")))[0] == 503
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()


async def test_a_body_that_follows_a_refusal_is_dropped(tmp_path: Path):
    size = 8_000_000
    async with small(tmp_path) as door, contextlib.AsyncExitStack() as stack:
        await door.fill(stack)
        big = CHAT + HOST + KEYED + b"content-length: %d\r\n\r\n" % size
        got = await door.say(
            big, *[b" " * 1_000_000] * 8, b"GET /livez HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n"
        )
        assert [answer.status for answer in got] == [503, 200]


async def test_what_is_ambiguous_or_wants_no_second_request_is_refused_and_closed(tmp_path: Path):
    async with small(tmp_path) as door, contextlib.AsyncExitStack() as stack:
        await door.fill(stack)
        for head in (CLOSE, b"transfer-encoding: chunked\r\n", LENGTH + LENGTH):
            got = await door.say(CHAT + HOST + KEYED + head + b"\r\n" + b"0\r\n\r\n" + CHATTING)
            assert [answer.status for answer in got] in ([503], [400]), head
        old = await door.say(b"POST /v1/chat/completions HTTP/1.0\r\n" + HOST + LENGTH + b"\r\n" + BODY)
        assert [json.loads(answer.body)["error"]["code"] for answer in old] == ["gateway_overloaded"]
