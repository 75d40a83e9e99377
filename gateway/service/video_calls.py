"""The HTTP calls of a video job: one question with a short answer, and a long download into a file."""

import asyncio

from msgspec.structs import replace

from gateway.config.snapshot import Timeouts
from gateway.store.media import Draft
from gateway.transport.client import Answer, Upstream
from providers.adapter import VideoAdapter
from providers.errors import ErrorKind, ProviderError
from providers.types import HttpRequest, HttpResponse

_CUTS = frozenset((ErrorKind.UNAVAILABLE, ErrorKind.TIMEOUT))
_ERROR_BYTES = 64 * 1024


async def ask(
    upstream: Upstream, request: HttpRequest, timeouts: Timeouts, *, fresh: bool = False
) -> HttpResponse:
    """One call whose answer is read whole. `fresh` as in `Upstream.send`. Raises ProviderError."""
    answer = await _send(upstream, request, timeouts, fresh=fresh)
    try:
        return HttpResponse(status=answer.status, headers=answer.headers, body=await answer.read())
    finally:
        answer.close()


class Source:
    """Where a file is fetched from."""

    def __init__(self, upstream: Upstream, adapter: VideoAdapter, timeouts: Timeouts) -> None:
        self._upstream = upstream
        self._adapter = adapter
        self._timeouts = timeouts

    async def fetch(self, request: HttpRequest, draft: Draft) -> None:
        """Stream a file into a draft; a download that is cut is taken up once where it broke.

        Raises ProviderError; OverLimitError for a file larger than the draft may become.
        """
        try:
            await self._pour(request, draft, 200)
        except ProviderError as error:
            if draft.size == 0 or error.kind not in _CUTS:
                raise
            headers = {**request.headers, "range": f"bytes={draft.size}-"}
            await self._pour(replace(request, headers=headers), draft, 206)

    async def _pour(self, request: HttpRequest, draft: Draft, expected: int) -> None:
        answer = await _send(self._upstream, request, self._timeouts, fresh=False)
        try:
            if answer.status != expected or not _continues(answer, draft.size):
                await self._refuse(answer)
            loop = asyncio.get_running_loop()
            answer.deadline = loop.time() + self._timeouts.silence
            async for piece in answer:
                await draft.add(piece)
                answer.deadline = loop.time() + self._timeouts.silence
        finally:
            answer.close()

    async def _refuse(self, answer: Answer) -> None:
        if answer.status < 300:
            raise ProviderError(ErrorKind.PROTOCOL, "The file was not sent as it was asked for.")
        body = await answer.read(_ERROR_BYTES)
        raise self._adapter.error(HttpResponse(status=answer.status, headers=answer.headers, body=body))


def _continues(answer: Answer, size: int) -> bool:
    """Whether the answer begins where the draft ends."""
    return size == 0 or answer.headers.get("content-range", "").startswith(f"bytes {size}-")


async def _send(upstream: Upstream, request: HttpRequest, timeouts: Timeouts, *, fresh: bool) -> Answer:
    deadline = asyncio.get_running_loop().time() + timeouts.connect + timeouts.headers
    return await upstream.send(
        request, connect=timeouts.connect, headers=timeouts.headers, deadline=deadline, fresh=fresh
    )
