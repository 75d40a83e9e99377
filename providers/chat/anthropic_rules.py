"""What a Claude model accepts, and what follows for thinking, sampling and the output limit.

Facts: CHAT_WIRE 2.2, 2026-11-20. An empty row means an unknown model: it is sent what every model takes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from providers.chat.canonical import Format, Prompt, limit, number
from providers.chat.parts import invalid
from providers.chat.schemas import enforceable
from providers.types import Json, Target

FORMAT = "anthropic-claude-v1"
"""The `format` of reasoning details that only Claude can read (CHAT_WIRE 1.7)."""

DEFAULT_MAX_TOKENS = 4096
"""Output tokens when neither the client nor the model's row names a limit; every model allows that many."""

MIN_BUDGET = 1024
_SUMMARIZED = {"type": "adaptive", "display": "summarized"}
"""Thinking as the model sees fit; its text is empty unless `display` asks for a summary."""
_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 10000, "high": 16384, "xhigh": 32768, "max": 32768}
_EFFORTS = {**{effort: effort for effort in _BUDGETS}, "minimal": "low"}


class Rules(Struct, frozen=True, kw_only=True):
    """A model's row; the names are those of the model table. `known` is false when there was no row."""

    known: bool = False
    max_output: int | None = None
    no_sampling: bool = False
    no_budget_thinking: bool = False
    adaptive_thinking: bool = False
    effort: bool = False
    effort_xhigh: bool = False
    effort_no_max: bool = False
    thinks_by_default: bool = False
    cannot_disable_thinking: bool = False
    disable_with_between_tools: bool = False
    no_forced_tool_choice: bool = False
    system_role_in_messages: bool = False
    json_schema_output: bool = False
    budget_map: Mapping[str, int] = {}


class Thinking(Struct, frozen=True, kw_only=True):
    """`config` is the `thinking` field or None; `budget` its tokens; `lost` what could not be granted."""

    config: Json | None = None
    effort: str = ""
    budget: int = 0
    lost: Sequence[str] = ()

    @property
    def on(self) -> bool:
        """Whether the request makes the model think."""
        return self.config is not None and self.config["type"] in ("adaptive", "enabled")


def rules_of(target: Target) -> Rules:
    """The target's row as rules."""
    return msgspec.convert({**target.rules, "known": bool(target.rules)}, Rules)


def by_json_tool(wanted: Format, rules: Rules) -> bool:
    """Whether the API cannot enforce this format with this model, so that a tool has to stand in for it."""
    if wanted.kind != "json_schema":
        return False
    return not rules.json_schema_output or enforceable(wanted.schema) is None


def thinking_of(prompt: Prompt, rules: Rules) -> Thinking:
    """How the model shall think, from `reasoning_effort`, or from Anthropic's own `thinking` if given."""
    native = prompt.params.get("thinking")
    if isinstance(native, dict) and isinstance(native.get("type"), str):
        budget = native.get("budget_tokens")
        return Thinking(config=native, budget=budget if isinstance(budget, int) else 0)
    effort = prompt.params.get("reasoning_effort")
    if effort is None:
        return _thinking_unasked(prompt, rules)
    if effort == "none":
        return _not_thinking(rules)
    if not isinstance(effort, str) or effort not in _EFFORTS:
        raise invalid("reasoning_effort", f"{effort!r} is not none, {', '.join(_EFFORTS)}.")
    if rules.adaptive_thinking:
        return Thinking(config=_SUMMARIZED, effort=_effort(effort, rules))
    budget = rules.budget_map.get(effort, _BUDGETS[effort])
    if rules.max_output:
        budget = min(budget, rules.max_output - MIN_BUDGET)
    refused = not rules.known or rules.no_budget_thinking or budget < MIN_BUDGET
    if refused or _continues_unsigned(prompt):
        return Thinking(lost=("reasoning_effort",))
    return Thinking(config={"type": "enabled", "budget_tokens": budget}, budget=budget)


def sampling_of(prompt: Prompt, rules: Rules, thinking: Thinking) -> tuple[dict[str, Any], list[str]]:
    """The sampling fields to send, and the names of those lost or clamped. Defaults are neither."""
    wanted = {name: number(prompt.params, name) for name in ("temperature", "top_p", "top_k")}
    given = {name: value for name, value in wanted.items() if value is not None}
    if given.get("temperature") == 1:
        del given["temperature"]
    if given.get("top_p") == 1:
        del given["top_p"]
    if rules.no_sampling or thinking.on:
        return {}, list(given)
    lost = []
    if given.get("temperature", 0) > 1:
        given["temperature"] = 1
        lost.append("temperature")
    if "temperature" in given and given.pop("top_p", None) is not None:  # the 4.x models refuse both together
        lost.append("top_p")
    return given, lost


def max_tokens_of(prompt: Prompt, rules: Rules, thinking: Thinking) -> int:
    """The output limit, which Anthropic requires and in which a thinking budget is counted."""
    wanted = limit(prompt.params)
    if wanted is None:
        wanted = rules.max_output or max(DEFAULT_MAX_TOKENS, thinking.budget + MIN_BUDGET)
    elif thinking.budget:
        wanted += thinking.budget
    return min(wanted, rules.max_output or wanted)


def _thinking_unasked(prompt: Prompt, rules: Rules) -> Thinking:
    """A model that thinks anyway is asked to show it, but not when a tool is forced: the two may not meet."""
    chosen = prompt.choice is not None and prompt.choice.mode in ("required", "named")
    forced = chosen or by_json_tool(prompt.format, rules)
    shown = rules.thinks_by_default and rules.adaptive_thinking and not forced
    return Thinking(config=_SUMMARIZED if shown else None)


def _effort(wanted: str, rules: Rules) -> str:
    """The nearest effort the model knows, "" when it knows none."""
    if not rules.effort:
        return ""
    effort = _EFFORTS[wanted]
    if effort == "xhigh" and not rules.effort_xhigh:
        effort = "max"
    return "high" if effort == "max" and rules.effort_no_max else effort


def _not_thinking(rules: Rules) -> Thinking:
    if rules.cannot_disable_thinking or not rules.known:
        return Thinking(lost=("reasoning_effort",))
    if rules.disable_with_between_tools:
        return Thinking(config={"type": "between_tools"})
    return Thinking(config={"type": "disabled"} if rules.thinks_by_default else None)


def _continues_unsigned(prompt: Prompt) -> bool:
    """Whether the last calls were made without Claude's signed thinking: it may not start thinking now."""
    if not prompt.turns or prompt.turns[-1].role != "tool":
        return False
    calling = next((turn for turn in reversed(prompt.turns) if turn.role == "assistant"), None)
    return calling is not None and not any(detail.get("format") == FORMAT for detail in calling.reasoning)
