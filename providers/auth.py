"""Headers that carry a target's credential. Signatures and fetched tokens are not made here."""

import re

from providers.errors import ErrorKind, ProviderError
from providers.types import Secret, Target

_UNSENDABLE = re.compile(r"[^\x21-\x7e]")
"""Anything but visible ASCII: a line break would end the header, the rest no provider issues."""


def bearer(target: Target) -> dict[str, str]:
    """`authorization: Bearer <key>`, or nothing for a target without a credential.

    Raises AUTHENTICATION as `secret_part` does.
    """
    if not target.credential:
        return {}
    return {"authorization": f"Bearer {secret_part(target, 'api_key')}"}


def key_header(target: Target, name: str) -> dict[str, str]:
    """`<name>: <key>`, or nothing for a target without a credential.

    Raises AUTHENTICATION as `secret_part` does.
    """
    key = _key(target)
    return {name: key} if key else {}


def secret_part(target: Target, part: str) -> str:
    """One named part of the credential (`api_key`, `access_key_id`, ...); a single secret is the `api_key`.

    Raises AUTHENTICATION when the part is missing or cannot be sent in a header.
    """
    credential = target.credential
    if credential is None or isinstance(credential, Secret):
        secret = credential if part == "api_key" else None
    else:
        secret = credential.get(part)
    value = "" if secret is None else secret.reveal()
    if not value:
        raise ProviderError(
            ErrorKind.AUTHENTICATION,
            f"Provider {target.provider!r} has no credential part {part!r}: set it in the provider's `key`.",
            sent=False,
        )
    if _UNSENDABLE.search(value):
        raise ProviderError(
            ErrorKind.AUTHENTICATION,
            f"The credential part {part!r} of provider {target.provider!r} holds a line break, a space or "
            "another character that no header may carry: check where it was copied from.",
            sent=False,
        )
    return value


def _key(target: Target) -> str | None:
    return secret_part(target, "api_key") if target.credential else None
