"""`fairlead explain`: where a request would go and why, from the routing file alone or from a running gateway."""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2
import msgspec
from msgspec import Struct

from gateway.api.explain import explained, read
from gateway.config.compile import Source, compile_config
from gateway.config.problems import ConfigError, ConfigProblem
from gateway.config.settings import DEFAULT_CONFIG
from gateway.config.snapshot import Caller
from gateway.config.vault import TrustingVault
from gateway.service import explain
from gateway.service.board import Board

_ANYBODY = Caller(id="explain", name="explain")
_DEFAULT: Mapping[str, Mapping[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": "Hello"}]},
    "embedding": {"input": "Hello"},
    "video": {"prompt": "Hello"},
}
"""What is asked when no body is given, by the kind of the model."""


class Options(Struct, frozen=True, kw_only=True):
    """What was typed. Without `url` the routing file alone is asked."""

    model: str
    body: Path | None
    config: Path | None
    url: str | None
    key: str | None
    as_json: bool


def run(options: Options) -> int:
    """0 when somebody would answer, else 1; the explanation on standard output."""
    told = _from_gateway(options) if options.url else _from_file(options)
    sys.stdout.write(
        msgspec.json.format(msgspec.json.encode(told)).decode() + "\n" if options.as_json else _text(told)
    )
    return 0 if told.get("picked") else 1


def _from_file(options: Options) -> dict[str, Any]:
    file = options.config or Path(os.environ.get("FAIRLEAD_CONFIG") or DEFAULT_CONFIG)
    source = Source(_read(file), str(file), os.environ, time.time())
    snapshot = compile_config(source, vault=TrustingVault())
    kind = next((kind for kind in _DEFAULT if snapshot.resolve(options.model, kind)), "chat")
    wish = read(_body(options, kind), {}, int(time.time()))
    return explain.body(explained(snapshot, _ANYBODY, wish, Board(), "req_explain"))


def _from_gateway(options: Options) -> dict[str, Any]:
    with httpx2.Client(base_url=options.url or "", timeout=30) as http:
        headers = {"authorization": f"Bearer {options.key or ''}"}
        try:
            kind = (
                "chat"
                if options.body
                else http.get(f"/v1/models/{options.model}", headers=headers).json().get("kind")
            )
            got = http.post("/v1/route/explain", content=_body(options, kind or "chat"), headers=headers)
        except (httpx2.TransportError, ValueError) as error:
            raise ConfigError([ConfigProblem("--url", 0, 0, "", f"{options.url}: {error}")]) from error
    told: dict[str, Any] = got.json()
    if got.status_code != 200:
        raise ConfigError([ConfigProblem("--url", 0, 0, "", str(told["error"]["message"]))])
    return told


def _body(options: Options, kind: str) -> bytes:
    fields: object = _DEFAULT[kind]
    if options.body:
        try:
            fields = msgspec.json.decode(_read(options.body))
        except msgspec.DecodeError as error:
            raise ConfigError([ConfigProblem(str(options.body), 0, 0, "", f"not JSON: {error}")]) from error
    if not isinstance(fields, dict):
        raise ConfigError([ConfigProblem(str(options.body), 0, 0, "", "must hold a JSON object")])
    return msgspec.json.encode({**fields, "model": options.model})


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([ConfigProblem(str(file), 0, 0, "", f"cannot be read: {error}")]) from error


def _text(told: Mapping[str, Any]) -> str:
    """The explanation for a person: who and why, then a line per target."""
    picked = told["picked"]
    said = [f"{told['model']} ({told['kind']}, {told['policy']}): {picked or 'nobody'}, {told['why']}"]
    said += _columns([_cells(row) for row in told["candidates"]])
    said += [f"   {name}  gets a copy" for name in told["shadows"]]
    said += [
        f"   limit {one['limit']}{one['per'] and ' per ' + one['per']}: {one['left']:g} of {one['of']:g} left, "
        f"{one['needed']:g} needed"
        for one in told["limits"]
    ]
    return "\n".join(said) + "\n"


def _cells(row: Mapping[str, Any]) -> Sequence[str]:
    cost, seconds = row.get("cost_usd"), row.get("expected_seconds")
    notes = [row.get("why_not"), row.get("refused")]
    notes += [f"{word} {', '.join(row[word])}" for word in ("dropped", "changed") if row.get(word)]
    return (
        str(row.get("rank", "-")),
        row["target"],
        "price unknown" if cost is None else f"${cost:.9f}".rstrip("0").rstrip("."),
        "-" if seconds is None else f"{seconds:.3f} s",
        row.get("state", "-"),
        "; ".join(note for note in notes if note),
    )


def _columns(rows: Sequence[Sequence[str]]) -> Sequence[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        ("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]
