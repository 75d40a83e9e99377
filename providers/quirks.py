"""Edits to an OpenAI body that a provider or a model needs, written as data. Touches top-level fields only.

Two kinds of data: `Quirks` say how a provider departs from OpenAI's body, rules what a model accepts (a row
of config/models.yaml). Values stay raw: a field that no edit names leaves byte for byte as it came.
"""

import re
from collections.abc import Sequence

import msgspec
from msgspec import Raw

from providers.errors import ErrorKind, ProviderError
from providers.types import Json, Quirks, encode

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Reasoning efforts from least to most."""

_SAMPLING = (
    "temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs", "logit_bias"
)  # fmt: skip
"""Refused by OpenAI's models while they reason (CHAT_WIRE 2.1, 2026-11-20)."""

_ASKS_NOTHING = frozenset(b'null false 0 1 "" "auto" [] {} {"type":"text"} ["text"]'.split())
"""Values of a refused field that ask for what every provider does anyway."""

_NULL = Raw(b"null")

_messages = msgspec.json.Decoder(list[dict[str, Raw]])


def apply(fields: dict[str, Raw], quirks: Quirks | None) -> list[str]:
    """Edit `fields` in place, and name the client's parameters that were lost and that it should hear of.

    Raises UNSUPPORTED for a field the provider refuses and without which the answer would be another one.
    """
    if quirks is None:
        return []
    dropped = leave_out(fields, quirks)
    for old, new in quirks.rename.items():
        rename(fields, old, new)
    if quirks.roles and "messages" in fields:
        fields["messages"] = _with_roles(fields["messages"], quirks)
    for name, value in quirks.force.items():
        fields[name] = Raw(encode(value))
    return dropped


def leave_out(fields: dict[str, Raw], quirks: Quirks) -> list[str]:
    """The part of `apply` that takes fields away; it serves bodies that are not chat, too."""
    for name in quirks.refuse:
        if name in fields and encode(msgspec.json.decode(fields[name])) not in _ASKS_NOTHING:
            raise _unsupported(name)
    told = [name for name in quirks.drop if name not in quirks.quiet]
    dropped = [name for name in told if fields.get(name, _NULL) != _NULL]
    for name in (*quirks.refuse, *quirks.drop, *quirks.quiet):
        fields.pop(name, None)
    return dropped


def fit(fields: dict[str, Raw], rules: Json) -> list[str]:
    """Edit `fields` in place to what the model accepts, and name what could not be told as it was asked.

    Raises UNSUPPORTED for `stop` where the model knows no stop sequences.
    """
    if not rules:
        return []
    if rules.get("stop") is False and "stop" in fields:
        if fields["stop"] != _NULL:
            raise _unsupported("stop")
        del fields["stop"]
    changed = _fit_effort(fields, rules)
    reasoning = rules.get("reasoning", "none")
    if reasoning != "none":
        rename(fields, "max_tokens", "max_completion_tokens")
        effort = _effort(fields) or ("none" if reasoning == "opt_in" else "medium")
        if effort != "none":
            changed += [name for name in _SAMPLING if fields.pop(name, None) is not None]
    if not rules.get("cache_breakpoints"):
        fields.pop("prompt_cache_options", None)
    return changed


def rules_for(rows: Sequence[Json], model: str) -> Json:
    """The row whose `prefix` is the longest that the bare model id starts with; {} when none does.

    The bare id leaves out `vendor/` and the region and vendor of Bedrock names (`us.anthropic.`).
    """
    bare = re.sub(
        r"^(?:(?:us|eu|apac|ap|jp|au|global)\.)?(?:anthropic|openai|google)\.", "", model.rpartition("/")[2]
    )
    matching = [row for row in rows if bare.startswith(row["prefix"])]
    return max(matching, key=lambda row: len(row["prefix"]), default={})


def rename(fields: dict[str, Raw], old: str, new: str) -> None:
    """Give a field its other name; when the client sent both, the new name's value stands."""
    value = fields.pop(old, None)
    if value is not None:
        fields.setdefault(new, value)


def _fit_effort(fields: dict[str, Raw], rules: Json) -> list[str]:
    """Move `reasoning_effort` to the next effort the model knows: upwards, else its highest."""
    allowed = rules.get("efforts")
    wanted = _effort(fields)
    if allowed is None or wanted not in EFFORTS or wanted in allowed:
        return []
    known = sorted(allowed, key=EFFORTS.index)
    at_least = [effort for effort in known if EFFORTS.index(effort) > EFFORTS.index(wanted)]
    del fields["reasoning_effort"]
    if known:
        fields["reasoning_effort"] = Raw(encode((at_least or known[-1:])[0]))
    return ["reasoning_effort"]


def _effort(fields: dict[str, Raw]) -> str:
    raw = fields.get("reasoning_effort")
    effort = None if raw is None else msgspec.json.decode(raw)
    return effort if isinstance(effort, str) else ""


def _with_roles(messages: Raw, quirks: Quirks) -> Raw:
    roles = {encode(old): Raw(encode(new)) for old, new in quirks.roles.items()}
    if not re.search(b"|".join(re.escape(role) for role in roles), messages):
        return messages  # by far the most: nothing to decode
    try:
        decoded = _messages.decode(messages)
    except msgspec.DecodeError as error:
        text = "`messages` must be a list of message objects."
        raise ProviderError(ErrorKind.INVALID_REQUEST, text, param="messages", sent=False) from error
    for message in decoded:
        role = roles.get(bytes(message["role"])) if "role" in message else None
        if role is not None:
            message["role"] = role
    return Raw(encode(decoded))


def _unsupported(name: str) -> ProviderError:
    return ProviderError(
        ErrorKind.UNSUPPORTED,
        f"This provider or model does not take `{name}`: leave it out, or route the request elsewhere.",
        param=name,
        code="unsupported_parameter",
        sent=False,
    )
