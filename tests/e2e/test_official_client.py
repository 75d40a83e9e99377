"""What a program written for OpenAI's video API lives through, with the official client."""

import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import openai
import pytest
from PIL import Image

from tests.e2e.stage import TINY, Guest, Stage

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")


def picture(colour: str = "red") -> bytes:
    """A PNG of one colour."""
    made = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(made, "PNG")
    return made.getvalue()


def shape(video: bytes) -> tuple[str, int, int, int]:
    """Codec, width, height and number of frames of an MP4."""
    with av.open(io.BytesIO(video), "r") as opened:
        stream = opened.streams.video[0]
        frames = len(list(opened.decode(stream)))
        return stream.codec_context.name, stream.width, stream.height, frames


def redness(video: bytes) -> float:
    """How much of the first frame's light is red, from 0 to 1."""
    with av.open(io.BytesIO(video), "r") as opened:
        red, green, blue = (
            float(part) for part in next(opened.decode(video=0)).to_ndarray(format="rgb24").mean((0, 1))
        )
    return red / (red + green + blue)


def test_a_video_is_made_watched_and_thrown_away(stage: Stage, guest: Guest) -> None:
    client, prompt = guest.openai, stage.prompt()
    video = client.videos.create(model="sora-2", prompt=prompt, **TINY)
    assert (video.status, video.progress, video.completed_at) == ("queued", 0, None)
    done = client.videos.poll(video.id)
    assert (done.id, done.status, done.progress) == (video.id, "completed", 100)
    assert client.videos.retrieve(video.id) == done
    mp4 = client.videos.download_content(video.id).content
    assert shape(mp4) == ("h264", 64, 64, 24)
    cover = client.videos.download_content(video.id, variant="thumbnail")
    assert cover.response.headers["content-type"] == "image/webp"
    with Image.open(io.BytesIO(cover.content)) as still:
        assert (still.format, still.size) == ("WEBP", (64, 64))
    gone = client.videos.delete(video.id)
    assert (gone.id, gone.deleted) == (video.id, True)
    for verb in (client.videos.retrieve, client.videos.delete, client.videos.download_content):
        with pytest.raises(openai.NotFoundError):
            verb(video.id)
    assert guest.ids() == []
    assert len(stage.studio.jobs(prompt)) == 1


def test_openais_own_defaults_make_the_video_that_its_documentation_promises(
    stage: Stage, guest: Guest
) -> None:
    done = guest.made(stage.prompt(), size="1280x720")
    assert shape(guest.openai.videos.download_content(done.id).content) == ("h264", 1280, 720, 24)
    video = guest.openai.videos.create(prompt=stage.prompt())
    assert (video.model, video.seconds, video.size) == ("sora-2", "4", "720x1280")
    guest.openai.videos.delete(video.id)


def test_a_form_is_sent_without_a_file_and_json_when_it_is_asked_for(stage: Stage, guest: Guest) -> None:
    raw = guest.openai.videos.with_raw_response
    form = raw.create(model="waiting", prompt=stage.prompt())
    assert form.http_request.headers["content-type"].startswith("multipart/form-data")
    headers = {"Content-Type": "application/json"}
    json = raw.create(model="waiting", prompt=stage.prompt(), extra_headers=headers)
    assert json.http_request.headers["content-type"] == "application/json"
    for answer in (form, json):
        assert answer.status_code == 200
        assert int(answer.headers["openai-poll-after-ms"]) >= 1000
        assert answer.parse().status == "queued"


FILES: dict[str, Callable[[Path], Any]] = {
    "an open file": lambda path: path.open("rb"),
    "a path": lambda path: path,
    "bytes": lambda path: path.read_bytes(),
    "a tuple": lambda path: ("first.png", path.read_bytes(), "image/png"),
    "a tuple that lies": lambda path: ("../../etc/passwd", path.read_bytes(), "text/plain"),
}


def test_a_picture_is_where_the_video_begins_however_it_is_given(
    stage: Stage, guest: Guest, tmp_path: Path
) -> None:
    (path := tmp_path / "first.png").write_bytes(picture())
    videos = {}
    for name, give in FILES.items():
        file = give(path)
        videos[name] = guest.openai.videos.create(prompt="Sway", input_reference=file, **TINY)
        if isinstance(file, io.IOBase):
            file.close()
    for name, video in videos.items():
        assert guest.openai.videos.poll(video.id).status == "completed", name
        assert redness(guest.openai.videos.download_content(video.id).content) > 0.7, name


def test_extra_body_carries_what_openai_has_no_parameter_for(stage: Stage, guest: Guest) -> None:
    prompt = stage.prompt()
    asks: dict[str, dict[str, Any]] = {
        "one": {"seed": 7, "negative_prompt": "rain"},
        "the same": {"seed": 7, "negative_prompt": "rain"},
        "another seed": {"seed": 8, "negative_prompt": "rain"},
        "another negative prompt": {"seed": 7, "negative_prompt": "snow"},
    }
    videos = {
        name: guest.openai.videos.create(prompt=prompt, extra_body=more, **TINY)
        for name, more in asks.items()
    }
    made = {}
    for name, video in videos.items():
        assert guest.openai.videos.poll(video.id).status == "completed"
        made[name] = guest.openai.videos.download_content(video.id).content
    assert made["one"] == made["the same"]
    assert len(set(made.values())) == 3
    assert sorted(job["seed"] for job in stage.studio.jobs(prompt)) == [7, 7, 7, 8]


