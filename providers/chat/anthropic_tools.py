"""Tools, tool choice and answer formats in Anthropic's words, and what has to be said in words instead.

Facts: CHAT_WIRE 2.2 and 2.13, 2026-11-20. A JSON schema is enforced by the API where the model can; else the
model is made to call a tool whose arguments are the answer; else it is told. The same for a forced tool.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from providers.chat.anthropic_messages import cache_control
from providers.chat.anthropic_rules import Rules, Thinking, by_json_tool
from providers.chat.canonical import JSON_TOOL, Format, Prompt, Tool, called_tools
from providers.chat.schemas import enforceable, enforceable_together, plain
from providers.types import ChatRequest, Json, encode

_PLACE = ("city", "country", "region", "timezone")
_JSON_ONLY = "Answer with one JSON object and nothing else: no words around it, no code fence."


class Offer(Struct, frozen=True, kw_only=True):
    """`tools`, `choice`, `format` are fields of the request or empty; `lines` go into the system prompt."""

    tools: Sequence[dict[str, Any]] = ()
    choice: Json = {}
    format: Json = {}
    lines: Sequence[str] = ()
    lost: Sequence[str] = ()


def offer_of(prompt: Prompt, rules: Rules, thinking: Thinking) -> Offer:
    """What the model may call and must answer with."""
    tools, lost = _tools(prompt)
    choice = _parallel(_choice(prompt), prompt)
    answer_format, lines = _format(prompt.format, rules)
    forced = choice.get("type") in ("any", "tool")
    may_force = not rules.no_forced_tool_choice and not thinking.budget
    by_tool = by_json_tool(prompt.format, rules) and not rules.no_forced_tool_choice and not thinking.on
    if forced and not may_force:
        called = f"the tool {choice['name']!r}" if choice["type"] == "tool" else "one of the tools"
        lines.append(f"You must call {called} in this answer.")
        choice = {**choice, "type": "auto"}
        choice.pop("name", None)
    elif by_tool and not forced:
        choice, lines = _json_choice(choice, prompt), []
        tools.append(_json_tool(prompt.format))
    if "web_search_options" in prompt.params:
        tools.append(_web_search(prompt.params["web_search_options"]))
    return Offer(tools=tools, choice=choice, format=answer_format, lines=lines, lost=lost)


def answers_by_json_tool(request: ChatRequest, rules: Rules) -> bool:
    """Whether a call of JSON_TOOL in the answer to this request is the answer itself."""
    raw = request.body.get("response_format")
    if raw is None or b"json_schema" not in bytes(raw):
        return False
    wanted = msgspec.json.decode(raw)
    inner = wanted.get("json_schema") if isinstance(wanted, dict) else None
    schema = inner.get("schema") if isinstance(inner, dict) else None
    return by_json_tool(Format(kind="json_schema", schema=schema if isinstance(schema, dict) else {}), rules)


def _tools(prompt: Prompt) -> tuple[list[dict[str, Any]], list[str]]:
    if not prompt.tools:  # calls in the history are refused when no such tool is on offer
        return [{"name": call.name, "input_schema": {"type": "object"}} for call in called_tools(prompt)], []
    wanted = [tool.schema if tool.strict else None for tool in prompt.tools]
    enforced = enforceable_together(wanted)
    lost = any(schema is not None and strict is None for schema, strict in zip(wanted, enforced, strict=True))
    tools = [_tool(tool, strict) for tool, strict in zip(prompt.tools, enforced, strict=True)]
    return tools, ["tools[].function.strict"] if lost else []


def _tool(tool: Tool, enforced: Json | None) -> dict[str, Any]:
    described = {"description": tool.description} if tool.description else {}
    schema = plain(tool.schema) if enforced is None else enforced
    strict = {} if enforced is None else {"strict": True}
    return {"name": tool.name, **described, "input_schema": schema, **strict, **cache_control(tool.cache)}


def _json_tool(wanted: Format) -> dict[str, Any]:
    about = wanted.description or "Gives the answer in the form that was asked for."
    return {"name": JSON_TOOL, "description": about, "input_schema": plain(wanted.schema)}


def _json_choice(choice: Json, prompt: Prompt) -> dict[str, Any]:
    """Exactly one call: the client's own tools stay open unless it closed them."""
    others = prompt.tools and choice.get("type") != "none"
    one = {"type": "any"} if others else {"type": "tool", "name": JSON_TOOL}
    return {**one, "disable_parallel_tool_use": True}


def _choice(prompt: Prompt) -> dict[str, Any]:
    if not prompt.tools:
        closed = called_tools(prompt) and "web_search_options" not in prompt.params
        return {"type": "none"} if closed else {}
    if prompt.choice is None:
        return {}
    if prompt.choice.mode == "named":
        return {"type": "tool", "name": prompt.choice.name}
    return {"type": {"required": "any"}.get(prompt.choice.mode, prompt.choice.mode)}


def _parallel(choice: dict[str, Any], prompt: Prompt) -> dict[str, Any]:
    """The choice with the parallel switch, which has no place of its own and none beside `none`."""
    if prompt.parallel is None or choice.get("type") == "none" or (prompt.parallel and not choice):
        return choice
    return {"type": "auto", **choice, "disable_parallel_tool_use": not prompt.parallel}


def _format(wanted: Format, rules: Rules) -> tuple[Json, list[str]]:
    """The enforced format, or the words that ask for it."""
    if wanted.kind == "text":
        return {}, []
    if wanted.kind == "json_object":
        return {}, [_JSON_ONLY]
    schema = enforceable(wanted.schema)
    if rules.json_schema_output and schema is not None:
        return {"type": "json_schema", "schema": schema}, []
    return {}, [f"{_JSON_ONLY} It must match this JSON Schema:\n{encode(wanted.schema).decode()}"]


def _web_search(wanted: object) -> dict[str, Any]:
    """Anthropic's own search tool, for a client that asked for OpenAI's."""
    place = wanted.get("user_location") if isinstance(wanted, dict) else None
    known = place.get("approximate") if isinstance(place, dict) else None
    tool: dict[str, Any] = {"type": "web_search_20250305", "name": "web_search"}
    if isinstance(known, dict):
        told = {name: known[name] for name in _PLACE if isinstance(known.get(name), str)}
        tool["user_location"] = {"type": "approximate", **told}
    return tool
