"""What an upstream that speaks OpenAI's API says, byte by byte, for `tests.transport.faulty.Faulty`."""

import json

from tests.transport.faulty import answer, chunked

JSON = {"content-type": "application/json"}
EVENTS = {"content-type": "text/event-stream"}
USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
DONE = b"data: [DONE]\n\n"


def completion(text: str = "Hi there!", **more: object) -> bytes:
    """A whole chat answer."""
    message = {"role": "assistant", "content": text, "refusal": None}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "up-1-2026",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": USAGE,
        **more,
    }
    return answer(json.dumps(body).encode(), headers=JSON)


def refusal(status: str, text: str = "no", code: str | None = None, **headers: str) -> bytes:
    """An error answer; `status` with its phrase."""
    body = {"error": {"message": text, "type": "some_error", "param": None, "code": code}}
    return answer(json.dumps(body).encode(), status, {**JSON, **headers})


def event(delta: dict[str, object], finish: str | None = None, **more: object) -> bytes:
    """One chunk of a stream."""
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "up-1-2026",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **more,
    }
    return b"data: " + json.dumps(body).encode() + b"\n\n"


BEGINNING = (event({"role": "assistant", "content": ""}), event({"content": "One "}))
ENDING = (
    event({"content": "two"}),
    event({}, "stop"),
    event({}, choices=[], usage=USAGE),
    DONE,
)
WHOLE = BEGINNING + ENDING


def stream(*pieces: bytes) -> bytes:
    """A whole streamed answer; without pieces, the usual one."""
    return chunked(*(pieces or WHOLE), headers=EVENTS)


def first_part(*pieces: bytes) -> bytes:
    """The beginning of a streamed answer; without pieces, up to its first word, and `last_part` completes it."""
    return stream(*(pieces or BEGINNING)).removesuffix(b"0\r\n\r\n")


def last_part() -> bytes:
    """The rest of a streamed answer."""
    return stream(*ENDING).partition(b"\r\n\r\n")[2]
