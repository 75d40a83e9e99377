"""Shared ground of all dialects that translate: an OpenAI chat request, read, checked and made uniform.

How a translating adapter works (CHAT_WIRE 2.0), and where the pieces are:

    prompt = canonical.read(request, IdRule(...))   this module: legacy names folded, tools, format, params
        prompt.turns                                turns.py: messages in which every tool call has a result
        turn.parts                                  parts.py: Text and Attachment
    ...the dialect's own mapping...                 merge_neighbours (turns.py) where roles must alternate
    dropped = canonical.left_out(prompt, KNOWN)     what could not be told, for HttpRequest.dropped
    ...
    completion(...) / ChunkBuilder(...)             answers.py: the answer as OpenAI JSON

Wrong input raises INVALID_REQUEST (`parts.invalid`), what a dialect cannot express UNSUPPORTED
(`parts.unsupported`), both with `param`.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec import Struct

from providers.chat.parts import Attachment, Text, invalid, read_cache, unsupported
from providers.chat.turns import IdRule, ToolCall, Turn, read_turns
from providers.types import ChatRequest, Json

JSON_TOOL = "json_response"
"""The tool that stands in for a response format where the provider has none; its call becomes the content."""

CUSTOM_SCHEMA: Json = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}
"""Arguments of a custom (free text) tool, sent as a function; `answers` takes the text out again."""

BOOKKEEPING = frozenset(
    (
        "model",
        "stream",
        "stream_options",
        "safety_identifier",
        "metadata",
        "store",
        "service_tier",
        "moderation",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
    )
)
"""Fields whose loss changes nothing in the answer: dropped without a word (CHAT_WIRE 0.2 and part 3)."""

MEANING = frozenset(("n", "logprobs", "top_logprobs", "audio", "modalities", "web_search_options"))
"""Fields without which the answer would be another one: who does not know them is no candidate."""

_NEUTRAL: Mapping[str, Sequence[object]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "modalities": (["text"],),
    "logit_bias": ({},),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
}
"""Values that ask for nothing."""


class Tool(Struct, frozen=True, kw_only=True):
    """A tool on offer. `schema` is JSON Schema of its arguments, of type object; `custom` takes free text."""

    name: str
    schema: Json
    description: str = ""
    strict: bool | None = None
    custom: bool = False
    cache: str | None = None


class ToolChoice(Struct, frozen=True, kw_only=True):
    """`mode` is none, auto, required or named; `name` is the tool's when named."""

    mode: str
    name: str = ""


class Format(Struct, frozen=True, kw_only=True):
    """The wanted form of the answer: `kind` is text, json_object or json_schema; only that has the rest."""

    kind: str = "text"
    name: str = ""
    description: str = ""
    schema: Json = {}
    strict: bool = False


class Prompt(Struct, frozen=True, kw_only=True):
    """A whole chat request. `system` are the texts before the first other message; later ones are turns.

    `tools` are those that may be called: `allowed_tools` was applied. `choice` and `parallel` are None when
    the client left them open. `params` holds every other top-level field that is not null, under its modern
    name (`max_completion_tokens`, `safety_identifier`). `left_out` names parts of messages that were lost.
    """

    system: Sequence[Text]
    turns: Sequence[Turn]
    tools: Sequence[Tool] = ()
    choice: ToolChoice | None = None
    parallel: bool | None = None
    format: Format = Format()
    params: Json = {}
    left_out: Sequence[str] = ()


def read(request: ChatRequest, ids: IdRule) -> Prompt:
    """The request, whole. Raises INVALID_REQUEST or UNSUPPORTED naming the place."""
    body = {name: value for name, value in request.json().items() if value is not None}
    turns, lost = read_turns(body.pop("messages", None), ids, request.media)
    lead = 0
    while lead < len(turns) and turns[lead].role == "system":
        lead += 1
    tools = _tools(body)
    choice, tools = _choice(body, tools)
    parallel = body.pop("parallel_tool_calls", None)
    return Prompt(
        system=[part for turn in turns[:lead] for part in turn.parts if isinstance(part, Text)],
        turns=turns[lead:],
        tools=tools,
        choice=choice if tools else None,
        parallel=parallel if isinstance(parallel, bool) and tools else None,
        format=_format(body.pop("response_format", None)),
        params=_modern(body),
        left_out=lost,
    )


def left_out(prompt: Prompt, known: Collection[str]) -> list[str]:
    """What a dialect that translates the `known` params cannot tell its provider, for `HttpRequest.dropped`.

    Bookkeeping is not worth a word; a field that carries meaning raises UNSUPPORTED (CHAT_WIRE 0.2).
    """
    lost = list(prompt.left_out)
    for name, value in prompt.params.items():
        if name in known or name in BOOKKEEPING or value in _NEUTRAL.get(name, ()):
            continue
        if name in MEANING:
            raise unsupported(name, "this provider cannot do that. Leave it out or use another model.")
        lost.append(name)
    return lost


def linked_urls(request: ChatRequest) -> list[str]:
    """The http(s) links whose bytes a dialect that cannot pass links on needs in `request.media`."""
    if b"http" not in bytes(request.body.get("messages", b"")):
        return []
    parts = [part for turn in read(request, IdRule()).turns for part in _parts(turn)]
    links = (part.url for part in parts if isinstance(part, Attachment))
    return list(dict.fromkeys(link for link in links if link.startswith(("https://", "http://"))))


def called_tools(prompt: Prompt) -> list[ToolCall]:
    """The first call of each tool in the history, for providers that refuse calls of tools not on offer."""
    calls = {call.name: call for turn in reversed(prompt.turns) for call in reversed(turn.calls)}
    return list(calls.values())


