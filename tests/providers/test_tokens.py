"""Tokens are signed as their readers check them, and what goes wrong tells nothing of a secret."""

import json
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from google.auth import crypt, jwt

from providers import tokens
from providers.errors import ErrorKind, ProviderError
from providers.tokens import Token
from providers.types import HttpRequest, HttpResponse, Secret, Target, encode

NOW = 1_795_284_000.0


@lru_cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def pem(key: Any) -> str:
    form = serialization.PrivateFormat.PKCS8
    return str(
        key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode(),
    )


def account(**more: Any) -> dict[str, Any]:
    told = {"type": "service_account", "client_email": "gw@p.iam.gserviceaccount.com", "private_key_id": "k1"}
    return {**told, "private_key": pem(rsa_key()), "token_uri": "https://oauth2.example/token", **more}


def target(dialect: str, **parts: str) -> Target:
    credential = {name: Secret(part) for name, part in parts.items()}
    return Target(
        provider="p", dialect=dialect, base_url="https://p.example", model="m", credential=credential
    )


def test_klings_token_is_what_its_clients_sign() -> None:
    made = tokens.made(target("kling_classic", access_key="ak", secret_key="sk"), NOW)
    assert isinstance(made, Token)
    head, claims, signed, signature = jwt._unverified_decode(made.secret.reveal())
    assert head == {"alg": "HS256", "typ": "JWT"}
    assert claims == {"iss": "ak", "exp": NOW + 1800, "nbf": NOW - 5}
    assert signature == crypt_hs256(signed, b"sk")
    assert made.expires_at == NOW + 1800


def crypt_hs256(signed: bytes, key: bytes) -> bytes:
    from cryptography.hazmat.primitives import hashes, hmac  # noqa: PLC0415 - the other way to make one

    made = hmac.HMAC(key, hashes.SHA256())
    made.update(signed)
    return made.finalize()


def test_googles_own_library_takes_the_assertion() -> None:
    asked = tokens.made(target("veo", service_account=json.dumps(account())), NOW)
    assert isinstance(asked, HttpRequest)
    assert (asked.method, asked.url) == ("POST", "https://oauth2.example/token")
    form = parse_qs(asked.body.decode())
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    [assertion] = form["assertion"]
    head, claims, signed, signature = jwt._unverified_decode(assertion)
    verifier = crypt.RSAVerifier(rsa_key().public_key())
    assert verifier.verify(signed, signature)
    assert head == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
    assert claims == {
        "iss": "gw@p.iam.gserviceaccount.com",
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": "https://oauth2.example/token",
        "iat": NOW,
        "exp": NOW + 3600,
    }


@pytest.mark.parametrize(
    ("dialect", "parts", "wanted"),
    [
        ("veo", {"service_account": "{}"}, True),
        ("veo", {"api_key": "a", "bucket": "gs://b"}, False),
        ("kling_classic", {"access_key": "a", "secret_key": "s"}, True),
        ("kling", {"access_key": "a", "secret_key": "s"}, False),  # the API of today refuses such tokens
        ("openai", {"service_account": "{}"}, False),
    ],
)
def test_only_keys_that_need_it_are_made_tokens_of(dialect: str, parts: dict[str, str], wanted: bool) -> None:
    assert tokens.needed(target(dialect, **parts)) is wanted


BROKEN = [
    "",
    "[]",
    "{}",
    json.dumps(account(private_key="-----BEGIN PRIVATE KEY-----\nhush\n-----END PRIVATE KEY-----\n")),
    json.dumps(account(private_key=pem(ec.generate_private_key(ec.SECP256R1())))),
]


@pytest.mark.parametrize("text", BROKEN, ids=range(len(BROKEN)))
def test_a_key_file_that_is_none_is_our_credentials_fault_and_is_not_repeated(text: str) -> None:
    with pytest.raises(ProviderError) as refused:
        tokens.made(target("veo", service_account=text), NOW)
    assert (refused.value.kind, refused.value.sent) == (ErrorKind.AUTHENTICATION, False)
    assert "service account" in refused.value.message
    assert "hush" not in refused.value.message


def test_an_answer_gives_a_token_or_says_why_not() -> None:
    where = target("veo", service_account="{}")

    def answer(status: int, body: object) -> HttpResponse:
        return HttpResponse(status=status, headers={}, body=encode(body))

    told = tokens.granted(where, answer(200, {"access_token": "ya29.x", "expires_in": 3599}), NOW)
    assert (told.secret.reveal(), told.expires_at) == ("ya29.x", NOW + 3599)
    for status, body in ((400, {"error": "invalid_grant"}), (200, {"id_token": "x"}), (503, "busy")):
        with pytest.raises(ProviderError, match="No access token for provider 'p'") as refused:
            tokens.granted(where, answer(status, body), NOW)
        assert refused.value.kind is ErrorKind.AUTHENTICATION
