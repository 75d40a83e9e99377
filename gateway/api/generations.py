"""The older `/v1/video/generations`: another face of the same jobs, under the same ids."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter
from msgspec.structs import replace

from gateway.api.hints import placed
from gateway.api.multipart import fields_of
from gateway.api.uploads import CLIP
from gateway.api.video_views import generation, is_over, poll_after_ms
from gateway.api.videos import AnyRequest, CallerOf, cache_header, content_route, headers_of, origin
from gateway.clock import SYSTEM, Clock
from gateway.service.video_request import GENERATIONS, begins_with_video, read, read_change
from gateway.service.videos import Videos
from gateway.store.jobs import Job

_Id = Annotated[str, PathParameter(max_length=200)]
PATH = "/v1/video/generations"


def routes(videos: Videos, caller_of: CallerOf, clock: Clock = SYSTEM) -> Sequence[HTTPRouteHandler]:
    """The route handlers; see `videos.routes`."""

    def shown(request: AnyRequest, job: Job) -> dict[str, Any]:
        return generation(job, videos.link(job, str(request.base_url)), clock.now())

    def pause(job: Job) -> dict[str, str]:
        if is_over(job):
            return {}
        wait = poll_after_ms(job, clock.now())
        return {"retry-after": str(-(-wait // 1000)), "openai-poll-after-ms": str(wait)}

    @post(PATH, summary="Create a video (older form)", status_code=202)
    async def create(request: AnyRequest) -> Response[Mapping[str, Any]]:
        caller = caller_of(request)
        told, sent = origin(request, "generations"), headers_of(request)
        async with fields_of(request, CLIP) as fields:
            if begins_with_video(fields):
                change = read_change(GENERATIONS, fields)
                change = replace(change, wish=placed(change.wish, sent))
                job = await videos.change(caller, change, told)
            else:
                job = await videos.create(caller, placed(read(GENERATIONS, fields), sent), told)
        headers = {"location": f"{PATH}/{job.id}", **pause(job), **cache_header(job, told)}
        return Response(shown(request, job), status_code=202, headers=headers)

    @get(PATH + "/{video_id:str}", summary="Retrieve a video (older form)")
    async def retrieve(request: AnyRequest, video_id: _Id) -> Response[Mapping[str, Any]]:
        job = await videos.get(caller_of(request), video_id)
        return Response(shown(request, job), headers=pause(job))

    return (create, retrieve, content_route(PATH + "/{video_id:str}/content", videos, caller_of))
