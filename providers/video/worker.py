"""Our own worker: OpenAI's Videos API, and what it tells of itself on `GET /v1/worker`.

What it can make and how busy it is, is not configured but asked for; any program that answers so may stand in
its place. Source: `providers/local/worker.py`.
"""

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from providers.auth import bearer
from providers.types import (
    HttpRequest,
    HttpResponse,
    Target,
    VideoLimits,
    VideoRequest,
    WorkerModel,
    WorkerStatus,
)
from providers.video import openai
from providers.video.answers import read
from providers.video.openai import (
    error,
    video_cancel,
    video_content,
    video_created,
    video_poll,
    video_update,
)

__all__ = [
    "error",
    "video_cancel",
    "video_content",
    "video_create",
    "video_created",
    "video_poll",
    "video_update",
    "worker_look",
    "worker_status",
]

NO_QUEUE = ("x-worker-queue", "no")
"""Begin it at once or refuse it: those who wait, wait at the gateway. A worker that does not know it may queue it."""

_PICTURES = ("first_frame", "reference_image")
_FIELDS = ("seed", "negative_prompt", "style_preset", "camera_movement")
_CHANGES = frozenset(("edit", "extend"))


class _Model(Struct):
    id: str
    operations: tuple[str, ...] = ("generate",)
    inputs: list[str] | None = None
    image: str = "optional"
    last_frame: bool = False
    redraws: bool = False
    sizes: list[str] | None = None
    min_edge: int = 1
    max_short_edge: int | None = None
    max_long_edge: int | None = None
    min_seconds: float | None = None
    max_seconds: float | None = None
    rate: float | None = None
    strength: float | None = None


class _Status(Struct):
    models: list[_Model]
    ready: bool = True
    free_slots: int = 0
    eta_s: float | None = None


_status = msgspec.json.Decoder(_Status)


def video_create(request: VideoRequest, target: Target) -> HttpRequest:
    """As OpenAI's, but for a slot that is free, which another gateway may have taken meanwhile."""
    made = openai.video_create(request, target)
    name, value = NO_QUEUE
    return replace(made, headers={**made.headers, name: value})


def worker_look(target: Target) -> HttpRequest:
    """Ask the worker what it can make and how busy it is."""
    return HttpRequest(
        method="GET", url=f"{target.base_url}/worker", headers={**bearer(target), **target.headers}
    )


def worker_status(response: HttpResponse) -> WorkerStatus:
    """What the worker says. Raises ProviderError for errors and for answers that are no worker's."""
    if response.status >= 300:
        raise error(response)
    told = read(_status, response)
    return WorkerStatus(
        models={
            model.id: WorkerModel(limits=_limits(model), rate=model.rate, strength=model.strength)
            for model in told.models
        },
        free_slots=told.free_slots if told.ready else 0,
        free_in=told.eta_s,
    )


def _limits(model: _Model) -> VideoLimits:
    longest = model.max_long_edge or model.max_short_edge
    pictures = [] if model.image == "none" else [*_PICTURES, *(["last_frame"] if model.last_frame else [])]
    clips = ["source_video"] if _CHANGES & set(model.operations) else []
    return VideoLimits(
        operations=model.operations,
        inputs=[*pictures, *clips] if model.inputs is None else model.inputs,
        max_inputs=2 if "last_frame" in pictures else 1,
        needs=("first_frame",) if model.image == "required" else (),
        fields=(*_FIELDS, "strength") if model.redraws else _FIELDS,
        links=False,
        sizes=model.sizes,
        edges=None if longest is None else (model.min_edge, model.max_short_edge or longest, longest),
        min_seconds=model.min_seconds,
        max_seconds=model.max_seconds,
        idempotent_submit=True,
    )
