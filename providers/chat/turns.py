"""OpenAI `messages` as a list of turns in which every tool call has its result.

Theory of operation. Messages are read in order. An assistant message with tool calls opens them; the tool
messages that follow answer them, also when a user message came in between. The next assistant message, or
the end, closes what is open: the results become one `tool` turn right behind the calls, in the order of the
calls, and a call that nobody answered (the agent was interrupted) gets the result "[interrupted]", because
most providers refuse an unpaired call. A result whose call is nowhere is left out and reported.

Ids are made to fit the provider's alphabet and to be unique over the whole history: after a failover the
history mixes ids of several providers, and some providers count from zero in every answer. Call and result
are renamed together, so nobody outside this module needs the map.

Legacy forms are folded on the way: `function_call` is a tool call, role `function` its result, arguments
given as an object are encoded.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from providers.chat.parts import Part, Text, invalid, read_content, read_texts
from providers.types import Json, Media, encode

INTERRUPTED = "[interrupted]"
TOOL_ERROR = "[tool error] "
"""What the Messages surface puts before a failed tool's result, since OpenAI's has no mark for it."""


class ToolCall(Struct, frozen=True, kw_only=True):
    """A call the model made. `arguments` is JSON text; a custom tool's input stands in `{"input": ...}`.

    `extra` is the call's `extra_content` as the client or provider gave it, opaque.
    """

    id: str
    name: str
    arguments: str
    extra: Json = {}


class ToolResult(Struct, frozen=True, kw_only=True):
    """What a tool answered; `name` is the tool's. `error` is true when the tool failed or never ran."""

    id: str
    name: str
    parts: Sequence[Part]
    error: bool = False


class Turn(Struct, frozen=True, kw_only=True):
    """One message. `role` is system, user, assistant or tool; only a tool turn has `results`, and only those.

    An assistant's `reasoning` holds its `reasoning_details` (CHAT_WIRE 1.7), opaque, each to be given back
    only to the provider whose `format` it names.
    """

    role: str
    parts: Sequence[Part] = ()
    calls: Sequence[ToolCall] = ()
    results: Sequence[ToolResult] = ()
    reasoning: Sequence[Json] = ()


class IdRule(Struct, frozen=True, kw_only=True):
    """Which tool-call ids a provider takes: `allowed` is the inside of a character class."""

    allowed: str = "a-zA-Z0-9_-"
    longest: int = 64

    def fit(self, wanted: str) -> str:
        """`wanted` if the provider takes it, else something like it that differs for different input."""
        if len(wanted) <= self.longest and re.fullmatch(f"[{self.allowed}]+", wanted):
            return wanted
        clean = re.sub(f"[^{self.allowed}]", "_", wanted)[: self.longest - 9]
        return f"{clean}_{hashlib.sha256(wanted.encode()).hexdigest()[:8]}"


class _Open(Struct):
    """A call that waits for its result, under the id the client knows it by."""

    client_id: str
    call: ToolCall
    result: ToolResult | None = None


def read_turns(messages: object, ids: IdRule, media: Mapping[str, Media]) -> tuple[list[Turn], list[str]]:
    """The turns, and what of the messages had to be left out (names like `messages[3]`).

    Raises INVALID_REQUEST naming the place. Neighbours of one role are not merged yet (`merge_neighbours`).
    """
    if not isinstance(messages, list) or not messages:
        raise invalid("messages", "must be an array with at least one message.")
    reader = _Reader(ids, media)
    for index, message in enumerate(messages):
        reader.read(message, index)
    reader.close()
    return reader.turns, reader.left_out


def arguments_object(call: ToolCall) -> dict[str, Any]:
    """A call's arguments as an object: "" is none; what is not a JSON object is kept under `_raw`."""
    if not call.arguments.strip():
        return {}
    try:
        value = msgspec.json.decode(call.arguments)
    except msgspec.DecodeError:
        value = None
    return value if isinstance(value, dict) else {"_raw": call.arguments}


def merge_neighbours(messages: Sequence[dict[str, Any]], content: str) -> list[dict[str, Any]]:
    """Messages that alternate: neighbours of one `role` become one, their lists under `content` joined."""
    merged: list[dict[str, Any]] = []
    for message in messages:
        if merged and merged[-1]["role"] == message["role"]:
            merged[-1] = {**message, content: [*merged[-1][content], *message[content]]}
        else:
            merged.append(message)
    return merged


