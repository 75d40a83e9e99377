"""What the work on batches needs from outside, and the figures it runs by."""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from gateway.clock import SYSTEM, Clock
from gateway.config.snapshot import Caller, Snapshot
from gateway.errors import GatewayError
from gateway.service.chat import Chat
from gateway.service.videos import Videos
from gateway.service.wish import Wish
from gateway.store.engine import Database
from gateway.store.jobs import Job
from gateway.store.media import MediaStore
from gateway.telemetry.recorder import Recorder


class Faces(Struct, frozen=True, kw_only=True):
    """How requests and answers look at the door, so that a row reads and answers as an ordinary call does.

    `wishes` read a body, by endpoint; `error` is an error's JSON, `video` a job as clients see it at a time.
    """

    wishes: Mapping[str, Callable[..., Wish]]
    error: Callable[[GatewayError], bytes]
    video: Callable[[Job, float], Any]


class BatchFigures(Struct, frozen=True, kw_only=True):
    """How batches are run. Times in seconds.

    `concurrency`: steps at a time in this process. `lease` is renewed every `renew`. `tries`: how often a row is
    made again that providers could not answer; `wait`: the longest pause before that.
    """

    concurrency: int = 64
    lease: float = 30.0
    renew: float = 10.0
    tries: int = 5
    wait: float = 60.0


class BatchParts(Struct, frozen=True, kw_only=True):
    """What everything about batches stands on.

    `caller_of` gives the owner of a key by its id, None when there is no such key any more; `count` adds to a
    metric.
    """

    database: Database
    media: MediaStore
    snapshot: Callable[[], Snapshot]
    caller_of: Callable[[str], Caller | None]
    chat: Chat
    videos: Videos
    recorder: Recorder
    faces: Faces
    count: Callable[..., None]
    figures: BatchFigures = BatchFigures()
    clock: Clock = SYSTEM
