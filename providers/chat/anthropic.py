"""The `anthropic` dialect: OpenAI chat requests to the Anthropic Messages API and its answers back.

The work is done next door: `anthropic_request` builds (with `_rules`, `_messages`, `_tools`), and from `_wire`
`anthropic_response` and `anthropic_stream` read. Facts: CHAT_WIRE 2.2, 2026-11-20.
"""

from providers.chat.anthropic_request import build
from providers.chat.anthropic_response import answer_shape, message_completion
from providers.chat.anthropic_stream import MessageStream
from providers.errors import ProviderError
from providers.reading import read_error
from providers.types import ChatRequest, Completion, HttpRequest, HttpResponse, Target


def chat_request(request: ChatRequest, target: Target) -> HttpRequest:
    """The call to make; `target.base_url` is the host's root. Raises UNSUPPORTED or INVALID_REQUEST."""
    return build(request, target)


def chat_response(request: ChatRequest, target: Target, response: HttpResponse) -> Completion:
    """The answer as OpenAI JSON. Raises ProviderError for an error inside a 2xx."""
    return message_completion(request, target, response)


def chat_stream(request: ChatRequest, target: Target) -> MessageStream:
    """A reader for the events of one streamed answer."""
    return MessageStream(request, answer_shape(request, target))


def error(response: HttpResponse) -> ProviderError:
    """What an answer with a status of 300 or above means; the general rules know Anthropic's codes."""
    return read_error(response)
