"""`fairlead keys`: what is made, rotated and revoked counts in a running gateway soon, and nothing is told."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.system.process import HELLO, Serving, command, demo, until

COUNTS_SECONDS = 3.0


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    text = demo(
        limits={
            "tight": [{"requests": 1, "per": "day"}],
            "shared": [{"requests": 1, "per": "day", "scope": "project"}],
        },
        models={
            "placed": {
                "targets": [{"provider": "demo", "model": "small", "region": "eu-west-1", "tags": ["old"]}]
            }
        },
    )
    with Serving(tmp_path_factory.mktemp("keys"), text) as running:
        yield running


def keys(gateway: Serving, *words: str, status: int = 0) -> tuple[str, str]:
    """What a `fairlead keys` command says on its two outputs."""
    told = ("--config", str(gateway.config)) if words[0] == "create" else ()
    done = command(gateway.folder, "keys", *words, *told)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


def made(gateway: Serving, *words: str) -> tuple[str, str]:
    """A new key and its id."""
    key, said = keys(gateway, "create", *words)
    assert re.fullmatch(r"sk-fl-[\w-]{43}\n", key)
    assert key.strip() not in said
    return key.strip(), said.split(" ")[0]


def status(gateway: Serving, key: str, model: str = HELLO["model"]) -> int:
    """What a chat call with this key gets."""
    told = {"authorization": f"Bearer {key}"}
    return httpx2.post(
        f"{gateway.url}/v1/chat/completions", json={**HELLO, "model": model}, headers=told
    ).status_code


def test_a_key_from_its_making_to_its_end(gateway: Serving):
    key, identity = made(gateway, "ann")
    until(lambda: status(gateway, key) == 200, COUNTS_SECONDS)
    listed, _ = keys(gateway, "list")
    assert f"{identity}  valid    ...{key[-4:]}  ann" in listed
    assert key not in listed

    fresh = keys(gateway, "rotate", identity)[0].strip()
    until(lambda: status(gateway, fresh) == 200, COUNTS_SECONDS)
    assert status(gateway, key) == 401

    assert keys(gateway, "revoke", identity) == (f"{identity} is revoked\n", "")
    until(lambda: status(gateway, fresh) == 401, COUNTS_SECONDS)
    assert "revoked" in keys(gateway, "list")[0]
    kept = b"".join(file.read_bytes() for file in (gateway.folder / "data").rglob("*") if file.is_file())
    assert key.encode() not in kept
    assert fresh.encode() not in kept


def test_a_key_has_the_models_and_limits_it_was_given(gateway: Serving):
    key, _ = made(gateway, "bob", "--model", "demo", "--limits", "tight")
    until(lambda: status(gateway, key) == 200, COUNTS_SECONDS)
    assert status(gateway, key) == 429
    elsewhere, _ = made(gateway, "eve", "--model", "demo/large")
    until(lambda: status(gateway, elsewhere) == 403, COUNTS_SECONDS)


def test_a_key_is_held_to_a_place_and_has_names_of_its_own(gateway: Serving):
    key, _ = made(gateway, "hal", "--region", "eu", "--tag", "old", "--alias", "gpt-4o=placed")
    until(lambda: status(gateway, key, "gpt-4o") == 200, COUNTS_SECONDS)
    assert status(gateway, key) == 400


def test_keys_of_one_project_share_its_limits(gateway: Serving):
    told = ("--limits", "shared", "--project", "kites")
    (one, _), (other, _) = made(gateway, "fay", *told), made(gateway, "gus", *told)
    until(lambda: status(gateway, one) == 200, COUNTS_SECONDS)
    until(lambda: status(gateway, other) == 429, COUNTS_SECONDS)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--limits", "shared"), '--project: limits "shared" count by project: say which\n'),
        (("--limits", "tigth"), '--limits: unknown limits "tigth": did you mean "tight"?\n'),
        (("--model", "dmo"), '--model: unknown model "dmo": did you mean "demo"?\n'),
        (("--alias", "gpt-4o"), '--alias: "gpt-4o" must be NAME=MODEL, as in gpt-4o=fast\n'),
        (("--alias", "gpt-4o=dmo"), '--alias: unknown model "dmo": did you mean "demo"?\n'),
        (("--region", "us"), '--region: unknown region "us": choose one of eu, eu-west, eu-west-1\n'),
        (("--tag", "gold"), '--tag: unknown tag "gold": did you mean "old"?\n'),
    ],
)
def test_a_mistyped_name_makes_no_key(gateway: Serving, words: tuple[str, ...], told: str):
    before = keys(gateway, "list")[0]
    assert keys(gateway, "create", "carl", *words, status=1) == ("", told)
    assert keys(gateway, "list")[0] == before


def test_a_routing_file_that_is_not_there_is_said(tmp_path: Path):
    done = command(tmp_path, "keys", "create", "dora", "--limits", "tight", "--config", "none.yaml")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("none.yaml: cannot be read")


@pytest.mark.parametrize("verb", ["rotate", "revoke"])
def test_an_unknown_id_is_said(gateway: Serving, verb: str):
    assert "no valid key with the id `key_none`" in keys(gateway, verb, "key_none", status=1)[1]


def test_a_database_that_is_away_is_said(tmp_path: Path):
    away = {"FAIRLEAD_DATABASE_URL": "postgresql+psycopg://me:canary-5c@127.0.0.1:9/none"}
    done = command(tmp_path, "keys", "list", more=away)
    assert done.returncode == 1
    assert done.stderr.endswith("The gateway's database does not answer; try again.\n")
    assert "canary" not in done.stderr
