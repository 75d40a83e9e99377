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
a neighbour on the machine. Late rings are a burst, and bursts are welcome, until all have been late for STANDING
seconds: that is a queue that does not go away. Then the limit falls below what is in flight, and follows the rings
until it is at `most` again:

* by BACK when all were late for STILL seconds, but not before what the last cut left over has ended: what runs must end
  before a cut shows, and who does not wait for that cuts far too deep;
* by FORTH when one was not, slowly enough that the first late ring comes soon after what caused it;
* by AT_EASE while less than half of the limit is used: nobody is refused then.

So the loop keeps short turns, in which a refusal is soon made, and stays busy all the same: never are fewer than LEAST
taken on.

Who is refused costs no task, no scope and no record: the connection writes an answer that was made beforehand. A
request that comes in one piece, as nearly all do, is only glanced at, so that refusing it costs little more than the
kernel's part of it. For all others the gate is two comparisons of numbers, and a count of those in this turn.
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

EACH_TURN = 16
LINE = 128
PATIENCE = 0.1
TICK = 0.003
LATE = 0.002
"""Seconds a ring may be late, having worked as long since the last one."""
STANDING = 0.15
STILL = 0.02
LEAST = 128
BACK, FORTH, AT_EASE = 0.9, 1.002, 1.05
RETRY_SECONDS = 1.0
OPEN_TO_ALL = (b"/livez", b"/readyz", b"/metrics", b"/admin/")
"""Paths that are served however much there is to do: by them operators see why."""


def next_limit(limit: float, most: int, running: int, late: float) -> float:
    """The limit after a ring; `late` is for how many seconds all rings were late, this one included."""
    if late >= (STANDING if limit == most else STILL) and running <= limit:
        return max(min(LEAST, most), running * BACK)
    if late:
        return limit
    return min(most, limit * (AT_EASE if running < limit / 2 else FORTH))


class Gate:
    """The bound of one process. `limit` is how many requests may run now, `refused` is told of each one too many.

    `begun` counts those that began in this turn, `line` holds what begins those that wait for the next ones, and
    `room` is how many may.
    """

    def __init__(self, most: int, refused: Callable[[], None]) -> None:
        self.most = most
        self.limit: float = most
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
        self._late = 0.0

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
        late = time.monotonic() - due
        self._late = self._late + TICK + late if late > LATE and time.thread_time() - worked > LATE else 0.0
        self.limit = next_limit(self.limit, self.most, len(running), self._late)
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
