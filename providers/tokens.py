"""Short-lived tokens made from long-lived secrets: who needs one, how it is written, how it is asked for (pure).

And the other way round: whether a signature is that of a public key.

Kling's older API takes a token that its caller signs with a secret key (VIDEO_WIRE 3.6, 2026-11-20). Vertex AI
takes an OAuth access token, for which a Google service account's signed assertion is exchanged (RFC 7523).
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import TypeAlias
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from providers.auth import secret_part
from providers.errors import ErrorKind, ProviderError
from providers.types import UNREADABLE, HttpRequest, HttpResponse, Secret, Target, encode

KLING_LIFE = 1800.0
"""Seconds for which Kling's older API takes a token."""
ASSERTION_LIFE = 3600.0
"""Seconds for which Google takes an assertion, at most."""
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class Token(Struct, frozen=True, kw_only=True):
    """What a provider is shown, until Unix time `expires_at`."""

    secret: Secret
    expires_at: float


class _Account(Struct):
    """What is used of a service account's key file."""

    client_email: str
    private_key: str
    private_key_id: str = ""
    token_uri: str = "https://oauth2.googleapis.com/token"  # noqa: S105 - where it is asked for


class _Granted(Struct):
    access_token: str
    expires_in: float = ASSERTION_LIFE


_MADE_OF: Mapping[str, str] = {"kling_classic": "secret_key", "veo": "service_account"}
"""The part of a key that a token is made of, by dialect."""
_account = msgspec.json.Decoder(_Account)
_granted = msgspec.json.Decoder(_Granted)

Sign: TypeAlias = Callable[[bytes], bytes]


def hs256(claims: Mapping[str, object], secret: str) -> str:
    """A JSON Web Token signed with a shared secret (RFC 7519)."""
    return _signed(
        {"alg": "HS256", "typ": "JWT"}, claims, lambda text: hmac.digest(secret.encode(), text, "sha256")
    )


def rs256(claims: Mapping[str, object], pem: str, key_id: str = "") -> str:
    """The same, signed with an RSA key in PEM. Raises ValueError for a key that is none."""
    # loaded for service accounts alone: it costs every other process memory and time
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import padding, rsa  # noqa: PLC0415

    key = serialization.load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("not an RSA key")  # noqa: TRY004 - of the same kind as what a broken PEM raises
    head = {"alg": "RS256", "typ": "JWT"} | ({"kid": key_id} if key_id else {})
    return _signed(head, claims, lambda text: key.sign(text, padding.PKCS1v15(), hashes.SHA256()))


def ed25519_signed(key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the holder of the private part of this raw public key signed these bytes (RFC 8032)."""
    # loaded where somebody signs so, as above
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415

    try:
        ed25519.Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):  # a key of another length is a ValueError
        return False
    return True


def needed(target: Target) -> bool:
    """Whether a token has to be made of the target's key before it can be called."""
    credential = target.credential
    return isinstance(credential, Mapping) and _MADE_OF.get(target.dialect) in credential


def made(target: Target, now: float) -> Token | HttpRequest:
    """The token, or the call whose answer holds it. `now` is Unix time. Raises AUTHENTICATION."""
    if target.dialect == "kling_classic":
        return _kling(target, now)
    return _google(target, now)


def _kling(target: Target, now: float) -> Token:
    access, secret = secret_part(target, "access_key"), secret_part(target, "secret_key")
    end = now + KLING_LIFE
    text = hs256({"iss": access, "exp": int(end), "nbf": int(now - 5)}, secret)
    return Token(secret=Secret(text), expires_at=end)


def _google(target: Target, now: float) -> HttpRequest:
    credential = target.credential
    assert isinstance(credential, Mapping)  # noqa: S101 - as `needed` says
    try:
        account = _account.decode(credential["service_account"].reveal())
        claims = {"iss": account.client_email, "scope": _SCOPE, "aud": account.token_uri,
                  "iat": int(now), "exp": int(now + ASSERTION_LIFE)}  # fmt: skip
        assertion = rs256(claims, account.private_key, account.private_key_id)
    except (msgspec.MsgspecError, ValueError):
        raise _refused(target, "its `service_account` is not the JSON of a service account's key") from None
    return HttpRequest(
        method="POST",
        url=account.token_uri,
        headers={"content-type": "application/x-www-form-urlencoded"},
        body=urlencode({"grant_type": _GRANT, "assertion": assertion}).encode(),
    )


def granted(target: Target, response: HttpResponse, now: float) -> Token:
    """The token in the answer to that call. Raises AUTHENTICATION; it tells nothing of what was sent."""
    if response.status != 200:
        raise _refused(target, f"Google answered with status {response.status}")
    try:
        told = _granted.decode(response.body)
    except UNREADABLE:
        raise _refused(target, "Google's answer holds none") from None
    return Token(secret=Secret(told.access_token), expires_at=now + told.expires_in)


def _signed(head: Mapping[str, object], claims: Mapping[str, object], sign: Sign) -> str:
    text = f"{_plain(encode(head))}.{_plain(encode(claims))}"
    return f"{text}.{_plain(sign(text.encode()))}"


def _plain(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def _refused(target: Target, why: str) -> ProviderError:
    message = f"No access token for provider {target.provider!r}: {why}."
    return ProviderError(ErrorKind.AUTHENTICATION, message, sent=False)
