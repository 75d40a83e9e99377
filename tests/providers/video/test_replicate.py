"""Replicate's predictions against the recorded wire."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from providers.errors import ErrorKind, ProviderError
from providers.types import Media, VideoLimits
from providers.video import VIDEO_CANCEL, replicate
from tests.providers.video.wire import FIRST, answer, asked, fixture, response, target

NAMES = {
    "prompt": "prompt", "seconds": "duration", "ratio": "aspect_ratio", "seed": "seed", "first_frame": "image",
    "tier": "quality", "width": "w",
}  # fmt: skip
SMALL = {name: NAMES[name] for name in ("prompt", "seconds", "ratio", "seed")}


def at(names: dict[str, str], model: str = "acme/video-1") -> Any:
    return replace(
        target("replicate", model, "r8_test"), video=VideoLimits(wire={"input": names}, fields=["seed"])
    )


TARGET, JOB = at(SMALL), {"id": "gm3qorzdhgbfurvjtvhg6dckhu"}


def test_a_model_is_asked_in_its_own_names() -> None:
    request = replicate.video_create(asked(seconds=5.0, seed=42), TARGET)
    recorded = fixture("replicate/submit_request")
    assert (request.method, request.url) == (recorded["method"], recorded["url"])
    assert json.loads(request.body) == {"input": recorded["json"]["input"]}
    assert request.headers.items() <= recorded["headers"].items()
    picture = Media(role="first_frame", mime="", url=FIRST)
    body = json.loads(replicate.video_create(asked(media=(picture,)), at(NAMES)).body)["input"]
    assert (body["image"], body["quality"], body["w"]) == (FIRST, "720p", 1280)


def test_a_version_is_asked_for_by_its_id() -> None:
    request = replicate.video_create(asked(), at(SMALL, "acme/video-1:5c7d"))
    assert request.url == "https://api.replicate.com/v1/predictions"
    assert json.loads(request.body)["version"] == "5c7d"


def test_the_way_of_a_prediction() -> None:
    begun = replicate.video_created(response("replicate/submit_response"))
    assert (begun.state, begun.operation) == ("queued", JOB)
    urls = fixture("replicate/submit_response")["json"]["urls"]
    poll, cancel = replicate.video_poll(JOB, TARGET), replicate.video_cancel(JOB, TARGET)
    assert (poll.method, poll.url, cancel.method, cancel.url) == ("GET", urls["get"], "POST", urls["cancel"])
    assert poll.headers == {"authorization": "Bearer r8_test"}
    assert VIDEO_CANCEL["replicate"] is replicate
    running = replicate.video_update(response("replicate/poll_running"))
    assert (running.state, running.progress) == ("in_progress", 40)
    for name in ("poll_succeeded", "poll_succeeded_list"):
        done = replicate.video_update(response(f"replicate/{name}")).operation
        assert done == {"url": "https://cdn.example.com/out.mp4"}
        assert replicate.video_content(done, TARGET).headers == {}


@pytest.mark.parametrize(
    ("output", "link"),
    [
        ({"seed": 3, "video": "https://a.example/1.mp4"}, "https://a.example/1.mp4"),
        ({"files": [None, "https://a.example/2.mp4"]}, "https://a.example/2.mp4"),
        ("done", None),
        ([], None),
        (None, None),
    ],
)
def test_a_link_is_found_wherever_the_model_put_it(output: Any, link: str | None) -> None:
    update = replicate.video_update(answer({"id": "p", "status": "succeeded", "output": output}))
    assert (update.operation, update.state) == (({"url": link}, "completed") if link else (None, "failed"))


def test_errors() -> None:
    told = {"title": "No.", "detail": "input.duration must be one of 5, 10", "status": 422}
    assert replicate.error(answer(told, 422)).kind is ErrorKind.INVALID_REQUEST
    assert (
        replicate.error(answer({"title": "Pay", "detail": "No credit.", "status": 402}, 402)).kind
        is ErrorKind.QUOTA
    )
    with pytest.raises(ProviderError) as raised:
        replicate.video_update(answer({"detail": "slow"}, 429))
    assert raised.value.kind is ErrorKind.RATE_LIMITED
    assert replicate.video_update(answer({"detail": "x"}, 404)).state == "gone"
    assert (
        replicate.video_update(answer({"id": "p", "status": "failed", "error": "OOM"})).code
        == "provider_error"
    )
