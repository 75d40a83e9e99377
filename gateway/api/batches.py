"""OpenAI's `/v1/batches`: many requests in one file, worked off behind the door."""

from collections.abc import Sequence
from typing import Annotated, Any

from litestar import get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter, QueryParameter

from gateway.api.edge import MAX_JSON_BODY
from gateway.api.file_views import batch, page
from gateway.api.multipart import fields_of
from gateway.api.videos import AnyRequest, CallerOf, origin
from gateway.service.batches import Batches, read

_Id = Annotated[str, PathParameter(max_length=200)]


def routes(batches: Batches, caller_of: CallerOf) -> Sequence[HTTPRouteHandler]:
    """The route handlers."""

    @post("/v1/batches", summary="Create a batch", status_code=200, request_max_body_size=MAX_JSON_BODY)
    async def create(request: AnyRequest) -> dict[str, Any]:
        caller = caller_of(request)
        async with fields_of(request) as fields:
            return batch(await batches.create(caller, read(fields), origin(request, "batches")))

    @get("/v1/batches/{batch_id:str}", summary="Retrieve a batch")
    async def retrieve(request: AnyRequest, batch_id: _Id) -> dict[str, Any]:
        return batch(await batches.get(caller_of(request), batch_id))

    @post("/v1/batches/{batch_id:str}/cancel", summary="Cancel a batch", status_code=200)
    async def cancel(request: AnyRequest, batch_id: _Id) -> dict[str, Any]:
        return batch(await batches.cancel(caller_of(request), batch_id))

    @get("/v1/batches", summary="List your batches")
    async def list_batches(
        request: AnyRequest,
        limit: Annotated[int, QueryParameter(ge=1, le=100)] = 20,
        after: Annotated[str | None, QueryParameter(max_length=200)] = None,
    ) -> dict[str, Any]:
        found, more = await batches.page(caller_of(request), after, limit)
        return page(found, batch, more=more)

    return (create, retrieve, cancel, list_batches)
