"""Hostile bytes at the door, on raw sockets: one clear answer at most, never a 500, never a second, smuggled one."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.api import edge
from gateway.app import Gateway
from gateway.commands import server
from gateway.config.settings import read
from tests.running import KEY, serving
from tests.system.process import demo, environment

BODY = b'{"model": "demo", "messages": [{"role": "user", "content": "hi"}]}'
HOST = b"host: x\r\n"
KEYED = b"authorization: Bearer %b\r\n" % KEY.encode()
CLOSE = b"connection: close\r\n"
SECOND = b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
CHAT = b"POST /v1/chat/completions HTTP/1.1\r\n"
LENGTH = b"content-length: %d\r\n" % len(BODY)


class Answer(NamedTuple):
    """One answer on the wire; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code of an error in OpenAI's form; fails for any other body."""
        assert self.headers["content-type"] == "application/json"
        error = json.loads(self.body)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert not re.search(r"Traceback|File \"|\.py", error["message"])
        return str(error["code"])


class Door:
    """A gateway on the server it is shipped with."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def say(self, *pieces: bytes, seconds: float = 5.0) -> list[Answer]:
        """Send bytes; every answer until the gateway closes the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            with contextlib.suppress(ConnectionError):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
            async with asyncio.timeout(seconds):
                return answers(await _all(reader))
        finally:
            writer.transport.abort()

    async def ask(self, line: bytes, *fields: bytes, body: bytes = b"") -> Answer:
        """One well-formed request with a key, and its answer."""
        length = b"content-length: %d\r\n" % len(body) if body else b""
        head = line + b" HTTP/1.1\r\n" + HOST + KEYED + CLOSE + length + b"".join(fields)
        (answer,) = await self.say(head + b"\r\n" + body)
        return answer


async def _all(reader: asyncio.StreamReader) -> bytes:
    got = bytearray()
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(65536):
            got += piece
    return bytes(got)


def answers(data: bytes) -> list[Answer]:
    """Split what came into answers."""
    found = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)
        }
        if headers.get("transfer-encoding") == "chunked":
            body, _, data = data.partition(b"0\r\n\r\n")
        else:
            size = int(headers.get("content-length", 0))
            body, data = data[:size], data[size:]
        status = re.fullmatch(r"HTTP/1\.1 (\d{3}) ?.*", line)
        assert status is not None, line
        found.append(Answer(int(status[1]), headers, body))
    return found


@contextlib.asynccontextmanager
async def door(folder: Path) -> AsyncIterator[Door]:
    """A gateway whose model `demo` answers by itself."""
    env = environment(folder)
    config = folder / "fairlead.yaml"
    config.write_text(demo())
    gateway = Gateway(read(env, config), env)
    async with serving(server.configured(gateway.asgi, 1, gateway.gate)) as port:
        yield Door(port)


