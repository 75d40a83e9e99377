"""A mock upstream, faster than any gateway: `python -m benchmarks.upstream PORT`.

Speaks chat completions. Knobs ride in the request's body: `max_tokens` is the number of streamed chunks and
`seed` the milliseconds before the first byte or between chunks. Each chunk's content carries the time it was
sent (`@<monotonic nanoseconds>;`), so that a load generator on the same machine can tell a chunk's one-way
delay through any gateway that keeps content.
"""

import asyncio
import json
import re
import sys
import time
from typing import cast

import uvloop

_TEXT = "The quick brown gateway forwards another request to the provider. " * 9
_BODY = json.dumps(
    {
        "id": "chatcmpl-mock",
        "object": "chat.completion",
        "created": 1_763_600_000,
        "model": "mock-model-1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": _TEXT, "refusal": None, "annotations": []},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 200,
            "completion_tokens": 120,
            "total_tokens": 320,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
        "service_tier": "default",
        "system_fingerprint": "fp_0",
    }
).encode()
_REPLY = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(_BODY),
    _BODY,
)
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_CHUNKS = re.compile(rb'"max_(?:completion_)?tokens": ?(\d+)')
_DELAY = re.compile(rb'"seed": ?(\d+)')
_STREAM = re.compile(rb'"stream": ?true')
_CHUNK = (
    b'{"id":"chatcmpl-mock","object":"chat.completion.chunk","created":1763600000,"model":"mock-model-1",'
    b'"system_fingerprint":"fp_0","choices":[{"index":0,"delta":%b,"logprobs":null,"finish_reason":%b}]}'
)
_USAGE = (
    b'{"id":"chatcmpl-mock","object":"chat.completion.chunk","created":1763600000,"model":"mock-model-1",'
    b'"choices":[],"usage":{"prompt_tokens":200,"completion_tokens":%d,"total_tokens":%d}}'
)


def _event(data: bytes) -> bytes:
    text = b"data: %b\n\n" % data
    return b"%x\r\n%b\r\n" % (len(text), text)


class Mock(asyncio.Protocol):
    """One connection; requests on it are answered in order."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A gateway connects."""
        self._transport = cast("asyncio.Transport", transport)
        self._waiting = b""

    def data_received(self, data: bytes) -> None:
        """Bytes of requests; answers every whole one."""
        waiting = self._waiting + data
        while (end := waiting.find(b"\r\n\r\n")) >= 0:
            found = _LENGTH.search(waiting, 0, end + 2)
            whole = end + 4 + (int(found[1]) if found else 0)
            if len(waiting) < whole:
                break
            self._answer(waiting[end + 4 : whole])
            waiting = waiting[whole:]
        self._waiting = waiting

    def _answer(self, body: bytes) -> None:
        delay = _DELAY.search(body)
        seconds = int(delay[1]) / 1000 if delay else 0.0
        if _STREAM.search(body):
            chunks = _CHUNKS.search(body)
            task = asyncio.ensure_future(self._stream(int(chunks[1]) if chunks else 100, seconds))
            task.add_done_callback(lambda done: done.exception())
        elif seconds:
            asyncio.get_running_loop().call_later(seconds, self._transport.write, _REPLY)
        else:
            self._transport.write(_REPLY)

    async def _stream(self, chunks: int, gap: float) -> None:
        write = self._transport.write
        write(_HEAD)
        due = time.monotonic()
        for _ in range(chunks):
            if gap:
                due += gap
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            write(_event(_CHUNK % (b'{"content":"@%d;"}' % time.monotonic_ns(), b"null")))
        write(_event(_CHUNK % (b"{}", b'"stop"')))
        write(_event(_USAGE % (chunks, chunks + 200)))
        write(_event(b"[DONE]") + b"0\r\n\r\n")


async def serve(port: int) -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(Mock, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
