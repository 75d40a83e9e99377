"""Reads what a video is made from: pictures as uploads, data URIs or links, and videos as uploads or ids (pure)."""

import base64
import binascii
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping

from msgspec import Struct

from gateway.errors import InvalidRequest
from gateway.service.sniff import PICTURES, media_type
from providers.mp4 import Clip, clip

MAX_PICTURE = 25 * 1024 * 1024
"""Bytes of one uploaded picture."""
MAX_CLIP = 50 * 1024 * 1024
"""Bytes of one video to begin with."""
MAX_LINK = 20_971_520
"""Characters of `image_url`, data URI included (OpenAI's API description)."""
MAX_URL = 8192
MAX_ID = 200


class Upload(Struct, frozen=True, kw_only=True):
    """A file that came with the request. `chunks` gives its bytes from the start each time it is called.

    `mime` was read from the bytes; None when they are nothing we know. `name` is the client's name for the file,
    where it has one. `clip` is what an MP4 says of itself.
    """

    mime: str | None
    sha256: str
    size: int
    chunks: Callable[[], AsyncIterator[bytes]]
    name: str = ""
    clip: Clip | None = None


class Filed(Struct, frozen=True, kw_only=True):
    """A file that was uploaded before, by its id; `field` is where that was said."""

    id: str
    field: str


def picture(name: str, value: object, *, text: bool) -> tuple[str | None, Upload | Filed | None]:
    """Where a picture is: a link that the provider follows, or bytes that are here; both may be None.

    `name` is the field's, for messages; `text` allows the link to stand there without an object around it.
    """
    if isinstance(value, Mapping):
        if "file_id" in value and "image_url" in value:
            message = f"`{name}` has both `image_url` and `file_id`; send one of them."
            raise InvalidRequest(message, code="mutually_exclusive", param=name)
        if "file_id" in value:
            field = f"{name}.file_id"
            return None, Filed(id=_id(field, value["file_id"], "a file"), field=field)
        name, value = f"{name}.image_url", value.get("image_url")
    elif isinstance(value, str) and not text:
        message = f"Invalid type for '{name}': expected a file, but got a string instead."
        raise InvalidRequest(message, code="invalid_type", param=name)
    if value is None:
        return None, None
    if isinstance(value, Upload):
        return None, checked_picture(value, name)
    if isinstance(value, str) and value.startswith("data:"):
        return None, checked_picture(_inline(value, name), name)
    if isinstance(value, str) and value.startswith("https://") and len(value) <= MAX_URL:
        return value, None
    message = f"`{name}` must be an uploaded picture, an https:// link, or a data: URI."
    raise InvalidRequest(message, param=name)


class Source(Struct, frozen=True, kw_only=True):
    """Where a video to begin with is: the `id` of one of ours, a `link` that we follow, or a `file` that came along.

    `field` is where that was said.
    """

    field: str
    id: str | None = None
    link: str | None = None
    file: Upload | None = None


def source(name: str, value: object, *, text: bool) -> Source:
    """The video in a field: {id} of one of ours or an MP4 that came along; with `text` also a link or an id.

    Raises InvalidRequest.
    """
    if isinstance(value, Mapping):
        return Source(field=name, id=_id(f"{name}.id", value.get("id")))
    if isinstance(value, Upload):
        return Source(field=name, file=checked_clip(value, name))
    if text and isinstance(value, str):
        if name == "previous_job_id":
            return Source(field=name, id=_id(name, value))
        if value.startswith("data:"):
            return Source(field=name, file=checked_clip(_inline(value, name), name))
        if value.startswith("https://") and len(value) <= MAX_URL:
            return Source(field=name, link=value)
    code = "missing_required_parameter" if value is None else "invalid_type"
    ways = "an uploaded MP4, or {id} of a video"
    raise InvalidRequest(
        f"`{name}` must be {ways}{', an https:// link, or a data: URI' if text else ''}.",
        code=code,
        param=name,
    )


def checked_clip(upload: Upload, name: str) -> Upload:
    """An upload that is an MP4. Raises InvalidRequest."""
    if upload.clip is None:
        found = upload.mime or "something else"
        message = f"`{name}` must be an MP4 that says how long and how large it is; the bytes are {found}."
        raise InvalidRequest(message, code="invalid_video", param=name)
    return upload


def _id(name: str, value: object, what: str = "a video") -> str:
    if isinstance(value, str) and 0 < len(value) <= MAX_ID:
        return value
    raise InvalidRequest(f"`{name}` must be the id of {what}.", code="invalid_type", param=name)


def checked_picture(upload: Upload, name: str) -> Upload:
    """An upload that is a picture. Raises InvalidRequest."""
    if upload.mime not in PICTURES:
        found = upload.mime or "something else"
        message = f"`{name}` must be a PNG, JPEG or WebP picture; the bytes are {found}."
        raise InvalidRequest(message, code="invalid_image", param=name)
    return upload


def _inline(uri: str, name: str) -> Upload:
    head, comma, text = uri.partition(",")
    if len(uri) > MAX_LINK or not comma or not head.endswith(";base64"):
        message = f"`{name}` must be a base64 data: URI of at most {MAX_LINK} characters."
        raise InvalidRequest(message, param=name)
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise InvalidRequest(f"`{name}` is not valid base64.", param=name) from error

    async def chunks() -> AsyncIterator[bytes]:
        yield data

    mime = media_type(data)
    found = clip(lambda at, count: data[at : at + count], len(data)) if mime == "video/mp4" else None
    digest = hashlib.sha256(data).hexdigest()
    return Upload(mime=mime, sha256=digest, size=len(data), chunks=chunks, clip=found)
