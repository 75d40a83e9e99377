"""OpenAI's `/v1/videos`, every verb of it, over the one durable job."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

from litestar import HttpMethod, Request, Response, delete, get, post, route
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromQuery, PathParameter, QueryParameter
from litestar.types import ASGIApp
from msgspec.structs import replace

from gateway.api.content import FileAnswer, of_video
from gateway.api.hints import ask_in, placed
from gateway.api.multipart import fields_of
from gateway.api.uploads import CLIP
from gateway.api.video_views import is_over, page, poll_after_ms, video
from gateway.clock import SYSTEM, Clock
from gateway.config.snapshot import Caller
from gateway.errors import InvalidRequest, Unauthenticated
from gateway.service.video_cache import FOUND
from gateway.service.video_links import Link
from gateway.service.video_repeats import Origin
from gateway.service.video_request import VIDEOS, read, read_change, read_remix
from gateway.service.videos import Videos
from gateway.store.jobs import Job
from gateway.telemetry.record import Call

AnyRequest: TypeAlias = Request[Any, Any, Any]
CallerOf: TypeAlias = Callable[[AnyRequest], Caller]
"""Who sends a request; raises Unauthenticated."""

Reply: TypeAlias = Callable[[Job, Origin], Response[Mapping[str, Any]]]
CACHE = "x-fairlead-cache"

_Id = Annotated[str, PathParameter(max_length=200)]


def routes(videos: Videos, caller_of: CallerOf, clock: Clock = SYSTEM) -> Sequence[HTTPRouteHandler]:
    """The route handlers. A literal path wins over `{video_id}`, so `edits` and its like never reach it."""
    reply = _replying(clock)

    @post("/v1/videos", summary="Create a video", status_code=200)
    async def create(request: AnyRequest) -> Response[Mapping[str, Any]]:
        caller = caller_of(request)
        async with fields_of(request) as fields:
            told = origin(request, "videos")
            wish = placed(read(VIDEOS, fields), headers_of(request))
            return reply(await videos.create(caller, wish, told), told)

    @post("/v1/videos/{video_id:str}/remix", summary="Make a variation of a video", status_code=200)
    async def remix(request: AnyRequest, video_id: _Id) -> Response[Mapping[str, Any]]:
        caller = caller_of(request)
        async with fields_of(request) as fields:
            said = read_remix(fields)
        said = {**said, **ask_in(headers_of(request), said["deadline"])}
        told = origin(request, "videos/remix")
        return reply(await videos.remix(caller, video_id, said, told), told)

    @get("/v1/videos/{video_id:str}", summary="Retrieve a video")
    async def retrieve(request: AnyRequest, video_id: _Id) -> Response[Mapping[str, Any]]:
        return reply(await videos.get(caller_of(request), video_id), Origin(route="videos"))

    content = content_route("/v1/videos/{video_id:str}/content", videos, caller_of)
    changes = _changes(videos, caller_of, reply)
    return (create, remix, retrieve, content, *_library(videos, caller_of, clock), *changes)


def _replying(clock: Clock) -> Reply:
    def reply(job: Job, told: Origin) -> Response[Mapping[str, Any]]:
        now = clock.now()
        headers = {} if is_over(job) else {"openai-poll-after-ms": str(poll_after_ms(job, now))}
        headers |= cache_header(job, told)
        return Response(video(job, now), status_code=200, headers=headers)

    return reply


def _changes(videos: Videos, caller_of: CallerOf, reply: Reply) -> Sequence[HTTPRouteHandler]:
    async def changed(request: AnyRequest, operation: str) -> Response[Mapping[str, Any]]:
        caller = caller_of(request)
        async with fields_of(request, CLIP) as fields:
            change = read_change(VIDEOS, fields, operation)
            change = replace(change, wish=placed(change.wish, headers_of(request)))
            told = origin(request, f"videos/{operation}")
            return reply(await videos.change(caller, change, told), told)

    @post("/v1/videos/edits", summary="Edit a video", status_code=200)
    async def edit(request: AnyRequest) -> Response[Mapping[str, Any]]:
        return await changed(request, "edit")

    @post("/v1/videos/extensions", summary="Extend a video", status_code=200)
    async def extend(request: AnyRequest) -> Response[Mapping[str, Any]]:
        return await changed(request, "extend")

    return (edit, extend)


def _library(videos: Videos, caller_of: CallerOf, clock: Clock) -> Sequence[HTTPRouteHandler]:
    @get("/v1/videos", summary="List your videos")
    async def list_videos(
        request: AnyRequest,
        limit: Annotated[int, QueryParameter(ge=0, le=100)] = 20,
        order: FromQuery[Literal["asc", "desc"]] = "desc",
        after: Annotated[str | None, QueryParameter(max_length=200)] = None,
    ) -> dict[str, Any]:
        caller = caller_of(request)
        found, more = await videos.page(caller, after=after, limit=limit, newest_first=order == "desc")
        return page(found, clock.now(), more=more)

    @delete("/v1/videos/{video_id:str}", summary="Delete a video, or cancel it", status_code=200)
    async def remove(request: AnyRequest, video_id: _Id) -> dict[str, Any]:
        await videos.delete(caller_of(request), video_id)
        return {"id": video_id, "object": "video.deleted", "deleted": True}

    return (list_videos, remove)


def content_route(path: str, videos: Videos, caller_of: CallerOf) -> HTTPRouteHandler:
    """GET and HEAD of a job's files under a path that holds `{video_id:str}`."""

    @route(path, http_method=[HttpMethod.GET, HttpMethod.HEAD], summary="Download a video's content")
    async def content(
        request: AnyRequest,
        video_id: _Id,
        variant: FromQuery[str] = "video",
        expires: FromQuery[str | None] = None,
        signature: FromQuery[str | None] = None,
    ) -> ASGIApp:
        link = Link(expires=expires, signature=signature)
        found = await videos.linked(video_id, variant, link)
        if found is None:
            found = await videos.content(_caller(request, link), video_id, variant)
        return FileAnswer(of_video(found), request.headers, head=request.method == "HEAD")

    def _caller(request: AnyRequest, link: Link) -> Caller:
        try:
            return caller_of(request)
        except Unauthenticated as error:
            if link.signature is None:
                raise
            message = "This link is not, or no longer, valid; retrieve the video again to get a new one."
            raise Unauthenticated(message, code="invalid_link", headers=error.headers) from error

    return content


