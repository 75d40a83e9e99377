"""Builds what an OpenAI client reads: a whole completion, or the chunks of a stream, from a dialect's pieces.

Shapes and order are CHAT_WIRE 1.5 and 1.6. What the request asked for changes how calls look (`Shape`): a
custom tool was sent as a function and is unwrapped, the stand-in tool for a response format becomes the
content, and a client that used `functions` gets a `function_call`. Dialects need not know which applies.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from providers.chat.canonical import JSON_TOOL
from providers.chat.turns import ToolCall
from providers.types import ChatRequest, Chunk, Completion, Json, Usage, encode


class Shape(Struct, frozen=True, kw_only=True):
    """How calls are shown.

    `custom` are the names of custom tools; `json_tool` is true when JSON_TOOL was put in the place of a
    response format; `legacy` when the client offered `functions`.
    """

    custom: frozenset[str] = frozenset()
    json_tool: bool = False
    legacy: bool = False


class Choice(Struct, frozen=True, kw_only=True):
    """One answer. `finish` is OpenAI's reason; calls made turn `stop` into `tool_calls` by themselves."""

    finish: str
    index: int = 0
    text: str | None = None
    refusal: str | None = None
    reasoning: str = ""
    details: Sequence[Json] = ()
    calls: Sequence[ToolCall] = ()
    annotations: Sequence[Json] = ()
    logprobs: Json | None = None


class Answer(Struct, frozen=True, kw_only=True):
    """A whole answer of an upstream: its own id and model name, its choices and what it used."""

    id: str
    model: str
    choices: Sequence[Choice]
    usage: Usage | None = None


def shape(request: ChatRequest, *, json_tool: bool = False) -> Shape:
    """How the answer to this request must look; `json_tool` says that the request forced JSON_TOOL."""
    names: frozenset[str] = frozenset()
    raw = request.body.get("tools")
    if raw is not None and b'"custom"' in bytes(raw):
        tools = msgspec.json.decode(raw)
        names = frozenset(tool["custom"]["name"] for tool in tools if tool.get("type") == "custom")
    return Shape(custom=names, json_tool=json_tool, legacy="functions" in request.body)


def completion(request: ChatRequest, answer: Answer, shape: Shape) -> Completion:
    """The completion a client gets, with its facts. The first choice's finish is the fact."""
    choices = [_choice(choice, shape) for choice in answer.choices]
    body: dict[str, Any] = {
        "id": _client_id(answer.id),
        "object": "chat.completion",
        "created": request.created,
        "model": answer.model,
        "choices": choices,
    }
    if answer.usage is not None:
        body["usage"] = answer.usage.openai()
    return Completion(
        body=encode(body),
        model=answer.model,
        id=body["id"],
        usage=answer.usage,
        finish_reason=choices[0]["finish_reason"] if choices else None,
    )


def _choice(choice: Choice, shape: Shape) -> dict[str, Any]:
    shown = [call for call in choice.calls if not (shape.json_tool and call.name == JSON_TOOL)]
    text = choice.text
    if len(shown) < len(choice.calls):
        text = next(call.arguments for call in choice.calls if call not in shown)
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": choice.refusal}
    if choice.reasoning:
        message["reasoning_content"] = choice.reasoning
    if choice.details:
        message["reasoning_details"] = choice.details
    if choice.annotations:
        message["annotations"] = choice.annotations
    if shown and shape.legacy:
        message["function_call"] = {"name": shown[0].name, "arguments": shown[0].arguments}
    elif shown:
        message["tool_calls"] = [_call(call, shape) for call in shown]
    return {
        "index": choice.index,
        "message": message,
        "logprobs": choice.logprobs,
        "finish_reason": _finish(choice.finish, called=bool(shown), legacy=shape.legacy),
    }


def _call(call: ToolCall, shape: Shape) -> dict[str, Any]:
    extra = {"extra_content": call.extra} if call.extra else {}
    if call.name in shape.custom:
        custom = {"name": call.name, "input": _free_text(call.arguments)}
        return {"id": call.id, "type": "custom", "custom": custom, **extra}
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function, **extra}


def _free_text(arguments: str) -> str:
    """The text a custom tool was called with; the arguments as they are when the model ignored the schema."""
    try:
        text = msgspec.json.decode(arguments)["input"]
    except (msgspec.DecodeError, KeyError, TypeError):
        return arguments
    return text if isinstance(text, str) else arguments


def _finish(reason: str, *, called: bool, legacy: bool) -> str:
    if reason not in ("stop", "tool_calls"):
        return reason
    if not called:
        return "stop"
    return "function_call" if legacy else "tool_calls"


def _client_id(upstream: str) -> str:
    return upstream if upstream.startswith("chatcmpl-") else f"chatcmpl-{upstream}"


class _Call(Struct):
    """A call of the stream: its place among the calls shown (-1: not shown as such), and what came of it."""

    id: str
    name: str
    index: int
    content: bool = False
    custom: bool = False
    fragments: list[str] = []