def test_lists_come_in_pages_that_the_client_turns_by_itself(stage: Stage, guest: Guest) -> None:
    ids = [guest.openai.videos.create(model="waiting", prompt=stage.prompt()).id for _ in range(5)]
    assert [video.id for video in guest.openai.videos.list(limit=2)] == ids[::-1]
    assert [video.id for video in guest.openai.videos.list(limit=2, order="asc")] == ids
    assert [video.id for video in guest.openai.videos.list(after=ids[2])] == ids[1::-1]
    last = guest.openai.videos.list(limit=2, order="asc", after=ids[2])
    assert ([video.id for video in last.data], last.has_more) == (ids[3:], False)
    whole = guest.openai.videos.list(limit=5)
    assert (len(whole.data), whole.has_more, whole.last_id) == (5, False, ids[0])


def test_a_remix_is_a_new_video_from_an_old_one(stage: Stage, guest: Guest) -> None:
    client = guest.openai
    source = guest.made(stage.prompt())
    words = stage.prompt()
    remix = client.videos.remix(source.id, prompt=words)
    assert remix.id != source.id
    assert (remix.remixed_from_video_id, remix.prompt) == (source.id, words)
    assert (remix.seconds, remix.size, remix.model) == (source.seconds, source.size, source.model)
    assert client.videos.poll(remix.id).status == "completed"
    assert (
        client.videos.download_content(remix.id).content != client.videos.download_content(source.id).content
    )
    early = client.videos.create(model="waiting", prompt=stage.prompt())
    with pytest.raises(openai.ConflictError) as refused:
        client.videos.remix(early.id, prompt=words)
    assert refused.value.code == "video_not_ready"


def test_no_method_of_the_client_is_without_an_answer(stage: Stage, guest: Guest) -> None:
    videos, first = guest.openai.videos, guest.made(stage.prompt())
    mp4 = videos.download_content(first.id).content
    source: Any = ("source.mp4", mp4)
    calls: dict[str, Callable[[], Any]] = {
        "create": lambda: videos.create(prompt=stage.prompt(), **TINY),
        "create_and_poll": lambda: videos.create_and_poll(prompt=stage.prompt(), **TINY),
        "edit": lambda: videos.edit(prompt=stage.prompt(), video=source),
        "extend": lambda: videos.extend(prompt=stage.prompt(), seconds="4", video=source),
        "remix": lambda: videos.remix(first.id, prompt=stage.prompt()),
        "retrieve": lambda: videos.retrieve(first.id),
        "poll": lambda: videos.poll(first.id),
    }
    elsewhere = {"list", "delete", "download_content"}  # they do not give a video
    characters = {"create_character", "get_character"}
    methods = {name for name in dir(type(videos)) if not name.startswith(("_", "with_"))}
    assert methods == {*calls, *elsewhere, *characters}
    made = {name: videos.poll(call().id) for name, call in calls.items()}
    assert {name: video.status for name, video in made.items()} == dict.fromkeys(calls, "completed")
    assert {video.id for video in videos.list(limit=2)} == {video.id for video in made.values()}
    for video in {one.id for one in made.values()}:
        assert videos.delete(video).deleted
    character = videos.create_character(name="Ann", video=source)
    assert videos.get_character(character.id or "").to_dict() == character.to_dict()
    assert character.name == "Ann"


def test_a_download_can_be_streamed_to_a_file(stage: Stage, guest: Guest) -> None:
    video = guest.made(stage.prompt())
    with tempfile.NamedTemporaryFile() as file:
        with guest.openai.videos.with_streaming_response.download_content(video.id) as answer:
            answer.stream_to_file(file.name)
        assert Path(file.name).read_bytes() == guest.openai.videos.download_content(video.id).content


async def test_programs_with_an_event_loop_are_served_alike(stage: Stage, guest: Guest) -> None:
    async with guest.awaited() as client:
        video = await client.videos.create_and_poll(prompt=stage.prompt(), poll_interval_ms=100, **TINY)
        assert video.status == "completed"
        content = await client.videos.download_content(video.id)
        assert shape(content.content) == ("h264", 64, 64, 24)
        assert [one.id async for one in client.videos.list(limit=1)] == [video.id]


def test_a_failed_video_is_told_and_not_raised(stage: Stage, guest: Guest) -> None:
    video = guest.openai.videos.create_and_poll(model="broken", prompt=stage.prompt())
    assert video.status == "failed"
    assert video.error is not None
    assert video.error.code == "model_unavailable"
    assert (video.model_extra or {})["cost_usd"] is None