def headers_of(request: AnyRequest) -> Mapping[bytes, bytes]:
    """A request's headers as they came; of one that is repeated the last."""
    return dict(request.scope["headers"])


def origin(request: AnyRequest, name: str) -> Origin:
    """What tells a repeated request from a new one, and which trace it belongs to. Raises InvalidRequest."""
    cache = request.headers.get(CACHE)
    if cache not in (None, "allow"):
        message = f"`{CACHE}` is {cache[:40]!r}; it may only be `allow`."
        raise InvalidRequest(message, param=CACHE)
    call = request.scope.get("fairlead_call")  # set by api/observe.py
    return Origin(
        route=name,
        base_url=str(request.base_url),
        key=request.headers.get("idempotency-key"),
        retries=retries(request),
        cache=cache == "allow",
        trace=call.traceparent if isinstance(call, Call) else "",
    )


def retries(request: AnyRequest) -> int:
    """How often the official client has sent this request before."""
    told = request.headers.get("x-stainless-retry-count", "")
    return int(told) if told.isascii() and told.isdigit() and len(told) < 4 else 0


def cache_header(job: Job, told: Origin) -> dict[str, str]:
    """Whether a request that allows an earlier result was given one."""
    if not told.cache:
        return {}
    return {CACHE: "hit" if FOUND in (job.output or {}) else "miss"}
