"""Pictures in their roles, from the client's fields to what the provider is told."""

import base64
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import InvalidRequest
from gateway.service.video_request import GENERATIONS, VIDEOS, read, stored_roles
from tests.service.test_video_dialects import at
from tests.service.video_provider import MP4, PNG
from tests.service.video_rig import Hasty, rig, snapshot, target
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
        (VIDEOS, {"last_frame": {"file_id": "file-1"}}, "last_frame.file_id"),
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


async def test_a_role_that_no_target_takes_is_named(tmp_path: Path) -> None:
    config = snapshot(target("one", "http://127.0.0.1:9", inputs=("first_frame",), max_inputs=1))
    async with rig(tmp_path, config, running=False) as r:
        with pytest.raises(InvalidRequest, match="allowed: first_frame; at most 1 at once") as refused:
            await r.create(last_frame=LINK)
        assert (refused.value.param, refused.value.code) == ("last_frame", "unsupported_value")
        assert await r.rows("select * from jobs") == []
