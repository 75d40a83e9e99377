"""A worker on loopback that does nothing until the test says so: one slot, and videos that are done on command."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from gateway.config.snapshot import ProviderRow, Snapshot
from tests.service.video_provider import Provider, raw, reply
from tests.service.video_rig import snapshot, target

NEVER = 10**9


@dataclass
class Worker(Provider):
    """`rate` and `free_in` are what it tells: seconds per megapixel and second of video, and until it is free.

    `refused` counts the jobs that found its slot taken, by token.
    """

    polls: int = NEVER
    deduplicates: bool = True
    rate: float | None = None
    free_in: float | None = None
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def working(self) -> list[str]:
        """The prompts of the videos it works on."""
        return [video.fields["prompt"] for video in self.videos.values() if video.polls < NEVER]

    def finish(self) -> None:
        """Everything it works on is done."""
        for video in self.videos.values():
            video.polls = NEVER

    def _submitted(self, path: str, headers: Mapping[str, str], body: bytes) -> bytes | None:
        token = headers["idempotency-key"]
        if self.working and headers["x-worker-queue"] == "no" and token not in self.accepted:
            self.refused[token] += 1
            error = {"message": "Not now.", "type": "rate_limit_error", "code": "no_free_slot"}
            return raw(
                429, "application/json", json.dumps({"error": error}).encode(), **{"retry-after": "30"}
            )
        return super()._submitted(path, headers, body)

    async def _answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes | None:
        if path != "/v1/worker":
            return await super()._answer(method, path, headers, body)
        model = {"id": "m", "min_seconds": 1, "max_seconds": 8, "rate": self.rate}
        busy = bool(self.working)
        return reply(
            200, {"models": [model], "free_slots": int(not busy), "eta_s": self.free_in if busy else 0}
        )


def fleet(*workers: Worker, cloud: Provider | None = None, budget: float | None = None) -> Snapshot:
    """A configuration whose model goes to these workers, and where they take too long to a cloud."""
    rows: dict[str, ProviderRow] = {}
    targets: list[Any] = []
    for number, worker in enumerate(workers):
        name = f"w{number}"
        made = target(name, worker.url)
        targets.append(replace(made, target=replace(made.target, dialect="worker")))
        rows[name] = ProviderRow(id=name, kind="video", dialect="worker", base_url=f"{worker.url}/v1")
    if cloud is not None:
        targets.append(target("cloud", cloud.url))
    made = snapshot(*targets, providers=rows)
    route = replace(made.routes["sora-2"], latency_budget=budget)
    return replace(made, routes={"sora-2": route})