def chunks(*pieces: bytes) -> bytes:
    """A chunked body."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


REFUSED = {
    # what: a request that is refused, with a second one behind it that must not be answered
    "two hosts": CHAT + HOST + HOST + LENGTH + b"\r\n" + BODY + SECOND,
    "two different hosts": CHAT + HOST + b"Host: evil\r\n" + LENGTH + b"\r\n" + BODY + SECOND,
    "no host": CHAT + LENGTH + b"\r\n" + BODY + SECOND,
    "empty host": CHAT + b"host:\r\n" + LENGTH + b"\r\n" + BODY + SECOND,
    "no host in 1.0": b"GET /livez HTTP/1.0\r\n\r\n",
    "length and chunks": CHAT + HOST + LENGTH + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n" + SECOND,
    "chunks and length": CHAT
    + HOST
    + b"transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n"
    + SECOND,
    "two lengths": CHAT + HOST + LENGTH + b"content-length: 3\r\n\r\n" + BODY + SECOND,
    "the same length twice": CHAT + HOST + LENGTH + LENGTH + b"\r\n" + BODY + SECOND,
    "lengths in a list": CHAT + HOST + b"content-length: 3, 3\r\n\r\nabc" + SECOND,
    "signed length": CHAT + HOST + b"content-length: +3\r\n\r\nabc" + SECOND,
    "negative length": CHAT + HOST + b"content-length: -3\r\n\r\nabc" + SECOND,
    "hexadecimal length": CHAT + HOST + b"content-length: 0x3\r\n\r\nabc" + SECOND,
    "endless length": CHAT + HOST + b"content-length: " + b"9" * 30 + b"\r\n\r\nabc" + SECOND,
    "chunked in disguise": CHAT + HOST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n" + SECOND,
    "chunked and more": CHAT + HOST + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n" + SECOND,
    "bad chunk size": CHAT
    + HOST
    + KEYED
    + b"transfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n"
    + SECOND,
    "chunk size with LF": CHAT
    + HOST
    + KEYED
    + b"transfer-encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n"
    + SECOND,
    "folded header": CHAT + HOST + b"x-one: a\r\n b\r\n" + LENGTH + b"\r\n" + BODY + SECOND,
    "folded length": CHAT + HOST + b"content-length:\r\n 3\r\n\r\nabc" + SECOND,
    "bare LF": b"GET /livez HTTP/1.1\nhost: x\n\n" + SECOND,
    "bare LF in a header": b"GET /livez HTTP/1.1\r\nhost: x\nx-two: b\r\n\r\n" + SECOND,
    "bare CR in a header": b"GET /livez HTTP/1.1\r\nhost: x\rx-two: b\r\n\r\n" + SECOND,
    "NUL in a header": b"GET /livez HTTP/1.1\r\nhost: x\r\nx: a\x00b\r\n\r\n" + SECOND,
    "space before the colon": CHAT + HOST + b"content-length : 3\r\n\r\nabc" + SECOND,
    "no name": CHAT + HOST + b": 3\r\n\r\nabc" + SECOND,
    "name with a space": CHAT + HOST + b"content length: 3\r\n\r\nabc" + SECOND,
    "HTTP/3.0": b"GET /livez HTTP/3.0\r\nhost: x\r\n\r\n" + SECOND,
    "HTTP/2's beginning": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no version": b"GET /livez\r\n\r\n",
    "not HTTP": b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
    "TLS": bytes.fromhex("16030100a5010000a10303") + b"\x00" * 32 + b"\r\n\r\n",
    "bytes in the path": b"GET /v1/\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n" + SECOND,
    "unknown method": b"BREW /livez HTTP/1.1\r\nhost: x\r\n\r\n" + SECOND,
    "101 headers": CHAT + HOST + b"".join(b"x-%d: 1\r\n" % n for n in range(100)) + b"\r\n" + SECOND,
    "40 kB of headers": CHAT + HOST + b"x: " + b"a" * 40_000 + b"\r\n\r\n" + SECOND,
    "a head of a megabyte": CHAT + HOST + b"x: " + b"a" * 1_000_000 + b"\r\n\r\n" + SECOND,
    "a path of a megabyte": b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n" + SECOND,
}


async def test_what_is_ambiguous_or_unreadable_is_refused_once_and_the_connection_ends(tmp_path: Path):
    async with door(tmp_path) as gateway:
        told = {what: await gateway.say(data) for what, data in REFUSED.items()}
        assert (await gateway.ask(b"GET /livez")).status == 200
    wrong = {
        what: got
        for what, got in told.items()
        if len(got) != 1 or not 400 <= got[0].status < 500 or got[0].headers.get("connection") != "close"
    }
    assert not wrong
    codes = {what: got[0].code for what, got in told.items()}
    assert set(codes.values()) <= {"bad_host", "bad_framing", "bad_request", "headers_too_large"}
    assert codes["two hosts"] == codes["no host"] == "bad_host"
    assert {told[what][0].status for what in ("101 headers", "40 kB of headers", "a head of a megabyte")} == {
        431
    }


async def test_good_requests_in_one_piece_are_answered_in_order(tmp_path: Path):
    one = CHAT + HOST + KEYED + LENGTH + b"\r\n" + BODY
    other = b"GET /v1/models HTTP/1.1\r\n" + HOST + KEYED + b"\r\n"
    async with door(tmp_path) as gateway:
        got = await gateway.say(one + other + one + SECOND)
    assert [answer.status for answer in got] == [200] * 4
    assert [json.loads(answer.body).get("object") for answer in got] == [
        "chat.completion",
        "list",
        "chat.completion",
        None,
    ]


async def test_a_body_may_come_in_chunks_byte_by_byte_and_after_a_100_continue(tmp_path: Path):
    head = CHAT + HOST + KEYED + CLOSE + b"expect: 100-continue\r\n"
    async with door(tmp_path) as gateway:
        chunked = await gateway.say(head + b"transfer-encoding: chunked\r\n\r\n" + chunks(BODY[:9], BODY[9:]))
        slow = await gateway.say(
            *(bytes((byte,)) for byte in CHAT + HOST + KEYED + CLOSE + LENGTH + b"\r\n" + BODY)
        )
    assert [answer.status for answer in chunked] == [100, 200]
    assert [answer.status for answer in slow] == [200]


async def test_whoever_is_slow_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(edge, "BODY_IDLE_SECONDS", 0.2)
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.2)
    async with door(tmp_path) as gateway:
        half = CHAT + HOST + KEYED + LENGTH + b"\r\n" + BODY[:20]
        body, *silent = await asyncio.gather(
            gateway.say(half),
            gateway.say(),
            gateway.say(CHAT + HOST),
            gateway.say(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\nGET /livez HT"),
        )
    assert [(answer.status, answer.code) for answer in body] == [(408, "request_timeout")]
    assert [len(got) for got in silent] == [0, 0, 1]


async def test_an_endless_head_is_not_gathered(tmp_path: Path):
    async with door(tmp_path) as gateway:
        got = await gateway.say(CHAT + HOST, *(b"x-%d: %b\r\n" % (n, b"a" * 5000) for n in range(1000)))
    assert [answer.code for answer in got] in (["headers_too_large"], [])  # a reset may outrun the answer


async def test_a_body_that_is_too_large_is_refused(tmp_path: Path):
    size = edge.MAX_JSON_BODY + 1
    async with door(tmp_path) as gateway:
        whole = await gateway.ask(b"POST /v1/chat/completions", body=b"[" + b" " * size)
        head = CHAT + HOST + KEYED + CLOSE + b"transfer-encoding: chunked\r\n\r\n"
        (chunked,) = await gateway.say(head + chunks(*[b" " * 1_000_000] * 34))
    assert [(one.status, one.code) for one in (whole, chunked)] == [(413, "request_too_large")] * 2


async def test_garbage_behind_a_stream_does_not_get_into_it(tmp_path: Path):
    body = BODY.replace(b"{", b'{"stream": true, ', 1)
    head = CHAT + HOST + KEYED + b"content-length: %d\r\n\r\n" % len(body)
    async with door(tmp_path) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway._port)
        writer.write(head + body)
        got = await reader.readuntil(b"data: ")
        writer.write(b"\x00garbage\r\n\r\n")
        async with asyncio.timeout(5):
            got += await _all(reader)
        writer.close()
    assert got.count(b"HTTP/1.1 ") == 1
    assert b"[DONE]" not in got


async def test_http_1_0_is_answered_and_closed(tmp_path: Path):
    async with door(tmp_path) as gateway:
        (answer,) = await gateway.say(b"GET /livez HTTP/1.0\r\nhost: x\r\n\r\n")
        upgrade = b"connection: upgrade, close\r\nupgrade: %b\r\n\r\n"
        for protocol in (b"websocket", b"h2c"):
            got = await gateway.say(b"GET /livez HTTP/1.1\r\nhost: x\r\n" + upgrade % protocol)
            assert [one.status for one in got] == [200]
    assert answer.status == 200
    assert json.loads(answer.body) == {"status": "ok"}


UNKNOWN = (
    b"/", b"/v1", b"/v1/", b"/v1/none", b"/v1/chat", b"/v1/chat/completions/", b"/V1/models",
    b"/v1/models/none", b"/v1/models/../../livez", b"/../../etc/passwd", b"/v1/%2e%2e/livez",
    b"/v1/models/%2e%2e/%2e%2e/etc/passwd", b"/%00", b"/v1/models/%00", b"/%ff%fe", b"/v1/models/%ff",
    b"/%c0%ae%c0%ae/", b"/v1/models/" + b"a" * 5000, b"/" + b"a/" * 2000, b"/v1/models/a%0d%0ax-evil:%201",
    b"http://evil/v1/none", b"/?a=" + b"b" * 5000, b"/metrics/..%2f", b"/openapi.json%20",
)  # fmt: skip


async def test_unknown_paths_are_404_in_openais_form(tmp_path: Path):
    async with door(tmp_path) as gateway:
        for path in UNKNOWN:
            answer = await gateway.ask(b"GET " + path)
            assert (answer.status, answer.code in {"not_found", "model_not_found"}) == (404, True), path
            assert "x-evil" not in answer.headers


async def test_a_path_in_other_letters_is_the_same_path_and_needs_the_same_key(tmp_path: Path):
    same = (
        b"/v1/chat/completions",
        b"/v1/%63hat/completions",
        b"/v1/chat%2fcompletions",
        b"http://evil/v1/chat/completions",
    )
    async with door(tmp_path) as gateway:
        for path in same:
            assert (await gateway.ask(b"POST " + path, body=BODY)).status == 200
            (stranger,) = await gateway.say(
                b"POST " + path + b" HTTP/1.1\r\n" + HOST + CLOSE + LENGTH + b"\r\n" + BODY
            )
            assert (stranger.status, stranger.code) == (401, "invalid_api_key")


METHODS = (b"GET", b"PUT", b"PATCH", b"DELETE", b"TRACE", b"PROPFIND", b"LOCK", b"SEARCH")


async def test_other_methods_are_405_and_say_which_are_allowed(tmp_path: Path):
    async with door(tmp_path) as gateway:
        for method in METHODS:
            answer = await gateway.ask(method + b" /v1/chat/completions")
            assert (answer.status, answer.code, answer.headers["allow"]) == (
                405,
                "method_not_allowed",
                "POST",
            ), method
        for path in (b"/v1/models", b"/livez", b"/openapi.json"):
            for method in (b"POST", b"TRACE", *METHODS[1:4]):
                answer = await gateway.ask(method + b" " + path)
                assert (answer.status, answer.code) == (405, "method_not_allowed"), (method, path)
                assert "GET" in answer.headers["allow"]


async def test_head_and_options_have_no_body_and_break_nothing(tmp_path: Path):
    paths = (b"/v1/chat/completions", b"/v1/models", b"/livez", b"/metrics", b"/v1/none", b"*")
    async with door(tmp_path) as gateway:
        for path in paths:
            head = await gateway.say(b"HEAD " + path + b" HTTP/1.1\r\n" + HOST + KEYED + CLOSE + b"\r\n")
            options = await gateway.say(
                b"OPTIONS " + path + b" HTTP/1.1\r\n" + HOST + KEYED + CLOSE + b"\r\n"
            )
            assert len(head) == len(options) == 1 or head[0].body == b"", path
            assert head[0].status in {200, 400, 404, 405}, path
            assert options[0].status in {200, 204, 400, 404, 405}, path


BODIES = {
    b"": "invalid_json",
    b"\x00": "invalid_json",
    b"\xff\xfe": "invalid_json",
    b"{": "invalid_json",
    b"null": "invalid_type",
    b"[]": "invalid_type",
    b'"text"': "invalid_type",
    b"[" * 100_000: None,
    b'{"a":' * 100_000: None,
    b'{"model":' * 5_000: None,
    b'{"model": "demo", "messages": [{"role": "user", "content": "\xff"}]}': None,
    b'{"model": "demo", "messages": ' + b"9" * 5000 + b"}": "invalid_type",
    b'{"model": "demo", "messages": [{"role": "user"}], "max_tokens": 1e400}': None,
    b'{"model": "demo\\u0000", "messages": [{"role": "user", "content": "x"}]}': "model_not_found",
    b'{"model": "\\ud800", "messages": [{"role": "user", "content": "x"}]}': None,
    b'{"model": "demo/a\\r\\nx-evil: 1", "messages": [{"role": "user", "content": "x"}]}': "model_not_found",
}
"""Bodies and the code they are refused with; None where any 4xx will do."""


async def test_bodies_that_make_no_sense_are_refused_clearly(tmp_path: Path):
    async with door(tmp_path) as gateway:
        for body, code in BODIES.items():
            answer = await gateway.ask(
                b"POST /v1/chat/completions", b"content-type: application/json\r\n", body=body
            )
            assert 400 <= answer.status < 500, body[:60]
            assert answer.code == (code or answer.code), body[:60]
            assert "x-evil" not in answer.headers
