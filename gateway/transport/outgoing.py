"""An `HttpRequest` as the bytes that go onto the wire: where to, and the head of the message."""

import re
from collections.abc import Mapping
from functools import lru_cache
from importlib import metadata
from typing import NamedTuple

import httpx2

from providers.errors import ErrorKind, ProviderError
from providers.types import HttpRequest

METHODS = frozenset(("DELETE", "GET", "PATCH", "POST", "PUT"))
"""HEAD and CONNECT are not among them: their answers are framed differently, and nobody here needs them."""

PORTS = {"http": 80, "https": 443}
"""What a scheme means when the URL names no port."""

_OURS = frozenset(
    ("accept-encoding", "connection", "content-length", "host", "transfer-encoding", "user-agent")
)
"""What the transport says itself; a caller's own value is left out, so that a message is framed only once."""

_FIELDS = re.compile(r"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t\x20-\x7e\x80-\xff]*\r\n)*")
"""Header lines as RFC 9110 section 5 allows them. As many as there are fields, so that none holds another."""


class Origin(NamedTuple):
    """What one connection leads to. `host` is lower case, ASCII, without the brackets of an IPv6 address."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def encode(request: HttpRequest) -> tuple[Origin, bytes]:
    """Where the request goes, and its head up to and with the empty line.

    Raises UNAVAILABLE with `sent` false for what cannot be put into HTTP: this target cannot be called.
    """
    if request.method not in METHODS:
        raise _unsendable(f"the method {request.method!r} is not one of {', '.join(sorted(METHODS))}")
    origin, preamble = locate(request.url)
    lines = _lines(tuple(request.headers.items()))
    length = f"content-length: {len(request.body)}\r\n" if request.body or request.method != "GET" else ""
    return origin, f"{request.method} {preamble}{length}{lines}\r\n".encode("latin-1")


@lru_cache(maxsize=1024)
def _lines(headers: tuple[tuple[str, str], ...]) -> str:
    """The header lines, checked; calls to one target carry the same ones over and over."""
    fields = {name: value for name, value in headers if name.lower() not in _OURS}
    lines = "\r\n".join([*map(": ".join, fields.items()), ""])
    if _FIELDS.fullmatch(lines) is None or lines.count("\n") != len(fields):
        raise _unsendable(f"the header {_offender(fields)!r} holds a character that no header may carry")
    return lines


@lru_cache(maxsize=1024)
def locate(url: str) -> tuple[Origin, str]:
    """The origin of a URL, and the part of the head that depends on nothing but the URL.

    Raises UNAVAILABLE with `sent` false. The text does not repeat the URL, which may hold a credential.
    """
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise _unsendable("its URL is not valid") from error
    if parsed.scheme not in PORTS or not parsed.raw_host or parsed.userinfo:
        raise _unsendable("its URL must be http:// or https://, with a host and without a user name")
    port = PORTS[parsed.scheme] if parsed.port is None else parsed.port
    if not 0 < port < 65536:
        raise _unsendable(f"the port {port} of its URL does not exist")
    origin = Origin(parsed.scheme, parsed.raw_host.decode("ascii").lower(), port)
    path, authority = parsed.raw_path.decode("ascii"), parsed.netloc.decode("ascii")
    own = f"user-agent: {user_agent()}\r\naccept-encoding: identity\r\n"
    return origin, f"{path} HTTP/1.1\r\nhost: {authority}\r\n{own}"


@lru_cache(maxsize=1)
def user_agent() -> str:
    """Who we say we are."""
    try:
        return f"fairlead/{metadata.version('fairlead')}"
    except metadata.PackageNotFoundError:  # run from a checkout that was never installed
        return "fairlead/0"


def _offender(fields: Mapping[str, str]) -> str:
    lines = {name: f"{name}: {value}\r\n" for name, value in fields.items()}
    return next(name for name, line in lines.items() if line.count("\n") != 1 or not _FIELDS.fullmatch(line))


def _unsendable(reason: str) -> ProviderError:
    return ProviderError(ErrorKind.UNAVAILABLE, f"The upstream cannot be called: {reason}.", sent=False)
