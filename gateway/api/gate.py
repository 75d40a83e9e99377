"""How many requests one process takes on at once: what is too much is refused in microseconds instead of queued.

Theory of operation
-------------------
Two things end a process under load: memory, which grows with the requests in flight, and its one core, whose event
loop then comes round so seldom that everybody waits for everybody. `most` bounds the first. Against the second, at
most EACH_TURN requests begin in one turn of the loop. Who comes beyond that stands in line for the next turns. A
burst may stand there as a whole; a line that does not end within PATIENCE seconds of work may grow no longer than LINE,
and twice as long with each turn that there is none, which keeps the loop busy between two bursts.

What has begun may make turns long all the same, streams above all, and so they are watched: a timer that should ring
every TICK seconds rings late when a turn takes long, which counts when the loop itself was at work meanwhile, and not
a neighbour on the machine. A few late rings are a burst, and bursts are welcome. STANDING late rings in a row are a
queue that does not go away: then the limit falls below what is in flight, and from there on it follows the rings, by
BACK when STILL in a row were late and by FORTH when one was not, until it is at `most` again. So the loop keeps short
turns, in which a refusal is soon made, and stays busy all the same: never are fewer than LEAST taken on.

Who is refused costs no task, no scope and no record: the connection writes an answer that was made beforehand. A
request that comes in one piece, as nearly all do, is only glanced at, so that refusing it costs little more than the
kernel's part of it. For all others the gate is two comparisons of integers, and a count of those in this turn.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from http import HTTPStatus
from typing import Any

from gateway.api.render import error_body, error_headers
from gateway.errors import GatewayError, Unavailable

EACH_TURN = 32
LINE = 128
PATIENCE = 0.1
TICK = 0.005
LATE = 0.005
"""Seconds a ring may be late, having worked as long since the last one."""
STANDING = 20
STILL = 2
LEAST = 64
BACK = 0.8
FORTH = 1.05
RETRY_SECONDS = 1.0
OPEN_TO_ALL = (b"/livez", b"/readyz", b"/metrics", b"/admin/")
"""Paths that are served however much there is to do: by them operators see why."""


def next_limit(limit: int, most: int, running: int, late_rings: int) -> int:
    """The limit after a ring; `late_rings` is how many in a row were late, this one included."""
    if late_rings >= (STANDING if limit == most else STILL):
        return max(min(LEAST, most), int(min(limit, running) * BACK))
    if late_rings:
        return limit
    return min(most, int(limit * FORTH) + 1)


class Gate:
    """The bound of one process. `limit` is how many requests may run now, `refused` is told of each one too many.

    `begun` counts those that began in this turn, `line` holds what begins those that wait for the next ones, and
    `room` is how many may.
    """

    def __init__(self, most: int, refused: Callable[[], None]) -> None:
        self.most = self.limit = most
        self.refused = refused
        self.watching = False
        self.begun = 0
        self.line: deque[Callable[[], None]] = deque()
        self.room = most
        self._lined_up = 0.0
        self.refusal = whole_answer(
            Unavailable(
                "This gateway has more requests in hand than it can serve; try again.",
                code="gateway_overloaded",
                retry_after=RETRY_SECONDS,
            )
        )
        self._late_rings = 0

    def stand_in_line(self, begin: Callable[[], None]) -> None:
        """Begin a request in one of the next turns."""
        if not self.line:
            self._lined_up = time.thread_time()
        self.line.append(begin)

    def next_turn(self) -> None:
        """Begin what has waited longest; to be called in the turn after one in which something began."""
        line = self.line
        self.begun = min(EACH_TURN, len(line))
        for _ in range(self.begun):
            line.popleft()()
        if self.begun:
            asyncio.get_running_loop().call_soon(self.next_turn)
        if not line:
            self.room = min(self.most, self.room * 2)
        elif time.thread_time() - self._lined_up > PATIENCE:
            self.room = min(self.most, LINE)

    def watch(self, running: AbstractSet[Any]) -> None:
        """Look after the loop until nothing runs and the limit is at its most again."""
        self.watching = True
        due = time.monotonic() + TICK
        asyncio.get_running_loop().call_later(TICK, self._ring, running, due, time.thread_time())

    def _ring(self, running: AbstractSet[Any], due: float, worked: float) -> None:
        late = time.monotonic() - due > LATE and time.thread_time() - worked > LATE
        self._late_rings = self._late_rings + 1 if late else 0
        self.limit = next_limit(self.limit, self.most, len(running), self._late_rings)
        self.watching = False
        if running or self.limit < self.most:
            self.watch(running)


def whole_answer(error: GatewayError, *, close: bool = False) -> bytes:
    """An error as it goes over the wire, for who must answer without the server's help."""
    body = error_body(error)
    headers = [*error_headers(error, ""), (b"content-length", b"%d" % len(body))]
    if close:
        headers.append((b"connection", b"close"))
    head = b"".join(b"%b: %b\r\n" % header for header in headers)
    phrase = HTTPStatus(error.status).phrase.encode()
    return b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (error.status, phrase, head, body)
