"""A Gemini stream as OpenAI chunks.

Every event is a whole GenerateContentResponse with new parts only; there is no end mark but the end of the
stream. A finish reason may stand in every event, in the last one with parts, or in one of its own behind the
calls, so the last one seen counts and is given at the end, and then the usage, of which the last value of
each field counts (CHAT_WIRE 2.3, 2026-11-20). An end without any finish reason is a cut: nothing is owed.
"""

from typing import Any

import msgspec

from providers.chat.answers import ChunkBuilder, Shape
from providers.chat.gemini_answer import PartReader, Pieces, read_block, read_citations, read_finish
from providers.chat.gemini_wire import RESPONSE, Candidate, Grounding, decode, read_usage
from providers.sse import Event
from providers.types import ChatRequest, Chunk, Json, Target, encode


class GeminiStream:
    """Reads one streamed answer of one choice."""

    def __init__(self, request: ChatRequest, target: Target, shape: Shape) -> None:
        self._request = request
        self._model = target.model
        self._chunks = ChunkBuilder(request, shape)
        self._parts: PartReader | None = None
        self._finish = ""
        self._usage: dict[str, Any] = {}
        self._grounding: Grounding | None = None
        self._text: list[str] = []
        self._calls = 0
        self._spoken = False

    def feed(self, event: Event) -> list[Chunk]:
        """Chunks this event gives. Raises what an error in the stream means, PROTOCOL for no event."""
        if event.data.strip() == b"[DONE]":
            return []
        response = decode(event.data, RESPONSE)
        found: list[Chunk] = []
        if self._parts is None:
            self._parts = PartReader(response, self._request)
            self._chunks.begin(self._parts.answer_id, response.model_version or self._model)
            found.append(self._chunks.role())
        counts = response.usage_metadata or {}
        self._usage |= {name: count for name, count in counts.items() if count is not None}
        if response.prompt_feedback and response.prompt_feedback.block_reason:
            self._finish = "content_filter"
            found.append(self._chunks.refusal(read_block(response)))
        for candidate in response.candidates or ():
            if not candidate.index:  # one choice is all that was asked for
                found += self._candidate(candidate, self._parts)
        return found

    def end(self) -> list[Chunk]:
        """The finish and the usage; nothing when the stream was cut before its finish."""
        if not self._finish:
            return []
        citations = read_citations(self._grounding, "".join(self._text))
        usage = read_usage(self._usage)
        return [
            *([self._chunks.annotations(*citations)] if citations else []),
            self._chunks.finish(self._finish),
            *([self._chunks.usage(usage)] if usage else []),
        ]

    def _candidate(self, candidate: Candidate, parts: PartReader) -> list[Chunk]:
        held = parts.read(candidate)
        self._spoken = self._spoken or held.spoken()
        self._text.append(held.text)
        self._grounding = candidate.grounding_metadata or self._grounding
        if candidate.finish_reason:
            self._finish = read_finish(candidate.finish_reason, spoken=self._spoken)
        return self._show(held)

    def _show(self, held: Pieces) -> list[Chunk]:
        """The pieces of one event: reasoning, text, signatures, media, calls."""
        found: list[Chunk] = []
        if held.reasoning:
            found.append(self._chunks.reasoning(held.reasoning))
        if held.text:
            found.append(self._chunks.text(held.text))
        if held.details:
            found.append(self._chunks.details(*held.details))
        if media := held.media():
            found.append(_with_delta(self._chunks.text(""), media))
        for call in held.calls:
            self._calls += 1
            found += self._chunks.tool_start(self._calls, call.id, call.name, call.extra)
            found += self._chunks.tool_arguments(self._calls, call.arguments)
            found += self._chunks.tool_end(self._calls)
        return found


def _with_delta(chunk: Chunk, delta: Json) -> Chunk:
    """The chunk with another delta: pictures and sound have no common place in OpenAI's chunks."""
    data = msgspec.json.decode(chunk.data)
    data["choices"][0]["delta"] = delta
    return msgspec.structs.replace(chunk, data=encode(data))
