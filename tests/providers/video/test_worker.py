"""What a worker tells of itself is read, whatever else answers there is not taken for one."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace

from providers.errors import ErrorKind, ProviderError
from providers.types import HttpResponse, Media, Secret, Target, VideoLimits, VideoRequest, WorkerStatus
from providers.video import worker
from tests.providers.local.running import RunningWorker

MODEL = {"id": "wan", "operations": ["generate"], "min_seconds": 1, "max_seconds": 5}


def read(body: object, status: int = 200) -> WorkerStatus:
    return worker.worker_status(HttpResponse(status=status, headers={}, body=json.dumps(body).encode()))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWorker]:
    running = RunningWorker(tmp_path_factory.mktemp("worker"), key="s3cret")
    yield running
    running.process.kill()
    running.process.communicate()


def test_the_real_worker_is_understood(real: RunningWorker) -> None:
    target = Target(
        provider="studio", dialect="worker", base_url=real.base_url, model="", credential=Secret("s3cret")
    )
    asked = worker.worker_look(target)
    got = httpx2.get(asked.url, headers=dict(asked.headers))
    told = worker.worker_status(HttpResponse(status=got.status_code, headers={}, body=got.content))
    assert (told.free_slots, told.free_in) == (1, 0.0)
    assert told.models["testcard"].rate is None
    assert told.models["testcard"].limits == VideoLimits(
        operations=("generate", "remix", "edit", "extend"),
        inputs=["first_frame", "reference_image", "source_video"],
        max_inputs=1, links=False, fields=("seed", "negative_prompt", "style_preset", "camera_movement"),
        edges=(64, 1080, 1920), min_seconds=1, max_seconds=60, idempotent_submit=True,
    )  # fmt: skip
    with pytest.raises(ProviderError) as refused:
        worker.worker_status(HttpResponse(status=401, headers={}, body=httpx2.get(asked.url).content))
    assert refused.value.kind is ErrorKind.AUTHENTICATION


def test_the_real_worker_begins_what_it_is_handed_or_refuses_it(real: RunningWorker) -> None:
    target = Target(
        provider="studio",
        dialect="worker",
        base_url=real.base_url,
        model="testcard",
        credential=Secret("s3cret"),
    )

    def handed(token: str) -> HttpResponse:
        request = VideoRequest(model="m", prompt="A red kite", seconds=60, size="64x64", token=token)
        made = worker.video_create(request, target)
        got = httpx2.request(made.method, made.url, headers=dict(made.headers), content=made.body)
        return HttpResponse(status=got.status_code, headers=dict(got.headers), body=got.content)

    begun = worker.video_created(handed("one"))
    assert worker.video_created(handed("one")).operation == begun.operation
    refused = worker.error(handed("other"))
    assert (refused.kind, refused.code) == (ErrorKind.RATE_LIMITED, "no_free_slot")
    assert refused.retry_after is not None
    assert refused.retry_after >= 1
    assert begun.operation is not None
    cancel = worker.video_cancel(begun.operation, target)
    assert httpx2.request(cancel.method, cancel.url, headers=dict(cancel.headers)).status_code == 200


def test_a_model_says_what_it_takes_and_how_fast_it_is() -> None:
    said = {**MODEL, "rate": 2.5, "strength": 0.7, "inputs": [], "sizes": ["832x480"]}
    told = read({"models": [said], "free_slots": 2})
    wan = told.models["wan"]
    assert wan.strength == 0.7
    assert (wan.rate, wan.limits.inputs, wan.limits.sizes, wan.limits.edges) == (2.5, [], ["832x480"], None)
    assert (told.free_slots, told.free_in) == (2, None)
    assert read({"models": [MODEL]}).models["wan"].limits.inputs == ["first_frame", "reference_image"]


@pytest.mark.parametrize(
    ("said", "inputs", "needs"),
    [
        ({"image": "none"}, [], ()),
        ({"image": "none", "operations": ["generate", "edit"]}, ["source_video"], ()),
        ({"image": "required"}, ["first_frame", "reference_image"], ("first_frame",)),
        ({"last_frame": True}, ["first_frame", "reference_image", "last_frame"], ()),
    ],
)
def test_the_pictures_a_model_takes_decide_what_it_is_asked(
    said: dict[str, Any], inputs: list[str], needs: tuple[str, ...]
) -> None:
    limits = read({"models": [MODEL | said]}).models["wan"].limits
    assert (limits.inputs, limits.needs) == (inputs, needs)
    assert limits.max_inputs == (2 if said.get("last_frame") else 1)


def test_only_a_model_that_draws_over_videos_is_told_a_strength() -> None:
    told = read({"models": [MODEL, MODEL | {"id": "ltx", "redraws": True}]})
    assert [("strength" in (one.limits.fields or ())) for one in told.models.values()] == [False, True]


def test_first_and_last_picture_are_sent_under_their_names() -> None:
    limits = read({"models": [MODEL | {"last_frame": True}]}).models["wan"].limits
    target = Target(provider="gpu", dialect="worker", base_url="http://gpu/v1", model="wan", video=limits)
    first, last = (
        Media(role=role, mime="image/png", data=role.encode()) for role in ("first_frame", "last_frame")
    )
    body = worker.video_create(VideoRequest(model="m", prompt="p", media=[last, first]), target).body
    assert (
        b'name="input_reference"; filename="input_reference.png"\r\ncontent-type: image/png\r\n\r\nfirst'
        in body
    )
    assert b'name="last_frame"; filename="last_frame.png"\r\ncontent-type: image/png\r\n\r\nlast' in body
    for media, without in (
        ([last], VideoLimits()),
        ([first, replace(first, role="reference_image")], limits),
    ):
        with pytest.raises(ProviderError) as refused:
            worker.video_create(
                VideoRequest(model="m", prompt="p", media=media), replace(target, video=without)
            )
        assert refused.value.kind is ErrorKind.UNSUPPORTED


def test_an_edit_and_a_remix_say_how_much_becomes_new() -> None:
    target = Target(provider="gpu", dialect="worker", base_url="http://gpu/v1", model="wan")
    clip = Media(role="source_video", mime="video/mp4", data=b"clip")
    edit = VideoRequest(
        model="m", prompt="p", operation="edit", media=[clip], strength=0.4, negative_prompt="fog",
        style_preset="noir", camera_movement="static",
    )  # fmt: skip
    body = worker.video_create(edit, target).body
    for name, value in (("strength", b"0.4"), ("negative_prompt", b"fog"), ("style_preset", b"noir")):
        assert b'name="%b"\r\n\r\n%b\r\n' % (name.encode(), value) in body
    remix = VideoRequest(model="m", prompt="p", operation="remix", source={"id": "v"}, strength=0.4)
    assert json.loads(worker.video_create(remix, target).body) == {"prompt": "p", "strength": 0.4}


def test_a_worker_whose_engine_is_being_loaded_has_no_slot() -> None:
    assert read({"models": [MODEL], "ready": False, "free_slots": 1}).free_slots == 0


@pytest.mark.parametrize("body", [{}, [], "ok", {"models": [{}]}, {"models": None}])
def test_what_is_no_worker_is_told_from_one(body: Any) -> None:
    with pytest.raises(ProviderError) as refused:
        read(body)
    assert refused.value.kind is ErrorKind.PROTOCOL


@pytest.mark.parametrize("body", [b'{"models": [{"id": "\xfc"}]}', b'{"models": [], "x": ' + b"[" * 9999])
def test_an_answer_that_is_no_text_is_no_workers(body: bytes) -> None:
    with pytest.raises(ProviderError) as refused:
        worker.worker_status(HttpResponse(status=200, headers={}, body=body))
    assert refused.value.kind is ErrorKind.PROTOCOL
