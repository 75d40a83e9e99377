"""Writes of one turn of the loop go out together, each to its own socket."""

import asyncio
from typing import Any

from gateway.transport import burst


class Wire(asyncio.WriteTransport):
    """Takes down what is written to it."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.written.append(data)

    def is_closing(self) -> bool:
        return self.closed


async def test_what_was_written_in_one_turn_goes_out_in_the_next_in_order():
    one, two = Wire(), Wire()
    burst.write(one, b"a")
    burst.write(two, b"b")
    burst.write(one, b"c")
    assert one.written == two.written == []
    await asyncio.sleep(0)
    assert (one.written, two.written) == ([b"a", b"c"], [b"b"])


async def test_who_has_left_by_then_does_not_keep_the_others_waiting():
    gone, here = Wire(), Wire()
    burst.write(gone, b"a")
    burst.write(here, b"b")
    gone.closed = True
    await asyncio.sleep(0)
    assert (gone.written, here.written) == ([], [b"b"])


def test_a_loop_that_ended_in_between_leaves_nothing_to_the_next():
    wire = Wire()

    async def write(data: bytes) -> None:
        burst.write(wire, data)

    async def write_and_stay() -> None:
        await write(b"second")
        await asyncio.sleep(0)

    asyncio.run(write(b"first"))
    wire.written.clear()
    asyncio.run(write_and_stay())
    assert wire.written == [b"second"]


async def test_who_closes_lets_out_what_waits_before_it():
    wire = Wire()
    burst.write(wire, b"a")
    burst.flush(asyncio.get_running_loop())
    wire.closed = True
    assert wire.written == [b"a"]
    await asyncio.sleep(0)
    assert wire.written == [b"a"]
