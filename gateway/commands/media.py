"""`fairlead media verify`: what a video file's content credentials say, and whether it is still what was signed."""

from pathlib import Path

import typer

from gateway.media.credentials import CredentialsError, read
from gateway.media.words import Credentials
from gateway.service.sniff import HEAD, media_type

_UNJUDGED = "not judged; name the root certificates you trust with --trust"


def verify(file: Path, trust: Path | None) -> int:
    """Print what is signed, by whom, and whether it is intact: 0 when it is, and trusted where that was asked."""
    try:
        with file.open("rb") as opened:
            mime = media_type(opened.read(HEAD))
        roots = trust.read_text() if trust else None
        found = read(file, mime or "application/octet-stream", roots)
    except (CredentialsError, OSError, UnicodeDecodeError) as error:
        typer.echo(f"{file}: cannot be verified: {error}", err=True)
        return 1
    if found is None:
        typer.echo(f"{file}: carries no content credentials")
        return 1
    typer.echo("\n".join([f"{file}: {_verdict(found)}", *_lines(found)]))
    return 0 if found.intact and found.trusted is not False else 1


def _verdict(found: Credentials) -> str:
    if found.intact:
        return "intact, as it was signed"
    return f"NOT as it was signed ({', '.join(dict.fromkeys(found.problems)) or 'no reason given'})"


def _lines(found: Credentials) -> list[str]:
    trusted = {None: _UNJUDGED, True: "yes", False: "no: the signer leads to none of these roots"}[
        found.trusted
    ]
    signer = ", ".join(filter(None, (found.name, found.issuer))) or "nobody named"
    told = (
        ("signed by", signer),
        ("trusted", trusted),
        ("signed at", found.signed_at or "not said: no time stamp"),
        ("made with", found.generator or "not said"),
        ("what was done", ", ".join(found.actions) or "not said"),
        *([("made from", ", ".join(found.made_from))] if found.made_from else []),
        *((name, str(value)) for name, value in found.facts.items()),
    )
    return [f"  {name:<14} {value}" for name, value in told]
