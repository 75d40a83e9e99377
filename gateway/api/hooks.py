"""Where providers of videos tell that something has changed; see `gateway/service/hooks.py`."""

from collections.abc import Sequence
from typing import Annotated

from litestar import Response, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter

from gateway.api.uploads import Room, whole
from gateway.api.videos import AnyRequest
from gateway.service.hooks import Hooks
from gateway.service.signers import Heard
from providers.types import Json

_ROOM = Room(field="body", file=0)
_Token = Annotated[str, PathParameter(max_length=200)]


def routes(hooks: Hooks) -> Sequence[HTTPRouteHandler]:
    """The route handler. Its path is a secret of each attempt, so it needs no key."""

    @post("/hooks/videos/{token:str}", include_in_schema=False)
    async def hear(request: AnyRequest, token: _Token) -> Response[Json | None]:
        heard = Heard(headers=request.headers, body=await whole(request, _ROOM))
        answer = await hooks.heard(token, heard)
        return Response(answer, status_code=204 if answer is None else 200)

    return (hear,)
