"""Posts to a URL that a stranger wrote, without reaching anything but the public internet.

The guard is that of `fetch.py`: the name is resolved at every sending, every address must pass, and only
those addresses are dialled. Networks of the operator's own may be allowed; only there http:// and every port
will do. Nothing of an answer is read but its status and how long it asks to wait.
"""

from collections.abc import Sequence
from typing import NamedTuple

from gateway.transport.dial import Address, Dialer
from gateway.transport.fetch import asked, bounded, public_addresses
from gateway.transport.outgoing import Origin
from gateway.transport.ssrf import PORTS, RefusedLink, check_url, is_within
from providers.types import HttpRequest
from providers.waits import retry_after

_EVERY_PORT = range(1 << 16)


def check_hook(url: str, networks: Sequence[str]) -> Origin:
    """Where a URL leads, as far as can be said before its host is looked up. Raises RefusedLink."""
    ports = _EVERY_PORT if networks else PORTS
    return check_url(url, allow_http=bool(networks), ports=ports, allow_networks=networks)


class Receipt(NamedTuple):
    """What the receiver said: an HTTP status, and seconds to wait when it named some."""

    status: int
    retry_after: float | None


class Poster:
    """Posts over connections of its own, one per message."""

    def __init__(self, dialer: Dialer) -> None:
        self._dialer = dialer

    async def check(self, url: str, *, seconds: float, allow_networks: Sequence[str] = ()) -> None:
        """Whether `send` would try this URL now. Raises RefusedLink."""
        async with bounded(seconds):
            await self._judged(url, allow_networks)

    async def send(
        self, request: HttpRequest, *, seconds: float, allow_networks: Sequence[str] = ()
    ) -> Receipt:
        """Send, and hear how it was taken, all of it within `seconds`. Raises RefusedLink."""
        async with bounded(seconds):
            origin, addresses = await self._judged(request.url, allow_networks)
            async with asked(self._dialer, origin, addresses, request) as answer:
                return Receipt(answer.status, retry_after(answer.headers))

    async def _judged(self, url: str, networks: Sequence[str]) -> tuple[Origin, Sequence[Address]]:
        origin = check_hook(url, networks)
        addresses = await public_addresses(self._dialer, origin, networks)
        usual = origin.scheme == "https" and origin.port in PORTS
        if not usual and not all(is_within(address[0], networks) for _, address in addresses):
            raise RefusedLink("it must begin with https:// and name no unusual port")
        return origin, addresses
