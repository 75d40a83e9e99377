"""Reads the events of an Anthropic message stream (CHAT_WIRE 2.2, 2026-11-20).

Theory of operation. A message is a row of content blocks, one open at a time. `message_start` brings id,
model and the input's usage; each block is started, filled by deltas and stopped; `message_delta` brings the
reason it ended and the usage so far; `message_stop` ends it. Numbers of blocks are not numbers of calls, so
calls are keyed by block and the builder counts them densely.

What a client needs to give thinking back is sent when its block ends. The first block's text is not repeated
there, since it went out as `reasoning_content`; those of later blocks are, because a client joins all
reasoning and could not tell the blocks apart (turns.py puts the first together again).

A stream that was cut never looks complete: the finish chunk needs `message_delta`, and without it `end`
gives nothing.
"""

from typing import Any

from msgspec import Struct

from providers.chat.answers import ChunkBuilder, Shape
from providers.chat.anthropic_response import (
    annotation,
    encrypted,
    finish_of,
    refusal_of,
    signed,
    usage_of,
)
from providers.chat.anthropic_wire import (
    BLOCKS,
    DELTAS,
    EVENTS,
    BlockDelta,
    BlockStart,
    BlockStop,
    CitationsDelta,
    InputDelta,
    MessageDelta,
    MessageStart,
    Redacted,
    SignatureDelta,
    StreamEvent,
    TextBlock,
    TextDelta,
    ThinkingBlock,
    ThinkingDelta,
    ToolUse,
    decode,
    known,
)
from providers.errors import ErrorKind, ProviderError
from providers.sse import Event
from providers.types import ChatRequest, Chunk, Json, encode


class _Open(Struct):
    """The open block: its text so far, a thinking block's signature, a call's input when it came at once."""

    text: str = ""
    signature: str = ""
    whole_input: Json = {}
    filled: bool = False


class MessageStream:
    """The reader of one streamed message."""

    def __init__(self, request: ChatRequest, shape: Shape) -> None:
        self._build = ChunkBuilder(request, shape)
        self._usage: dict[str, Any] = {}
        self._block = _Open()
        self._annotations: list[Json] = []
        self._reasoned = 0
        self._written = 0
        self._started = False
        self._finished = False
        self._settled = False

    def feed(self, event: Event, /) -> list[Chunk]:
        """Chunks this event gives. Raises the error it stands for, PROTOCOL when it makes no sense."""
        data = decode(event.data)
        found = known(data, EVENTS)
        if found is None:
            return []
        if isinstance(found, MessageStart):
            return self._start(found)
        if not self._started:
            raise ProviderError(ErrorKind.PROTOCOL, f"The provider's stream began with {data['type']!r}.")
        return self._read(found)

    def end(self) -> list[Chunk]:
        """The usage, if the answer was finished but its last event is missing."""
        if not self._finished or self._settled:
            return []
        self._settled = True
        return [self._build.usage(usage_of(self._usage))]

    def _read(self, event: StreamEvent) -> list[Chunk]:
        if isinstance(event, BlockDelta):
            return self._fill(event)
        if isinstance(event, BlockStart):
            return self._open(event)
        if isinstance(event, BlockStop):
            return self._close(event)
        if isinstance(event, MessageDelta):
            return self._finish(event)
        return self.end()

    def _start(self, event: MessageStart) -> list[Chunk]:
        if self._started:
            return []
        self._started = True
        self._count(event.message.usage)
        self._build.begin(event.message.id, event.message.model)
        return [self._build.role()]

    def _open(self, event: BlockStart) -> list[Chunk]:
        """A block begins; some hosts put its first piece, or the whole input of a call, in here."""
        block = known(event.content_block, BLOCKS)
        self._block = _Open()
        if isinstance(block, ToolUse):
            self._block.whole_input = block.input
            return self._build.tool_start(event.index, block.id, block.name)
        if isinstance(block, Redacted):
            return [self._build.details(encrypted(self._next_detail(), block.data))]
        if isinstance(block, ThinkingBlock):
            self._block.signature = block.signature
            return self._think(block.thinking)
        return self._say(block.text) if isinstance(block, TextBlock) else []

    def _fill(self, event: BlockDelta) -> list[Chunk]:
        delta = known(event.delta, DELTAS)
        if isinstance(delta, TextDelta):
            return self._say(delta.text)
        if isinstance(delta, ThinkingDelta):
            return self._think(delta.thinking)
        if isinstance(delta, InputDelta):
            self._block.filled = self._block.filled or bool(delta.partial_json)
            return self._build.tool_arguments(event.index, delta.partial_json)
        if isinstance(delta, SignatureDelta):
            self._block.signature += delta.signature
        if isinstance(delta, CitationsDelta):
            cited = annotation(delta.citation, self._written - len(self._block.text), self._written)
            self._annotations += [cited] if cited else []
        return []

    def _close(self, event: BlockStop) -> list[Chunk]:
        block = self._block
        if block.signature:
            detail = self._next_detail()
            return [self._build.details(signed(detail, block.signature, block.text if detail else None))]
        whole = encode(block.whole_input).decode() if block.whole_input and not block.filled else ""
        return [*self._build.tool_arguments(event.index, whole), *self._build.tool_end(event.index)]

    def _finish(self, event: MessageDelta) -> list[Chunk]:
        self._count(event.usage)
        if event.delta.stop_reason is None or self._finished:
            return []
        self._finished = True
        refusal = refusal_of(event.delta.stop_details)
        return [
            *([self._build.annotations(*self._annotations)] if self._annotations else []),
            *([self._build.refusal(refusal)] if refusal else []),
            self._build.finish(finish_of(event.delta.stop_reason)),
        ]

    def _say(self, text: str) -> list[Chunk]:
        self._block.text += text
        self._written += len(text)
        return [self._build.text(text)] if text else []

    def _think(self, text: str) -> list[Chunk]:
        self._block.text += text
        return [self._build.reasoning(text)] if text else []

    def _next_detail(self) -> int:
        self._reasoned += 1
        return self._reasoned - 1

    def _count(self, usage: Json | None) -> None:
        """Later counts replace earlier ones of the same name; they are never sums to be added."""
        self._usage |= {name: count for name, count in (usage or {}).items() if count is not None}
