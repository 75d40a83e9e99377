"""Reads a streamed answer in OpenAI's dialect: bytes for the client, facts for the gateway.

Theory of operation. Nearly every event can be passed on as the bytes that came, so the clean shape is a type
(`_Seen`): one typed decode says whether an event has it and gives the facts. What does not fit the type, or
contradicts what the stream said before (a role twice, a tool index out of order, another id), goes the slow
way: decoded whole, mended, encoded again. Both ways share the state below, so they may alternate.

Usage is always asked for upstream. It is a fact on the chunk that carried it; the client sees it as one chunk
of its own after everything else, and only when it asked: the bytes that came where they are just that, else
one made at the end from the last usage seen.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from providers.chat import mending
from providers.chat.openai_calls import CallDelta, Calls, function_of
from providers.sse import Event
from providers.types import ChatRequest, Chunk, Quirks, Target, Usage, encode

Filled: TypeAlias = Annotated[str, Meta(min_length=1)]
Finish: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]


class _Delta(Struct, gc=False):
    role: str | None = None
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[CallDelta] | None = None
    reasoning_details: list[Any] | None = None
    function_call: dict[str, Any] | None = None
    audio: dict[str, Any] | None = None
    reasoning: None = None
    reasoning_text: None = None


class _Choice(Struct, gc=False):
    index: int
    delta: _Delta
    finish_reason: Finish | None = None
    usage: None = None


class _Groq(Struct, gc=False):
    usage: None = None


class _Seen(Struct, gc=False):
    """An event in the clean shape. A field of type None must be absent or null: otherwise mend."""

    id: Filled
    object: Literal["chat.completion.chunk"]
    created: int
    model: Filled
    choices: list[_Choice]
    usage: dict[str, Any] | None = None
    error: None = None
    x_groq: _Groq | None = None


_decode = msgspec.json.Decoder(_Seen).decode

_NOTICEABLE = (
    "content", "tool_calls", "reasoning_content", "refusal", "reasoning_details", "function_call", "audio"
)  # fmt: skip
"""What a client would notice in a delta."""


class Stream:
    """A `ChatStream` for one answer."""

    __slots__ = (
        "_blank", "_calls", "_choices", "_created", "_done", "_ended", "_finishes", "_id", "_model", "_owed",
        "_request", "_roles",
    )  # fmt: skip

    def __init__(self, request: ChatRequest, target: Target) -> None:
        self._request = request
        quirks = target.quirks or Quirks()
        self._finishes = quirks.finish
        self._choices = 1 if "n" in quirks.force or "n" in quirks.drop else _choices(request)
        self._ended: set[int] = set()
        self._id = ""
        self._created = request.created
        self._model = target.model
        self._roles: set[int] = set()
        self._calls: dict[int, Calls] = {}
        self._blank: set[int] = set()
        self._done = False
        self._owed: dict[str, Any] | None = None

    def feed(self, event: Event, /) -> Sequence[Chunk]:
        """At most one chunk. Raises PROTOCOL for what is not JSON, and the provider's error for an error."""
        data = event.data
        try:
            seen = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return self._mend(event)
        choices = seen.choices
        if len(choices) != 1 or seen.usage is not None or seen.id != self._id or b"\n" in data:
            return self._unusual(event, seen)
        choice = choices[0]
        delta, finish = choice.delta, choice.finish_reason
        known = choice.index in self._roles
        if known is (delta.role is not None):  # a role must come first, and once
            return self._mend(event)
        if (delta.tool_calls or finish == "stop") and not self._fits(choice):
            return self._mend(event)
        if not known:
            self._roles.add(choice.index)
        content = finish is not None or _noticeable(delta)
        last = None if finish is None else self._last(choice.index, finish)
        return (Chunk(data=data, content=content, finish_reason=last, model=seen.model, id=seen.id),)

    def end(self) -> Sequence[Chunk]:
        """What is still owed: a finish that was only hinted at, and usage that came beside something else."""
        chunks = []
        if self._done:
            for index in sorted(self._blank):  # xAI says "" where it means the finish
                word = "tool_calls" if index in self._calls else "stop"
                choice = {"index": index, "delta": {}, "finish_reason": word}
                chunks.append(self._chunk({"choices": [choice]}, finish=word))
        if self._owed is not None and self._request.include_usage:
            chunks.append(self._chunk({"choices": [], "usage": self._owed}))
        return chunks

    def _unusual(self, event: Event, seen: _Seen) -> Sequence[Chunk]:
        """The first event, and those about usage: still the bytes that came where they are right."""
        if not self._id and seen.choices:
            self._id, self._created, self._model = seen.id, seen.created, seen.model
            return self.feed(event)
        if not seen.choices and seen.usage is not None and seen.id == self._id:
            read = mending.read_usage(seen.usage)
            if mending.mended_usage(seen.usage, read) is seen.usage:
                self._owed = None
                data = event.data if self._request.include_usage else b""
                return (Chunk(data=data, usage=read, model=seen.model, id=seen.id),)
        return self._mend(event)

    def _last(self, index: int, finish: str) -> str | None:
        """The finish reason once every choice has one: until then the answer is not complete."""
        self._ended.add(index)
        return finish if self._all_ended() else None

    def _all_ended(self) -> bool:
        return len(self._ended) >= max(self._choices, len(self._roles))

    def _fits(self, choice: _Choice) -> bool:
        deltas = choice.delta.tool_calls
        calls = self._calls.get(choice.index)
        if choice.finish_reason == "stop" and (deltas or calls):
            return False  # the finish must say tool_calls
        if not deltas:
            return True
        return self._calls.setdefault(choice.index, calls or Calls()).fit(deltas)

    def _mend(self, event: Event) -> Sequence[Chunk]:
        """The slow way: whatever can be understood, said as OpenAI says it."""
        if event.data.strip().startswith(b"[DONE]"):
            self._done = True
            if (
                self._ended and not self._all_ended()
            ):  # a provider that makes fewer choices than were asked for
                return (Chunk(data=b"", finish_reason="stop"),)
            return ()
        if event.name == "error":
            raise mending.error_in(event.data)
        body = mending.decode_object(event.data)
        usage = mending.take_usage(body)
        read = mending.read_usage(usage) if usage else None
        if usage and read:
            self._owed = mending.mended_usage(usage, read)
        choices = mending.objects(body.get("choices"))
        body["choices"] = [choice for choice in choices if self._mend_choice(choice, event.data)]
        if not body["choices"]:
            return [Chunk(data=b"", usage=read, id=self._id, model=self._model)] if read else []
        if not self._id:
            self._start(body, event.data)
        finishes = [choice["finish_reason"] for choice in body["choices"] if choice.get("finish_reason")]
        content = bool(finishes) or any(_says_something(choice["delta"]) for choice in body["choices"])
        finish = None
        for choice in body["choices"]:
            if choice.get("finish_reason"):
                finish = self._last(choice["index"], choice["finish_reason"])
        return [self._chunk(body, content=content, usage=read, finish=finish)]

    def _start(self, body: dict[str, Any], data: bytes) -> None:
        """Take down what every chunk repeats, making up what the provider left out."""
        mending.fill_frame(body, self._request.created, self._model, data)
        self._id, self._created, self._model = body["id"], body["created"], body["model"]

    def _mend_choice(self, choice: dict[str, Any], data: bytes) -> bool:
        """Mend one choice in place; false when it says nothing."""
        index = choice.get("index")
        index = choice["index"] = index if isinstance(index, int) else 0
        known = index in self._roles
        delta = choice.get("delta")
        if not isinstance(delta, dict):  # MiniMax ends with the whole message; Azure tells of its filter
            message = choice.pop("message", None)
            delta = message if isinstance(message, dict) and not known else {}
        delta.pop("role", None)
        mending.mend_text(delta)
        self._mend_calls(index, delta, data)
        finish = choice.get("finish_reason")
        self._blank.discard(index)
        if finish == "":
            self._blank.add(index)
        choice["finish_reason"] = None
        if finish:
            choice["finish_reason"] = mending.finish_of(finish, self._finishes, called=index in self._calls)
        says = any(delta.values()) or bool(finish or choice.get("logprobs"))
        if not (says or (not known and "content" in delta)):
            return False
        self._roles.add(index)
        choice["delta"] = delta if known else {"role": "assistant", **delta}
        return True

    def _mend_calls(self, index: int, delta: dict[str, Any], data: bytes) -> None:
        """Number the calls, and let each say its id and name once."""
        mended = mending.objects(delta.pop("tool_calls", None))
        if not mended:
            return
        calls = self._calls.setdefault(index, Calls())
        for call in mended:
            mending.mend_arguments(call)
            call["index"], opened = calls.place(call)
            if opened:
                call["id"] = call.get("id") or mending.made_up_id("call_", data, call["index"])
                call.setdefault("type", "function")
            else:
                call.pop("id", None)
                function_of(call).pop("name", None)
        delta["tool_calls"] = mended

    def _chunk(
        self,
        body: dict[str, Any],
        *,
        content: bool = False,
        usage: Usage | None = None,
        finish: str | None = None,
    ) -> Chunk:
        frame = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
        }
        if self._request.include_usage:
            body.setdefault("usage", None)
        return Chunk(
            data=encode({**body, **frame}),
            content=content or finish is not None,
            usage=usage,
            finish_reason=finish,
            model=self._model,
            id=self._id,
        )


def _choices(request: ChatRequest) -> int:
    wanted = msgspec.json.decode(request.body["n"]) if "n" in request.body else 1
    return wanted if isinstance(wanted, int) else 1


def _noticeable(delta: _Delta) -> bool:
    """Whether a client would notice the delta."""
    return bool(
        delta.content
        or delta.tool_calls
        or delta.reasoning_content
        or delta.refusal
        or delta.reasoning_details
        or delta.function_call
        or delta.audio
    )


def _says_something(delta: dict[str, Any]) -> bool:
    return any(delta.get(name) for name in _NOTICEABLE)
