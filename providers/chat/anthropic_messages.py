"""Turns as Anthropic messages: blocks in the order Anthropic insists on, roles that alternate.

Facts: CHAT_WIRE 2.2, 2026-11-20. A user message that answers tool calls begins with all their results; an
assistant's thinking stands first, byte for byte as it came; text blocks are never empty; the first message
is the user's.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import structs

from providers.chat.anthropic_rules import FORMAT, Rules
from providers.chat.parts import Attachment, Part, Text, invalid, unsupported
from providers.chat.turns import ToolCall, ToolResult, Turn, arguments_object, merge_neighbours
from providers.types import Json

IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
MAX_CACHE_MARKS = 4

Block = dict[str, Any]

_FILLER = "."
_CONTINUE = "Continue."


def messages_of(turns: Sequence[Turn], rules: Rules, *, prefill: bool) -> list[Block]:
    """The `messages` of a request; `prefill` says whether the model may be given the start of its answer."""
    drafts = [_message(turn, rules) for turn in turns]
    messages = merge_neighbours([message for message in drafts if message["content"]], "content")
    if not messages or messages[0]["role"] != "user":
        messages.insert(0, {"role": "user", "content": [_text(_FILLER)]})
    if messages[-1]["role"] == "assistant":
        messages += _ending(messages.pop(), prefill=prefill)
    return [{**message, "content": shortest(message["content"])} for message in messages]


def text_blocks(texts: Sequence[Text]) -> list[Block]:
    """Texts as blocks, each with its cache mark; blank ones are refused by Anthropic and left out."""
    return [_marked(_text(part.text), part.cache) for part in texts if part.text.strip()]


def shortest(blocks: list[Block]) -> list[Block] | str:
    """A lone text without a mark as a string, which means the same."""
    lone = len(blocks) == 1 and blocks[0].keys() == {"type", "text"}
    return str(blocks[0]["text"]) if lone else blocks


def cache_control(ttl: str | None) -> dict[str, Any]:
    """The `cache_control` entry for a mark of that lifetime, as fields to add; nothing without a mark."""
    if ttl is None:
        return {}
    longer = {} if ttl in ("", "5m") else {"ttl": "1h"}
    return {"cache_control": {"type": "ephemeral", **longer}}


def limit_cache_marks(body: Mapping[str, Any], spent: int = 0) -> None:
    """Take the earliest marks off `body` until no more are left than Anthropic allows, `spent` counted in.

    The last marks cover the longest prefixes, so they are worth the most.
    """
    system = body.get("system")
    blocks: list[Block] = [*body.get("tools", ()), *(system if isinstance(system, list) else ())]
    for message in body["messages"]:
        blocks += message["content"] if isinstance(message["content"], list) else ()
    marked = [block for block in blocks if "cache_control" in block]
    for block in marked[: max(len(marked) + spent - MAX_CACHE_MARKS, 0)]:
        del block["cache_control"]


def _message(turn: Turn, rules: Rules) -> Block:
    if turn.role == "assistant":
        return {"role": "assistant", "content": _assistant(turn)}
    if turn.role == "tool":
        return {"role": "user", "content": [_result(result) for result in turn.results]}
    if turn.role == "user":
        return {"role": "user", "content": _blocks(turn.parts)}
    texts = [part for part in turn.parts if isinstance(part, Text)]
    if rules.system_role_in_messages:
        return {"role": "system", "content": text_blocks(texts)}
    told = [Text(f"<system>{part.text}</system>", part.cache) for part in texts]
    return {"role": "user", "content": text_blocks(told)}


def _assistant(turn: Turn) -> list[Block]:
    said = [*text_blocks([part for part in turn.parts if isinstance(part, Text)]), *map(_call, turn.calls)]
    return [*_thinking(turn.reasoning), *said] if said else []


def _ending(message: Block, *, prefill: bool) -> list[Block]:
    """The last message when it is the assistant's: no space may end it, and not every model continues it."""
    last = message["content"][-1]
    if last["type"] == "text":
        last["text"] = last["text"].rstrip()
    return [message] if prefill else [message, {"role": "user", "content": [_text(_CONTINUE)]}]


def _thinking(details: Sequence[Json]) -> list[Block]:
    blocks: list[Block] = []
    for detail in details:
        if detail.get("format") != FORMAT:
            continue
        text, signature, data = (detail.get(name) or "" for name in ("text", "signature", "data"))
        if not isinstance(text, str) or not isinstance(signature, str) or not isinstance(data, str):
            continue
        if data:
            blocks.append({"type": "redacted_thinking", "data": data})
        elif signature:
            blocks.append({"type": "thinking", "thinking": text, "signature": signature})
    return blocks


def _call(call: ToolCall) -> Block:
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments_object(call)}


def _result(result: ToolResult) -> Block:
    marks = [part.cache for part in result.parts if part.cache is not None]  # they belong on the whole result
    block: Block = {"type": "tool_result", "tool_use_id": result.id}
    inner = _blocks([structs.replace(part, cache=None) for part in result.parts])
    if inner:
        block["content"] = shortest(inner)
    if result.error:
        block["is_error"] = True
    return _marked(block, marks[-1] if marks else None)


def _blocks(parts: Sequence[Part]) -> list[Block]:
    blocks: list[Block] = []
    for part in parts:
        if isinstance(part, Text):
            blocks += text_blocks([part])
        else:
            blocks.append(_marked(_KINDS[part.kind](part), part.cache))
    return blocks


def _image(part: Attachment) -> Block:
    if part.url:
        return {"type": "image", "source": {"type": "url", "url": _https(part)}}
    if part.mime not in IMAGE_TYPES:
        raise unsupported(part.param, f"{part.mime or 'unknown'!r} is not one of {', '.join(IMAGE_TYPES)}.")
    return {"type": "image", "source": {"type": "base64", "media_type": part.mime, "data": part.data}}


def _document(part: Attachment) -> Block:
    if part.mime in IMAGE_TYPES:
        return _image(part)
    title = {"title": part.name} if part.name else {}
    if part.url:
        return {"type": "document", **title, "source": {"type": "url", "url": _https(part)}}
    if part.mime == "application/pdf":
        source = {"type": "base64", "media_type": part.mime, "data": part.data}
        return {"type": "document", **title, "source": source}
    if part.mime.startswith("text/") or part.mime == "application/json":
        source = {"type": "text", "media_type": "text/plain", "data": _decoded(part)}
        return {"type": "document", **title, "source": source}
    what = "a file id of another provider" if part.file_id else f"{part.mime or 'unknown bytes'!r}"
    raise unsupported(part.param, f"{what} cannot be sent: only PDF and text files can.")


def _unheard(part: Attachment) -> Block:
    raise unsupported(part.param, f"this provider takes no {part.kind}.")


_KINDS: Mapping[str, Callable[[Attachment], Block]] = {
    "image": _image,
    "file": _document,
    "audio": _unheard,
    "video": _unheard,
}


def _https(part: Attachment) -> str:
    if not part.url.startswith(("https://", "http://")):
        raise unsupported(part.param, "only http(s) links can be passed on.")
    return part.url


def _decoded(part: Attachment) -> str:
    try:
        return base64.b64decode(part.data, validate=True).decode()
    except ValueError:
        raise invalid(part.param, "is not UTF-8 text in base64.") from None


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


def _marked(block: Block, ttl: str | None) -> Block:
    return {**block, **cache_control(ttl)}
