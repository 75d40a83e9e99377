"""The `scripted` dialect: OpenAI's, spoken to nobody. What is answered: `providers.scripted`."""

from msgspec.structs import replace

from providers import scripted
from providers.chat import openai
from providers.chat.openai import chat_response, chat_stream, embedding_request, embedding_response, error
from providers.types import ChatRequest, HttpRequest, Target

__all__ = [
    "chat_request",
    "chat_response",
    "chat_stream",
    "embedding_request",
    "embedding_response",
    "error",
]


def chat_request(request: ChatRequest, target: Target) -> HttpRequest:
    """OpenAI's request, with the second that the answer shall be dated."""
    call = openai.chat_request(request, target)
    return replace(call, headers={**call.headers, scripted.CREATED: str(request.created)})
