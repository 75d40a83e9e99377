"""Bodies that no story should see: refused at the door, by the name of the field."""

from pathlib import Path

import httpx2
import pytest

from tests.running import KEY, routing, running, upstream

TARGET = {"provider": "a", "model": "up-1", "price": {"input": 1, "output": 2}}
ROUTE = {"fast": {"policy": "in_order", "targets": [TARGET]}}

BAD = {
    "broken json": (b'{"model": ', "invalid_json", None),
    "nothing": (b"", "invalid_json", None),
    "not an object": (b"[1]", "invalid_type", None),
    "no messages": (b'{"model": "fast"}', "missing_required_parameter", "messages"),
    "empty messages": (b'{"model": "fast", "messages": []}', "invalid_value", "messages"),
    "message without role": (
        b'{"model": "fast", "messages": [{"content": "x"}]}',
        "missing_required_parameter",
        "messages[0].role",
    ),
    "model of wrong type": (b'{"model": 3, "messages": [{"role": "user"}]}', "invalid_type", "model"),
    "temperature too hot": (
        b'{"model": "fast", "temperature": 9, "messages": [{"role": "user"}]}',
        "invalid_value",
        "temperature",
    ),
    "unknown model": (
        b'{"model": "nope", "messages": [{"role": "user", "content": "x"}]}',
        "model_not_found",
        "model",
    ),
    "nested too deeply": (
        b'{"model": "fast", "messages": [{"role": "user"}], "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "invalid_json",
        None,
    ),
    "bad utf-8": (b'{"model": "\xff", "messages": [{"role": "user"}]}', "invalid_json", None),
}


@pytest.mark.parametrize("name", BAD)
async def test_bad_input_names_the_field(tmp_path: Path, name):
    body, code, param = BAD[name]
    async with running(routing(ROUTE, {"a": upstream("http://127.0.0.1:9")}), tmp_path) as gateway:
        async with httpx2.AsyncClient() as http:
            got = await http.post(
                f"{gateway.url}/v1/chat/completions",
                content=body,
                headers={"authorization": f"Bearer {KEY}", "content-type": "application/json"},
            )
    assert got.status_code in (400, 404)
    error = got.json()["error"]
    assert (error["code"], error["param"]) == (code, param)
    assert set(error) == {"message", "type", "param", "code"}
