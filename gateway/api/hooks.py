"""Where providers of videos tell that something has changed; see `gateway/service/hooks.py`."""

from collections.abc import Sequence
from typing import Annotated

from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter

from gateway.api.uploads import Room, whole
from gateway.api.videos import AnyRequest
from gateway.service.hooks import Hooks

_ROOM = Room(field="body", file=0)
_Token = Annotated[str, PathParameter(max_length=200)]


def routes(hooks: Hooks) -> Sequence[HTTPRouteHandler]:
    """The route handler. Its path is a secret of each attempt, so it needs no key."""

    @post("/hooks/videos/{token:str}", status_code=204, include_in_schema=False)
    async def hear(request: AnyRequest, token: _Token) -> None:
        await hooks.heard(token, request.headers, await whole(request, _ROOM))

    return (hear,)
