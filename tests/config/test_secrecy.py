"""No credential shows up in an error, a printed value or a dump, wherever in the file it was pasted."""

import pickle
from pathlib import Path

import msgspec
import pytest

from gateway.config.compile import Source, compile_config
from gateway.config.load import load
from gateway.config.problems import ConfigError
from gateway.config.vault import MissingSecretError, Vault
from providers.types import Secret
from tests.config.samples import FILE, NOW, VENDORS, compiled

CANARY = "sk-live-4fQz81canary"

PASTED = [
    "providers: {alpha: {key: %s}}",
    "providers: {alpha: {key: 'Bearer %s'}}",
    "providers: {alpha: {key: {access_key_id: %s}}}",
    "providers: {alpha: {key: {%s: env:K}}}",
    "providers: {alpha: {key: {%s}}}",
    "providers: {alpha: {key: [%s]}}",
    "providers: {alpha: %s}",
    "providers: {alpha: {%s}}",
    "providers: {alpha: {api_key: %s}}",
    "providers: {alpha: {headers: {authorization: %s}}}",
    "providers: {alpha: {headers: {x-custom: 'a\\n%s'}}}",
    "providers: {alpha: {base_url: 'https://user:%s@alpha.example/v1'}}",
    "providers: {alpha: {base_url: 'https://alpha.example/v1?key=%s'}}",
    "providers: {alpha: {base_url: 'https://alpha.example:%s/v1'}}",
    "keys: [{name: a, key: %s}]",
    "keys: [{name: a, hash: %s}]",
    "keys: [{name: a, key: env:%s}]",
    "keys: [%s]",
    "keys: %s",
]


@pytest.mark.parametrize("text", PASTED)
def test_a_key_pasted_into_the_file_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compiled(text % CANARY)
    shown = f"{caught.value!s} {caught.value!r} {caught.value.problems!r} {caught.value.__cause__!r}"
    assert CANARY not in shown
    assert repr(CANARY) not in shown


def test_a_secret_of_the_environment_is_in_use_but_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{CANARY}-file\n", encoding="utf-8")
    text = f"""
providers:
  alpha: {{key: env:K}}
  own:
    dialect: openai
    base_url: https://own.example/v1
    key: {{access_key_id: env:K, secret_access_key: "file:{file}", region: eu-west-1}}
models: {{m: {{targets: [{{provider: alpha, model: m}}]}}}}
keys: [{{name: a, key: env:G}}]
"""
    environment = {"K": CANARY, "G": f"{CANARY}-gateway"}
    snapshot = compiled(text, environment)
    credential = snapshot.providers["own"].credential
    assert isinstance(credential, dict)
    assert credential["secret_access_key"].reveal() == f"{CANARY}-file"
    assert credential["region"].reveal() == "eu-west-1"
    assert {secret.reveal() for secret in snapshot.secrets} == {CANARY, f"{CANARY}-file", f"{CANARY}-gateway"}
    shown = (
        repr(snapshot) + repr(snapshot.resolve("alpha/x")) + repr(load(text, FILE)) + str(snapshot.secrets)
    )
    assert CANARY not in shown
    with pytest.raises(TypeError):
        msgspec.json.encode(snapshot.providers["alpha"])
    with pytest.raises(TypeError):
        pickle.dumps(snapshot.secrets)


def test_other_mistakes_do_not_show_the_secrets_beside_them() -> None:
    text = "providers: {alpha: {key: env:K, knd: chat}}\nkeys: [{name: a, key: env:G, models: [x]}]"
    with pytest.raises(ConfigError) as caught:
        compile_config(Source(text, FILE, {"K": CANARY, "G": CANARY}, NOW), VENDORS)
    assert CANARY not in f"{caught.value!s} {caught.value.problems!r}"


def test_a_secret_file_is_read_whole_and_only_when_it_is_one(tmp_path: Path) -> None:
    vault = Vault({"EMPTY": " "})
    good, empty, binary, long = (tmp_path / name for name in ("good", "empty", "binary", "long"))
    good.write_text("  s3cret\n", encoding="utf-8")
    empty.write_text("\n", encoding="utf-8")
    binary.write_bytes(b"\xff\xfe")
    long.write_text("x" * 70_000, encoding="utf-8")
    assert vault.open(f"file:{good}") == Secret("s3cret")
    for reference, words in (
        (f"file:{empty}", "is empty"),
        (f"file:{binary}", "cannot be read"),
        (f"file:{long}", "too long"),
        (f"file:{tmp_path}", "there is no file"),
        ("file:/dev/zero", "there is no file"),
        ("file:/no\0where", "there is no file"),
        ("env:EMPTY", "is empty"),
        ("env:GONE", "is not set"),
    ):
        with pytest.raises(MissingSecretError, match=words):
            vault.open(reference)
