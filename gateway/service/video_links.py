"""Links to a video's bytes that need no key: signed, and good for an hour. And hooks for its provider.

Whoever holds such a link may fetch that one file and nothing else, so it can be handed to a browser or a
player. The signing key is derived from the installation's pepper: every process of an installation opens
what another one signed, and nothing has to be kept.
"""

import hmac
import re
from base64 import urlsafe_b64encode

from msgspec import Struct

from gateway.clock import SYSTEM, Clock

LIFE = 3_600.0
"""Seconds for which a link opens."""
_TIME = re.compile(r"[0-9]{1,12}")


class Link(Struct, frozen=True, kw_only=True):
    """What a request's query says of a link: Unix seconds and a signature, or whatever was written there."""

    expires: str | None = None
    signature: str | None = None


def content_url(base_url: str, job: str) -> str:
    """Where a job's bytes are, for clients that reach the gateway under `base_url`."""
    return f"{base_url.rstrip('/')}/v1/video/generations/{job}/content"


class Links:
    """Signs links and says whether one opens. One per process."""

    def __init__(self, pepper: bytes, clock: Clock = SYSTEM) -> None:
        self._key = hmac.digest(pepper, b"fairlead links to content", "sha256")
        self._clock = clock

    def sign(self, url: str, job: str, expires_at: float | None = None) -> str:
        """The content URL of a job's video, signed for LIFE seconds, but not beyond `expires_at`."""
        end = self._clock.now() + LIFE
        until = str(int(end if expires_at is None else min(end, expires_at)))
        return f"{url}?expires={until}&signature={self._signature(job, 'video', until)}"

    def opens(self, job: str, variant: str, link: Link) -> bool:
        """Whether this link opens this file now."""
        if link.signature is None or link.expires is None or _TIME.fullmatch(link.expires) is None:
            return False
        known = self._signature(job, variant, link.expires).encode()
        genuine = hmac.compare_digest(known, link.signature.encode(errors="replace"))
        return genuine and self._clock.now() < int(link.expires)

    def hook(self, public_url: str, job: str, attempt: int) -> str:
        """Where the provider of one attempt may tell that something has changed; nobody else can guess it."""
        signature = self._signature(job, "hook", str(attempt))
        return f"{public_url.rstrip('/')}/hooks/videos/{job}.{attempt}.{signature}"

    def hooked(self, token: str) -> tuple[str, int] | None:
        """Job and attempt of the last part of such a URL; None for one that we did not make."""
        job, _, rest = token.partition(".")
        attempt, _, signature = rest.partition(".")
        if not attempt.isdecimal():
            return None
        known = self._signature(job, "hook", attempt).encode()
        genuine = hmac.compare_digest(known, signature.encode(errors="replace"))
        return (job, int(attempt)) if genuine else None

    def _signature(self, job: str, variant: str, until: str) -> str:
        told = f"{job}\n{variant}\n{until}".encode(errors="replace")
        return urlsafe_b64encode(hmac.digest(self._key, told, "sha256")).decode().rstrip("=")
