"""What a worker tells counts for routing; what the file says of a target counts more."""

from typing import Any

import yaml

from gateway.config.compile import Source, compile_config
from gateway.config.snapshot import Route, Snapshot
from gateway.routing.video import Wanted, eligible, unfit
from gateway.routing.workers import discover, workers
from providers.types import VideoLimits, WorkerModel, WorkerStatus

URL = "http://127.0.0.1:4100/v1"
WAN = VideoLimits(operations=("generate",), edges=(64, 720, 1280), min_seconds=1.0, max_seconds=5.0)
SEEN = {URL: WorkerStatus(models={"wan": WorkerModel(limits=WAN, rate=3.0)}, free_slots=1)}


def configured(**said: Any) -> Snapshot:
    text = {
        "providers": {
            "studio": {"dialect": "worker", "kind": "video", "base_url": URL},
            "cloud": {"dialect": "openai", "kind": "video", "base_url": "http://127.0.0.1:1/v1"},
        },
        "models": {
            "film": {"kind": "video", "targets": [
                {"provider": "studio", "model": "wan", **said}, {"provider": "cloud", "model": "wan"},
            ]},
            "gone": {"kind": "video", "targets": [{"provider": "studio", "model": "retired"}]},
        },
    }  # fmt: skip
    return compile_config(Source(yaml.safe_dump(text), "test.yaml", {}, 1_795_000_000.0))


def route(snapshot: Snapshot, name: str) -> Route:
    found = snapshot.resolve(name, "video")
    assert found is not None
    return found


def wanted(seconds: float = 4.0, size: str = "1280x720") -> Wanted:
    return Wanted(seconds=seconds, size=size)


def test_workers_are_known_by_their_dialect() -> None:
    assert {url: row.id for url, row in workers(configured()).items()} == {URL: "studio"}


def test_a_worker_that_was_not_heard_yet_may_be_asked_for_anything() -> None:
    studio = route(discover(configured(), {}), "film").targets[0]
    assert unfit(studio, wanted(seconds=60.0, size="3840x2160")) is None


def test_what_it_told_decides_what_it_is_asked_for() -> None:
    film = route(discover(configured(), SEEN), "film")
    assert [one.target.provider for one in eligible(film, wanted())] == ["studio", "cloud"]
    studio = film.targets[0]
    assert studio.pace == 3.0
    assert unfit(studio, wanted(seconds=6.0)) == "seconds"
    assert [unfit(studio, wanted(size=size)) for size in ("1282x720", "722x1280", "62x64")] == ["size"] * 3
    assert unfit(studio, wanted(size="720x1280")) is None


def test_what_the_file_says_counts_more() -> None:
    studio = route(discover(configured(max_seconds=2, inputs=[]), SEEN), "film").targets[0]
    assert unfit(studio, wanted(seconds=4.0)) == "seconds"
    assert studio.target.video.inputs == []
    assert studio.target.video.edges == WAN.edges


def test_its_models_are_routable_without_an_entry_and_others_are_not() -> None:
    found = discover(configured(), SEEN)
    assert "studio/wan" in found.routes
    assert route(found, "studio/wan").targets[0].target.video == WAN
    assert found.resolve("studio/another", "video") is None
    assert found.resolve("cloud/another", "video") is not None
    assert eligible(route(found, "gone"), wanted()) == []
