"""What the video models can make and cost, as told to clients, is what the router goes by."""

from pathlib import Path
from typing import Any

import httpx2

from gateway.api.video_models import video_model_list
from gateway.config.snapshot import Caller
from gateway.routing.video import LAST_DAY, Wanted, eligible
from tests.running import KEY, OTHER_KEY, routing, running
from tests.service.video_rig import snapshot, target

MODELS: dict[str, Any] = {
    "sora-2": {
        "kind": "video",
        "targets": [
            {"provider": "studio", "model": "testcard", "price": {"per_second": 0.004}},
            {"provider": "studio", "model": "other", "seconds": [4, 8], "sizes": ["1280x720"], "inputs": []},
        ],
    },
    "veo": {"kind": "video", "targets": [{"provider": "vertex", "model": "veo-3.1-lite-generate-001"}]},
    "chat": {"targets": [{"provider": "demo", "model": "small"}]},
}
PROVIDERS = {
    "studio": {"dialect": "openai", "kind": "video", "base_url": "http://127.0.0.1:9/v1"},
    "vertex": {"base_url": "http://127.0.0.1:9", "key": "env:PROVIDER_KEY"},
    "demo": {"dialect": "scripted"},
}
TEXT = routing(MODELS, PROVIDERS, key={"models": ["sora-2", "chat"]})
EVERYONE = Caller(id="all", name="all")


async def listed(folder: Path, key: str) -> dict[str, Any]:
    """The list as this key gets it, by model."""
    async with running(TEXT, folder) as gateway, httpx2.AsyncClient(base_url=gateway.url) as http:
        answer = await http.get("/v1/videos/models", headers={"authorization": f"Bearer {key}"})
    assert answer.status_code == 200
    body = answer.json()
    assert body["object"] == "list"
    return {row["id"]: row for row in body["data"]}


async def test_a_key_sees_the_video_models_it_may_use_with_what_they_can_make_and_cost(tmp_path: Path):
    rows = await listed(tmp_path, OTHER_KEY)
    assert list(rows) == ["sora-2", "veo"]
    sora, (card, other) = rows["sora-2"], rows["sora-2"]["targets"]
    assert (sora["seconds"], sora["sizes"]) == (None, None)
    assert sora["operations"] == card["operations"] == ["generate", "remix", "edit", "extend"]
    assert other["operations"] == ["generate", "remix"]
    assert (card["min_seconds"], card["max_seconds"], card["sizes"]) == (1, 60, None)
    assert card["price"]["per_second"] == 0.004
    assert (other["seconds"], other["sizes"], other["inputs"]) == ([4, 8], ["1280x720"], [])
    assert other["price"] is None
    (veo,) = rows["veo"]["targets"]
    assert rows["veo"]["seconds"] == veo["seconds"] == [4, 6, 8]
    assert veo["sizes"] == ["1280x720", "720x1280", "1920x1080", "1080x1920"]
    assert (veo["audio"], veo["links"], veo["operations"]) == ("switch", False, ["generate"])
    assert veo["price"]["per_second_by_tier"].keys() >= {"720p", "1080p"}


async def test_other_keys_are_told_of_theirs_only(tmp_path: Path):
    assert list(await listed(tmp_path, KEY)) == ["sora-2"]


def test_what_is_about_to_be_shut_down_is_not_offered():
    end = 1_800_000_000.0
    going = snapshot(target("one", "http://a", retires_at=end))
    both = snapshot(target("one", "http://a", retires_at=end), target("two", "http://b"))
    for now, left in ((end - LAST_DAY - 1, 2), (end - LAST_DAY, 1)):
        (row,) = video_model_list(both, EVERYONE, now)["data"]
        assert len(row["targets"]) == left
        assert len(video_model_list(going, EVERYONE, now)["data"]) == left - 1


def test_whatever_a_target_is_said_to_make_the_router_lets_it_make():
    ratios = {"720p": ("16:9", "9:16"), "1080p": ("1280:1080",)}
    made = target("one", "http://a", seconds=(5.0, 10.0), ratios=ratios, image_ratios={"480p": ("1:1",)})
    config = snapshot(made)
    (row,) = video_model_list(config, EVERYONE, 0.0)["data"][0]["targets"]
    offered = [(size, ()) for size in row["sizes"]]
    offered += [(size, ("first_frame",)) for size in row["sizes_from_picture"]]
    assert len(offered) == 4
    for size, inputs in offered:
        for seconds in row["seconds"]:
            assert eligible(config.routes["sora-2"], Wanted(seconds=seconds, size=size, inputs=inputs))
