"""Sends the webhooks that wait in the outbox. Any number of processes may share it.

A row is claimed under a lease that is longer than a sending may take, so no lease is renewed; a process that
dies leaves its rows to the next one. Sent is at least once: whoever dies between the answer and writing it
down leaves a webhook that is sent again, under the same id.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

from gateway.errors import Unavailable
from gateway.service import webhooks
from gateway.service.rounds import went_well
from gateway.service.video_ports import VideoParts
from gateway.store import outbox
from gateway.store.outbox import Notice
from gateway.telemetry.record import Sending
from gateway.transport.ssrf import RefusedLink
from providers.types import HttpRequest

log = logging.getLogger("fairlead.webhooks")

SECONDS = 15.0
"""How long one sending may take, from the look-up of the name to the status of the answer."""
CONCURRENCY = 200
"""Sendings at a time in this process: each is a socket that mostly waits."""
PER_RECEIVER = 20
"""Sendings at a time to one host and port: one that is slow, or hangs, does not hold the others."""
IDLE = 2.0
"""Longest sleep, in seconds, before the database is asked again."""
_BREATH = 0.02


class Courier:
    """Sends what one process claims, as long as `run` runs; `tasks` are the sendings in hand, by what is sent."""

    def __init__(self, parts: VideoParts, dice: Callable[[], float]) -> None:
        self.tasks: dict[asyncio.Task[None], Notice] = {}
        self._parts = parts
        self._dice = dice
        self._woken = asyncio.Event()
        self._closed = False

    def wake(self) -> None:
        """There may be something new to send."""
        self._woken.set()

    def close(self) -> None:
        """Claim nothing more."""
        self._closed = True
        self.wake()

    async def run(self) -> None:
        """Claim and send until `close`; sendings in hand go on."""
        self._closed = False
        while not self._closed:
            self._woken.clear()
            if not await went_well(self._look):
                await self._sleep(1.0)

    async def _look(self) -> None:
        parts, now = self._parts, self._parts.clock.now()
        taken = Counter(notice.receiver for notice in self.tasks.values())
        room = outbox.Room(all=CONCURRENCY - len(self.tasks), each=PER_RECEIVER, taken=taken)
        async with parts.database.read() as transaction:
            due = await outbox.next_due(transaction, room.full)
        if room.all <= 0 or due is None:
            await self._sleep(IDLE)
        elif due > now:
            await self._sleep(min(IDLE, max(due - now, _BREATH)))
        else:
            async with parts.database.write() as transaction:
                claimed = await outbox.claim(transaction, now, now + parts.figures.lease, room)
            for notice in claimed:
                task = asyncio.create_task(self._deliver(notice))
                self.tasks[task] = notice
                task.add_done_callback(self._ended)
            await self._sleep(0.0 if claimed else _BREATH)

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self.tasks[task]
        self.wake()

    async def _deliver(self, notice: Notice) -> None:
        try:
            await self._save(await self._sent(notice))
        except Unavailable:
            log.warning("the database went away while webhook %s was sent", notice.id)
        except asyncio.CancelledError:
            with suppress(Unavailable):
                await self._save(notice)  # gives the lease back
            raise
        except Exception:  # the courier's one edge: a bug in one sending must not end all of them
            log.exception("webhook %s could not be sent", notice.id)

    async def _save(self, notice: Notice) -> None:
        async with self._parts.database.write() as transaction:
            ours = await outbox.save(transaction, notice)
        if ours and notice.state == outbox.DEAD:
            log.warning("webhook %s of %s is given up: %s", notice.id, notice.job, notice.reason)

    async def _sent(self, notice: Notice) -> Notice:
        """Send it once; how it stands then."""
        parts = self._parts
        with parts.observe.sending(notice) as sending:
            outcome = await self._outcome(notice, sending)
            sending.error = outcome.reason and (str(sending.status) if sending.status else "refused")
        wait = webhooks.wait_after(notice.tries + 1, parts.figures.webhook_waits, self._dice())
        after = webhooks.after(notice, outcome, parts.clock.now(), wait)
        parts.observe.webhook_sent(after)
        return after

    async def _outcome(self, notice: Notice, sending: Sending) -> webhooks.Outcome:
        parts = self._parts
        networks = parts.snapshot().webhook_networks
        try:
            request = self._request(notice, parts.secrets_of(notice.caller), sending.traceparent)
            receipt = await parts.poster.send(request, seconds=SECONDS, allow_networks=networks)
        except RefusedLink as error:
            return webhooks.Outcome(reason=error.reason)
        sending.status = receipt.status
        return webhooks.outcome_of(receipt)

    def _request(self, notice: Notice, secrets: Sequence[str], traceparent: str) -> HttpRequest:
        if not secrets:
            raise RefusedLink("the key that it is signed for is not there any more")
        body = webhooks.body_of(notice, self._parts.links)
        headers = webhooks.headers_of(notice, body, secrets, self._parts.clock.now())
        headers = {**headers, "traceparent": traceparent}
        return HttpRequest(method="POST", url=notice.url, headers=headers, body=body)
