"""What a glance takes for one whole request: never less, never more, and no trace of what it saw before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.commands.glance import Glance

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\n"
WHOLE = HEAD + b"Connection: keep-alive\r\nContent-Length: 7\r\n\r\n" + b'{"a":1}'
OTHERS = {
    "two": WHOLE + WHOLE,
    "one and a beginning": WHOLE + b"POST",
    "closing": HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}",
    "chunked": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "length and chunks": HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "the old version": HEAD.replace(b"1.1", b"1.0")
    + b"Connection: keep-alive\r\nContent-Length: 2\r\n\r\n{}",
    "another protocol": HEAD + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "noise": b"\x16\x03\x01",
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_only_one_whole_request_is_one(other: bytes):
    glance = Glance()
    assert glance.is_whole(WHOLE)
    assert not glance.is_whole(other)
    assert glance.is_whole(WHOLE)


@given(st.integers(1, len(WHOLE) - 1))
def test_no_part_of_a_request_is_taken_for_one_nor_for_the_beginning_of_the_next(at: int):
    glance = Glance()
    assert not glance.is_whole(WHOLE[:at])
    assert not glance.is_whole(WHOLE[at:])
    assert glance.is_whole(WHOLE)
