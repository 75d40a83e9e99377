"""`fairlead explain`: from the file alone, without its secrets, and from a running gateway."""

import asyncio
import json
from pathlib import Path

import pytest

from gateway.commands.explain import Options, run
from gateway.config.problems import ConfigError
from tests.api.test_routing import model
from tests.running import KEY, routing, running, upstream

FILE = routing(
    model({"provider": "a", "price": {"input": 1, "output": 1}, "when": {"tools": False}}, {"provider": "b"}),
    {name: upstream("http://127.0.0.1:9") for name in "ab"},
)


def options(config: Path | None = None, **more) -> Options:
    said = {"model": "fast", "body": None, "url": None, "key": None, "as_json": False, **more}
    return Options(config=config, **said)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "routes.yaml"
    path.write_text(FILE)
    return path


def test_a_line_for_the_pick_and_one_for_each_target(file: Path, capsys: pytest.CaptureFixture[str]):
    assert run(options(file)) == 0
    first, a, b = capsys.readouterr().out.splitlines()
    assert first == "fast (chat, in_order): a/m, the first of the targets in their written order"
    assert a.split()[:2] == ["1", "a/m"]
    assert b.split()[:2] == ["2", "b/m"]


def test_a_body_decides_with(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    body = tmp_path / "body.json"
    tools = [{"type": "function", "function": {"name": "f"}}]
    body.write_text(json.dumps({"messages": [{"role": "user", "content": "x"}], "tools": tools}))
    assert run(options(file, body=body, as_json=True)) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["picked"] == "b/m"
    assert told["candidates"][1]["why_not"] == "tools"


def test_a_body_that_is_no_json_is_named(file: Path, tmp_path: Path):
    (tmp_path / "body.json").write_text("[")
    with pytest.raises(ConfigError, match=r"body.json: not JSON"):
        run(options(file, body=tmp_path / "body.json"))


def test_nobody_to_answer_is_exit_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "routes.yaml"
    path.write_text(
        routing(model({"provider": "a", "when": {"tools": True}}), {"a": upstream("http://127.0.0.1:9")})
    )
    assert run(options(path)) == 1
    assert "nobody" in capsys.readouterr().out


async def test_a_running_gateway_is_asked_with_a_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    async with running(FILE, tmp_path) as gateway:
        assert await asyncio.to_thread(run, options(url=gateway.url, key=KEY)) == 0
        assert "a/m" in capsys.readouterr().out
        with pytest.raises(ConfigError, match="No valid API key"):
            await asyncio.to_thread(run, options(url=gateway.url, key="sk-no"))
    with pytest.raises(ConfigError, match="--url"):
        await asyncio.to_thread(run, options(url=gateway.url, key=KEY))
