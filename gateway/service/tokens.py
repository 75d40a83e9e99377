"""Keeps the short-lived tokens that some providers want in place of the key that the operator wrote down.

A token is shared by all calls with the same key. It is renewed beside the calls while it is still good; only
the first call, or one after a long rest, waits for it. Tokens are kept in memory alone, and nothing of them
is ever logged.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import TypeAlias

from msgspec.structs import replace

from gateway.clock import Clock
from gateway.config.snapshot import Timeouts
from gateway.service.video_calls import ask
from gateway.transport.client import Upstream
from providers import tokens
from providers.errors import ProviderError
from providers.tokens import Token
from providers.types import Secret, Target

log = logging.getLogger("fairlead.tokens")

EARLY = 300.0
"""Seconds before its end from which a token is renewed."""
LATE = 30.0
"""Seconds before its end from which a token is not used any more: a call may take a while to arrive."""
REST = 10.0
"""Seconds between two attempts at a token while the one before it is still good."""

Key: TypeAlias = frozenset[tuple[str, Secret]]


class Tokens:
    """One per process."""

    def __init__(self, upstream: Upstream, clock: Clock) -> None:
        self._upstream = upstream
        self._clock = clock
        self._held: dict[Key, Token] = {}
        self._making: dict[Key, asyncio.Task[Token]] = {}
        self._rests: dict[Key, float] = {}

    async def ready(self, target: Target) -> Target:
        """The target with a key that it can be called with now. Raises AUTHENTICATION, or what the call met."""
        credential, now = target.credential, self._clock.now()
        if not isinstance(credential, Mapping) or not tokens.needed(target):
            return target
        key = frozenset(credential.items())
        held = self._held.get(key)
        if held is None or held.expires_at - LATE <= now:
            held = await asyncio.shield(self._renewed(key, target))
        elif held.expires_at - EARLY <= now and self._rests.get(key, 0.0) <= now:
            self._renewed(key, target)
        return replace(target, credential={**credential, "api_key": held.secret})

    def _renewed(self, key: Key, target: Target) -> asyncio.Task[Token]:
        """The task that makes a token; one at a time for each key."""
        if key not in self._making:
            task = self._making[key] = asyncio.create_task(self._make(target))
            task.add_done_callback(lambda done: self._made(key, target, done))
        return self._making[key]

    async def _make(self, target: Target) -> Token:
        now = self._clock.now()
        made = tokens.made(target, now)
        if isinstance(made, Token):
            return made
        return tokens.granted(target, await ask(self._upstream, made, Timeouts()), now)

    def _made(self, key: Key, target: Target, task: asyncio.Task[Token]) -> None:
        now = self._clock.now()
        del self._making[key]
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._held = {one: token for one, token in self._held.items() if token.expires_at > now}
            self._held[key] = task.result()
            return
        self._rests[key] = now + REST
        kind = error.kind if isinstance(error, ProviderError) else type(error).__name__
        log.warning("no access token for provider %s: %s", target.provider, kind)
