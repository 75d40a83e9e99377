"""What schemathesis makes of `/openapi.json`: no request it can think of breaks the running gateway."""

from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from tests.running import KEY, routing, upstream
from tests.servers import free_port
from tests.system.process import Serving

EXAMPLES = 12
"""Requests per operation and way of making them."""
MODELS = ("demo", "vectors", "clip", "demo/status-503", "demo/cut", "none")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A gateway whose upstreams answer from a script, or are not there."""
    nowhere = {**upstream(f"http://127.0.0.1:{free_port()}"), "kind": "video"}
    text = routing(
        {
            "demo": {"targets": [{"provider": "demo", "model": "small"}]},
            "vectors": {"kind": "embedding", "targets": [{"provider": "demo", "model": "embedding"}]},
            "clip": {"kind": "video", "targets": [{"provider": "nowhere", "model": "clip"}]},
        },
        {"demo": {"dialect": "scripted"}, "nowhere": nowhere},
    )
    with Serving(tmp_path_factory.mktemp("openapi"), text) as running:
        yield running


def known_model(case: Any) -> Any:
    """Half of the requests name a model that exists, or they would all end at the same place."""
    if isinstance(case.body, dict) and "model" in case.body and len(str(case.body)) % 2:
        case.body["model"] = MODELS[len(str(case.body)) // 2 % len(MODELS)]
    return case


def test_no_request_breaks_the_gateway(gateway: Serving):
    schema = schemathesis.openapi.from_url(f"{gateway.url}/openapi.json")
    checked = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            checked += check(operation.as_strategy(generation_mode=mode).map(known_model))
    assert checked >= 5 * EXAMPLES
    assert "Traceback" not in gateway.err


def check(strategy: Any) -> int:
    """Send what a strategy makes, and look at each answer; the number of requests made."""
    sent = 0

    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=strategy)
    def run(case: Any) -> None:
        nonlocal sent
        sent += 1
        answer = case.call(headers={"authorization": f"Bearer {KEY}"}, timeout=10)
        checks = [not_a_server_error, content_type_conformance, response_schema_conformance]
        if answer.status_code in (502, 503, 504):  # a provider that is not there is no fault of the gateway's
            assert answer.json()["error"]["code"] != "internal_error"
            checks = checks[1:]
        case.validate_response(answer, checks=checks)

    run()
    return sent
