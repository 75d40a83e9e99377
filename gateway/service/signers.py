"""Whether a provider signed a call with the keys that it publishes. Keys are fetched once and kept for a day.

A call that none of the kept keys signed has them fetched anew, but not more often than every REST seconds: keys change.
"""

import logging
from collections.abc import Mapping

from msgspec import Struct

from gateway.clock import Clock
from gateway.config.snapshot import Timeouts
from gateway.service.video_calls import ask
from gateway.transport.client import Upstream
from providers.adapter import VideoSigned
from providers.errors import ProviderError
from providers.types import HttpResponse

log = logging.getLogger("fairlead.hooks")

LIFE = 86_400.0
REST = 60.0
_NONE = HttpResponse(status=404, headers={}, body=b"")


class Heard(Struct, frozen=True, kw_only=True):
    """A call of a provider, as it came."""

    headers: Mapping[str, str]
    body: bytes


class _Kept(Struct, frozen=True, kw_only=True):
    keys: HttpResponse
    at: float


class Signers:
    """One per process. `dialects` are those whose providers sign."""

    def __init__(self, upstream: Upstream, dialects: Mapping[str, VideoSigned], clock: Clock) -> None:
        self._upstream = upstream
        self._dialects = dialects
        self._clock = clock
        self._kept: dict[str, _Kept] = {}

    async def genuine(self, dialect: str, heard: Heard) -> bool:
        """Whether its provider sent this; true where the provider signs nothing."""
        signed, now = self._dialects.get(dialect), self._clock.now()
        if signed is None:
            return True
        kept = self._kept.get(dialect)
        if kept is not None and kept.at + LIFE > now:
            if signed.hook_signed(kept.keys, heard.headers, heard.body, now):
                return True
            if kept.at + REST > now:
                return False
        kept = self._kept[dialect] = _Kept(keys=await self._fetched(dialect, signed), at=now)
        return signed.hook_signed(kept.keys, heard.headers, heard.body, now)

    async def _fetched(self, dialect: str, signed: VideoSigned) -> HttpResponse:
        try:
            return await ask(self._upstream, signed.hook_keys(), Timeouts())
        except ProviderError as error:
            log.warning("the keys that %s signs with cannot be fetched: %s", dialect, error.kind)
            return _NONE
