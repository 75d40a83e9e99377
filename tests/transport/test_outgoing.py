"""Requests as bytes: framed once, by us, and nothing in them can break out of its place."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.transport.outgoing import Origin, encode, locate
from providers.errors import ErrorKind, ProviderError
from providers.types import HttpRequest

OWN_LINES = ("POST", "host", "user-agent", "accept-encoding", "content-length")


def head(method: str = "POST", url: str = "http://a.example/v1", body: bytes = b"", **headers: str) -> str:
    request = HttpRequest(method=method, url=url, headers=headers, body=body)
    return encode(request)[1].decode("latin-1")


def test_a_request_is_written_in_full() -> None:
    written = head(body=b"{}", url="https://API.example:8443/v1/x?q=a b", authorization="Bearer k")
    assert written == (
        "POST /v1/x?q=a%20b HTTP/1.1\r\nhost: api.example:8443\r\nuser-agent: "
        + written.split("user-agent: ")[1].split("\r\n")[0]
        + "\r\naccept-encoding: identity\r\ncontent-length: 2\r\nauthorization: Bearer k\r\n\r\n"
    )


def test_the_length_is_told_but_for_a_get_without_a_body() -> None:
    assert "content-length: 0\r\n" in head("POST")
    assert "content-length" not in head("GET")
    assert "content-length: 1\r\n" in head("GET", body=b"x")


@pytest.mark.parametrize(
    "name", ["Host", "content-length", "Transfer-Encoding", "CONNECTION", "user-agent", "Accept-Encoding"]
)
def test_what_frames_a_message_is_ours_alone(name: str) -> None:
    written = head(**{name: "chunked"})
    assert "chunked" not in written
    assert len(re.findall(rf"(?i)^{name}:", written, re.MULTILINE)) <= 1


@pytest.mark.parametrize("method", ["HEAD", "CONNECT", "get", "POST /x HTTP/1.1\r\nx:", ""])
def test_methods_that_are_framed_differently_or_unknown_are_refused(method: str) -> None:
    with pytest.raises(ProviderError, match="method") as caught:
        head(method)
    assert (caught.value.kind, caught.value.sent) == (ErrorKind.UNAVAILABLE, False)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/v1",
        "a.example/v1",
        "ftp://a.example",
        "http://",
        "http://me:secret@a.example/",
        "http://a:99999/",
        "http://a:0/",
        "http://a:-1/",
        "http://[::1/",
        "http://a.example/\r\nx: y",
        "http://a.example\r\nx: y/",
        "file:///etc/secret",
    ],
)
def test_a_url_that_leads_nowhere_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ProviderError, match="URL") as caught:
        head(url=url)
    assert (caught.value.kind, caught.value.sent) == (ErrorKind.UNAVAILABLE, False)
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://a.example", Origin("http", "a.example", 80)),
        ("https://A.Example/x#y", Origin("https", "a.example", 443)),
        ("https://a.example:443", Origin("https", "a.example", 443)),
        ("http://[2001:DB8::1]:81/", Origin("http", "2001:db8::1", 81)),
        ("https://bücher.example/", Origin("https", "xn--bcher-kva.example", 443)),
    ],
)
def test_urls_of_one_origin_share_connections(url: str, origin: Origin) -> None:
    assert locate(url)[0] == origin


def written_or_refused(headers: dict[str, str]) -> bytes | None:
    request = HttpRequest(method="POST", url="http://a.example/v1", headers=headers)
    try:
        return encode(request)[1]
    except ProviderError:
        return None


@given(st.dictionaries(st.text(max_size=12), st.text(max_size=20), max_size=5))
def test_whatever_the_headers_hold_they_stay_one_line_each(headers: dict[str, str]) -> None:
    written = written_or_refused(headers)
    if written is not None:
        *lines, end, rest = written.split(b"\r\n")
        assert all(re.fullmatch(rb"[!-9;-~]+: [^\r\n\0]*", line) for line in lines[1:])
        assert len(lines) <= len(OWN_LINES) + len(headers)
        assert (end, rest) == (b"", b"")


@given(st.text(alphabet="ab\r\n\0: \t", max_size=12), st.text(alphabet="ab\r\n\0: \t", max_size=12))
def test_a_value_never_becomes_a_header_of_its_own(name: str, value: str) -> None:
    written = written_or_refused({name: value})
    assert written is None or written.count(b"\n") == len(OWN_LINES) + 2
