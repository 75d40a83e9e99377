"""The list of models on the wire."""

from pathlib import Path

import httpx2

from tests.running import KEY, OTHER_KEY, routing, running

MODELS = {
    "zeta": {"targets": [{"provider": "demo", "model": "small", "context_window": 8000}]},
    "alpha": {
        "policy": "cheapest",
        "targets": [
            {"provider": "demo", "model": "small", "context_window": 4000},
            {"provider": "demo", "model": "large", "context_window": 16000},
        ],
    },
    "with/a-slash:and.more": {"targets": [{"provider": "demo", "model": "small"}]},
    "vectors": {"kind": "embedding", "targets": [{"provider": "demo", "model": "embedding"}]},
}
TEXT = routing(MODELS, {"demo": {"dialect": "scripted"}}, key={"models": ["alpha", "vectors", "demo/small"]})


async def get(folder: Path, *paths: str, key: str = OTHER_KEY) -> list[httpx2.Response]:
    """The answers to these paths."""
    async with running(TEXT, folder) as gateway, httpx2.AsyncClient(base_url=gateway.url) as http:
        return [await http.get(path, headers={"authorization": f"Bearer {key}"}) for path in paths]


async def test_the_list_is_in_the_order_of_the_file_and_in_openais_form(tmp_path: Path):
    (answer,) = await get(tmp_path, "/v1/models")
    listed = answer.json()
    assert listed["object"] == "list"
    assert [row["id"] for row in listed["data"]] == list(MODELS)
    assert all((row["object"], row["owned_by"]) == ("model", "fairlead") for row in listed["data"])
    assert listed["data"][1] == {
        "id": "alpha",
        "object": "model",
        "created": listed["data"][0]["created"],
        "owned_by": "fairlead",
        "kind": "chat",
        "policy": "cheapest",
        "targets": ["demo/small", "demo/large"],
        "context_window": 16000,
    }
    assert listed["data"][3]["kind"] == "embedding"


async def test_one_model_is_its_line_of_the_list_whatever_its_name(tmp_path: Path):
    names = [name.replace(":", "%3A") for name in MODELS]
    listed, *single = await get(tmp_path, "/v1/models", *(f"/v1/models/{name}" for name in names))
    assert [answer.json() for answer in single] == listed.json()["data"]


async def test_a_key_sees_what_it_may_use_and_nothing_tells_the_rest_from_what_is_not_there(tmp_path: Path):
    paths = ("/v1/models", "/v1/models/alpha", "/v1/models/demo/small", "/v1/models/zeta", "/v1/models/none")
    listed, known, on_demand, hidden, unknown = await get(tmp_path, *paths, key=KEY)
    assert [row["id"] for row in listed.json()["data"]] == ["alpha", "vectors"]
    assert (known.status_code, on_demand.status_code) == (200, 200)
    assert (hidden.status_code, unknown.status_code) == (404, 404)
    assert hidden.text.replace("zeta", "none") == unknown.text
    assert unknown.json()["error"]["code"] == "model_not_found"
