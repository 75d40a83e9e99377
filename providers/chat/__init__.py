"""Chat dialects: one module each, found by name in `CHAT`, and in `EMBEDDINGS` where it has that too."""

from collections.abc import Mapping

from providers.adapter import ChatAdapter, EmbeddingAdapter
from providers.chat import anthropic, gemini, openai, scripted

CHAT: Mapping[str, ChatAdapter] = {
    "openai": openai,
    "anthropic": anthropic,
    "gemini": gemini,
    "scripted": scripted,
}
EMBEDDINGS: Mapping[str, EmbeddingAdapter] = {
    "openai": openai,
    "gemini": gemini,
    "scripted": scripted,
}
