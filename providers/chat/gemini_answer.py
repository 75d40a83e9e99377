"""A Gemini answer in OpenAI's words: its pieces, why it ended, its sources; and the whole of it at once.

For both ways: a whole answer is one GenerateContentResponse, and so is every event of a stream (CHAT_WIRE
2.3, 2026-11-20).
"""

import re
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import msgspec
from msgspec import Struct

from providers.chat.answers import Answer, Choice, Shape, completion
from providers.chat.gemini_contents import SIGNATURE_FORMAT
from providers.chat.gemini_wire import (
    RESPONSE,
    Blob,
    Candidate,
    FunctionCall,
    Grounding,
    Logprob,
    Logprobs,
    Response,
    Segment,
    Web,
    decode,
    read_usage,
)
from providers.chat.turns import ToolCall
from providers.errors import ErrorKind, ProviderError
from providers.types import ChatRequest, Completion, HttpResponse, Json, Target, encode

_FINISH: Mapping[str, str] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "MODEL_ARMOR": "content_filter",
}
"""The reasons that end an answer properly; every other one is a failure unless there is output to show."""


class Pieces(Struct):
    """What the parts of one candidate hold. `images` and `audio` are as OpenAI messages show them."""

    text: str = ""
    reasoning: str = ""
    details: list[Json] = []
    calls: list[ToolCall] = []
    images: list[Json] = []
    audio: Json | None = None

    def spoken(self) -> bool:
        """Whether there is any output, reasoning aside."""
        return bool(self.text or self.calls or self.images or self.audio)

    def media(self) -> dict[str, Any]:
        """The fields of a message or delta that hold its pictures and sound."""
        images = {"images": self.images} if self.images else {}
        return {**images, "audio": self.audio} if self.audio else images


class PartReader:
    """Reads the parts of one answer, event by event or at once.

    Calls that came without an id get one, the same for the same answer however it was cut.
    """

    def __init__(self, response: Response, request: ChatRequest) -> None:
        self.answer_id = response.response_id or str(request.created)
        self._created = request.created
        stem = re.sub(r"[^A-Za-z0-9_-]", "", self.answer_id)[:40]
        self._ids = (f"call_{stem}_{number}" for number in count())
        self._places = count()

    def read(self, candidate: Candidate) -> Pieces:
        """What the candidate's parts hold, by kind."""
        held = Pieces()
        parts = candidate.content.parts if candidate.content else None
        for part in parts or ():
            if part.function_call:
                held.calls.append(self._call(part.function_call, part.thought_signature))
                continue
            if part.thought_signature:
                held.details.append(self._signature(part.thought_signature))
            if part.inline_data:
                self._add_media(held, part.inline_data)
            elif part.thought:
                held.reasoning += part.text or ""
            else:
                held.text += part.text or ""
        return held

    def _call(self, call: FunctionCall, signature: str | None) -> ToolCall:
        return ToolCall(
            id=call.id or next(self._ids),
            name=call.name or "",
            arguments=encode(call.args or {}).decode(),
            extra={"google": {"thought_signature": signature}} if signature else {},
        )

    def _signature(self, signature: str) -> Json:
        place = {"type": "reasoning.encrypted", "index": next(self._places)}
        return {**place, "format": SIGNATURE_FORMAT, "data": signature}

    def _add_media(self, held: Pieces, blob: Blob) -> None:
        mime, data = blob.mime_type or "", blob.data or ""
        if mime.startswith("image/"):
            url = f"data:{mime};base64,{data}"
            held.images.append({"type": "image_url", "image_url": {"url": url}})
        elif mime.startswith("audio/"):  # nobody keeps it, so it expires at once
            held.audio = {"id": "audio", "data": data, "expires_at": self._created, "transcript": ""}


def read_completion(request: ChatRequest, target: Target, response: HttpResponse, shape: Shape) -> Completion:
    """A whole answer as OpenAI JSON. Raises PROTOCOL when there is nothing in it to show."""
    found = decode(response.body, RESPONSE)
    reader = PartReader(found, request)
    candidates = found.candidates or ()
    pieces = [reader.read(candidate) for candidate in candidates]
    choices = [_choice(candidate, held) for candidate, held in zip(candidates, pieces, strict=True)]
    answer = Answer(
        id=reader.answer_id,
        model=found.model_version or target.model,
        choices=choices or [Choice(finish="content_filter", refusal=read_block(found))],
        usage=read_usage(found.usage_metadata),
    )
    done = completion(request, answer, shape)
    return _with_media(done, pieces) if any(held.media() for held in pieces) else done


def read_finish(reason: str | None, *, spoken: bool) -> str:
    """OpenAI's finish reason. Raises PROTOCOL for an answer that failed before there was any output."""
    if known := _FINISH.get(reason or ""):
        return known
    if spoken:
        return "stop"
    why = reason or "no reason given"
    raise ProviderError(ErrorKind.PROTOCOL, f"The model ended without an answer: {why}.", code=reason)


def read_block(response: Response) -> str:
    """The refusal for a prompt that was blocked. Raises PROTOCOL when it was not."""
    feedback = response.prompt_feedback
    if feedback is None or not feedback.block_reason:
        raise ProviderError(ErrorKind.PROTOCOL, "The provider's answer holds no candidate.")
    return f"Blocked by provider: {feedback.block_reason}"


def read_citations(grounding: Grounding | None, text: str) -> list[Json]:
    """The sources of a web search as annotations of `text`, the whole of it."""
    if grounding is None:
        return []
    raw = text.encode()
    sources = {place: source.web for place, source in enumerate(grounding.grounding_chunks or ())}
    return [
        {"type": "url_citation", "url_citation": _citation(raw, support.segment or Segment(), web)}
        for support in grounding.grounding_supports or ()
        for place in support.grounding_chunk_indices or ()
        if (web := sources.get(place))
    ]


def _citation(raw: bytes, segment: Segment, web: Web) -> Json:
    """Gemini counts bytes of the text, OpenAI characters."""
    return {
        "start_index": len(raw[: segment.start_index or 0].decode(errors="ignore")),
        "end_index": len(raw[: segment.end_index or 0].decode(errors="ignore")),
        "title": web.title or "",
        "url": web.uri or "",
    }


def _choice(candidate: Candidate, held: Pieces) -> Choice:
    return Choice(
        index=candidate.index or 0,
        finish=read_finish(candidate.finish_reason, spoken=held.spoken()),
        text=held.text or None,
        reasoning=held.reasoning,
        details=held.details,
        calls=held.calls,
        annotations=read_citations(candidate.grounding_metadata, held.text),
        logprobs=_logprobs(candidate.logprobs_result),
    )


def _logprobs(result: Logprobs | None) -> Json | None:
    if result is None or not result.chosen_candidates:
        return None
    tops = [top.candidates or () for top in result.top_candidates or ()]
    content = [
        {
            **_logprob(chosen),
            "top_logprobs": [_logprob(one) for one in (tops[place] if place < len(tops) else ())],
        }
        for place, chosen in enumerate(result.chosen_candidates)
    ]
    return {"content": content, "refusal": None}


def _logprob(chosen: Logprob) -> dict[str, Any]:
    token = chosen.token or ""
    return {"token": token, "logprob": chosen.log_probability or 0.0, "bytes": list(token.encode())}


def _with_media(done: Completion, pieces: Sequence[Pieces]) -> Completion:
    """The completion with pictures and sound, which OpenAI's form has no common place for."""
    body = msgspec.json.decode(done.body)
    for choice, held in zip(body["choices"], pieces, strict=True):
        choice["message"] |= held.media()
    return msgspec.structs.replace(done, body=encode(body))
