"""A chat request as the body of Gemini's generateContent. Speaks the Developer API, never Vertex-only fields.

Mapping: CHAT_WIRE 2.3 and part 3 (2026-11-20). Older models cannot hold to a response schema while they have
tools: there the schema is offered as one more tool, a call is forced, and `answers` turns that call back
into content. `stands_in` says whether a request is sent that way.
"""

from collections.abc import Mapping
from typing import Any

from providers.chat.canonical import JSON_TOOL, Prompt, Tool, left_out, number, read, stops
from providers.chat.canonical import limit as output_limit
from providers.chat.gemini_contents import contents
from providers.chat.gemini_model import Model, read_model
from providers.chat.gemini_schema import full_schema, openapi_schema
from providers.chat.parts import Text, invalid, unsupported
from providers.chat.turns import IdRule
from providers.types import ChatRequest, Json, Target

_NUMBERS: Mapping[str, str] = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
_KNOWN = frozenset(
    (
        *_NUMBERS,
        "max_completion_tokens",
        "stop",
        "seed",
        "n",
        "logprobs",
        "top_logprobs",
        "modalities",
        "audio",
        "reasoning_effort",
        "web_search_options",
        "safety_settings",  # Gemini's own, as extensions
        "cached_content",
    )
)
_MODES: Mapping[str, str] = {"none": "NONE", "auto": "AUTO", "required": "ANY", "named": "ANY"}
_TIERS: Mapping[object, str] = {
    "default": "standard",
    "flex": "flex",
    "priority": "priority",
    "fast": "priority",
}
_SEEDS = 2**31
"""Gemini's seed is a signed 32-bit number, OpenAI's is wider."""


def chat_body(request: ChatRequest, target: Target) -> tuple[dict[str, Any], list[str]]:
    """The body, and the client's parameters that it cannot tell.

    Raises INVALID_REQUEST or UNSUPPORTED with `param`.
    """
    prompt = read(request, IdRule())
    model = read_model(target)
    dropped = left_out(prompt, _KNOWN)
    config = _config(prompt, model, request.stream)
    if "reasoning_effort" in prompt.params and "thinkingConfig" not in config:
        dropped.append("reasoning_effort")
    if prompt.parallel is False:
        dropped.append("parallel_tool_calls")
    body: dict[str, Any] = {"contents": contents(prompt.turns, model, target.base_url)}
    if (
        "cached_content" in prompt.params
    ):  # it holds the system text and the tools already, and allows no others
        body["cachedContent"] = prompt.params["cached_content"]
        dropped += ["tools"] if prompt.tools else []
    else:
        body |= _system(prompt) | _tools(prompt, model)
    if config:
        body["generationConfig"] = config
    if "safety_settings" in prompt.params:
        body["safetySettings"] = prompt.params["safety_settings"]
    tier = prompt.params.get("service_tier")
    if isinstance(tier, str) and tier in _TIERS:
        body["serviceTier"] = _TIERS[tier]
    return body, dropped


def stands_in(request: ChatRequest, target: Target) -> bool:
    """Whether a tool stands in for the response format of this request."""
    if "response_format" not in request.body:
        return False
    model = read_model(target)
    return not model.schema_with_tools and _stands_in(read(request, IdRule()), model)


def _stands_in(prompt: Prompt, model: Model) -> bool:
    clash = prompt.format.kind != "text" and bool(prompt.tools) and not model.schema_with_tools
    return clash and (prompt.choice is None or prompt.choice.mode == "auto")


def _system(prompt: Prompt) -> dict[str, Any]:
    """All system texts, later ones too: Gemini has one place for them, at the top."""
    later = [part for turn in prompt.turns if turn.role == "system" for part in turn.parts]
    texts = [{"text": part.text} for part in (*prompt.system, *later) if isinstance(part, Text)]
    return {"systemInstruction": {"parts": texts}} if texts else {}


def _tools(prompt: Prompt, model: Model) -> dict[str, Any]:
    tools = _offered(prompt, model)
    search = "web_search_options" in prompt.params
    if not tools:
        return {"tools": [{"googleSearch": {}}]} if search else {}
    if search:
        raise unsupported("web_search_options", "this provider cannot search the web while it has tools.")
    found: dict[str, Any] = {"tools": [{"functionDeclarations": [_declared(tool, model) for tool in tools]}]}
    calling = _calling(prompt, model)
    if calling:
        found["toolConfig"] = {"functionCallingConfig": calling}
    return found


