"""The kinds of value a routing file holds: durations, secrets by reference, addresses, names, amounts.

A message here never repeats what was written where a credential may have been pasted by mistake.
"""

import re
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    WithJsonSchema,
)

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SECRET = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:\S.*")
PUBLIC_PARTS = frozenset(("account", "bucket", "location", "project", "region"))
_OWN_HEADERS = frozenset(
    ("api-key", "authorization", "connection", "content-length", "content-type", "cookie", "host",
     "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade", "x-api-key", "x-goog-api-key")
)  # fmt: skip


def _seconds(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value.strip())
    if match is None:
        raise ValueError(f"is not a duration: {value[:30]!r}; write 8s, 500ms, 2m or a number of seconds")
    return float(match[1]) * _UNITS[match[2]]


def _secret(value: str) -> str:
    if not _SECRET.fullmatch(value):
        raise ValueError("must be env:NAME or file:/path: a secret itself does not belong in this file")
    return value


def _parts(value: Mapping[str, str]) -> Mapping[str, str]:
    if not value:
        raise ValueError("is empty: name at least one part, or leave `key` out")
    for name, part in value.items():
        if not re.fullmatch(r"[a-z][a-z_]{0,40}", name):
            raise ValueError("holds a part whose name is not lower-case words, as in access_key_id")
        if name not in PUBLIC_PARTS:
            try:
                _secret(part)
            except ValueError as error:
                raise ValueError(f"part `{name}` {error}") from None
    return value


def _url(value: str) -> str:
    try:
        url = urlsplit(value)
        fine = url.scheme in ("http", "https") and bool(url.hostname) and (url.port or 1) > 0
        plain = "@" not in url.netloc and not url.query and not url.fragment
    except ValueError:
        fine = plain = False
    if not (fine and plain and value.isprintable() and " " not in value and len(value) <= 2000):
        raise ValueError("must be http://host or https://host, with a path if need be, and nothing behind it")
    return value.rstrip("/")


def _hook_url(value: str) -> str:
    try:
        url = urlsplit(value)
        fine = url.scheme in ("http", "https") and bool(url.hostname) and (url.port or 1) > 0
    except ValueError:
        fine = False
    plain = value.isprintable() and " " not in value and "#" not in value and len(value) <= 2000
    if not (fine and plain) or "@" in urlsplit(value).netloc:
        raise ValueError("must be https://host, with a path if need be, and without a user name")
    return value


def _network(value: str) -> str:
    try:
        return str(ip_network(value))
    except ValueError:
        raise ValueError(
            f"is not a network: {value[:60]!r}; write it as in 10.1.0.0/16 or fd00::/8"
        ) from None


def _headers(value: Mapping[str, str]) -> Mapping[str, str]:
    for name, text in value.items():
        if not re.fullmatch(r"[A-Za-z0-9-]{1,100}", name) or not text.isprintable() or not text.isascii():
            raise ValueError(
                "holds a header that cannot be sent: a name is letters, digits and -, a value ASCII"
            )
        if name.lower() in _OWN_HEADERS:
            raise ValueError(f"may not set `{name}`: credentials go in `key`, the rest is set by the gateway")
        if text.startswith(("env:", "file:")):
            raise ValueError(f"sends `{name}` as it is written: a secret belongs in `key`")
    return value


def _size(value: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{1,4}x[1-9][0-9]{1,4}", value):
        raise ValueError("must be WIDTHxHEIGHT in pixels, as in 1280x720")
    return value


def _model_name(value: str) -> str:
    if {"", ".", ".."} & set(value.split("/")):  # some dialects put the name in a path
        raise ValueError("may not hold //, /./ or /../, nor end in /")
    return value


Duration = Annotated[
    float,
    BeforeValidator(_seconds),
    Field(gt=0, le=86_400),
    WithJsonSchema({
        "anyOf": [
            {"type": "number", "exclusiveMinimum": 0, "maximum": 86_400},
            {"type": "string", "pattern": f"^{_DURATION.pattern}$"},
        ]
    }),
]  # fmt: skip
SecretText = Annotated[
    str,
    AfterValidator(_secret),
    WithJsonSchema({"type": "string", "pattern": f"^({_SECRET.pattern})$"}),
]
SecretParts = Annotated[dict[str, str], AfterValidator(_parts)]
Credential = Annotated[
    Annotated[SecretText, Tag("one")] | Annotated[SecretParts, Tag("parts")],
    Discriminator(lambda value: "parts" if isinstance(value, dict) else "one"),
]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
ModelName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9@_~][A-Za-z0-9._:/@+~-]{0,199}$"), AfterValidator(_model_name)
]
ModelOrAll = Annotated[str, StringConstraints(pattern=r"^(\*|[A-Za-z0-9@_~][A-Za-z0-9._:/@+~-]{0,199})$")]
Size = Annotated[str, AfterValidator(_size)]
Url = Annotated[str, AfterValidator(_url)]
HookUrl = Annotated[str, AfterValidator(_hook_url)]
Network = Annotated[str, AfterValidator(_network)]
Count = Annotated[int, Field(ge=1, le=10**12)]
Dollars = Annotated[float, Field(ge=0, le=10**6)]
Headers = Annotated[dict[str, str], AfterValidator(_headers)]
Percent = Annotated[float, Field(gt=0, le=100)]
VideoLength = Annotated[float, Field(gt=0, le=3600)]


class Part(BaseModel):
    """What all parts of the file share: nothing unknown, nothing converted by guesswork, nothing shown."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        defer_build=True,
    )
