"""The shipped rows of vendors and models: every one is of the shape that the code honours."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
import yaml
from msgspec import Struct

from providers.chat import CHAT
from providers.chat.anthropic_rules import Rules
from providers.quirks import EFFORTS, rules_for
from providers.types import Quirks

CONFIG = Path(__file__).parents[2] / "config"
VENDORS: dict[str, Any] = yaml.safe_load((CONFIG / "providers.yaml").read_text())
MODELS: dict[str, list[dict[str, Any]]] = yaml.safe_load((CONFIG / "models.yaml").read_text())

FINISHES = {"stop", "length", "tool_calls", "content_filter", "error"}
REASONING = {"always", "default_on", "opt_in", "none"}
ROUTED = {"prefix", "context_window", "max_output", "prefill"}
"""What the router reads of a row, whatever its dialect."""
GEMINI = {"levels", "off", "min", "no_thinking", "needs_thought_signature_on_function_calls"}
KNOWN = {
    "openai": ROUTED | {"reasoning", "efforts", "stop", "cache_breakpoints"},
    "anthropic": ROUTED | set(Rules.__struct_fields__) - {"known"},
    "gemini": ROUTED | GEMINI | {"tools_with_json_schema", "budget_map"},
}
"""What the code of each dialect reads of a row."""


class Row(Struct, forbid_unknown_fields=True):
    """A row of providers.yaml."""

    name: str
    dialect: str
    base_url: str
    key: list[str] = []
    quirks: dict[str, Any] = {}


@pytest.mark.parametrize("vendor", VENDORS)
def test_vendor_rows(vendor: str) -> None:
    row = msgspec.convert(VENDORS[vendor], Row)
    assert re.fullmatch(r"[a-z0-9_]+", vendor)
    assert row.dialect in CHAT
    assert not row.base_url.endswith("/")
    assert (
        urlsplit(row.base_url).scheme in ("https", "scripted")
        or urlsplit(row.base_url).hostname == "localhost"
    )
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]+", name) for name in row.key)
    assert row.key or row.base_url.startswith(("http://localhost:", "scripted:"))
    assert set(row.quirks) <= set(Quirks.__struct_fields__)
    quirks = msgspec.convert(row.quirks, Quirks)
    named = [*quirks.refuse, *quirks.drop, *quirks.quiet, *quirks.rename]
    assert len(set(named)) == len(named)
    assert not {"model", "messages", "stream"} & set(named)
    assert set(quirks.finish.values()) <= FINISHES


def test_the_great_vendors_are_there() -> None:
    assert {"openai", "anthropic", "gemini", "groq", "mistral", "xai", "vllm", "ollama"} <= VENDORS.keys()
    assert len(VENDORS) > 50
    assert VENDORS["scripted"]["base_url"] == "scripted:demo"


@pytest.mark.parametrize("dialect", MODELS)
def test_model_rows(dialect: str) -> None:
    rows = [row for row in MODELS[dialect] if dialect in KNOWN]
    prefixes = [row["prefix"] for row in rows]
    assert len(set(prefixes)) == len(prefixes)
    for row in rows:
        assert row.keys() <= KNOWN[dialect], row
        assert row.get("reasoning", "none") in REASONING
        assert set(row.get("efforts", ())) <= set(EFFORTS)
        assert rules_for(rows, row["prefix"]) == row


def test_rows_of_claude_are_rules() -> None:
    for row in MODELS["anthropic"]:
        msgspec.convert(row, Rules)


def test_some_known_models() -> None:
    openai, anthropic, gemini = MODELS["openai"], MODELS["anthropic"], MODELS["gemini"]
    assert rules_for(openai, "gpt-5.4-mini-2026-03-17")["reasoning"] == "opt_in"
    assert "none" in rules_for(openai, "gpt-5.6-terra")["efforts"]
    assert not any("max" in row.get("efforts", ()) for row in openai)
    assert rules_for(openai, "llama-3.3-70b-versatile") == {}
    assert rules_for(anthropic, "claude-opus-5-5")["cannot_disable_thinking"] is True
    assert "cannot_disable_thinking" not in rules_for(anthropic, "claude-opus-5")
    pro = rules_for(gemini, "gemini-2.5-pro")
    assert (pro["off"], pro["min"]) == (False, 128)
