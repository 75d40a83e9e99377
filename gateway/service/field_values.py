"""Reads single fields of a video request, each as it may be written: text, numbers as text, choices (pure).

Every reader takes its field out of `left`, so that what is left at the end is what nobody knows. All raise
InvalidRequest that names the field, the value and what would be right.
"""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from gateway.errors import InvalidRequest
from providers.types import UNREADABLE

MAX_SECONDS = 3_600.0
MAX_DEADLINE = 3_600.0
"""Seconds after which a video is given up in any case."""
_TIERS: Mapping[str, str] = {"480p": "854x480", "720p": "1280x720", "1080p": "1920x1080"}
_SIZE = re.compile(r"([1-9][0-9]{1,4})x([1-9][0-9]{1,4})")

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def json_fields(body: bytes) -> Mapping[str, object]:
    """The fields of a request that is written as JSON."""
    try:
        return _decode(body)
    except UNREADABLE as error:
        message = "The JSON body is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InvalidRequest(f"The body is not a JSON object: {message}.", code="invalid_json") from error


def text(left: dict[str, object], name: str, longest: int) -> str | None:
    """A string of at most so many characters."""
    value = left.pop(name, None)
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidRequest(f"`{name}` must be a string.", code="invalid_type", param=name)
    if len(value) > longest:
        message = f"`{name}` has {len(value)} characters; at most {longest} are allowed."
        raise InvalidRequest(message, code="string_above_max_length", param=name)
    return value


def needed(left: dict[str, object], name: str, longest: int) -> str:
    """The same for one that must be there."""
    value = text(left, name, longest)
    if not value:
        code = "missing_required_parameter" if value is None else "invalid_value"
        message = f"`{name}` is required: 1 to {longest} characters of text."
        raise InvalidRequest(message, code=code, param=name)
    return value


def one_of(left: dict[str, object], names: Sequence[str]) -> tuple[str, object]:
    """Name and value of the one that was given, of fields that mean the same; the first name and None without."""
    found = [(name, left.pop(name)) for name in names if name in left]
    if len(found) > 1:
        given = " and ".join(f"`{name}`" for name, _ in found)
        message = f"{given} mean the same and were both given; send one of: {', '.join(names)}."
        raise InvalidRequest(message, code="mutually_exclusive", param=found[1][0])
    return found[0] if found else (names[0], None)


def several(left: dict[str, object], name: str, most: int, what: str) -> list[object]:
    """A list of at most so many things; a single one may stand for a list of it."""
    value = left.pop(name, None)
    values = value if isinstance(value, list) else [value]
    if len(values) > most:
        message = f"`{name}` holds {len(values)} {what}; at most {most} are allowed."
        raise InvalidRequest(message, code="array_above_max_length", param=name)
    return [] if value is None else values


def choice(left: dict[str, object], name: str, allowed: Collection[str], default: str = "") -> str:
    """One of these words."""
    value = left.pop(name, default)
    if not isinstance(value, str) or (value not in allowed and value != default):
        message = f"`{name}` is {shown(value)}; allowed: {', '.join(allowed)}."
        raise InvalidRequest(message, param=name)
    return value


def seconds(left: dict[str, object], names: Sequence[str]) -> float | None:
    """A length above 0."""
    name, value = one_of(left, names)
    if value is None:
        return None
    found = number(value)
    if found is None or not 0 < found <= MAX_SECONDS:
        message = (
            f"`{name}` is {shown(value)}; it must be a number of seconds above 0 and at most "
            f'{MAX_SECONDS:g}, as in "8".'
        )
        raise InvalidRequest(message, param=name)
    return found


def size(left: dict[str, object], names: Sequence[str]) -> str | None:
    """`WIDTHxHEIGHT`; a tier stands for its landscape."""
    name, value = one_of(left, names)
    if value is None:
        return None
    found = _TIERS.get(value, value) if isinstance(value, str) else ""
    if _SIZE.fullmatch(found) is None:
        message = f'`{name}` is {shown(value)}; it must be WIDTHxHEIGHT in pixels, as in "1280x720".'
        raise InvalidRequest(message, param=name)
    return found


def seed(left: dict[str, object]) -> int | None:
    """A whole number from 0."""
    value = left.pop("seed", None)
    if value is None:
        return None
    found = number(value)
    if found is None or not found.is_integer() or not 0 <= found < 2**53:
        raise InvalidRequest(f"`seed` is {shown(value)}; it must be a whole number from 0.", param="seed")
    return int(found)


def strength(left: dict[str, object]) -> float | None:
    """A share above 0, up to 1."""
    value = left.pop("strength", None)
    if value is None:
        return None
    found = number(value)
    if found is None or not 0 < found <= 1:
        message = f"`strength` is {shown(value)}; it must be a number above 0, up to 1."
        raise InvalidRequest(message, param="strength")
    return found


def deadline(left: dict[str, object], name: str = "deadline") -> float | None:
    """Seconds from now after which nobody wants the video any more."""
    value = left.pop(name, None)
    if value is None:
        return None
    found = number(value)
    if found is None or not 1 <= found <= MAX_DEADLINE:
        message = f'`{name}` is {shown(value)}; it must be a number of seconds from 1 to {MAX_DEADLINE:g}, as in "90".'
        raise InvalidRequest(message, param=name)
    return found


def flag(left: dict[str, object], name: str) -> bool | None:
    """True or false, or the text of one."""
    value = left.pop(name, None)
    if value is None or isinstance(value, bool):
        return value
    if value not in ("true", "false"):
        raise InvalidRequest(f"`{name}` is {shown(value)}; it must be true or false.", param=name)
    return value == "true"


def number(value: object) -> float | None:
    """A finite number, or the text of one."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def shown(value: object) -> str:
    """A value as a message repeats it: a long one cut, a nested one by its type."""
    if not isinstance(value, str | int | float):
        return type(value).__name__
    written = msgspec.json.encode(value).decode()
    return written if len(written) <= 60 else written[:60] + "..."
