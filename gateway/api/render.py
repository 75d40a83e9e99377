"""Turns every error into OpenAI's error JSON, and nothing else does."""

import math

import msgspec

from gateway.errors import GatewayError

Headers = list[tuple[bytes, bytes]]

_encode = msgspec.json.Encoder().encode
_JSON = (b"content-type", b"application/json")
MAX_MESSAGE = 2000


def error_body(error: GatewayError) -> bytes:
    """`{"error": {message, type, param, code}}`, all four keys present."""
    message = error.message if len(error.message) <= MAX_MESSAGE else error.message[:MAX_MESSAGE] + "..."
    return _encode(
        {"error": {"message": message, "type": error.type, "param": error.param, "code": error.code}}
    )


def error_event(error: GatewayError) -> bytes:
    """The error as the last event of a stream that broke; no `[DONE]` may follow it."""
    return b"data: %b\n\n" % error_body(error)


def error_headers(error: GatewayError, request_id: str) -> Headers:
    """The headers that go with an error: when to come back, and whether at all. An empty `request_id` is left out."""
    made: Headers = [_JSON]
    if request_id:
        made.append((b"x-request-id", request_id.encode()))
    made += [(name.encode(), value.encode("latin-1", "replace")) for name, value in error.headers.items()]
    told = {name for name, _ in made}
    if error.retry_after is not None and b"retry-after" not in told:
        made.append((b"retry-after", b"%d" % math.ceil(error.retry_after)))
        made.append((b"retry-after-ms", b"%d" % math.ceil(error.retry_after * 1000)))
    if error.retry is not None:
        made.append((b"x-should-retry", b"true" if error.retry else b"false"))
    if error.status == 401:
        made.append((b"www-authenticate", b"Bearer"))
    return made
