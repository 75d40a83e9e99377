"""Pictures in their roles, from the client's fields to what the provider is told."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.config.snapshot import Caller
from gateway.errors import InvalidRequest
from gateway.service.files import Files, Label
from gateway.service.video_request import GENERATIONS, VIDEOS, read, stored_roles
from tests.service.test_video_dialects import at
from tests.service.video_provider import MP4, PNG
from tests.service.video_rig import ANN, BOB, Hasty, Rig, rig, snapshot, target
from tests.service.video_upstream import Scripted

LINK = "https://pictures.example/last.png"
INLINE = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


def roles(surface: Any, **fields: Any) -> list[tuple[str, str | None]]:
    """Role and link of each picture, None for one that came along."""
    ask = read(surface, {"model": "m", "prompt": "A red kite", **fields}).ask
    linked = [("first_frame", ask.link)] if ask.link else []
    return [*((role, None) for role in ask.inputs), *linked, *((role, link) for role, link in ask.links)]


@pytest.mark.parametrize(
    ("surface", "fields", "wanted"),
    [
        (VIDEOS, {"input_reference": {"image_url": INLINE}}, [("first_frame", None)]),
        (VIDEOS, {"last_frame": LINK}, [("last_frame", LINK)]),
        (VIDEOS, {"last_frame": {"image_url": INLINE}}, [("last_frame", None)]),
        (
            VIDEOS,
            {"reference_images": [INLINE, LINK]},
            [("reference_image", None), ("reference_image", LINK)],
        ),
        (VIDEOS, {"reference_images": LINK}, [("reference_image", LINK)]),
        (GENERATIONS, {"images": [LINK, INLINE]}, [("last_frame", None), ("first_frame", LINK)]),
        (GENERATIONS, {"image": INLINE, "last_frame": LINK}, [("first_frame", None), ("last_frame", LINK)]),
    ],
)
def test_each_picture_has_its_role(surface: Any, fields: dict[str, Any], wanted: list[Any]) -> None:
    assert roles(surface, **fields) == wanted


@pytest.mark.parametrize(
    ("surface", "fields", "param"),
    [
        (VIDEOS, {"last_frame": "file:///etc/passwd"}, "last_frame"),
        (VIDEOS, {"last_frame": {"file_id": ""}}, "last_frame.file_id"),
        (VIDEOS, {"reference_images": [LINK, 7]}, "reference_images[1]"),
        (VIDEOS, {"reference_images": [LINK] * 10}, "reference_images"),
        (GENERATIONS, {"images": [LINK] * 3}, "images"),
    ],
)
def test_what_is_no_picture_is_refused_by_name(surface: Any, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        roles(surface, **fields)
    assert refused.value.param == param


def test_files_of_one_role_are_kept_apart() -> None:
    assert stored_roles(["first_frame", "reference_image", "reference_image"]) == [
        "first_frame", "reference_image", "reference_image-2",
    ]  # fmt: skip


async def test_pictures_reach_the_provider_in_their_roles_and_order_and_are_gone_afterwards(
    tmp_path: Path,
) -> None:
    clock = Hasty()
    up = Scripted(
        {
            "POST /v2/video_generation": [{"task_id": "t1"}],
            "GET /v2/query/video_generation/t1": [
                {"task": {"status": "succeeded", "content": {"url": "URL/out.mp4"}}}
            ],
            "GET /out.mp4": [MP4],
        }
    )
    other = f"data:image/png;base64,{base64.b64encode(PNG + b'2').decode()}"
    async with up, rig(
        tmp_path, snapshot(at("minimax", "MiniMax-H3", up)), clock=clock.clock, lease=1e6
    ) as r:  # fmt: skip
        job = await r.create(seconds="4", size="1280x720", reference_images=[INLINE, other])
        assert len(job.media) == 2
        done = await r.hurry(job, clock)
        assert (done.state, [row.role for row in done.media]) == ("completed", ["video"])
        content = up.sent("POST")[0].json["content"]
        assert [part.get("role") for part in content] == [None, "reference_image", "reference_image"]
        assert [part["image_url"]["url"] for part in content[1:]] == [INLINE, other]


async def file_of(r: Rig, data: bytes, caller: Caller = ANN, purpose: str = "vision", **label: Any) -> str:
    async def chunks() -> AsyncIterator[bytes]:
        yield data

    files = Files(r.parts.database, r.parts.media)
    made = await files.create(caller, Label(filename="a.png", purpose=purpose, **label), chunks())
    return made.id


async def test_a_picture_that_was_uploaded_as_a_file_is_as_good_as_one_that_comes_along(
    tmp_path: Path,
) -> None:
    task = {"status": "succeeded", "content": {"url": "URL/out.mp4"}}
    up = Scripted(
        {
            "POST /v2/video_generation": [{"task_id": "t1"}],
            "GET /v2/query/video_generation/t1": [{"task": task}],
            "GET /out.mp4": [MP4],
        }
    )
    clock = Hasty()
    async with up, rig(
        tmp_path, snapshot(at("minimax", "MiniMax-H3", up)), clock=clock.clock, lease=1e6
    ) as r:  # fmt: skip
        first, last = await file_of(r, PNG), await file_of(r, PNG + b"2", purpose="user_data")
        asked = {"input_reference": {"file_id": first}, "last_frame": {"file_id": last}}
        done = await r.hurry(await r.create(seconds="4", size="1280x720", **asked), clock)
        assert (done.state, [row.role for row in done.media]) == ("completed", ["video"])
        told = up.sent("POST")[0].json["content"]
        assert [part.get("role") for part in told] == [None, "first_frame", "last_frame"]
        assert told[1]["image_url"]["url"] == INLINE
        files = Files(r.parts.database, r.parts.media)
        assert (await files.get(ANN, first)).size == len(PNG)  # it is kept, whatever became of the video


async def test_a_file_that_is_no_picture_of_ours_is_refused_by_name(tmp_path: Path) -> None:
    config = snapshot(target("one", "http://127.0.0.1:9"))
    async with rig(tmp_path, config, running=False) as r:
        ids = {
            "file_not_found": [
                "file-1",
                await file_of(r, PNG, caller=BOB),
                await file_of(r, PNG, life=-1.0),
            ],
            "invalid_image": [await file_of(r, b"words"), await file_of(r, b""), await file_of(r, MP4)],
            "file_too_large": [await file_of(r, PNG + bytes(25 << 20))],
        }
        for code, files in ids.items():
            for file in files:
                with pytest.raises(InvalidRequest) as refused:
                    await r.create(input_reference={"file_id": file})
                assert (refused.value.code, refused.value.param) == (code, "input_reference.file_id")
        assert await r.rows("select * from jobs") == []
        assert r.door.held == {}


async def test_a_role_that_no_target_takes_is_named(tmp_path: Path) -> None:
    config = snapshot(target("one", "http://127.0.0.1:9", inputs=("first_frame",), max_inputs=1))
    async with rig(tmp_path, config, running=False) as r:
        with pytest.raises(InvalidRequest, match="allowed: first_frame; at most 1 at once") as refused:
            await r.create(last_frame=LINK)
        assert (refused.value.param, refused.value.code) == ("last_frame", "unsupported_value")
        assert await r.rows("select * from jobs") == []
