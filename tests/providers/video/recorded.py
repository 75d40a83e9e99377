"""What the tests of several video dialects look at: bodies and forms that go out, answers that say nothing."""

import io
import json
from typing import Any

import pytest
from multipart import parse_form_data  # type: ignore[import-untyped]  # it has no types

from providers.adapter import VideoAdapter
from providers.errors import ErrorKind, ProviderError
from providers.types import HttpRequest, HttpResponse, Media
from tests.providers.video.wire import FIRST, LAST, asked

REQUEST = asked()
LINK = Media(role="first_frame", mime="", url=FIRST)
LAST_LINK = Media(role="last_frame", mime="", url=LAST)
REFERENCE = Media(role="reference_image", mime="", url="https://assets.example.com/cat.png")
PICTURE = Media(role="first_frame", mime="image/png", data=b"\x89PNG")


def body(request: HttpRequest) -> Any:
    """The JSON that goes out."""
    return json.loads(request.body)


def form(request: HttpRequest) -> tuple[dict[str, str], dict[str, tuple[str, str, bytes]]]:
    """The texts and the files of a form, read by somebody else's parser."""
    environ = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": request.headers["content-type"],
        "CONTENT_LENGTH": str(len(request.body)),
        "wsgi.input": io.BytesIO(request.body),
    }
    forms, files = parse_form_data(environ, strict=True)
    return dict(forms), {name: (part.filename, part.content_type, part.raw) for name, part in files.items()}


def broken(adapter: VideoAdapter) -> None:
    """Hold that answers that say nothing are told from answers that say something."""
    for said in (b"", b"null", b"<html>", b"{}", b"\xff", b'{"id":7,"task_id":7,"request_id":7}', b"[]"):
        for read in (adapter.video_created, adapter.video_update):
            with pytest.raises(ProviderError) as raised:
                read(HttpResponse(status=200, headers={}, body=said))
            assert raised.value.kind is ErrorKind.PROTOCOL
