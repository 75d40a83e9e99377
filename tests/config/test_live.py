"""Real files, really watched."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from gateway.config.live import ACCEPTED, KEPT_NAME, REJECTED, Live
from gateway.config.problems import ConfigError, ConfigProblem

DEADLINE = 10.0
ENVIRONMENT = {"OWN": "key"}


def text(*models: str) -> str:
    listed = "".join(f"  {name}: {{targets: [{{provider: own, model: m}}]}}\n" for name in models)
    return f"providers: {{own: {{dialect: openai, base_url: https://own.example/v1, key: env:OWN}}}}\nmodels:\n{listed}"


class Told:
    """What `on_reload` was told, in order."""

    def __init__(self) -> None:
        self.results: list[str] = []
        self.problems: list[str] = []

    def __call__(self, result: str, problems: Sequence[ConfigProblem]) -> None:
        self.results.append(result)
        self.problems.extend(map(str, problems))


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not done():
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def followed(live: Live) -> AsyncIterator[None]:
    task = asyncio.create_task(live.follow())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def started(folder: Path, told: Told | None = None) -> tuple[Path, Live]:
    path = folder / "fairlead.yaml"
    path.write_text(text("one"), encoding="utf-8")
    return path, Live(path, ENVIRONMENT, folder / "data", told or Told())


async def test_a_saved_edit_is_in_force_at_once_and_whole(tmp_path: Path) -> None:
    told = Told()
    (tmp_path / "data").mkdir()
    path, live = started(tmp_path, told)
    before = live.current
    assert (before.generation, list(before.routes)) == (1, ["one"])
    async with followed(live):
        path.write_text(text("two", "three"), encoding="utf-8")
        await until(lambda: live.current is not before)
        assert (live.current.generation, list(live.current.routes)) == (2, ["two", "three"])
        assert list(before.routes) == ["one"]  # who began with it ends with it
    assert told.results == [ACCEPTED, ACCEPTED]


async def test_a_broken_edit_changes_nothing_and_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told()
    path, live = started(tmp_path, told)
    before = live.current
    async with followed(live):
        path.write_text(text("one").replace("provider: own", "provider: owm"), encoding="utf-8")
        await until(lambda: REJECTED in told.results)
        assert live.current is before
        expected = f'{path}:3: models.one.targets[0].provider: unknown provider "owm": did you mean "own"?'
        assert told.problems == [expected]
        assert expected in caplog.text
        path.write_text(text("mended"), encoding="utf-8")
        await until(lambda: live.current is not before)
    assert list(live.current.routes) == ["mended"]


async def test_editors_that_put_a_new_file_in_its_place_are_followed(tmp_path: Path) -> None:
    path, live = started(tmp_path)
    async with followed(live):
        for number, name in enumerate(("a", "b", "c"), start=2):
            draft = tmp_path / ".fairlead.yaml.swp"
            draft.write_text(text(name), encoding="utf-8")
            draft.replace(path)
            await until(lambda number=number: live.current.generation == number)  # type: ignore[misc]  # bound now
            assert list(live.current.routes) == [name]


async def test_a_folder_swapped_behind_a_link_is_followed(tmp_path: Path) -> None:
    # how Kubernetes mounts a ConfigMap: fairlead.yaml -> ..data/fairlead.yaml, ..data -> a folder of its own
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "fairlead.yaml").write_text(text(name), encoding="utf-8")
    (tmp_path / "..data").symlink_to("first")
    (tmp_path / "fairlead.yaml").symlink_to("..data/fairlead.yaml")
    live = Live(tmp_path / "fairlead.yaml", ENVIRONMENT)
    async with followed(live):
        (tmp_path / "..next").symlink_to("second")
        (tmp_path / "..next").replace(tmp_path / "..data")
        await until(lambda: list(live.current.routes) == ["second"])


async def test_a_file_that_is_gone_changes_nothing_and_may_come_back(tmp_path: Path) -> None:
    told = Told()
    path, live = started(tmp_path, told)
    before = live.current
    async with followed(live):
        path.unlink()
        await until(lambda: REJECTED in told.results)
        assert live.current is before
        path.write_text(text("back"), encoding="utf-8")
        await until(lambda: list(live.current.routes) == ["back"])


async def test_many_edits_in_a_row_end_with_the_last(tmp_path: Path) -> None:
    path, live = started(tmp_path)
    async with followed(live):
        for number in range(50):
            path.write_text(text(f"m{number}"), encoding="utf-8")
            await asyncio.sleep(0.005)
            assert len(live.current.routes) == 1
        await until(lambda: list(live.current.routes) == ["m49"])


def test_a_text_can_be_put_in_force_by_hand_or_not_at_all(tmp_path: Path) -> None:
    told = Told()
    _, live = started(tmp_path, told)
    assert list(live.replace(text("two")).routes) == ["two"]
    before = live.current
    with pytest.raises(ConfigError):
        live.replace("models: 3")
    assert live.current is before
    assert told.results == [ACCEPTED, ACCEPTED, REJECTED]


def test_a_broken_file_at_the_start_is_replaced_by_the_last_good_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "data").mkdir()
    path, live = started(tmp_path)
    live.replace(text("two"))
    path.write_text("models: [", encoding="utf-8")
    told = Told()
    with caplog.at_level(logging.WARNING):
        again = Live(path, ENVIRONMENT, tmp_path / "data", told)
    assert list(again.current.routes) == ["two"]
    assert told.results == [REJECTED]
    assert "started from the last good configuration" in caplog.text
    assert str(path) in caplog.text


def test_without_a_last_good_one_a_broken_file_is_the_end(tmp_path: Path) -> None:
    path = tmp_path / "fairlead.yaml"
    path.write_text("models: [", encoding="utf-8")
    with pytest.raises(ConfigError):
        Live(path, ENVIRONMENT, tmp_path)
    (tmp_path / KEPT_NAME).write_text("models: 3", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"fairlead.yaml:2: not YAML"):
        Live(path, ENVIRONMENT, tmp_path)


def test_a_file_that_is_not_there_at_the_start_is_an_error_even_with_a_last_good_one(tmp_path: Path) -> None:
    path, _ = started(tmp_path)
    (tmp_path / KEPT_NAME).write_text(text("one"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"nowhere.yaml: cannot be read: No such file"):
        Live(tmp_path / "nowhere.yaml", ENVIRONMENT, tmp_path)
    path.write_bytes(b"models: {\xff: 1}")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        Live(path, ENVIRONMENT, tmp_path)
