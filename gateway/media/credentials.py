"""Content credentials (C2PA) of videos: read what is signed, sign what is ours. The only importer of c2pa.

Imported only by processes that need it. Nothing is asked over a network: no certificates, no time stamps.
"""

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import c2pa  # type: ignore[import-untyped]
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from gateway.media.words import Claim, Credentials, Signing

_CURVES = {"secp256r1": b"es256", "secp384r1": b"es384", "secp521r1": b"es512"}
_OFFLINE = {"remote_manifest_fetch": False, "ocsp_fetch": False}
_MP4 = "video/mp4"
_OURS = "fairlead."
"""What the names of our own facts begin with."""
_BEGUN_WITH = "begun-with"
"""What the ingredient is called within a manifest while it is made."""


class CredentialsError(Exception):
    """The file, the certificate or the key cannot be used; the text says which and why."""


def read(path: Path, mime: str = _MP4, roots: str | None = None) -> Credentials | None:
    """What a file's credentials say; None when it carries none. `roots` are PEM certificates to trust.

    Raises CredentialsError when there are some that cannot be read.
    """
    settings: dict[str, Any] = {"verify": {**_OFFLINE, "verify_trust": roots is not None}}
    if roots is not None:
        settings["trust"] = {"trust_anchors": roots}
    try:
        with (
            path.open("rb") as file,
            c2pa.Context.from_dict(settings) as context,
            c2pa.Reader(mime, file, context=context) as reader,
        ):
            return _told(json.loads(reader.json()), judged=roots is not None)
    except c2pa.C2paError.ManifestNotFound:
        return None
    except c2pa.C2paError as error:
        raise CredentialsError(str(error)) from error


def sign(source: Path, target: Path, claim: Claim, signing: Signing, ingredient: Path | None = None) -> None:
    """Write the MP4 at `source` to `target`, with a manifest that says the claim.

    `ingredient` is the MP4 that the claim says it was made from; its own credentials are taken along. Raises
    CredentialsError.
    """
    chain = Path(signing.certificate).read_bytes()
    algorithm, key = _key(Path(signing.key).read_bytes())
    settings = {
        "builder": {"thumbnail": {"enabled": False}},
        "verify": {**_OFFLINE, "verify_trust": False, "verify_after_sign": True},
    }
    signer = c2pa.C2paSignerInfo(alg=algorithm, sign_cert=chain, private_key=key, ta_url=None)
    try:
        with (
            c2pa.Context.from_dict(settings) as context,
            c2pa.Signer.from_info(signer) as made,
            c2pa.Builder(_manifest(claim, begun=ingredient is not None), context) as builder,
            source.open("rb") as read_from,
            target.open("w+b") as written_to,
        ):
            if ingredient is not None:
                with ingredient.open("rb") as made_from:
                    builder.add_ingredient(_ingredient(claim), _MP4, made_from)
            builder.sign(made, _MP4, read_from, written_to)
    except c2pa.C2paError as error:
        raise CredentialsError(str(error)) from error


def _key(pem: bytes) -> tuple[bytes, bytes]:
    """C2PA's name of the algorithm that a private key signs by, and the key in the form it wants."""
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        raise CredentialsError("the signing key is no unencrypted private key in PEM") from error
    match key:
        case ec.EllipticCurvePrivateKey() if key.curve.name in _CURVES:
            algorithm = _CURVES[key.curve.name]
        case ed25519.Ed25519PrivateKey():
            algorithm = b"ed25519"
        case rsa.RSAPrivateKey():
            algorithm = b"ps256"
        case _:
            raise CredentialsError(
                "the signing key is of a kind that C2PA does not know: use P-256 or Ed25519"
            )
    return algorithm, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _ingredient(claim: Claim) -> dict[str, Any]:
    """What went in, in C2PA's words: the input of a model, and no earlier state of the same thing."""
    return {"title": claim.made_from, "relationship": "inputTo", "label": _BEGUN_WITH}


def _manifest(claim: Claim, *, begun: bool) -> dict[str, Any]:
    went_in = {"ingredientIds": [_BEGUN_WITH]} if begun else {}
    created = {
        "action": "c2pa.created",
        "digitalSourceType": f"http://cv.iptc.org/newscodes/digitalsourcetype/{claim.source}",
        "softwareAgent": {"name": claim.agent},
        "parameters": {**{f"{_OURS}{name}": value for name, value in claim.facts.items()}, **went_in},
    }
    return {
        "claim_generator_info": [{"name": "Fairlead", "version": version("fairlead")}],
        "title": claim.title,
        "format": _MP4,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [created], "allActionsIncluded": True}}
        ],
    }


def _told(report: Mapping[str, Any], *, judged: bool) -> Credentials:
    active = report.get("manifests", {}).get(report.get("active_manifest"), {})
    signature = active.get("signature_info") or {}
    maker: Mapping[str, str] = next(iter(active.get("claim_generator_info") or ()), {})
    state = report.get("validation_state")
    actions = [
        one
        for assertion in active.get("assertions", ())
        if str(assertion.get("label", "")).startswith("c2pa.actions")
        for one in assertion.get("data", {}).get("actions", ())
    ]
    return Credentials(
        intact=state in ("Valid", "Trusted"),
        trusted=state == "Trusted" if judged else None,
        issuer=signature.get("issuer") or "",
        name=signature.get("common_name") or "",
        generator=" ".join(filter(None, (maker.get("name"), maker.get("version"))))
        or active.get("claim_generator", ""),
        signed_at=signature.get("time") or "",
        actions=[str(one.get("action", "")) for one in actions],
        facts={
            name.removeprefix(_OURS): value
            for one in actions
            for name, value in (one.get("parameters") or {}).items()
            if name.startswith(_OURS) and isinstance(value, str | int)
        },
        made_from=[str(one.get("title", "")) for one in active.get("ingredients") or ()],
        problems=[str(one.get("code", "")) for one in report.get("validation_status") or ()],
    )
