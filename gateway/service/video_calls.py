"""The HTTP calls of a video job: one question with a short answer, and a long download into a file.

A finished file may be anywhere the provider says. What is not on the provider's own host, by its link or by
where that leads on to, is a stranger's link: it must be https and public, and is shown no credential.
"""

import asyncio
from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

from msgspec.structs import replace

from gateway.config.snapshot import Timeouts
from gateway.store.media import Draft
from gateway.transport.client import Answer, Upstream
from gateway.transport.fetch import Fetcher
from providers.adapter import VideoAdapter
from providers.errors import ErrorKind, ProviderError
from providers.types import HttpRequest, HttpResponse

_CUTS = frozenset((ErrorKind.UNAVAILABLE, ErrorKind.TIMEOUT))
_ERROR_BYTES = 64 * 1024
_HOPS = 4
_ELSEWHERE = frozenset((301, 302, 303, 307, 308))


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
    """Where the file of one operation is fetched from. `base_url` is the provider's."""

    def __init__(
        self,
        upstream: Upstream,
        fetcher: Fetcher,
        adapter: VideoAdapter,
        base_url: str,
        timeouts: Timeouts,
    ) -> None:
        self._upstream = upstream
        self._fetcher = fetcher
        self._adapter = adapter
        self._own = urlsplit(base_url)[:2]
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

    async def unpack(self, request: HttpRequest, draft: Draft, read: Callable[[HttpResponse], bytes]) -> None:
        """Put the file that stands inside an answer into a draft. Raises ProviderError, OverLimitError."""
        response = await ask(self._upstream, request, self._timeouts)
        if response.status >= 300:
            raise self._adapter.error(response)
        await draft.add(await asyncio.to_thread(read, response))

    async def _pour(self, request: HttpRequest, draft: Draft, expected: int) -> None:
        answer = await self._open(request)
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

    async def _open(self, request: HttpRequest) -> Answer:
        """The answer with the file, wherever links lead to it."""
        for _ in range(_HOPS):
            answer = await self._ask(request)
            where = answer.headers.get("location", "")
            if answer.status not in _ELSEWHERE or not where:
                return answer
            answer.close()
            request = _onwards(request, where)
        raise ProviderError(ErrorKind.PROTOCOL, "The link to the file leads from one link to the next.")

    async def _ask(self, request: HttpRequest) -> Answer:
        if urlsplit(request.url)[:2] == self._own:
            return await _send(self._upstream, request, self._timeouts, fresh=False)
        try:
            async with asyncio.timeout(self._timeouts.connect + self._timeouts.headers):
                return await self._fetcher.open(request)
        except TimeoutError as error:
            raise ProviderError(ErrorKind.TIMEOUT, "The host of the file did not answer in time.") from error

    async def _refuse(self, answer: Answer) -> None:
        if answer.status < 300:
            raise ProviderError(ErrorKind.PROTOCOL, "The file was not sent as it was asked for.")
        body = await answer.read(_ERROR_BYTES)
        raise self._adapter.error(HttpResponse(status=answer.status, headers=answer.headers, body=body))


def _onwards(request: HttpRequest, where: str) -> HttpRequest:
    """The next request after a redirect: only a range goes along to another host."""
    url = urljoin(request.url, where)
    if urlsplit(url)[:2] == urlsplit(request.url)[:2]:
        return replace(request, url=url)
    return replace(request, url=url, headers={k: v for k, v in request.headers.items() if k == "range"})


def _continues(answer: Answer, size: int) -> bool:
    """Whether the answer begins where the draft ends."""
    return size == 0 or answer.headers.get("content-range", "").startswith(f"bytes {size}-")


async def _send(upstream: Upstream, request: HttpRequest, timeouts: Timeouts, *, fresh: bool) -> Answer:
    deadline = asyncio.get_running_loop().time() + timeouts.connect + timeouts.headers
    return await upstream.send(
        request, connect=timeouts.connect, headers=timeouts.headers, deadline=deadline, fresh=fresh
    )