def number(params: Json, name: str) -> float | None:
    """A numeric parameter, None when absent."""
    value = params.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid(name, f"{value!r} is not a number.")
    return value


def limit(params: Json) -> int | None:
    """`max_completion_tokens`, None when absent."""
    value = number(params, "max_completion_tokens")
    if value is not None and (value < 1 or value != int(value)):
        raise invalid("max_completion_tokens", f"{value!r} is not a whole number of at least 1.")
    return None if value is None else int(value)


def stops(params: Json) -> list[str]:
    """The stop sequences, none when absent."""
    value = params.get("stop", [])
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(stop, str) for stop in found):
        raise invalid("stop", "must be a string or an array of strings.")
    return found


def _parts(turn: Turn) -> list[object]:
    return [*turn.parts, *(part for result in turn.results for part in result.parts)]


def _modern(body: dict[str, Any]) -> dict[str, Any]:
    for old, new in (("max_tokens", "max_completion_tokens"), ("user", "safety_identifier")):
        if old in body:
            body.setdefault(new, body.pop(old))
            body.pop(old, None)
    return body


def _tools(body: dict[str, Any]) -> list[Tool]:
    legacy = body.pop("functions", None)
    listed = body.pop("tools", None)
    if listed is None:
        listed = [{"type": "function", "function": one} for one in legacy] if isinstance(legacy, list) else []
    if not isinstance(listed, list):
        raise invalid("tools", "must be an array.")
    return [_tool(tool, f"tools[{index}]") for index, tool in enumerate(listed)]


def _tool(tool: object, param: str) -> Tool:
    if not isinstance(tool, dict):
        raise invalid(param, "must be an object.")
    kind = tool.get("type", "function")
    if kind not in ("function", "custom"):
        raise unsupported(f"{param}.type", f"tools of type {kind!r} cannot be offered to this provider.")
    inner = tool.get(kind)
    if not isinstance(inner, dict) or not isinstance(inner.get("name"), str) or not inner["name"]:
        raise invalid(f"{param}.{kind}.name", "must be a string.")
    cache = read_cache(tool) if read_cache(tool) is not None else read_cache(inner)
    description = inner.get("description") or ""
    if not isinstance(description, str):
        raise invalid(f"{param}.{kind}.description", "must be a string.")
    if kind == "custom":
        about = f"{description}\n{_grammar(inner)}".strip()
        return Tool(name=inner["name"], schema=CUSTOM_SCHEMA, description=about, custom=True, cache=cache)
    schema = inner.get("parameters") or {"type": "object", "properties": {}}
    if not isinstance(schema, dict):
        raise invalid(f"{param}.function.parameters", "must be a JSON Schema object.")
    strict = inner.get("strict") if isinstance(inner.get("strict"), bool) else None
    return Tool(name=inner["name"], schema=schema, description=description, strict=strict, cache=cache)


def _grammar(custom: Json) -> str:
    form = custom.get("format")
    grammar = form.get("grammar") if isinstance(form, dict) else None
    if not isinstance(grammar, dict):
        return ""
    return f"The input must match this {grammar.get('syntax')} grammar:\n{grammar.get('definition')}"


def _choice(body: dict[str, Any], tools: list[Tool]) -> tuple[ToolChoice | None, list[Tool]]:
    legacy = body.pop("function_call", None)
    choice = body.pop("tool_choice", legacy)
    if choice is None:
        return None, tools
    if isinstance(choice, str) and choice in ("none", "auto", "required"):
        return ToolChoice(mode=choice), tools
    if not isinstance(choice, dict):
        raise invalid("tool_choice", f"{choice!r} is not none, auto, required or an object.")
    if choice.get("type") == "allowed_tools":
        return _allowed(choice.get("allowed_tools"), tools)
    name = _name_in(choice)
    if name not in [tool.name for tool in tools]:
        raise invalid("tool_choice", f"names {name!r}, which is not among `tools`.")
    return ToolChoice(mode="named", name=name), tools


def _allowed(allowed: object, tools: list[Tool]) -> tuple[ToolChoice, list[Tool]]:
    listed = allowed.get("tools") if isinstance(allowed, dict) else None
    if not isinstance(allowed, dict) or not isinstance(listed, list):
        raise invalid("tool_choice.allowed_tools.tools", "must be an array.")
    names = {_name_in(one) for one in listed if isinstance(one, dict)}
    mode = "required" if allowed.get("mode") == "required" else "auto"
    return ToolChoice(mode=mode), [tool for tool in tools if tool.name in names]


def _name_in(choice: Json) -> str:
    """The name in `{type: function, function: {name}}`, in its custom twin, or in the older `{name}`."""
    kind = "custom" if choice.get("type") == "custom" else "function"
    inner = choice.get(kind, choice)
    name = inner.get("name") if isinstance(inner, dict) else None
    return name if isinstance(name, str) else ""


def _format(wanted: object) -> Format:
    if wanted is None:
        return Format()
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if not isinstance(wanted, dict) or kind not in ("text", "json_object", "json_schema"):
        raise invalid("response_format.type", f"{kind!r} is not text, json_object or json_schema.")
    if kind != "json_schema":
        return Format(kind=kind)
    inner = wanted.get("json_schema")
    schema = inner.get("schema", {}) if isinstance(inner, dict) else None
    if not isinstance(inner, dict) or not isinstance(schema, dict):
        raise invalid("response_format.json_schema", "must be an object with a `name` and a `schema` object.")
    return Format(
        kind=kind,
        name=str(inner.get("name") or ""),
        description=str(inner.get("description") or ""),
        schema=schema,
        strict=inner.get("strict") is True,
    )
