"""The stage that most tests here share, and guests on it."""

from collections.abc import Callable, Iterator

import pytest

from tests.e2e.stage import Guest, Stage


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One gateway process and one worker process."""
    shared = Stage(tmp_path_factory.mktemp("stage"))
    yield shared
    shared.close()


@pytest.fixture
def guests(stage: Stage) -> Iterator[Callable[[], Guest]]:
    """Makes guests nobody has met. What they did must leave nothing in the log that does not belong there."""
    made: list[Guest] = []

    def guest() -> Guest:
        made.append(stage.guest())
        return made[-1]

    yield guest
    for one in made:
        one.close()
    stage.check_log()


@pytest.fixture
def guest(guests: Callable[[], Guest]) -> Guest:
    """One guest nobody has met."""
    return guests()
