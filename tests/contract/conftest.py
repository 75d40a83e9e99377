"""One gateway for all tests of a module, on a thread of its own, so that clients of every kind may wait for it."""

from collections.abc import Iterator

import pytest
from anyio.from_thread import start_blocking_portal

from tests.contract.stage import Stage, staged


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The gateway and its providers."""
    with start_blocking_portal() as portal:
        with portal.wrap_async_context_manager(staged(tmp_path_factory.mktemp("stage"))) as stage:
            yield stage


@pytest.fixture
def stage(standing: Stage) -> Stage:
    """The same, with everything that earlier tests planned and saw forgotten."""
    for provider in standing.providers.values():
        provider.forget()
    return standing
