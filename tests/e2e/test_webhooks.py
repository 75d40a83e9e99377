"""The end of a video is told to whoever asked, as the official client sends the wish and reads the event."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from gateway.config.snapshot import Caller
from gateway.service.webhooks import secrets_of
from tests.e2e.hooks import Hooks, listening
from tests.e2e.processes import until
from tests.e2e.stage import TINY, Guest, Stage

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
SMALL: dict[str, Any] = {"model": "sora-2", "duration": 1, "resolution": "64x64"}


@pytest.fixture(scope="module")
def hooks() -> Iterator[Hooks]:
    with listening() as made:
        yield made


def secret(stage: Stage, guest: Guest) -> str:
    """What this guest's webhooks are signed with."""
    name = f"guest_{guest.key.rpartition('-')[2]}"
    pepper = (stage.gateway.data_dir / "pepper").read_bytes().strip()
    return secrets_of(Caller(id=name, name=name), pepper)[0]


def told(hooks: Hooks, stage: Stage, guest: Guest, job: str) -> Any:
    """The event about a video, as the official client gives it."""
    [(headers, body)] = until(lambda: hooks.about(job))
    return guest.openai.webhooks.unwrap(body.decode(), dict(headers), secret=secret(stage, guest))


def test_the_official_client_asks_for_an_event_and_reads_it(stage: Stage, guest: Guest, hooks: Hooks) -> None:
    extra = {"callback_url": hooks.url}
    video = guest.openai.videos.create_and_poll(prompt=stage.prompt(), extra_body=extra, **TINY)
    event = told(hooks, stage, guest, video.id)
    assert (event.type, event.data.id) == ("video.completed", video.id)
    remix = guest.openai.videos.remix(video.id, prompt=stage.prompt(), extra_body=extra)
    assert told(hooks, stage, guest, remix.id).type == "video.completed"
    silent = guest.openai.videos.remix(video.id, prompt=stage.prompt())
    guest.openai.videos.poll(silent.id)
    failed = guest.openai.videos.create(model="broken", prompt=stage.prompt(), extra_body=extra)
    assert told(hooks, stage, guest, failed.id).type == "video.failed"
    assert hooks.about(silent.id) == []


def test_the_url_of_an_event_is_the_video(stage: Stage, guest: Guest, hooks: Hooks) -> None:
    asked = {**SMALL, "prompt": stage.prompt(), "callback_url": hooks.url}
    made = guest.http.post("/v1/video/generations", json=asked).json()
    assert "callback_url" not in made
    event = told(hooks, stage, guest, made["id"])
    assert (event.job_id, event.status, event.error_message) == (made["id"], "completed", None)
    assert event.video_url.startswith(f"{guest.url}/v1/video/generations/{made['id']}/content?")
    fetched = httpx2.get(event.video_url)
    assert fetched.content == guest.http.get(f"/v1/videos/{made['id']}/content").content
    assert "hooks" not in repr(stage.studio.jobs(asked["prompt"]))


def test_a_repeated_request_is_told_once_and_another_callback_is_another_request(
    stage: Stage, guest: Guest, hooks: Hooks
) -> None:
    asked = {**SMALL, "prompt": stage.prompt(), "callback_url": hooks.url}
    again = {"idempotency-key": "order-7"}
    ids = {guest.http.post("/v1/video/generations", json=asked, headers=again).json()["id"] for _ in range(3)}
    [job] = ids
    told(hooks, stage, guest, job)
    other = {**asked, "callback_url": f"{hooks.url}/other"}
    assert guest.http.post("/v1/video/generations", json=other, headers=again).status_code == 422
    assert len(hooks.about(job)) == 1


def test_nobodys_secret_opens_somebody_elses_event(
    stage: Stage, guests: Callable[[], Guest], hooks: Hooks
) -> None:
    one, other = guests(), guests()
    asked = {**SMALL, "prompt": stage.prompt(), "callback_url": hooks.url}
    job = one.http.post("/v1/video/generations", json=asked).json()["id"]
    assert told(hooks, stage, one, job).job_id == job
    with pytest.raises(Exception, match="signature"):
        told(hooks, stage, other, job)
