"""What providers list of their newest operations, and which of them a submit that was never answered may have begun."""

from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from providers.errors import ErrorKind, ProviderError
from providers.types import Media, Target, VideoRequest, VideoSighting
from providers.video import VIDEO, VIDEO_SEARCH
from tests.providers.video import wire
from tests.providers.video.recorded import LINK, PICTURE, REQUEST, body

AT = 1_795_132_800
ASKED = replace(REQUEST, seconds=5.0, token="video_1-1", hook="https://ai.example/hooks/videos/t")
TARGETS: Mapping[str, Target] = {
    "openai": Target(provider="p", dialect="openai", base_url="https://p.example/v1", model="film"),
    "seedance": wire.target("byteplus", "dreamina-seedance-2-0", "key"),
    "minimax": wire.target("minimax", "MiniMax-H3", "key"),
    "luma_legacy": replace(wire.target("luma", "ray-3.2", "key"), model="ray-2", dialect="luma_legacy"),
}
URLS = {
    "openai": "https://p.example/v1/videos?limit=100&order=desc",
    "seedance": "/contents/generations/tasks?page_num=1&page_size=100",
    "minimax": "/v2/query/video_generation?page_num=1&page_size=50",
    "luma_legacy": "/generations?limit=100&offset=0",
}


def listed(dialect: str, asked: VideoRequest = ASKED, **changes: Any) -> dict[str, Any]:
    """A list with the one operation that the submit of this request begins, as the dialect's provider tells it."""
    if dialect == "openai":
        task = {"id": "t1", "created_at": AT, "model": "film", "seconds": "5", "size": "1280x720"}
        return {"object": "list", "data": [task | {"prompt": asked.prompt} | changes]}
    sent = body(_submit(dialect, asked))
    if dialect == "luma_legacy":
        return {
            "generations": [{"id": "t1", "created_at": "2026-11-20T00:00:00Z", "request": sent | changes}]
        }
    names = ("model", "resolution", "duration", "ratio", "safety_identifier")
    task = {"id": "t1", "created_at": AT} | {name: sent[name] for name in names if name in sent}
    told = {"content": {"prompt": asked.prompt}} if dialect == "minimax" else {}
    return {"items": [task | told | changes], "total": 1}


def _submit(dialect: str, asked: VideoRequest) -> Any:
    return VIDEO[dialect].video_create(asked, TARGETS[dialect])


def sightings(dialect: str, told: Any, asked: VideoRequest = ASKED) -> list[VideoSighting]:
    return list(VIDEO_SEARCH[dialect].video_sightings(asked, TARGETS[dialect], wire.answer(told)))


@pytest.mark.parametrize("dialect", VIDEO_SEARCH)
def test_what_was_begun_is_seen_again(dialect: str) -> None:
    request = VIDEO_SEARCH[dialect].video_recent(TARGETS[dialect])
    assert (request.method, request.body) == ("GET", b"")
    assert request.url.endswith(URLS[dialect])
    folded = replace(ASKED, style_preset="noir") if dialect == "minimax" else ASKED
    told = listed(dialect, folded)
    if dialect == "minimax":
        told["items"][0]["content"]["prompt"] = body(_submit(dialect, folded))["content"][0]["text"]
    assert sightings(dialect, told, folded) == [VideoSighting(operation={"id": "t1"}, created_at=AT)]


@pytest.mark.parametrize(
    ("dialect", "changes"),
    [
        ("openai", {"prompt": "Another"}),
        ("openai", {"prompt": None}),
        ("openai", {"model": "another"}),
        ("openai", {"seconds": "8"}),
        ("openai", {"size": "720x1280"}),
        ("openai", {"created_at": None}),
        ("seedance", {"safety_identifier": "video_2-1"}),
        ("seedance", {"safety_identifier": None}),
        ("seedance", {"created_at": "yesterday"}),
        ("seedance", {"id": 7}),
        ("minimax", {"content": {"prompt": "Another"}}),
        ("minimax", {"model": "MiniMax-H3-Max"}),
        ("minimax", {"duration": 8}),
        ("minimax", {"ratio": "9:16"}),
        ("luma_legacy", {"prompt": "Another"}),
        ("luma_legacy", {"duration": "9s"}),
        ("luma_legacy", {"callback_url": "https://ai.example/hooks/videos/other"}),
    ],
)
def test_what_differs_in_anything_that_is_told_is_not_ours(dialect: str, changes: dict[str, Any]) -> None:
    assert sightings(dialect, listed(dialect, **changes)) == []


def test_words_that_minimax_does_not_tell_yet_leave_it_open() -> None:
    for content in ({"content": {}}, {"content": None}):
        [seen] = sightings("minimax", listed("minimax", **content))
        assert (seen.operation, seen.certain) == ({"id": "t1"}, False)


def test_a_video_from_a_picture_is_only_recognised_where_the_picture_is_listed() -> None:
    for dialect, picture in (("openai", PICTURE), ("minimax", PICTURE)):
        assert sightings(dialect, listed(dialect), replace(ASKED, media=(picture,))) == []
    asked = replace(ASKED, media=(LINK,))
    told = listed("luma_legacy", asked)
    assert len(sightings("luma_legacy", told, asked)) == 1
    other = Media(role="first_frame", mime="", url="https://assets.example.com/other.png")
    assert sightings("luma_legacy", told, replace(ASKED, media=(other,))) == []


def test_without_a_token_nothing_of_seedance_is_ours() -> None:
    nameless = replace(ASKED, token="")
    assert sightings("seedance", listed("seedance", nameless), nameless) == []


@pytest.mark.parametrize("dialect", VIDEO_SEARCH)
def test_an_answer_that_is_no_list_is_an_error(dialect: str) -> None:
    for told in ([], {}, {"items": {}, "data": {}, "generations": 1}, None):
        with pytest.raises(ProviderError) as raised:
            sightings(dialect, told)
        assert raised.value.kind is ErrorKind.PROTOCOL
    with pytest.raises(ProviderError) as raised:
        VIDEO_SEARCH[dialect].video_sightings(ASKED, TARGETS[dialect], wire.answer({}, 401))
    assert raised.value.kind is ErrorKind.AUTHENTICATION
    for odd in (["x"], [7, None], [{}], [{"id": 1}]):
        assert sightings(dialect, {"items": odd, "data": odd, "generations": odd}) == []
