"""Fetches linked pictures for dialects that cannot pass a link on; guarded against private addresses."""

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from gateway.transport.fetch import Fetcher
from providers.errors import ErrorKind, ProviderError
from providers.types import ChatRequest, Media

MAX_PICTURES = 16
MAX_PICTURE = 20 * 1024 * 1024
FETCH_SECONDS = 10.0


class Pictures:
    """Fetches what requests link to."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher

    async def attach(self, links: Sequence[str], request: ChatRequest) -> ChatRequest:
        """The request with the bytes behind these links. Raises INVALID_REQUEST."""
        urls = [url for url in links if url not in request.media]
        if not urls:
            return request
        if len(urls) > MAX_PICTURES:
            raise ProviderError(
                ErrorKind.INVALID_REQUEST,
                f"The request links to {len(urls)} pictures; at most {MAX_PICTURES} are fetched.",
                param="messages",
            )
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {url: group.create_task(self._one(url)) for url in urls}
        except* ProviderError as errors:
            raise errors.exceptions[0] from None
        return replace(
            request, media={**request.media, **{url: task.result() for url, task in tasks.items()}}
        )

    async def _one(self, url: str) -> Media:
        mime, data = await self._fetcher.fetch(
            url, limit=MAX_PICTURE, timeout=FETCH_SECONDS, param="messages"
        )
        return Media(role="input", mime=mime, data=data, url=url)
