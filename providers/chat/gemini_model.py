"""What a Gemini model accepts: from its row of the model rules, and where that is silent from its name.

What a row may say, each optional (CHAT_WIRE 2.3, 2026-11-20):

    levels        [LOW, HIGH, ...]   how much it thinks is told as a level: Gemini 3 and later
    off, min      0 or false, 128    it is told as a number of tokens: what turns it off, and the least
    budget_map    {low: 2048, ...}   the tokens for an effort
    no_thinking   true               it cannot be told at all
    needs_thought_signature_on_function_calls   a call in the history without one is refused
    tools_with_json_schema           tools and a response schema may come together
"""

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from providers.types import Json, Target

_LEVELS = ("MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH")
_LEVEL_OF = {
    "none": "MINIMAL",
    "minimal": "MINIMAL",
    "low": "LOW",
    "medium": "MEDIUM",
    "high": "HIGH",
    "xhigh": "XHIGH",
    "max": "XHIGH",
}
_BUDGETS: Mapping[str, int] = {"low": 2048, "medium": 8192, "high": 24576}
_SAME_BUDGET = {"minimal": "low", "xhigh": "high", "max": "high"}

_VERSION = re.compile(r"gemini-(\d+)(?:\.(\d+))?")
_OLD = (1, 0)
_NEWEST = (99, 0)
"""Of names without a version: `gemini-flash-latest` is always a new model, open models know the old ways."""

_THINKING = ("levels", "off", "no_thinking")
"""What a row says of thinking: one of these stands for all of it, and nothing is then read from the name."""


class Model(Struct, frozen=True, kw_only=True):
    """What one model accepts.

    `levels` are its thinking levels, lowest first, empty where it does not think by level. `budgets` maps
    the efforts, `none` included, to tokens, empty where it does not think by budget. `json_schema` is true
    when schemas may be full JSON Schema and not just the OpenAPI subset. `new` is true from Gemini 3 on:
    media may stand inside tool results, and calls can be held to their schemas.
    """

    levels: Sequence[str] = ()
    budgets: Mapping[str, int] = {}
    json_schema: bool = True
    needs_signatures: bool = False
    schema_with_tools: bool = False
    new: bool = False

    def thinking(self, effort: str) -> Json | None:
        """`thinkingConfig` for an OpenAI `reasoning_effort`; None when the model cannot be told that.

        Levels move up to the next the model has, else to its highest; `none` is its lowest.
        """
        shown = {} if effort == "none" else {"includeThoughts": True}
        if self.levels and effort in _LEVEL_OF:
            wanted = _LEVELS.index(_LEVEL_OF[effort])
            fitting = (level for level in self.levels if _LEVELS.index(level) >= wanted)
            return {"thinkingLevel": next(fitting, self.levels[-1]), **shown}
        budget = self.budgets.get(_SAME_BUDGET.get(effort, effort))
        return None if budget is None else {"thinkingBudget": budget, **shown}


def read_model(target: Target) -> Model:
    """What the target's model accepts."""
    name = target.model.removeprefix("models/")
    version = _version(name)
    row = target.rules
    thinking = row if any(key in row for key in _THINKING) else _thinking_by_name(name, version)
    levels = [level for level in _LEVELS if level in thinking.get("levels", ())]
    new = version >= (3, 0)
    return Model(
        levels=levels,
        budgets=_budgets({**thinking, "budget_map": row.get("budget_map", _BUDGETS)}),
        json_schema=version >= (2, 5),
        needs_signatures=row.get("needs_thought_signature_on_function_calls", new),
        schema_with_tools=row.get("tools_with_json_schema", new),
        new=new,
    )


def _version(name: str) -> tuple[int, int]:
    found = _VERSION.match(name)
    if found:
        return int(found[1]), int(found[2] or 0)
    return _NEWEST if name.startswith("gemini") else _OLD


def _thinking_by_name(name: str, version: tuple[int, int]) -> Json:
    if version >= (3, 0):
        return {"levels": ["LOW", "MEDIUM", "HIGH"]}
    if version < (2, 5) or "image" in name:
        return {"no_thinking": True}
    return {"off": False, "min": 128} if name.startswith("gemini-2.5-pro") else {"off": 0}


def _budgets(thinking: Json) -> dict[str, int]:
    if "off" not in thinking:
        return {}
    least = thinking.get("min", 0)
    off = least if thinking["off"] is False else thinking["off"]
    return {"none": off} | {effort: max(tokens, least) for effort, tokens in thinking["budget_map"].items()}
