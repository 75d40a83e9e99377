"""Who is calling: the key from the request's headers, answered from memory."""

from collections.abc import Mapping

from gateway.config.snapshot import Caller
from gateway.errors import Unauthenticated
from gateway.service.keys import KeyRing

_HELP = "Send a gateway key as `Authorization: Bearer ...`."


def authenticate(ring: KeyRing, headers: Mapping[bytes, bytes]) -> Caller:
    """The owner of the key in `authorization`, `x-api-key` or `api-key`. Raises Unauthenticated.

    The same answer for a missing, a malformed and an unknown key: nothing is told about which it was.
    """
    key = headers.get(b"authorization")
    if key is not None:
        key = key[7:] if key[:7] in (b"Bearer ", b"bearer ") else _other_case(key)
    key = key or headers.get(b"x-api-key") or headers.get(b"api-key")
    caller = ring.find(key) if key else None
    if caller is None:
        raise Unauthenticated(f"No valid API key was given. {_HELP}")
    return caller


def _other_case(authorization: bytes) -> bytes | None:
    scheme, _, key = authorization.partition(b" ")
    return key.strip() if scheme.lower() == b"bearer" else None