class ChunkBuilder:
    """Makes the chunks of one streamed answer (one choice). Call `begin` first; then `role` comes first.

    Tool calls are told apart by a `key` of the dialect's choosing (a block's index, a call's id); the index
    a client sees is dense from 0 in the order of `tool_start`, and id and name are sent once.
    """

    def __init__(self, request: ChatRequest, shape: Shape) -> None:
        self._created = request.created
        self._include_usage = request.include_usage
        self._shape = shape
        self._calls: dict[object, _Call] = {}
        self._shown = 0
        self._id = self._model = ""
        self._head = b""
        self._tail = b'}],"usage":null}' if request.include_usage else b"}]}"

    def begin(self, upstream_id: str, model: str) -> None:
        """Fix the id and model name that every chunk carries."""
        self._id, self._model = _client_id(upstream_id), model
        known = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": model,
        }
        self._head = encode(known)[:-1]

    def role(self) -> Chunk:
        """The first chunk; it holds nothing a client would notice."""
        return self._chunk({"role": "assistant", "content": ""}, content=False)

    def text(self, text: str) -> Chunk:
        """A piece of the answer."""
        return self._chunk({"content": text})

    def refusal(self, text: str) -> Chunk:
        """A piece of the model's refusal."""
        return self._chunk({"refusal": text})

    def reasoning(self, text: str) -> Chunk:
        """A piece of reasoning in plain text."""
        return self._chunk({"reasoning_content": text})

    def details(self, *details: Json) -> Chunk:
        """Opaque reasoning to be given back next time (CHAT_WIRE 1.7).

        Each needs an `index`, dense over the stream: the official stream reader fails without one.
        """
        return self._chunk({"reasoning_details": details})

    def annotations(self, *annotations: Json) -> Chunk:
        """Citations of the answer's text, all at once: the official stream reader fails on a second list."""
        return self._chunk({"annotations": annotations})

    def tool_start(self, key: object, call_id: str, name: str, extra: Json | None = None) -> list[Chunk]:
        """A call begins; `extra` is its `extra_content`."""
        content = self._shape.json_tool and name == JSON_TOOL
        call = _Call(call_id, name, -1 if content else self._shown, content, name in self._shape.custom, [])
        self._calls[key] = call
        if content:
            return []
        self._shown += 1
        if self._shape.legacy:
            return [self._chunk({"function_call": {"name": name, "arguments": ""}})] if not call.index else []
        if call.custom:
            return []
        start = {"index": call.index, "id": call_id, "type": "function"}
        return [self._tool({**start, "function": {"name": name, "arguments": ""}}, extra)]

    def tool_arguments(self, key: object, fragment: str) -> list[Chunk]:
        """A piece of a call's arguments; empty pieces and those of unknown calls give nothing."""
        call = self._calls.get(key)
        if call is None or not fragment:
            return []
        call.fragments.append(fragment)
        if call.content:
            return [self.text(fragment)]
        if self._shape.legacy:
            return [self._chunk({"function_call": {"arguments": fragment}})] if not call.index else []
        if call.custom:
            return []
        return [self._tool({"index": call.index, "function": {"arguments": fragment}})]

    def tool_end(self, key: object) -> list[Chunk]:
        """A call is whole: without any arguments they are "{}"; a custom call is sent now, in one chunk."""
        call = self._calls.get(key)
        if call is None:
            return []
        if call.custom and not self._shape.legacy:
            custom = {"name": call.name, "input": _free_text("".join(call.fragments))}
            return [self._tool({"index": call.index, "id": call.id, "type": "custom", "custom": custom})]
        return [] if call.fragments else self.tool_arguments(key, "{}")

    def finish(self, reason: str) -> Chunk:
        """The chunk that ends the choice; calls made turn `stop` into `tool_calls`."""
        reason = _finish(reason, called=self._shown > 0, legacy=self._shape.legacy)
        data = self._data({}, encode(reason))
        return Chunk(data=data, content=True, finish_reason=reason, id=self._id, model=self._model)

    def usage(self, usage: Usage) -> Chunk:
        """The last chunk; only a fact for the gateway when the client did not ask for it."""
        shown = (self._head, b',"choices":[],"usage":', encode(usage.openai()), b"}")
        data = b"".join(shown) if self._include_usage else b""
        return Chunk(data=data, usage=usage, id=self._id, model=self._model)

    def _tool(self, call: Mapping[str, Any], extra: Json | None = None) -> Chunk:
        return self._chunk({"tool_calls": [{**call, "extra_content": extra} if extra else call]})

    def _chunk(self, delta: Json, *, content: bool = True) -> Chunk:
        return Chunk(data=self._data(delta, b"null"), content=content, id=self._id, model=self._model)

    def _data(self, delta: Json, finish: bytes) -> bytes:
        middle = b',"logprobs":null,"finish_reason":'
        opening = b',"choices":[{"index":0,"delta":'
        return b"".join((self._head, opening, encode(delta), middle, finish, self._tail))
