"""One answer of sixty words, and every failure, as each chat dialect says it (CHAT_WIRE part 2, 2026-11-20)."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct

WORDS = 60
TOKENS = ["one", *(f" word-{number}" for number in range(2, WORDS + 1))]
"""The answer as it is streamed: a token a word."""
ANSWER = "".join(TOKENS)
ASKED = 20
"""Input tokens of the question; what was said before and is handed back counts a token a word."""


class Failure(Struct, frozen=True):
    """An error of a provider: its status, and its name in OpenAI's, Anthropic's and Gemini's words."""

    status: int
    openai: str
    anthropic: str
    gemini: str
    message: str


FAILURES: Mapping[str, Failure] = {
    "rate": Failure(429, "rate_limit_exceeded", "rate_limit_error", "RESOURCE_EXHAUSTED", "Slow down."),
    "boom": Failure(500, "server_error", "api_error", "INTERNAL", "Something went wrong."),
    "busy": Failure(503, "server_is_overloaded", "overloaded_error", "UNAVAILABLE", "Overloaded."),
    "context": Failure(
        400, "context_length_exceeded", "invalid_request_error", "INVALID_ARGUMENT",
        "The prompt is too long: reduce the length of the messages.",
    ),
    "policy": Failure(
        400, "content_policy_violation", "invalid_request_error", "INVALID_ARGUMENT",
        "This prompt was flagged as potentially violating the usage policy: weapons.",
    ),
    "prefill": Failure(
        400, "invalid_value", "invalid_request_error", "INVALID_ARGUMENT",
        "This model does not support assistant message prefill.",
    ),
}  # fmt: skip


class Speech(Protocol):
    """How one dialect puts things. Events are whole, each with its blank line."""

    def begin(self, model: str, asked: int) -> Sequence[bytes]:
        """What a stream says before its first token."""

    def token(self, text: str) -> bytes:
        """One token."""

    def end(self, asked: int, said: int) -> Sequence[bytes]:
        """The finish and the usage."""

    def mark(self) -> bytes:
        """What says that the stream is over; empty where only its end does."""

    def whole(self, model: str, text: str, asked: int, said: int) -> bytes:
        """An answer that is not streamed."""

    def error(self, failure: Failure) -> bytes:
        """The body of an error."""

    def error_event(self, failure: Failure) -> bytes:
        """The same in the middle of a stream."""


class OpenAI:
    """OpenAI's chat completions."""

    def __init__(self) -> None:
        self._model = ""

    def begin(self, model: str, asked: int) -> Sequence[bytes]:  # noqa: ARG002 - as in every dialect
        self._model = model
        return [self._chunk({"role": "assistant", "content": ""})]

    def token(self, text: str) -> bytes:
        return self._chunk({"content": text})

    def end(self, asked: int, said: int) -> Sequence[bytes]:
        return [self._chunk({}, "stop"), self._event(choices=[], usage=_openai_usage(asked, said))]

    def mark(self) -> bytes:
        return b"data: [DONE]\n\n"

    def whole(self, model: str, text: str, asked: int, said: int) -> bytes:
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        return _json(
            id=f"chatcmpl-{model}",
            object="chat.completion",
            created=1,
            model=model,
            choices=[choice],
            usage=_openai_usage(asked, said),
        )

    def error(self, failure: Failure) -> bytes:
        kind = "invalid_request_error" if failure.status == 400 else "server_error"
        return _json(error={"message": failure.message, "type": kind, "param": None, "code": failure.openai})

    def error_event(self, failure: Failure) -> bytes:
        return b"data: %b\n\n" % self.error(failure)

    def _chunk(self, delta: Mapping[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return self._event(choices=[choice], usage=None)

    def _event(self, **fields: Any) -> bytes:
        frame = {"id": f"chatcmpl-{self._model}", "object": "chat.completion.chunk", "created": 1}
        return b"data: %b\n\n" % _json(**frame, model=self._model, **fields)


class Anthropic:
    """Anthropic's messages."""

    def begin(self, model: str, asked: int) -> Sequence[bytes]:
        message = {"id": f"msg_{model}", "type": "message", "role": "assistant", "model": model}
        message |= {"content": [], "stop_reason": None, "usage": {"input_tokens": asked, "output_tokens": 1}}
        return [
            self._event("message_start", message=message),
            self._event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
            self._event("ping"),
        ]

    def token(self, text: str) -> bytes:
        return self._event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})

    def end(self, asked: int, said: int) -> Sequence[bytes]:  # noqa: ARG002 - as in every dialect
        usage = {"output_tokens": said}
        return [
            self._event("content_block_stop", index=0),
            self._event("message_delta", delta={"stop_reason": "end_turn"}, usage=usage),
        ]

    def mark(self) -> bytes:
        return self._event("message_stop")

    def whole(self, model: str, text: str, asked: int, said: int) -> bytes:
        usage = {"input_tokens": asked, "output_tokens": said}
        content = [{"type": "text", "text": text}]
        frame = {"id": f"msg_{model}", "type": "message", "role": "assistant", "model": model}
        return _json(**frame, content=content, stop_reason="end_turn", usage=usage)

    def error(self, failure: Failure) -> bytes:
        return _json(type="error", error={"type": failure.anthropic, "message": failure.message})

    def error_event(self, failure: Failure) -> bytes:
        return b"event: error\ndata: %b\n\n" % self.error(failure)

    def _event(self, name: str, **fields: Any) -> bytes:
        return b"event: %b\ndata: %b\n\n" % (name.encode(), _json(type=name, **fields))


class Gemini:
    """Gemini's generateContent."""

    def __init__(self) -> None:
        self._model = ""

    def begin(self, model: str, asked: int) -> Sequence[bytes]:  # noqa: ARG002 - as in every dialect
        self._model = model
        return []

    def token(self, text: str) -> bytes:
        return b"data: %b\n\n" % self.whole(self._model, text, 0, 0, finish=None)

    def end(self, asked: int, said: int) -> Sequence[bytes]:
        return [b"data: %b\n\n" % self.whole(self._model, "", asked, said)]

    def mark(self) -> bytes:
        return b""

    def whole(self, model: str, text: str, asked: int, said: int, finish: str | None = "STOP") -> bytes:
        candidate = {"index": 0, "content": {"role": "model", "parts": [{"text": text}]}}
        usage = {"promptTokenCount": asked, "candidatesTokenCount": said, "totalTokenCount": asked + said}
        return _json(
            candidates=[candidate | ({"finishReason": finish} if finish else {})],
            modelVersion=model,
            responseId=f"g-{model}",
            **({"usageMetadata": usage} if finish else {}),
        )

    def error(self, failure: Failure) -> bytes:
        return _json(error={"code": failure.status, "message": failure.message, "status": failure.gemini})

    def error_event(self, failure: Failure) -> bytes:
        return b"data: %b\n\n" % self.error(failure)


SPEECHES: Mapping[str, type[Speech]] = {"openai": OpenAI, "anthropic": Anthropic, "gemini": Gemini}


def tokens_after(said: str) -> Sequence[str]:
    """The rest of the answer for a model that is shown what was `said`; all of it when that was not ours."""
    rest = ANSWER[len(said) :] if said and ANSWER.startswith(said) else ANSWER
    return re.findall(r"\s*\S+", rest)


def _openai_usage(asked: int, said: int) -> Mapping[str, int]:
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


def _json(**fields: Any) -> bytes:
    return json.dumps(fields).encode()