def _offered(prompt: Prompt, model: Model) -> list[Tool]:
    if _stands_in(prompt, model):
        schema = prompt.format.schema or {"type": "object"}
        about = prompt.format.description or "Gives the final answer to the user, in the form it must have."
        return [*prompt.tools, Tool(name=JSON_TOOL, description=about, schema=schema)]
    if _format_alone(prompt, model):
        return []
    return list(prompt.tools)


def _format_alone(prompt: Prompt, model: Model) -> bool:
    """Whether the tools give way to the format: they must not be called, and the model takes only one."""
    forbidden = prompt.choice is not None and prompt.choice.mode == "none"
    return forbidden and prompt.format.kind != "text" and not model.schema_with_tools


def _declared(tool: Tool, model: Model) -> Json:
    about = {"description": tool.description} if tool.description else {}
    if model.json_schema:
        return {"name": tool.name, **about, "parametersJsonSchema": full_schema(tool.schema)}
    if not tool.schema.get("properties"):
        return {"name": tool.name, **about}
    return {"name": tool.name, **about, "parameters": openapi_schema(tool.schema, f"tools.{tool.name}")}


def _calling(prompt: Prompt, model: Model) -> Json:
    if _stands_in(prompt, model):
        return {"mode": "ANY"}
    if prompt.choice is None:  # strict tools hold calls to their schema where the client left it open
        strict = model.new and all(tool.strict for tool in prompt.tools)
        return {"mode": "VALIDATED"} if strict else {}
    named = {"allowedFunctionNames": [prompt.choice.name]} if prompt.choice.mode == "named" else {}
    return {"mode": _MODES[prompt.choice.mode], **named}


def _config(prompt: Prompt, model: Model, stream: bool) -> dict[str, Any]:
    """`generationConfig`; what the client left open is left out."""
    params = prompt.params
    found: dict[str, Any] = {
        "maxOutputTokens": output_limit(params),
        "stopSequences": stops(params) or None,
        **{ours: number(params, name) for name, ours in _NUMBERS.items()},
        "candidateCount": _candidates(prompt, stream),
        "thinkingConfig": _thinking(params, model),
    }
    seed = number(params, "seed")
    found["seed"] = None if seed is None else int(seed) % _SEEDS
    config = {name: value for name, value in found.items() if value is not None}
    return config | _logprobs(params, stream) | _modalities(params) | _format(prompt, model)


def _candidates(prompt: Prompt, stream: bool) -> int | None:
    count = number(prompt.params, "n")
    if count is None or count == 1:
        return None
    if count < 1 or count != int(count):
        raise invalid("n", f"{count!r} is not a whole number of at least 1.")
    if stream or prompt.tools:
        raise unsupported("n", "this provider gives several answers only without a stream and without tools.")
    return int(count)


def _thinking(params: Json, model: Model) -> Json | None:
    effort = params.get("reasoning_effort")
    if effort is not None and not isinstance(effort, str):
        raise invalid("reasoning_effort", f"{effort!r} is not a string.")
    return None if effort is None else model.thinking(effort)


def _logprobs(params: Json, stream: bool) -> dict[str, Any]:
    if not params.get("logprobs"):
        return {}
    if stream:
        raise unsupported("logprobs", "this provider's log probabilities come only without a stream.")
    top = number(params, "top_logprobs")
    return {"responseLogprobs": True, **({"logprobs": int(top)} if top else {})}


def _modalities(params: Json) -> dict[str, Any]:
    wanted = params.get("modalities") or ["text"]
    if not isinstance(wanted, list) or not all(isinstance(one, str) for one in wanted):
        raise invalid("modalities", "must be an array of strings.")
    if wanted == ["text"]:
        return {}
    found: dict[str, Any] = {"responseModalities": [one.upper() for one in wanted]}
    audio = params.get("audio")
    if "audio" not in wanted or not isinstance(audio, dict):
        return found
    if audio.get("format") != "pcm16":
        raise unsupported("audio.format", f"{audio.get('format')!r}: this provider speaks in pcm16 only.")
    if isinstance(audio.get("voice"), str):
        found["speechConfig"] = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": audio["voice"]}}}
    return found


def _format(prompt: Prompt, model: Model) -> dict[str, Any]:
    form = prompt.format
    if form.kind == "text" or (_offered(prompt, model) and not model.schema_with_tools):
        return {}
    found: dict[str, Any] = {"responseMimeType": "application/json"}
    if form.schema and model.json_schema:
        found["responseJsonSchema"] = full_schema(form.schema)
    elif form.schema:
        found["responseSchema"] = openapi_schema(form.schema, "response_format.json_schema.schema")
    return found
