"""What an operator reads of limits: of every key and every target's own, shared or not, used up or not."""

from pathlib import Path
from typing import Any

import httpx2

from gateway.clock import SYSTEM
from gateway.config.snapshot import Caller, LimitRule
from gateway.errors import Unavailable
from gateway.limits.memory import MemoryLimiter
from gateway.service import limit_rows
from gateway.service.admission import Admission
from tests.answers import completion
from tests.api.test_admin import ADMIN_KEY, ENVIRONMENT, scraped
from tests.api.test_routing import asked, model
from tests.config.samples import compiled
from tests.running import Running, routing, running, upstream
from tests.transport.faulty import Faulty, send

LIMITS = [
    {"requests": 2, "per": "hour"},
    {"dollars": 5, "per": "month", "scope": "organisation"},
    {"concurrent": 4},
    {"tokens": 90_000, "per": "day", "scope": "model", "models": ["fast"]},
]
KEY = {"limits": LIMITS, "organisation": "acme"}


async def limits(gateway: Running, query: str = "") -> dict[str, Any]:
    async with httpx2.AsyncClient(headers={"authorization": f"Bearer {ADMIN_KEY}"}) as http:
        told: dict[str, Any] = (await http.get(f"{gateway.url}/admin/limits{query}")).json()
    return told


async def test_what_is_left_and_what_refuses_is_told_of_keys_and_targets(tmp_path: Path):
    text = model({"provider": "a", "limits": [{"requests": 9, "per": "minute"}, {"concurrent": 3}]})
    async with Faulty() as up:
        up.always(send(completion()))
        config = routing(text, {"a": upstream(up.url)}, key=KEY)
        async with running(config, tmp_path, ENVIRONMENT) as gateway:
            statuses = [(await asked(gateway)).status_code for _ in range(3)]
            told = await limits(gateway)
            gauge = (
                'gateway_target_quota_left{gateway_limit_dimension="requests",gateway_limit_period="minute"'
            )
            assert gauge in (await scraped(gateway))
            pages = [await limits(gateway, "?limit=1"), await limits(gateway, "?limit=1&after=other")]
    assert statuses == [200, 200, 429]
    (other, ours) = told["data"]
    assert (other["key"], other["limits"], ours["key"]) == ("other", [], "test")
    requests, slots, tokens, dollars = sorted(ours["limits"], key=lambda row: "rctd".index(row["limit"][0]))
    assert (requests["left"], requests["of"], requests["owner"]) == (0, 2, "test")
    assert requests["reason"] == "requests per hour of the key test are used up"
    assert 0 < requests["reset_seconds"] <= 3660
    assert (slots["left"], slots["per"], slots["reason"]) == (4, "", None)
    assert (tokens["scope"], tokens["owner"]) == ("model", "fast")
    assert 0 < tokens["left"] < 90_000
    assert (dollars["scope"], dollars["owner"]) == ("organisation", "acme")
    assert 4.9 < dollars["left"] < 5
    (quota,) = told["targets"]
    assert quota["target"] == "a/m"
    assert {row["limit"]: row["left"] for row in quota["limits"]} == {"requests": 7, "concurrent": 3}
    assert [(page["data"][0]["key"], page["has_more"]) for page in pages] == [
        ("other", True),
        ("test", False),
    ]


async def test_looking_takes_nothing():
    rules = (
        LimitRule(dimension="requests", limit=3, per="minute"),
        LimitRule(dimension="concurrent", limit=1),
    )
    caller = Caller(id="ann", name="ann", limits=rules)
    admission = Admission(MemoryLimiter(), _unasked, SYSTEM)
    snapshot = compiled("models: {}", {})
    looks = [await limit_rows.of_caller(admission, caller, snapshot) for _ in range(5)]
    assert [[row.left for row in rows] for rows in looks] == [[3, 1]] * 5


async def _unasked(_whose: object, _since: float) -> int:
    return 0


async def test_a_quota_that_cannot_be_read_is_not_known_and_is_asked_again():
    class Away(MemoryLimiter):
        away = True

        async def acquire(self, lease: str, dimensions: Any) -> Any:
            if self.away:
                raise Unavailable("the store is away")
            return await super().acquire(lease, dimensions)

    limiter = Away()
    config = routing(
        model({"provider": "a", "limits": [{"concurrent": 3}]}), {"a": upstream("http://127.0.0.1:9")}
    )
    snapshot = compiled(config, {"TEST_KEY": "k1", "OTHER_KEY": "k2", "PROVIDER_KEY": "p"})
    quotas = limit_rows.Quotas(Admission(limiter, _unasked, SYSTEM))
    await quotas.look(snapshot)
    assert quotas.known == {}
    limiter.away = False
    await quotas.look(snapshot)
    assert [row.left for row in quotas.known["a/m"]] == [3]
