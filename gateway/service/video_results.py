"""Names the result of a request, so that the same request finds it again.

A result goes by the request in its final form: model, length, size, pictures by what they hold, and the targets of
the route, so that an edit of the route makes new videos. The name is keyed with a secret of the installation and
holds who asked: nobody's request finds what somebody else made, and the database says nothing of what was asked.
"""

import hmac
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from gateway.config.snapshot import Caller, Route
from gateway.service.video_request import Wish

_OF_NO_MATTER: Mapping[str, Any] = {
    "surface": "", "callback_url": None, "base_url": "", "trace": "", "priced": False, "draw": None,
    "deadline": None,
}  # fmt: skip
"""What the same video may be asked with in another way."""


class Results:
    """Names results. One per process; all processes of an installation name alike."""

    def __init__(self, pepper: bytes) -> None:
        self._secret = hmac.digest(pepper, b"fairlead results of videos", "sha256")

    def key(self, caller: Caller, route: Route, wish: Wish) -> bytes:
        """What the result of a wish is found by; its ask has its length and size chosen."""
        ask = replace(wish.ask, **_OF_NO_MATTER)
        whose = (caller.organisation, caller.project, caller.user, caller.id)
        targets = [target.id for target in route.targets]
        told = (whose, targets, ask, [file.sha256 for file in wish.files])
        return hmac.digest(self._secret, msgspec.json.encode(told), "sha256")
