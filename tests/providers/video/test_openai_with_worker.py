"""The dialect and the local worker understand each other: one job from submit to cancel, over real HTTP."""

import io
import signal
import time
from collections.abc import Iterator
from typing import Any

import av
import httpx2
import msgspec
import pytest
from PIL import Image

from providers.errors import ErrorKind, ProviderError
from providers.types import (
    HttpRequest,
    HttpResponse,
    Media,
    Secret,
    Target,
    VideoOutput,
    VideoRequest,
    VideoUpdate,
)
from providers.video import openai
from tests.providers.local.running import RunningWorker, until

REQUEST = VideoRequest(
    model="m", prompt="A kite", seconds=1, size="64x64", seed=7, style_preset="noir", token="t1"
)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    worker = RunningWorker(tmp_path_factory.mktemp("worker"), "--queue-size", "1", key="s3cret")
    yield Target(
        provider="studio",
        dialect="openai",
        base_url=worker.base_url,
        model="testcard",
        credential=Secret("s3cret"),
    )
    worker.end(signal.SIGTERM)


def send(request: HttpRequest) -> HttpResponse:
    got = httpx2.request(request.method, request.url, headers=dict(request.headers), content=request.body)
    return HttpResponse(status=got.status_code, headers=dict(got.headers), body=got.content)


def submit(target: Target, **changes: Any) -> VideoUpdate:
    answer = send(openai.video_create(msgspec.structs.replace(REQUEST, **changes), target))
    if answer.status >= 300:
        raise openai.error(answer)
    return openai.video_created(answer)


def finish(update: VideoUpdate, target: Target) -> VideoUpdate:
    operation = update.operation
    assert operation is not None

    def ended() -> VideoUpdate | None:
        polled = openai.video_update(send(openai.video_poll(operation, target)))
        return polled if polled.state in ("completed", "failed") else None

    done: VideoUpdate = until(ended)
    return done


def test_from_submit_to_content_and_remix(target: Target) -> None:
    accepted = submit(target)
    assert accepted.state in ("queued", "in_progress")
    assert accepted.retry_after is not None
    assert submit(target).operation == accepted.operation  # the same token again
    done = finish(accepted, target)
    assert (done.state, done.progress) == ("completed", 100)
    assert done.output is not None
    assert done.output.gpu_seconds is not None
    assert msgspec.structs.replace(done.output, gpu_seconds=None) == VideoOutput(
        width=64, height=64, fps=24, seconds=1, has_audio=False
    )
    assert accepted.operation is not None
    content = send(openai.video_content(accepted.operation, target))
    with av.open(io.BytesIO(content.body)) as file:
        assert file.streams.video[0].frames == 24
    remixed = submit(target, operation="remix", source=accepted.operation, prompt="At night", token="t2")
    assert finish(remixed, target).state == "completed"


def test_a_job_is_found_in_the_list_by_what_it_shows(target: Target) -> None:
    asked = msgspec.structs.replace(REQUEST, prompt="A kite that nobody heard of", token="t9")
    assert openai.video_sightings(asked, target, send(openai.video_recent(target))) == []
    before = time.time()
    accepted = submit(target, prompt=asked.prompt, token=asked.token)
    [seen] = openai.video_sightings(asked, target, send(openai.video_recent(target)))
    assert seen.operation == accepted.operation
    assert int(before) <= seen.created_at <= time.time()
    finish(accepted, target)


def test_a_picture_arrives(target: Target) -> None:
    file = io.BytesIO()
    Image.new("RGB", (9, 9), "red").save(file, "PNG")
    media = (Media(role="first_frame", mime="image/png", data=file.getvalue()),)
    assert finish(submit(target, token="t3", media=media), target).state == "completed"
    broken = (Media(role="first_frame", mime="image/png", data=file.getvalue()[:30]),)
    failed = finish(submit(target, token="t4", media=broken), target)
    assert (failed.state, failed.code, failed.blamed) == ("failed", "invalid_input_reference", True)


def test_a_cancelled_job_is_gone(target: Target) -> None:
    accepted = submit(target, token="t5", seconds=60)
    assert accepted.operation is not None
    assert send(openai.video_cancel(accepted.operation, target)).status == 200
    assert openai.video_update(send(openai.video_poll(accepted.operation, target))).state == "gone"


@pytest.mark.parametrize(
    ("changes", "kind", "param"),
    [
        ({"seconds": 61}, ErrorKind.UNSUPPORTED, "seconds"),
        ({"size": "3840x2160"}, ErrorKind.UNSUPPORTED, "size"),
        ({"size": "wide"}, ErrorKind.INVALID_REQUEST, "size"),
        ({"prompt": ""}, ErrorKind.INVALID_REQUEST, "prompt"),
    ],
)
def test_refusals_keep_their_meaning(
    target: Target, changes: dict[str, Any], kind: ErrorKind, param: str
) -> None:
    with pytest.raises(ProviderError) as refused:
        submit(target, token="", **changes)
    assert (refused.value.kind, refused.value.param) == (kind, param)


def test_a_full_queue_and_a_wrong_key_keep_their_meaning(target: Target) -> None:
    running = submit(target, token="t6", seconds=60)
    poll = openai.video_poll(running.operation or {}, target)
    until(lambda: openai.video_update(send(poll)).state == "in_progress")
    submit(target, token="t7")
    with pytest.raises(ProviderError) as full:
        submit(target, token="t8")
    assert full.value.kind is ErrorKind.RATE_LIMITED
    assert full.value.retry_after is not None
    send(openai.video_cancel(running.operation or {}, target))
    with pytest.raises(ProviderError) as refused:
        submit(msgspec.structs.replace(target, credential=Secret("wrong")))
    assert refused.value.kind is ErrorKind.AUTHENTICATION
