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

from providers.local.engine import IMAGE, LAST_FRAME, Model, Order
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
    "strength",
    "input_reference",
    "last_frame",
    "video",
)
_SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")
_NUMBER = re.compile(r"[0-9]{1,19}(\.[0-9]{1,9})?")
_NAMED = re.compile(r"([^\[\]]+)\[([^\[\]]*)\]")
_PICTURE_BYTES = re.compile(rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|RIFF.{4}WEBP", re.DOTALL)


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


def read_order(fields: Fields, models: Sequence[Model]) -> tuple[Order, Mapping[str, bytes]]:
    """The order a create asks for, complete with defaults and a drawn seed, and the files it begins with."""
    model = _model(fields, models, "generate")
    inputs = _pictures(fields, model)
    width, height = _size(fields, model)
    order = Order(
        model=model.id,
        prompt=prompt(fields),
        width=width,
        height=height,
        seconds=_seconds(fields, model),
        seed=_seed(fields),
        image=IMAGE in inputs,
        last_frame=LAST_FRAME in inputs,
        **_wording(fields, model),
    )
    return order, inputs


def read_change(operation: str, fields: Fields, footage: Clip, models: Sequence[Model]) -> Order:
    """The order that an edit or an extension of a video asks for: its size, and its length or what is added."""
    model = _model(fields, models, operation)
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
        strength=_strength(fields),
        **_wording(fields, model),
    )


def read_remix(fields: Fields, first: Order, models: Sequence[Model]) -> Order:
    """The `first` order with another prompt, and with what else the client wants otherwise.

    A model that redraws begins with the finished video (the order then has a `clip` and no picture); others
    make the order again, an edit or an extension as what it was.
    """
    model = _model({"model": first.model}, models, "remix")
    changed: dict[str, Any] = {
        "prompt": prompt(fields),
        "seed": _seed(fields) if "seed" in fields else first.seed,
        "strength": _strength(fields),
    }
    changed |= {name: value for name, value in _wording(fields, model).items() if value is not None}
    if model.redraws:
        changed |= {"operation": "remix", "clip": True, "image": False, "last_frame": False, "added": 0.0}
    elif not first.clip:
        changed["operation"] = "remix"
    return msgspec.structs.replace(first, **changed)


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


def _model(fields: Fields, models: Sequence[Model], operation: str) -> Model:
    name = fields.get("model") or models[0].id
    for model in models:
        if model.id == name and operation in model.operations:
            return model
        if model.id == name:
            raise RefusalError(
                400,
                "unsupported_value",
                f"The model {model.id} cannot {operation}: it can {', '.join(model.operations)}.",
                param="model",
            )
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


def _wording(fields: Fields, model: Model) -> dict[str, Any]:
    """What goes into the prompt or against it. The words must be those the model knows."""
    return {
        "negative_prompt": _text(fields, "negative_prompt", LONGEST_PROMPT),
        "style_preset": _word(fields, "style_preset", model.style_presets),
        "camera_movement": _word(fields, "camera_movement", model.camera_movements),
    }


def _word(fields: Fields, name: str, known: Sequence[str] | None) -> str | None:
    word = _text(fields, name, LONGEST_WORD)
    if word is not None and known is not None and word not in known:
        raise refuse(name, word, "one of " + ", ".join(known), code="unsupported_value")
    return word


def _strength(fields: Fields) -> float | None:
    value = fields.get("strength")
    if value is None or value == "":
        return None
    strength = _number(value)
    if strength is None or not 0 < strength <= 1:
        raise refuse("strength", value, "a number above 0, up to 1")
    return strength


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


def _pictures(fields: Fields, model: Model) -> Mapping[str, bytes]:
    """The pictures to begin and to end with, by the names the engine reads them by."""
    first, last = _picture(fields, "input_reference"), _picture(fields, "last_frame")
    if first is None and (model.image == "required" or last is not None):
        why = "this model starts from one" if model.image == "required" else "'last_frame' needs it"
        raise RefusalError(
            400,
            "missing_required_parameter",
            f"'input_reference' is missing: send a picture to start from, {why}.",
            param="input_reference",
        )
    for name, given, taken in (
        ("input_reference", first, model.image != "none"),
        ("last_frame", last, model.last_frame),
    ):
        if given is not None and not taken:
            raise refuse(name, given, f"left out: the model {model.id} takes none", code="unsupported_value")
    return {name: data for name, data in ((IMAGE, first), (LAST_FRAME, last)) if data is not None}


def _picture(fields: Fields, name: str) -> bytes | None:
    value = fields.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, dict):
        value = _from_data_url(name, value)
    if not isinstance(value, bytes):
        raise refuse(name, value, "an uploaded file or an object with image_url", code="invalid_type")
    if not _PICTURE_BYTES.match(value):
        raise refuse(name, value, "a PNG, JPEG or WebP picture")
    if len(value) > LARGEST_IMAGE:
        raise refuse(name, value, f"at most {LARGEST_IMAGE} bytes")
    return value


def _from_data_url(name: str, reference: Mapping[str, Any]) -> bytes:
    url = str(reference.get("image_url", ""))
    head, comma, data = url.partition(",")
    if not (comma and head.startswith("data:") and head.endswith(";base64")):
        raise refuse(name, reference, "a file, or have a data URL in base64 as image_url")
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as broken:
        raise refuse(name, reference, "a data URL whose base64 can be read") from broken
