"""The worker over HTTP: OpenAI's Videos API, a little more for gateways, and every error as OpenAI's JSON."""

import hmac
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

import msgspec
from litestar import Litestar, Request, Response, Router, delete, get, post
from litestar.connection import ASGIConnection
from litestar.datastructures import UploadFile
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.handlers import BaseRouteHandler
from litestar.types import ASGIApp

from providers.local.content import file_reply
from providers.local.fields import LARGEST_CLIP, LARGEST_IMAGE, Fields, json_fields, refuse, unbracketed
from providers.local.queue import Job
from providers.local.refusal import RefusalError
from providers.local.worker import Sent, Worker

log = logging.getLogger("fairlead.worker")

LARGEST_BODY = LARGEST_CLIP + LARGEST_IMAGE  # a video, or a picture in base64, and a prompt

AnyRequest: TypeAlias = Request[Any, Any, Any]
"""A request of an application without users or sessions of Litestar's."""
Lifespan: TypeAlias = Callable[[Litestar], AbstractAsyncContextManager[None]]


def build(worker: Worker, key: str, lifespan: Sequence[Lifespan] = ()) -> Litestar:
    """The application. `key` is the bearer key of everything under /v1, empty when none is needed.

    What is in `lifespan` goes on as long as the application is served.
    """
    videos = Router(
        "/v1",
        guards=[_guard(key)],
        route_handlers=[
            create,
            listing,
            retrieve,
            remove,
            content,
            remix,
            edit,
            extend,
            cancel,
            describe,
        ],
    )
    return Litestar(
        [videos, live, ready],
        dependencies={"worker": Provide(lambda: worker, sync_to_thread=False)},
        exception_handlers={RefusalError: _refused, HTTPException: _http_error, Exception: _broken},
        request_max_body_size=LARGEST_BODY,
        openapi_config=None,
        logging_config=None,  # the program set its logging up already
        lifespan=list(lifespan),
    )


@post("/videos", status_code=200)
async def create(request: AnyRequest, worker: Worker) -> Response[dict[str, Any]]:
    """Accept a video."""
    return _video(worker, worker.create(await _fields(request), _sent(request)))


@get("/videos")
async def listing(request: AnyRequest, worker: Worker) -> dict[str, Any]:
    """All videos, newest first unless asked otherwise, in pages."""
    query = request.query_params
    limit, order = query.get("limit", "20"), query.get("order", "desc")
    if not (limit.isascii() and limit.isdigit() and int(limit[:4]) <= 100):
        raise refuse("limit", limit, "a whole number from 0 to 100")
    if order not in ("asc", "desc"):
        raise refuse("order", order, "asc or desc")
    jobs, more = worker.page(limit=int(limit), after=query.get("after"), newest_first=order == "desc")
    return {
        "object": "list",
        "data": [_view(worker, job) for job in jobs],
        "first_id": jobs[0].id if jobs else None,
        "last_id": jobs[-1].id if jobs else None,
        "has_more": more,
    }


@get("/videos/{video_id:str}")
async def retrieve(video_id: str, worker: Worker) -> Response[dict[str, Any]]:
    """How far a video is."""
    return _video(worker, worker.find(video_id))


@delete("/videos/{video_id:str}", status_code=200)
async def remove(video_id: str, worker: Worker) -> dict[str, Any]:
    """Cancel a video where needed, and forget it."""
    return {"id": worker.delete(video_id).id, "object": "video.deleted", "deleted": True}


@get("/videos/{video_id:str}/content")
async def content(request: AnyRequest, video_id: str, worker: Worker) -> ASGIApp:
    """The bytes of a finished video, or of its stills (`variant=thumbnail` or `spritesheet`)."""
    return file_reply(worker.file(video_id, request.query_params.get("variant", "video")))


@post("/videos/{video_id:str}/remix", status_code=200)
async def remix(request: AnyRequest, video_id: str, worker: Worker) -> Response[dict[str, Any]]:
    """Accept a finished video's order again with another prompt."""
    return _video(worker, worker.remix(video_id, await _fields(request), _sent(request)))


@post("/videos/edits", status_code=200)
async def edit(request: AnyRequest, worker: Worker) -> Response[dict[str, Any]]:
    """Accept a video drawn over another one."""
    return _video(worker, worker.change("edit", await _fields(request), _sent(request)))


@post("/videos/extensions", status_code=200)
async def extend(request: AnyRequest, worker: Worker) -> Response[dict[str, Any]]:
    """Accept a video that goes on where another one ends."""
    return _video(worker, worker.change("extend", await _fields(request), _sent(request)))