class _Reader:
    """Reads the messages of one request in order."""

    def __init__(self, ids: IdRule, media: Mapping[str, Media]) -> None:
        self.turns: list[Turn] = []
        self.left_out: list[str] = []
        self._ids = ids
        self._media = media
        self._used: set[str] = set()
        self._open: list[_Open] = []
        self._place = 0

    def read(self, message: object, index: int) -> None:
        """Add one message."""
        param = f"messages[{index}]"
        if not isinstance(message, dict):
            raise invalid(param, "must be an object with a `role`.")
        role = message.get("role")
        if not isinstance(role, str) or role not in _ROLES:
            raise invalid(f"{param}.role", f"{role!r} is not one of {', '.join(_ROLES)}.")
        if message.get("name") and role != "function" and "messages[].name" not in self.left_out:
            self.left_out.append("messages[].name")
        _ROLES[role](self, message, index)

    def close(self) -> None:
        """Put the results of the open calls behind them."""
        if self._open:
            results = [one.result or _interrupted(one.call) for one in self._open]
            self.turns.insert(self._place, Turn(role="tool", results=results))
            self._open = []

    def system(self, message: Json, index: int) -> None:
        """A system or developer message."""
        self._add(Turn(role="system", parts=read_texts(message.get("content"), f"messages[{index}].content")))

    def user(self, message: Json, index: int) -> None:
        """A user's message."""
        parts = read_content(message.get("content"), f"messages[{index}].content", self._media)
        self._add(Turn(role="user", parts=parts))

    def assistant(self, message: Json, index: int) -> None:
        """An assistant's message with its calls."""
        self.close()
        param = f"messages[{index}]"
        parts = read_texts(message.get("content"), f"{param}.content")
        if isinstance(message.get("refusal"), str) and message["refusal"]:
            parts.append(Text(message["refusal"]))
        self._open = [self._opened(call, param, place) for place, call in enumerate(_calls(message, param))]
        calls = [one.call for one in self._open]
        self._add(Turn(role="assistant", parts=parts, calls=calls, reasoning=_reasoning(message)))
        self._place = len(self.turns)

    def tool(self, message: Json, index: int) -> None:
        """A tool's result, or a function's by name."""
        param = f"messages[{index}]"
        parts = read_content(message.get("content"), f"{param}.content", self._media)
        error = bool(parts) and isinstance(parts[0], Text) and parts[0].text.startswith(TOOL_ERROR)
        if error and isinstance(parts[0], Text):
            parts[0] = Text(parts[0].text.removeprefix(TOOL_ERROR) or TOOL_ERROR.strip(), parts[0].cache)
        for one in self._open:
            if one.result is None and _answers(message, one):
                one.result = ToolResult(id=one.call.id, name=one.call.name, parts=parts, error=error)
                return
        self.left_out.append(param)

    def _add(self, turn: Turn) -> None:
        if turn.parts or turn.calls or turn.reasoning:
            self.turns.append(turn)

    def _opened(self, call: object, param: str, place: int) -> _Open:
        param = f"{param}.tool_calls[{place}]"
        if not isinstance(call, dict):
            raise invalid(param, "must be an object.")
        custom = call.get("type") == "custom"
        field = "custom" if custom else "function"
        function = call.get(field)
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(function, dict) or not isinstance(name, str) or not name:
            raise invalid(f"{param}.{field}.name", "must be the name of the tool that was called.")
        given = {"input": function.get("input") or ""} if custom else function.get("arguments")
        arguments = given if isinstance(given, str) else encode(given or {}).decode()
        client_id = call.get("id") if isinstance(call.get("id"), str) else ""
        extra = call.get("extra_content") if isinstance(call.get("extra_content"), dict) else {}
        unique = self._unique(client_id or f"call_{param}")
        found = ToolCall(id=unique, name=name, arguments=arguments, extra=extra or {})
        return _Open(client_id or "", found)

    def _unique(self, wanted: str) -> str:
        fitting = self._ids.fit(wanted)
        turn = 1
        while fitting in self._used:
            turn += 1
            fitting = self._ids.fit(f"{wanted}#{turn}")
        self._used.add(fitting)
        return fitting


_ROLES: Mapping[str, Callable[[_Reader, Json, int], None]] = {
    "system": _Reader.system,
    "developer": _Reader.system,
    "user": _Reader.user,
    "assistant": _Reader.assistant,
    "tool": _Reader.tool,
    "function": _Reader.tool,
}


def _answers(message: Json, one: _Open) -> bool:
    if message["role"] == "function":
        return message.get("name") == one.call.name
    return message.get("tool_call_id") == one.client_id


def _interrupted(call: ToolCall) -> ToolResult:
    return ToolResult(id=call.id, name=call.name, parts=(Text(INTERRUPTED),), error=True)


def _calls(message: Json, param: str) -> list[object]:
    calls = message.get("tool_calls")
    if calls is None:
        legacy = message.get("function_call")
        return [] if legacy is None else [{"type": "function", "function": legacy}]
    if not isinstance(calls, list):
        raise invalid(f"{param}.tool_calls", "must be an array.")
    return calls


def _reasoning(message: Json) -> list[Json]:
    """The details; one that a stream left without its text gets it from `reasoning_content`.

    Our own streams send the text once, as `reasoning_content`, and the first block's signature without it.
    """
    details = message.get("reasoning_details")
    if not isinstance(details, list):
        return []
    details = [detail for detail in details if isinstance(detail, dict)]
    plain = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(plain, str):
        known = "".join(detail["text"] for detail in details if isinstance(detail.get("text"), str))
        for place, detail in enumerate(details):
            if detail.get("type") == "reasoning.text" and "text" not in detail:
                details[place] = {**detail, "text": plain.removesuffix(known)}
                break
    return details
