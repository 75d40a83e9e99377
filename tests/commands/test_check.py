"""`fairlead check`: everything that is wrong with a file, and nothing when there is nothing."""

from pathlib import Path

import pytest

from gateway.commands.check import run
from tests.system.process import command

FINE = """
providers:
  up: {dialect: openai, base_url: http://127.0.0.1:9/v1, key: env:CANARY_KEY}
  other: {dialect: openai, base_url: http://127.0.0.1:9/v1, key: file:/nowhere/canary}
models:
  fast: {targets: [{provider: up, model: one}, {provider: other, model: two}]}
  known: {targets: [{provider: anthropic, model: claude-haiku-4-5}]}
keys:
  - {name: a, key: env:CANARY_A}
  - {name: b, key: env:CANARY_B}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "routes.yaml"
    path.write_text(FINE)
    return path


def test_without_secrets_a_sound_file_is_fine_anywhere(file: Path, capsys: pytest.CaptureFixture[str]):
    assert run(file, secrets=False) == 0
    assert capsys.readouterr().out == f"{file}: 2 models, 3 targets, 2 keys: fine\n"


def test_with_secrets_each_missing_one_is_named(file: Path, capsys: pytest.CaptureFixture[str]):
    assert run(file) == 1
    said = capsys.readouterr().err
    missing = {3: "CANARY_KEY", 4: "/nowhere/canary", 7: "ANTHROPIC_API_KEY", 9: "CANARY_A", 10: "CANARY_B"}
    for place, name in missing.items():
        assert any(line.startswith(f"{file}:{place}: ") and name in line for line in said.splitlines())


def test_without_secrets_everything_else_is_still_checked(file: Path, capsys: pytest.CaptureFixture[str]):
    broken = FINE.replace("env:CANARY_B", "env:CANARY_A").replace("provider: up", "provider: upp")
    file.write_text(broken.replace("key: env:CANARY_KEY", "key: sk-canary-in-the-file"))
    assert run(file, secrets=False) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3
    assert said[0].startswith(f"{file}:3: providers.up.key: must be env:NAME or file:/path")
    assert "sk-canary" not in said[0]
    assert 'did you mean "up"' in said[1]
    assert 'is the same key as "a"' in said[2]


def test_a_file_that_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run(tmp_path / "none.yaml") == 1
    assert "none.yaml: cannot be read" in capsys.readouterr().err


def test_the_command_exits_as_the_check_ends(file: Path, tmp_path: Path):
    assert command(tmp_path, "check", "--no-secrets", str(file)).returncode == 0
    done = command(tmp_path, "check", str(file))
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 5


def test_a_model_that_is_shut_down_is_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(
        "providers: {vertex: {base_url: https://eu.example/v1, key: env:CANARY}}\n"
        "models: {sora-2: {kind: video, targets: [{provider: vertex, model: veo-3.1-generate-001}]}}\n"
    )
    assert run(path, secrets=False) == 0
    said = capsys.readouterr().err
    assert said == (
        f'{path}: warning: model "sora-2": vertex/veo-3.1-generate-001 has been shut down by its provider on '
        "2026-11-17\n"
    )
