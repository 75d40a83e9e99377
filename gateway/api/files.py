"""OpenAI's `/v1/files`: what batches are read from and what they are answered with."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from litestar import HttpMethod, delete, get, post, route
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromQuery, PathParameter, QueryParameter
from litestar.types import ASGIApp

from gateway.api.content import FileAnswer, Sendable
from gateway.api.file_views import file, page
from gateway.api.multipart import fields_of
from gateway.api.uploads import Room
from gateway.api.videos import AnyRequest, CallerOf
from gateway.errors import InvalidRequest
from gateway.service.files import MAX_FILE, Files, Label, life_of
from gateway.service.video_inputs import Upload
from gateway.store.files import Slice

FILE = Room(field="file", file=MAX_FILE)
_Id = Annotated[str, PathParameter(max_length=200)]


def routes(files: Files, caller_of: CallerOf) -> Sequence[HTTPRouteHandler]:
    """The route handlers."""

    @post("/v1/files", summary="Upload a file", status_code=200)
    async def create(request: AnyRequest) -> dict[str, Any]:
        caller = caller_of(request)
        if request.content_type[0] != "multipart/form-data":
            message = "A file is uploaded as multipart/form-data, with the fields `file` and `purpose`."
            raise InvalidRequest(message, code="unsupported_content_type")
        async with fields_of(request, FILE) as fields:
            upload = fields.get("file")
            if not isinstance(upload, Upload):
                raise InvalidRequest(
                    "`file` must be a file.", code="missing_required_parameter", param="file"
                )
            return file(await files.create(caller, _label(fields, upload), upload.chunks()))

    @get("/v1/files/{file_id:str}", summary="Retrieve a file's description")
    async def retrieve(request: AnyRequest, file_id: _Id) -> dict[str, Any]:
        return file(await files.get(caller_of(request), file_id))

    @delete("/v1/files/{file_id:str}", summary="Delete a file", status_code=200)
    async def remove(request: AnyRequest, file_id: _Id) -> dict[str, Any]:
        await files.delete(caller_of(request), file_id)
        return {"id": file_id, "object": "file", "deleted": True}

    return (create, retrieve, remove, *_reading(files, caller_of))


def _reading(files: Files, caller_of: CallerOf) -> Sequence[HTTPRouteHandler]:
    @get("/v1/files", summary="List your files")
    async def list_files(
        request: AnyRequest,
        limit: Annotated[int, QueryParameter(ge=1, le=10_000)] = 10_000,
        order: FromQuery[Literal["asc", "desc"]] = "desc",
        after: Annotated[str | None, QueryParameter(max_length=200)] = None,
        purpose: Annotated[str | None, QueryParameter(max_length=200)] = None,
    ) -> dict[str, Any]:
        wanted = Slice(limit=limit, after=after, newest_first=order == "desc", purpose=purpose)
        found, more = await files.page(caller_of(request), wanted)
        return page(found, file, more=more)

    @route(
        "/v1/files/{file_id:str}/content",
        http_method=[HttpMethod.GET, HttpMethod.HEAD],
        summary="Download a file",
    )
    async def content(request: AnyRequest, file_id: _Id) -> ASGIApp:
        found = await files.content(caller_of(request), file_id)
        row = found.row
        sent = Sendable(
            file=found.file,
            size=row.size,
            sha256=row.sha256,
            mime="application/octet-stream",
            name=row.filename,
        )
        return FileAnswer(sent, request.headers, head=request.method == "HEAD")

    return (list_files, content)


def _label(fields: Mapping[str, object], upload: Upload) -> Label:
    purpose = fields.get("purpose")
    if not isinstance(purpose, str):
        message = "`purpose` is required: what the file is for."
        raise InvalidRequest(message, code="missing_required_parameter", param="purpose")
    name = "".join(letter for letter in upload.name if letter.isprintable())
    return Label(filename=name, purpose=purpose, life=life_of(fields.get("expires_after"), "expires_after"))
