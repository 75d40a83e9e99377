"""What the routing file may say of moderation, and what that compiles to."""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from gateway.config.fields import Duration, ModelName, Name, Part
from gateway.config.problems import Path, unknown
from gateway.config.snapshot import Moderation as Rule
from gateway.config.snapshot import ProviderRow
from gateway.config.wording import plain
from providers.types import VideoLimits

_DIALECT = "openai"
_DEFAULT_MODEL = "omni-moderation-latest"
_DEFAULT_SECONDS = 5.0

Phrase = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class Moderation(Part):
    """What a prompt must pass before anything is reserved or sent: a list of words, a moderations endpoint, or both."""

    deny: Annotated[list[Phrase], Field(max_length=10_000)] = Field(
        default=[], description="Words and phrases no prompt may hold, whole words in whatever case."
    )
    provider: Name | None = Field(
        default=None, description="Whose moderations endpoint is asked: a provider of dialect openai."
    )
    model: ModelName | None = Field(
        default=None, description="The model asked there. Default: omni-moderation-latest."
    )
    timeout: Duration | None = Field(default=None, description="How long its answer may take. Default: 5s.")
    on_error: Literal["refuse", "allow"] | None = Field(
        default=None,
        description="What becomes of a request while the endpoint cannot answer: refuse (503) or allow. "
        "Default: refuse.",
    )

    @model_validator(mode="after")
    def _has_effect(self) -> "Moderation":
        idle = [name for name in ("model", "timeout", "on_error") if getattr(self, name) is not None]
        if self.provider is None and idle:
            raise ValueError(f"sets {', '.join(idle)}, which only a `provider` uses; none is named")
        if self.provider is None and not self.deny:
            raise ValueError("needs `deny`, `provider`, or both")
        return self


def compiled(
    written: Moderation, rows: Mapping[str, ProviderRow], broken: frozenset[str],
    report: Callable[[Path, str], None],
) -> Rule | None:  # fmt: skip
    """The rule; None when something about it was reported. `broken` are providers that are reported already."""
    row = None
    if written.provider is not None:
        row = rows.get(written.provider)
        if row is None and written.provider in broken:
            return None
        if row is None:
            report(("provider",), unknown("provider", written.provider, rows))
            return None
        if row.kind != "chat" or row.dialect != _DIALECT:
            what = f"kind {row.kind}, dialect {row.dialect}"
            report(
                ("provider",), f"needs a moderations endpoint: kind chat, dialect openai; this one is {what}"
            )
            return None
    return Rule(
        denied=_pattern(written.deny) if written.deny else None,
        target=row.target(written.model or _DEFAULT_MODEL, {}, VideoLimits()) if row else None,
        timeout=written.timeout or _DEFAULT_SECONDS,
        allow_unasked=written.on_error == "allow",
    )


def _pattern(phrases: list[str]) -> re.Pattern[str]:
    found = "|".join(
        re.escape(one) for one in sorted({plain(phrase) for phrase in phrases}, key=len, reverse=True)
    )
    return re.compile(rf"(?<!\w)(?:{found})(?!\w)")
