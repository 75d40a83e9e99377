"""`--help` of every command says what it does and what each of its options means."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from gateway.__main__ import cli
from tests.system.process import command


def commands(group: Any, *above: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and the words that call it."""
    for name, one in group.commands.items():
        yield (*above, name), one
        if hasattr(one, "commands"):
            yield from commands(one, *above, name)


COMMANDS = dict(commands(typer.main.get_command(cli)))
OURS = [words for words in COMMANDS if words != ("worker",)]


@pytest.mark.parametrize("words", [(), *OURS], ids=" ".join)
def test_help_is_complete(words: tuple[str, ...]):
    done = CliRunner().invoke(cli, [*words, "--help"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    shown = COMMANDS[words] if words else typer.main.get_command(cli)
    assert str(shown.help).splitlines()[0] in done.output
    for parameter in shown.params:
        if parameter.name != "help" and not getattr(parameter, "hidden", False):
            assert parameter.help, parameter.name
            assert parameter.help[:40] in " ".join(done.output.split()), parameter.name
    for name in getattr(shown, "commands", ()):
        assert f" {name} " in done.output


def test_the_workers_help_is_its_own(tmp_path: Path):
    done = command(tmp_path, "worker", "--help")
    assert done.returncode == 0
    assert {"--engine", "--port", "--data-dir"} <= set(
        done.stdout.replace(",", " ").replace("[", " ").split()
    )


def test_a_wrong_option_is_said(tmp_path: Path):
    done = command(tmp_path, "serve", "--prot", "80")
    assert done.returncode == 2
    assert "No such option: --prot" in done.stderr
