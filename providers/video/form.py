"""Writes a multipart form, with files or without: the same parts give the same bytes."""

import hashlib
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Raw

from providers.types import Media, encode


def form(fields: Mapping[str, Raw], files: Sequence[tuple[str, Media]] = ()) -> tuple[str, bytes]:
    """Content type and body of a form (RFC 7578): `fields` as text, then the files under their names.

    The boundary is a hash of what it separates, so that no content can hold its own boundary.
    """
    parts = [(f'name="{field}"', _text(raw)) for field, raw in fields.items()]
    for name, file in files:
        filename = f"{name}.{file.mime.rpartition('/')[2]}"
        parts.append((f'name="{name}"; filename="{filename}"\r\ncontent-type: {file.mime}', file.data))
    boundary = hashlib.sha256(encode(parts)).hexdigest().encode()
    body = b"".join(
        b"--%b\r\ncontent-disposition: form-data; %b\r\n\r\n%b\r\n" % (boundary, head.encode(), content)
        for head, content in parts
    )
    return f"multipart/form-data; boundary={boundary.decode()}", body + b"--%b--\r\n" % boundary


def _text(raw: Raw) -> bytes:
    """A field's value as a form carries it: text without its quotes, everything else as JSON."""
    value = msgspec.json.decode(raw)
    return value.encode() if isinstance(value, str) else bytes(raw)
