"""OpenAI's moderations endpoint: the question, and what its answer says (CHAT_WIRE, moderations, 2026-11-20; pure)."""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from providers.auth import bearer
from providers.errors import ErrorKind, ProviderError
from providers.reading import read_error
from providers.types import UNREADABLE, HttpRequest, HttpResponse, Target


class _Result(Struct):
    flagged: bool
    categories: Mapping[str, bool | None] = {}


class _Answer(Struct):
    results: Sequence[_Result]


_decode = msgspec.json.Decoder(_Answer).decode


def moderation_request(text: str, target: Target) -> HttpRequest:
    """Ask the target's model about a text."""
    return HttpRequest(
        method="POST",
        url=f"{target.base_url}/moderations",
        headers={"content-type": "application/json", **bearer(target), **target.headers},
        body=msgspec.json.encode({"model": target.model, "input": text}),
    )


def moderation_response(response: HttpResponse) -> tuple[bool, Sequence[str]]:
    """Whether the text is flagged, and the categories it is flagged for, sorted; they may be none.

    Raises ProviderError for an error, and PROTOCOL for an answer that says neither yes nor no.
    """
    if response.status >= 300:
        raise read_error(response)
    try:
        results = _decode(response.body).results
    except UNREADABLE as error:
        raise ProviderError(ErrorKind.PROTOCOL, "The answer is none of a moderations endpoint.") from error
    if not results:
        raise ProviderError(ErrorKind.PROTOCOL, "The moderations answer holds no result.")
    named = {name for one in results for name, hit in one.categories.items() if hit}
    return any(one.flagged for one in results), sorted(named)