@post("/videos/{video_id:str}/cancel", status_code=200)
async def cancel(video_id: str, worker: Worker) -> Response[dict[str, Any]]:
    """Stop a video but keep its record."""
    return _video(worker, worker.cancel(video_id))


@get("/worker")
async def describe(worker: Worker) -> Mapping[str, Any]:
    """What this worker can make and how busy it is."""
    return worker.describe()


@get("/livez")
async def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@get("/readyz")
async def ready(worker: Worker) -> Response[dict[str, str]]:
    """An engine was loaded."""
    if worker.runner.ready is None:
        return Response({"status": "engine is starting"}, status_code=503, headers={"retry-after": "1"})
    return Response({"status": "ok"})


async def _fields(request: AnyRequest) -> Fields:
    """The body's fields, whichever way the client sent them (VIDEO_WIRE 1.3)."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return json_fields(await request.body())
    if kind not in ("multipart/form-data", "application/x-www-form-urlencoded"):
        raise RefusalError(
            415,
            "unsupported_content_type",
            f"The content type is {kind!r}: send multipart/form-data or JSON.",
        )
    try:
        form = await request.form()
    except (UnicodeDecodeError, LookupError) as broken:
        raise RefusalError(400, "invalid_form", "A part of the form is not text in UTF-8.") from broken
    parts = [
        (name, await value.read() if isinstance(value, UploadFile) else value)
        for name, value in form.multi_items()
    ]
    await form.close()
    return unbracketed(parts)


def _sent(request: AnyRequest) -> Sent:
    """A gateway that keeps the line itself says `x-worker-queue: no`."""
    headers = request.headers
    return Sent(token=headers.get("idempotency-key"), waits=headers.get("x-worker-queue") != "no")


def _video(worker: Worker, job: Job) -> Response[dict[str, Any]]:
    after = {"openai-poll-after-ms": str(round(1000 * worker.poll_after(job)))}
    return Response(_view(worker, job), headers=after if job.finished_at is None else {})


def _view(worker: Worker, job: Job) -> dict[str, Any]:
    """The Video object: OpenAI's thirteen keys, then `seed` and, once completed, `output`."""
    progress = {"queued": 0, "completed": 100}.get(job.status, worker.runner.percent(job))
    kept_until = job.finished_at and job.finished_at + int(worker.settings.keep)
    return {
        "id": job.id,
        "object": "video",
        "model": job.order.model,
        "status": job.status,
        "progress": progress,
        "created_at": job.created_at,
        "completed_at": job.finished_at,
        "expires_at": kept_until if job.status == "completed" else None,
        "prompt": job.order.prompt,
        "size": job.order.size,
        "seconds": f"{job.order.seconds:g}",
        "remixed_from_video_id": job.order.source,
        "error": {"code": job.error_code, "message": job.error_message} if job.error_code else None,
        "seed": job.order.seed,
        "output": None if job.output is None else msgspec.to_builtins(job.output),
    }


def _guard(key: str) -> Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], Any]:
    async def check(connection: ASGIConnection[Any, Any, Any, Any], _route: BaseRouteHandler) -> None:
        scheme, _, given = connection.headers.get("authorization", "").partition(" ")
        if key and not (
            scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), key.encode())
        ):
            raise RefusalError(
                401, "invalid_api_key", "This worker needs its key as 'Authorization: Bearer <key>'."
            )

    return check


def _refused(_request: AnyRequest, why: RefusalError) -> Response[dict[str, Any]]:
    headers = {}
    if why.retry_after is not None:
        headers["retry-after"] = str(math.ceil(why.retry_after))
    return _error(why.status, why.message, code=why.code, param=why.param, headers=headers)


def _http_error(request: AnyRequest, why: HTTPException) -> Response[dict[str, Any]]:
    """What the framework refuses by itself: no such path or method, too large a body, a broken form."""
    message = f"{request.method} {request.url.path[:80]}: {why.detail}."
    return _error(why.status_code, message, headers=why.headers or {})


def _broken(_request: AnyRequest, why: Exception) -> Response[dict[str, Any]]:
    log.error("a request failed", exc_info=why)
    return _error(500, "The worker failed to answer; its log says why.", code="internal_error", headers={})


def _error(
    status: int,
    message: str,
    *,
    code: str | None = None,
    param: str | None = None,
    headers: Mapping[str, str],
) -> Response[dict[str, Any]]:
    kind = (
        "rate_limit_error" if status == 429 else "invalid_request_error" if status < 500 else "server_error"
    )
    body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return Response(body, status_code=status, headers=dict(headers))
