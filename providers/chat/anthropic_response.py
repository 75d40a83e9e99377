"""Reads a whole Anthropic message, and holds what the reader of its stream shares: usage, reasons, citations.

Facts: CHAT_WIRE 2.2, 2026-11-20. Blocks of tools that ran at the provider (web search) are not calls of ours.
"""

from collections.abc import Mapping

from providers.chat.answers import Answer, Choice, Shape, completion, shape
from providers.chat.anthropic_rules import FORMAT, rules_of
from providers.chat.anthropic_tools import answers_by_json_tool
from providers.chat.anthropic_wire import (
    BLOCKS,
    Citation,
    Details,
    Message,
    Redacted,
    TextBlock,
    ThinkingBlock,
    ToolUse,
    convert,
    decode,
    known,
)
from providers.chat.turns import ToolCall
from providers.errors import ErrorKind, ProviderError
from providers.types import ChatRequest, Completion, HttpResponse, Json, Target, Usage, encode

_FINISH: Mapping[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_MOST_TOKENS = 10**12
"""A count beyond this is a mistake."""


def message_completion(request: ChatRequest, target: Target, response: HttpResponse) -> Completion:
    """A whole message as a completion. Raises the error it holds instead, PROTOCOL when it is unreadable."""
    message = convert(decode(response.body), Message)
    if message.stop_reason is None:
        raise ProviderError(ErrorKind.PROTOCOL, "The provider's message has no end.", status=response.status)
    answer = Answer(
        id=message.id,
        model=message.model,
        choices=(_choice(message, message.stop_reason),),
        usage=usage_of(message.usage or {}),
    )
    return completion(request, answer, answer_shape(request, target))


def answer_shape(request: ChatRequest, target: Target) -> Shape:
    """How the answer to this request must look."""
    return shape(request, json_tool=answers_by_json_tool(request, rules_of(target)))


def finish_of(stop_reason: str) -> str:
    """OpenAI's finish reason; one invented after this was written is a plain stop."""
    return _FINISH.get(stop_reason, "stop")


def refusal_of(details: Details | None) -> str | None:
    """Why the model refused, None when it did not or does not say."""
    return (details.explanation if details else None) or None


def usage_of(usage: Json) -> Usage:
    """Tokens used. Anthropic counts cached input apart, we count it in (CHAT_WIRE 2.11)."""
    cached, written = _count(usage, "cache_read_input_tokens"), _count(usage, "cache_creation_input_tokens")
    output = _count(usage, "output_tokens")
    details = usage.get("output_tokens_details")
    return Usage(
        input=_count(usage, "input_tokens") + cached + written,
        output=output,
        cached=cached,
        cache_write=written,
        reasoning=min(_count(details if isinstance(details, dict) else {}, "thinking_tokens"), output),
    )


def annotation(citation: Citation, start: int, end: int) -> Json | None:
    """A web source of the answer's characters `start` to `end`; None for citations of documents."""
    if citation.url is None:
        return None
    cited = {"start_index": start, "end_index": end, "title": citation.title or "", "url": citation.url}
    return {"type": "url_citation", "url_citation": cited}


def signed(index: int, signature: str, text: str | None) -> Json:
    """A thinking block to be given back; `text` None when the client has it as `reasoning_content`."""
    told = {} if text is None else {"text": text}
    return {"type": "reasoning.text", "index": index, "format": FORMAT, **told, "signature": signature}


def encrypted(index: int, data: str) -> Json:
    """A redacted thinking block to be given back."""
    return {"type": "reasoning.encrypted", "index": index, "format": FORMAT, "data": data}


def _choice(message: Message, stop_reason: str) -> Choice:
    texts: list[str] = []
    thoughts: list[str] = []
    details: list[Json] = []
    annotations: list[Json] = []
    calls: list[ToolCall] = []
    for given in message.content:
        block = known(given, BLOCKS)
        if isinstance(block, TextBlock):
            annotations += _annotations(block, sum(map(len, texts)))
            texts.append(block.text)
        elif isinstance(block, ToolUse):
            calls.append(ToolCall(id=block.id, name=block.name, arguments=encode(block.input).decode()))
        elif isinstance(block, ThinkingBlock):
            thoughts.append(block.thinking)
            details += [signed(len(details), block.signature, block.thinking)] if block.signature else []
        elif isinstance(block, Redacted):
            details.append(encrypted(len(details), block.data))
    return Choice(
        finish=finish_of(stop_reason),
        text="".join(texts) or None,
        refusal=refusal_of(message.stop_details),
        reasoning="".join(thoughts),
        details=details,
        calls=calls,
        annotations=annotations,
    )


def _annotations(block: TextBlock, start: int) -> list[Json]:
    found = (annotation(one, start, start + len(block.text)) for one in block.citations or ())
    return [one for one in found if one is not None]


def _count(usage: Json, name: str) -> int:
    value = usage.get(name)
    return int(value) if isinstance(value, int | float) and 0 <= value < _MOST_TOKENS else 0
