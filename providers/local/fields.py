"""Reads what a client sent: JSON or a form to fields, and fields to an order, or a clear refusal.

Only the fields named here are looked at; whatever else a client sends is ignored. Nothing that was sent
ever becomes a path, a command or an address to fetch from.
"""

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from providers.local.engine import Model, Order
from providers.local.refusal import RefusalError
from providers.mp4 import Clip, clip

Fields: TypeAlias = Mapping[str, Any]
"""Field name to text, number, list, object, or the bytes of an uploaded file."""

LONGEST_PROMPT = 32_000
LONGEST_WORD = 200  # letters of a style or a camera movement
LARGEST_SEED = 2**63 - 1
LARGEST_IMAGE = 20 * 2**20
LARGEST_CLIP = 64 * 2**20

_KNOWN = (
    "model",
    "prompt",
    "seconds",
    "size",
    "seed",
    "negative_prompt",
    "style_preset",
    "camera_movement",
    "input_reference",
    "video",
)
_SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")
_NUMBER = re.compile(r"[0-9]{1,19}(\.[0-9]{1,9})?")
_NAMED = re.compile(r"([^\[\]]+)\[([^\[\]]*)\]")
_PICTURE = re.compile(rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|RIFF.{4}WEBP", re.DOTALL)


def unbracketed(parts: Sequence[tuple[str, Any]]) -> Fields:
    """A form's parts as fields: `a[b]` is a member of the object `a`, `a[]` an element of the list `a`."""
    fields: dict[str, Any] = {}
    for name, value in parts:
        named = _NAMED.fullmatch(name)
        if named is None:
            fields[name] = value
        elif named[2]:
            members = fields.setdefault(named[1], {})
            if isinstance(members, dict):
                members[named[2]] = value
        else:
            elements = fields.setdefault(named[1], [])
            if isinstance(elements, list):
                elements.append(value)
    return fields


def json_fields(body: bytes) -> Fields:
    """A JSON body as fields."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError) as broken:
        raise RefusalError(400, "invalid_json", f"The body is not a JSON object: {broken}.") from broken
    return {name: value for name, value in fields.items() if value is not None}


def fingerprint(fields: Fields) -> str:
    """The same for the same request sent again."""
    told: dict[str, Any] = {name: fields[name] for name in _KNOWN if name in fields}
    return hashlib.sha256(msgspec.json.encode(told, order="deterministic")).hexdigest()


def read_order(fields: Fields, models: Sequence[Model]) -> tuple[Order, bytes | None]:
    """The order a create asks for, complete with defaults and a drawn seed, and the picture to start from."""
    model = _model(fields, models)
    image = _image(fields)
    width, height = _size(fields, model)
    order = Order(
        model=model.id,
        prompt=prompt(fields),
        width=width,
        height=height,
        seconds=_seconds(fields, model),
        seed=_seed(fields),
        negative_prompt=_text(fields, "negative_prompt", LONGEST_PROMPT),
        style_preset=_text(fields, "style_preset", LONGEST_WORD),
        camera_movement=_text(fields, "camera_movement", LONGEST_WORD),
        image=image is not None,
    )
    return order, image


def read_change(operation: str, fields: Fields, footage: Clip, models: Sequence[Model]) -> Order:
    """The order that an edit or an extension of a video asks for: its size, and its length or what is added."""
    model = _model(fields, models)
    added = _seconds(fields, model) if operation == "extend" else 0.0
    width, height = _size({"size": f"{footage.width}x{footage.height}"}, model)
    return Order(
        model=model.id,
        prompt=prompt(fields),
        operation=operation,
        width=width,
        height=height,
        seconds=footage.seconds + added,
        seed=_seed(fields),
        clip=True,
        added=added,
    )


def read_footage(fields: Fields) -> tuple[str | None, bytes]:
    """The field `video`: the id of a video made here, or the bytes of an MP4 that came along."""
    value = fields.get("video")
    if isinstance(value, dict) and isinstance(value.get("id"), str):
        return value["id"], b""
    if not isinstance(value, bytes):
        raise refuse(
            "video", value, "an uploaded MP4 or an object with the id of a video", code="invalid_type"
        )
    if len(value) > LARGEST_CLIP:
        raise refuse("video", value, f"at most {LARGEST_CLIP} bytes")
    return None, value


def footage_of(data: bytes) -> Clip:
    """What a video that came along says of itself."""
    found = clip(lambda start, count: data[start : start + count], len(data))
    if found is None:
        raise refuse("video", data, "an MP4 that says how long and how large it is")
    return found


def prompt(fields: Fields) -> str:
    """The one field every request must have."""
    text = _text(fields, "prompt", LONGEST_PROMPT)
    if text is None:
        raise RefusalError(
            400,
            "missing_required_parameter",
            "'prompt' is required: say what the video shows.",
            param="prompt",
        )
    return text


def refuse(name: str, value: object, allowed: str, *, code: str = "invalid_value") -> RefusalError:
    """What to raise for a field with a value that is not taken."""
    return RefusalError(400, code, f"'{name}' is {_shown(value)}: it must be {allowed}.", param=name)


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        return f"a file of {len(value)} bytes"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return repr(value[:80]) if isinstance(value, str) else str(value)[:80]


def _model(fields: Fields, models: Sequence[Model]) -> Model:
    name = fields.get("model") or models[0].id
    for model in models:
        if model.id == name:
            return model
    raise refuse("model", name, "one of " + ", ".join(model.id for model in models), code="model_not_found")


def _size(fields: Fields, model: Model) -> tuple[int, int]:
    text = fields.get("size") or model.default_size
    found = _SIZE.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise refuse("size", text, f"WIDTHxHEIGHT in pixels, such as {model.default_size}")
    width, height = int(found[1]), int(found[2])
    if model.sizes is not None and text not in model.sizes:
        raise refuse("size", text, "one of " + ", ".join(model.sizes), code="unsupported_value")
    short, long = sorted((width, height))
    if short < model.min_edge or short > model.max_short_edge or long > model.max_long_edge:
        allowed = (
            f"from {model.min_edge}x{model.min_edge} to {model.max_long_edge}x{model.max_short_edge}"
            f" or {model.max_short_edge}x{model.max_long_edge} for the model {model.id}"
        )
        raise refuse("size", text, allowed, code="unsupported_value")
    return width, height


def _seconds(fields: Fields, model: Model) -> float:
    value = fields.get("seconds", model.default_seconds)
    allowed = f"a number from {model.min_seconds:g} to {model.max_seconds:g} for the model {model.id}"
    seconds = _number(value)
    if seconds is None:
        raise refuse("seconds", value, allowed)
    if not model.min_seconds <= seconds <= model.max_seconds:
        raise refuse("seconds", value, allowed, code="unsupported_value")
    return seconds


def _seed(fields: Fields) -> int:
    """The client's seed, or one drawn now, so that a second try after a crash gives the same video."""
    value = fields.get("seed")
    if value is None:
        return secrets.randbelow(2**31)
    text = str(value)
    if isinstance(value, bool) or not text.isascii() or not text.isdigit() or int(text[:20]) > LARGEST_SEED:
        raise refuse("seed", value, f"a whole number from 0 to {LARGEST_SEED}")
    return int(text)


def _number(value: object) -> float | None:
    """A number, or a number's text as forms and OpenAI's `seconds` send it."""
    text = "" if isinstance(value, bool) else str(value)
    return float(text) if _NUMBER.fullmatch(text) else None


def _text(fields: Fields, name: str, longest: int) -> str | None:
    value = fields.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise refuse(name, value, "text", code="invalid_type")
    if len(value) > longest:
        raise RefusalError(
            400,
            "string_above_max_length",
            f"'{name}' is {len(value)} characters: at most {longest}.",
            param=name,
        )
    return value if value.strip() else None


def _image(fields: Fields) -> bytes | None:
    value = fields.get("input_reference")
    if value is None or value == "":
        return None
    if isinstance(value, dict):
        value = _from_data_url(value)
    if not isinstance(value, bytes):
        raise refuse(
            "input_reference", value, "an uploaded file or an object with image_url", code="invalid_type"
        )
    if not _PICTURE.match(value):
        raise refuse("input_reference", value, "a PNG, JPEG or WebP picture")
    if len(value) > LARGEST_IMAGE:
        raise refuse("input_reference", value, f"at most {LARGEST_IMAGE} bytes")
    return value


def _from_data_url(reference: Mapping[str, Any]) -> bytes:
    url = str(reference.get("image_url", ""))
    head, comma, data = url.partition(",")
    if not (comma and head.startswith("data:") and head.endswith(";base64")):
        raise refuse("input_reference", reference, "a file, or have a data URL in base64 as image_url")
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as broken:
        raise refuse("input_reference", reference, "a data URL whose base64 can be read") from broken
