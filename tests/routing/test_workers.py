"""What a worker tells counts for routing; what the file says of a target counts more."""

from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from gateway.config.compile import Source, compile_config
from gateway.config.problems import ConfigError
from gateway.config.snapshot import Route, Snapshot
from gateway.routing.video import Wanted, eligible, rate, run, unfit
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


def test_a_gpus_time_is_paid_by_what_the_last_videos_took() -> None:
    snapshot = configured(price={"per_gpu_hour": 3.6, "rendering_seconds": 2})
    unseen = route(snapshot, "film").targets[0]
    assert (rate(unseen, wanted()), run(unseen, wanted())) == (2_000_000, None)
    seen = route(discover(snapshot, SEEN), "film").targets[0]
    assert run(seen, wanted(size="1000x500")) == 3.0 * 0.5 * 4.0
    assert rate(seen, wanted(size="1000x500")) == 1_500_000
    assert rate(route(configured(price={"per_gpu_hour": 3.6}), "film").targets[0], wanted()) is None


def test_a_video_that_is_drawn_over_takes_the_share_of_its_worker_that_becomes_new() -> None:
    model = WorkerModel(limits=replace(WAN, operations=("generate", "remix")), rate=3.0, strength=0.5)
    seen = {URL: WorkerStatus(models={"wan": model}, free_slots=1)}
    studio = route(discover(configured(price={"per_gpu_hour": 3.6}), seen), "film").targets[0]
    whole = wanted(size="1000x500")
    assert run(studio, whole) == 6.0
    assert run(studio, replace(whole, operation="remix")) == 3.0
    remix = replace(whole, operation="remix", strength=0.2)
    assert (run(studio, remix), rate(studio, remix)) == (pytest.approx(1.2), 300_000)
    anew = {URL: WorkerStatus(models={"wan": replace(model, strength=None)}, free_slots=1)}
    assert run(route(discover(configured(), anew), "film").targets[0], remix) == 6.0


def problems(model: dict[str, Any]) -> list[str]:
    providers = {
        "studio": {"dialect": "worker", "kind": "video", "base_url": URL},
        "cloud": {"dialect": "openai", "kind": "video", "base_url": "http://127.0.0.1:1/v1"},
    }
    text = yaml.safe_dump({"providers": providers, "models": {"film": {"kind": "video", **model}}})
    with pytest.raises(ConfigError) as refused:
        compile_config(Source(text, "test.yaml", {}, 1_795_000_000.0))
    return [f"{problem.field}: {problem.message}" for problem in refused.value.problems]


@pytest.mark.parametrize("providers", [["studio"], ["cloud"], ["cloud", "cloud"]])
def test_a_latency_budget_without_effect_is_refused(providers: list[str]) -> None:
    targets = [{"provider": name, "model": f"m{at}"} for at, name in enumerate(providers)]
    [problem] = problems({"latency_budget": "3m", "targets": targets})
    assert "latency_budget: needs a worker (a provider of dialect worker)" in problem


def test_only_a_worker_tells_how_long_its_gpu_works() -> None:
    targets = [{"provider": "cloud", "model": "m", "price": {"per_gpu_hour": 2.5}}]
    [problem] = problems({"targets": targets})
    assert "price: needs `rendering_seconds`: only a worker" in problem
