"""How content parts are read: text, pictures, files, sound, and the marks on them."""

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.chat.parts import Attachment, Text, read_content, read_texts, sniff, split_data_uri
from providers.errors import ErrorKind, ProviderError
from providers.types import Media

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


def one(part: dict[str, Any], media: dict[str, Media] | None = None) -> Text | Attachment:
    return read_content([part], "messages[0].content", media or {})[0]


@settings(deadline=None)
@given(data=st.binary(min_size=1), mime=st.sampled_from(["", "image/png", "text/plain;charset=utf-8"]))
def test_a_data_uri_gives_back_its_bytes(data: bytes, mime: str) -> None:
    found, text = split_data_uri(f"data:{mime};base64,{base64.b64encode(data).decode()}", "here")
    assert base64.b64decode(text) == data
    assert found == (sniff(data) or mime.partition(";")[0])


def test_a_data_uri_without_base64_is_turned_into_it() -> None:
    assert split_data_uri("data:text/plain,a%20b", "here") == (
        "text/plain",
        base64.b64encode(b"a b").decode(),
    )


@pytest.mark.parametrize(
    ("head", "mime"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\0\0\0\0WAVEfmt ", "audio/wav"),
        (b"%PDF-1.7", "application/pdf"),
        (b"\0\0\0\x18ftypmp42", "video/mp4"),
        (b"hello", ""),
    ],
)
def test_the_first_bytes_tell_what_it_is(head: bytes, mime: str) -> None:
    assert sniff(head) == mime


def test_bytes_that_were_fetched_take_the_place_of_their_link() -> None:
    url = "https://example.com/a.png"
    fetched = {url: Media(role="reference_image", mime="image/png", data=PNG)}
    part = one({"type": "image_url", "image_url": {"url": url}}, fetched)
    assert isinstance(part, Attachment)
    assert (part.url, part.mime, base64.b64decode(part.data)) == ("", "image/png", PNG)


@pytest.mark.parametrize(
    ("part", "kind", "mime"),
    [
        ({"type": "image_url", "image_url": "https://example.com/a"}, "image", ""),
        ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}}, "audio", "audio/mp3"),
        (
            {"type": "file", "file": {"file_data": base64.b64encode(b"%PDF-1").decode()}},
            "file",
            "application/pdf",
        ),
        ({"type": "file", "file": {"file_data": "https://example.com/a.pdf"}}, "file", ""),
        ({"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}, "video", ""),
    ],
)
def test_the_forms_in_which_clients_attach_things(part: dict[str, Any], kind: str, mime: str) -> None:
    found = one(part)
    assert isinstance(found, Attachment)
    assert (found.kind, found.mime) == (kind, mime)


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        ({"prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}}, "12h"),
        ({"cache_control": {"type": "ephemeral"}}, ""),
        ({}, None),
    ],
)
def test_cache_marks_are_kept_on_the_part(mark: dict[str, Any], expected: str | None) -> None:
    assert one({"type": "text", "text": "x", **mark}) == Text("x", expected)


def test_empty_texts_are_left_out() -> None:
    assert read_content([{"type": "text", "text": ""}, "x"], "here", {}) == [Text("x")]


@pytest.mark.parametrize(
    ("part", "kind", "param"),
    [
        ({"type": "image_url", "image_url": {"url": "ftp://x"}}, ErrorKind.INVALID_REQUEST, "image_url.url"),
        ({"type": "image_url"}, ErrorKind.INVALID_REQUEST, "image_url.url"),
        ({"type": "image_url", "image_url": "data:x"}, ErrorKind.INVALID_REQUEST, "image_url.url"),
        ({"type": "image_url", "image_url": "data:;base64,?"}, ErrorKind.INVALID_REQUEST, "image_url.url"),
        ({"type": "input_audio"}, ErrorKind.INVALID_REQUEST, "input_audio"),
        ({"type": "file", "file": {}}, ErrorKind.INVALID_REQUEST, "file.file_id"),
        ({"type": "hologram"}, ErrorKind.UNSUPPORTED, "type"),
    ],
)
def test_a_wrong_part_is_named(part: dict[str, Any], kind: ErrorKind, param: str) -> None:
    with pytest.raises(ProviderError) as caught:
        one(part)
    assert (caught.value.kind, caught.value.param) == (kind, f"messages[0].content[0].{param}")


def test_system_messages_hold_text_only() -> None:
    with pytest.raises(ProviderError, match="text only"):
        read_texts([{"type": "image_url", "image_url": "https://example.com/a"}], "messages[0].content")
