"""Content parts of OpenAI messages, checked and made uniform: text, and attached pictures, sound and files.

Also the two errors a reader of a request may raise. Fetches nothing: bytes behind links come in as `media`.
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from providers.errors import ErrorKind, ProviderError
from providers.types import Json, Media


class Text(Struct, frozen=True):
    """Text that is not empty. `cache` is None, or the lifetime of a cache mark after it ("": default)."""

    text: str
    cache: str | None = None


class Attachment(Struct, frozen=True, kw_only=True):
    """Something that is not text. Exactly one of `data`, `url` and `file_id` is given.

    `kind` is image, audio, video or file; `data` is base64 text; `mime` was read from the bytes where they
    tell, else it is what the client said, else "". `param` names the part's place in the request.
    """

    kind: str
    param: str
    mime: str = ""
    data: str = ""
    url: str = ""
    file_id: str = ""
    name: str = ""
    cache: str | None = None


Part: TypeAlias = Text | Attachment


def invalid(param: str, message: str) -> ProviderError:
    """The request is wrong at `param`, wherever it is sent."""
    return ProviderError(
        ErrorKind.INVALID_REQUEST, f"{param}: {message}", code="invalid_value", param=param, sent=False
    )


def unsupported(param: str, message: str) -> ProviderError:
    """This dialect cannot express what stands at `param`; another may."""
    return ProviderError(
        ErrorKind.UNSUPPORTED, f"{param}: {message}", code="unsupported_parameter", param=param, sent=False
    )


def read_content(content: object, param: str, media: Mapping[str, Media]) -> list[Part]:
    """The parts of a user's or tool's `content`, empty texts left out; linked bytes in `media` are put in."""
    if content is None:
        return []
    if isinstance(content, str):
        return [Text(content)] if content else []
    if not isinstance(content, list):
        raise invalid(param, "must be a string or an array of content parts.")
    parts = (_part(part, f"{param}[{index}]", media) for index, part in enumerate(content))
    return [part for part in parts if part is not None]


def read_texts(content: object, param: str) -> list[Text]:
    """The same for roles that may only hold text: system, developer, assistant (a refusal counts as text)."""
    parts = read_content(content, param, {})
    for part in parts:
        if isinstance(part, Attachment):
            raise invalid(part.param, "this role takes text only; put the part into a user message.")
    return [part for part in parts if isinstance(part, Text)]


def read_cache(part: Json) -> str | None:
    """The lifetime asked for by a cache mark on a part or tool; None without one (CHAT_WIRE 1.3)."""
    mark = part.get("prompt_cache_breakpoint") or part.get("cache_control")
    if not isinstance(mark, dict):
        return None
    ttl = mark.get("ttl")
    return ttl if isinstance(ttl, str) else ""


def sniff(head: bytes) -> str:
    """The MIME type that the first bytes show, "" when they show none. Clients often name the wrong one."""
    for at, magic, mime in _MAGIC:
        if head[at : at + len(magic)] == magic:
            return mime
    return ""


def split_data_uri(uri: str, param: str) -> tuple[str, str]:
    """MIME type and base64 text of a `data:` URI; the type is taken from the bytes where they tell."""
    head, comma, body = uri[5:].partition(",")
    if not comma:
        raise invalid(param, "is not a data URI: there is no comma.")
    mime, *options = head.split(";")
    data = body if "base64" in options else base64.b64encode(unquote_to_bytes(body)).decode()
    return sniff(_first_bytes(data, param)) or mime, data


def _first_bytes(data: str, param: str) -> bytes:
    try:
        return base64.b64decode(data[:64], validate=True)
    except (binascii.Error, ValueError):
        raise invalid(param, "is not valid base64.") from None


def _part(part: object, param: str, media: Mapping[str, Media]) -> Part | None:
    if isinstance(part, str):
        return Text(part) if part else None
    if not isinstance(part, dict):
        raise invalid(param, "must be an object with a `type`.")
    kind = part.get("type")
    if kind in ("text", "refusal"):
        text = _string(part, kind, param)
        return Text(text, read_cache(part)) if text else None
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise unsupported(f"{param}.type", f"content of type {kind!r} cannot be sent to this provider.")
    return _filled(reader(part, param), media)


def _filled(attachment: Attachment, media: Mapping[str, Media]) -> Attachment:
    found = media.get(attachment.url)
    if found is None:
        return attachment
    return Attachment(
        kind=attachment.kind,
        param=attachment.param,
        mime=found.mime,
        data=base64.b64encode(found.data).decode(),
        name=attachment.name,
        cache=attachment.cache,
    )


def _located(kind: str, url: str, param: str, cache: str | None) -> Attachment:
    if url.startswith("data:"):
        mime, data = split_data_uri(url, param)
        return Attachment(kind=kind, param=param, mime=mime, data=data, cache=cache)
    if not url.startswith(("https://", "http://", "gs://")):
        raise invalid(param, "must be an https link or a data URI.")
    return Attachment(kind=kind, param=param, url=url, cache=cache)


def _link(field: str, kind: str) -> Callable[[Json, str], Attachment]:
    def read(part: Json, param: str) -> Attachment:
        place = part.get(field)
        url = place.get("url") if isinstance(place, dict) else place
        if not isinstance(url, str) or not url:
            raise invalid(f"{param}.{field}.url", "must be an https link or a data URI.")
        return _located(kind, url, f"{param}.{field}.url", read_cache(part))

    return read


def _audio(part: Json, param: str) -> Attachment:
    audio = _object(part, "input_audio", param)
    data = _string(audio, "data", f"{param}.input_audio")
    mime = sniff(_first_bytes(data, f"{param}.input_audio.data")) or f"audio/{audio.get('format') or 'wav'}"
    return Attachment(
        kind="audio", param=f"{param}.input_audio", mime=mime, data=data, cache=read_cache(part)
    )


def _file(part: Json, param: str) -> Attachment:
    file = _object(part, "file", param)
    place = f"{param}.file"
    name = file.get("filename") if isinstance(file.get("filename"), str) else ""
    cache = read_cache(part)
    if file.get("file_data") is None:
        file_id = _string(file, "file_id", place)
        return Attachment(kind="file", param=place, file_id=file_id, name=name or "", cache=cache)
    data = _string(file, "file_data", place)
    if data.startswith(("https://", "http://")):
        return Attachment(kind="file", param=place, url=data, name=name or "", cache=cache)
    uri = data if data.startswith("data:") else f"data:;base64,{data}"
    mime, data = split_data_uri(uri, f"{place}.file_data")
    return Attachment(kind="file", param=place, mime=mime, data=data, name=name or "", cache=cache)


def _object(part: Json, field: str, param: str) -> dict[str, Any]:
    value = part.get(field)
    if not isinstance(value, dict):
        raise invalid(f"{param}.{field}", "must be an object.")
    return value


def _string(part: Json, field: str, param: str) -> str:
    value = part.get(field)
    if not isinstance(value, str):
        raise invalid(f"{param}.{field}", "must be a string.")
    return value


_READERS: Mapping[str, Callable[[Json, str], Attachment]] = {
    "image_url": _link("image_url", "image"),
    "video_url": _link("video_url", "video"),
    "audio_url": _link("audio_url", "audio"),
    "document_url": _link("document_url", "file"),
    "input_audio": _audio,
    "file": _file,
}
_MAGIC: Sequence[tuple[int, bytes, str]] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF8", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (4, b"ftypheic", "image/heic"),
    (4, b"ftypmif1", "image/heif"),
    (4, b"ftyp", "video/mp4"),
    (0, b"%PDF-", "application/pdf"),
    (8, b"WAVE", "audio/wav"),
    (0, b"ID3", "audio/mp3"),
    (0, b"\xff\xfb", "audio/mp3"),
    (0, b"fLaC", "audio/flac"),
    (0, b"OggS", "audio/ogg"),
)
