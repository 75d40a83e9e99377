"""Every video method of OpenAI's Node client."""

import base64
from types import SimpleNamespace
from typing import Any

import pytest

from tests.contract.node_client import call_node, install
from tests.e2e.stage import TINY, Guest, Stage
from tests.e2e.test_official_client import shape

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
METHODS = {
    "create", "retrieve", "list", "delete", "remix", "edit", "extend", "downloadContent", "createCharacter",
    "getCharacter",
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _installed() -> None:
    install()


def node(guest: Guest, *calls: dict[str, Any]) -> list[Any]:
    """The results of these calls."""
    stage: Any = SimpleNamespace(url=guest.url)
    return call_node(stage, *calls, key=guest.key)


def test_no_method_of_the_node_client_is_without_an_answer(stage: Stage, guest: Guest) -> None:
    first = guest.made(stage.prompt())
    words = {"prompt": stage.prompt()}
    names, content, one, listed, *made = node(
        guest,
        {"do": "video_methods"},
        {"do": "video_content", "ask": first.id},
        {"do": "video_retrieve", "ask": first.id},
        {"do": "video_list", "ask": {"limit": 1}},
        {"do": "video_create", "ask": {"model": "sora-2", **words, **TINY}},
        {"do": "video_remix", "ask": {"id": first.id, **words}},
        {"do": "video_edit", "ask": {**words, "video": {"id": first.id}}},
        {"do": "video_extend", "ask": {**words, "seconds": "4", "video": {"id": first.id}}},
    )
    assert set(names["value"]) - {"constructor"} == METHODS
    mp4 = base64.b64decode(content["value"])
    assert shape(mp4) == ("h264", 64, 64, 24)
    assert one["value"]["id"] == listed["value"][0]["id"] == first.id
    ids = [video["value"]["id"] for video in made]
    for video in ids:
        assert guest.openai.videos.poll(video).status == "completed"
    sent = {"base64": content["value"]}
    edit, extend, gone, character = node(
        guest,
        {"do": "video_edit", "ask": {**words, **sent}},
        {"do": "video_extend", "ask": {**words, "seconds": "4", **sent}},
        {"do": "video_delete", "ask": ids[0]},
        {"do": "character_create", "ask": {"name": "Ann", **sent}},
    )
    assert [edit["value"]["seconds"], extend["value"]["seconds"]] == ["1", "5"]
    assert gone["value"]["deleted"] is True
    [found] = node(guest, {"do": "character_get", "ask": character["value"]["id"]})
    assert (found["value"], found["value"]["name"]) == (character["value"], "Ann")
