"""The turns of a prompt as Gemini `contents`: text, media, calls with their signatures, results.

Facts are CHAT_WIRE 2.3 (2026-11-20). Roles alternate and begin with the user. Results of calls stand in a
content of their own, though its role is `user` too. Gemini 3 and later refuse a model's content whose first
call has no thought signature: clients that keep it hand it back in the call's `extra_content`; for one that
was lost, or that another provider's model never made, Google's documented stand-in is sent.
"""

import base64
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from providers.chat.gemini_model import Model
from providers.chat.parts import Attachment, Part, Text, unsupported
from providers.chat.turns import ToolCall, ToolResult, Turn, arguments_object, merge_neighbours
from providers.types import Json

SIGNATURE_FORMAT = "google-gemini-v1"
"""The `format` of reasoning details that hold the signature of a text (CHAT_WIRE 1.7)."""

NO_SIGNATURE = base64.b64encode(b"skip_thought_signature_validator").decode()

_FILES_HOST = "generativelanguage.googleapis.com"
_VIDEO_HOSTS = frozenset(("youtube.com", "www.youtube.com", "m.youtube.com", "youtu.be"))
_MIME_OF = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "mp3": "audio/mp3",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "webm": "video/webm",
}
_EMPTY: Json = {"role": "user", "parts": [{"text": " "}]}
"""Stands where a user's content must and the client has none."""


def contents(turns: Sequence[Turn], model: Model, base_url: str) -> list[dict[str, Any]]:
    """All turns but the system's. Raises UNSUPPORTED for an attachment that cannot be sent."""
    listed = [content for turn in turns for content in _contents(turn, model, base_url)]
    merged = merge_neighbours(listed, "parts")
    if model.needs_signatures:
        for content in merged:
            _sign(content["parts"])
    found = [{**content, "role": "model" if content["role"] == "model" else "user"} for content in merged]
    return found if found and found[0]["role"] == "user" else [dict(_EMPTY), *found]


def takes_link(url: str) -> bool:
    """Whether Google opens this link itself: a file it holds, or a public video."""
    place = urlsplit(url)
    if place.hostname == _FILES_HOST:
        return "/files/" in place.path
    return place.scheme == "gs" or place.hostname in _VIDEO_HOSTS


def _contents(turn: Turn, model: Model, base_url: str) -> list[dict[str, Any]]:
    if turn.role == "user":
        return [{"role": "user", "parts": [_part(part, base_url) for part in turn.parts]}]
    if turn.role == "assistant":
        parts = _model_parts(turn)
        return [{"role": "model", "parts": parts}] if parts else []
    if turn.role == "tool":
        return _results(turn.results, model, base_url)
    return []


def _part(part: Part, base_url: str) -> Json:
    return {"text": part.text} if isinstance(part, Text) else _media(part, base_url)


def _media(part: Attachment, base_url: str) -> Json:
    if part.data:
        if not part.mime:
            raise unsupported(part.param, "its bytes do not show what it is: name its type in a data URI.")
        return {"inlineData": {"mimeType": part.mime, "data": part.data}}
    uri = part.url or part.file_id
    if uri.startswith("files/"):
        uri = f"{base_url}/v1beta/{uri}"
    elif not takes_link(uri):
        raise unsupported(part.param, f"this provider cannot open {uri!r}: send the bytes as a data URI.")
    mime = part.mime or _MIME_OF.get(urlsplit(uri).path.rpartition(".")[2].lower(), "")
    return {"fileData": {**({"mimeType": mime} if mime else {}), "fileUri": uri}}


def _model_parts(turn: Turn) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [{"text": part.text} for part in turn.parts if isinstance(part, Text)]
    signature = _text_signature(turn.reasoning)
    if parts and signature:
        parts[-1]["thoughtSignature"] = signature
    return parts + [_call(call) for call in turn.calls]


def _text_signature(reasoning: Sequence[Json]) -> str:
    found = [detail.get("data") for detail in reasoning if detail.get("format") == SIGNATURE_FORMAT]
    return found[-1] if found and isinstance(found[-1], str) else ""


def _call(call: ToolCall) -> dict[str, Any]:
    part: dict[str, Any] = {
        "functionCall": {"id": call.id, "name": call.name, "args": arguments_object(call)},
    }
    google = call.extra.get("google")
    signature = google.get("thought_signature") if isinstance(google, dict) else None
    return {**part, "thoughtSignature": signature} if isinstance(signature, str) and signature else part


def _sign(parts: list[dict[str, Any]]) -> None:
    first = next((part for part in parts if "functionCall" in part), None)
    if first is not None:
        first.setdefault("thoughtSignature", NO_SIGNATURE)


def _results(results: Sequence[ToolResult], model: Model, base_url: str) -> list[dict[str, Any]]:
    """The results of one turn, and behind them the media in them where a result can only hold text."""
    found: list[dict[str, Any]] = []
    behind: list[Json] = []
    for result in results:
        media = [_media(part, base_url) for part in result.parts if isinstance(part, Attachment)]
        response: dict[str, Any] = {"id": result.id, "name": result.name, "response": _response(result)}
        if media and model.new:
            response["parts"] = media
        elif media:
            behind += [{"text": f"What {result.name} returned:"}, *media]
        found.append({"functionResponse": response})
    contents = [{"role": "tool", "parts": found}]
    return [*contents, {"role": "user", "parts": behind}] if behind else contents


def _response(result: ToolResult) -> Json:
    """The result as an object; one that refers to itself by `$ref`, which is refused, stays text."""
    text = "\n".join(part.text for part in result.parts if isinstance(part, Text))
    if result.error:
        return {"error": text}
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return {"output": text}
    return value if isinstance(value, dict) and '"$ref"' not in text else {"output": text}
