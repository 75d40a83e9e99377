"""What limits may say in the routing file: those of keys and those of targets."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gateway.config.fields import Count, ModelName, Part

Period = Literal["minute", "hour", "day", "month"]
Scope = Literal["key", "user", "project", "organisation", "model"]
OnStoreError = Literal["local", "open", "closed"]
AMOUNTS = ("requests", "tokens", "dollars", "concurrent", "video_seconds", "video_jobs")
WHILE_RUNNING = ("concurrent", "video_jobs")


class Quota(Part):
    """What a target may be asked for at most: exactly one of the amounts, and the period it is counted in."""

    requests: Count | None = Field(default=None, description="Requests per period.")
    tokens: Count | None = Field(default=None, description="Tokens per period, input and output together.")
    concurrent: Count | None = Field(default=None, description="Requests at the same time; takes no period.")
    per: Period | None = Field(
        default=None, description="minute, hour, day or month; not for concurrent and video_jobs."
    )

    @model_validator(mode="after")
    def _one_amount(self) -> Self:
        possible = [name for name in AMOUNTS if name in type(self).model_fields]
        amounts = [name for name in possible if getattr(self, name) is not None]
        if len(amounts) != 1:
            raise ValueError(f"must hold exactly one of {', '.join(possible)}")
        if (amounts[0] in WHILE_RUNNING) == (self.per is not None):
            timeless = " and ".join(f"`{name}`" for name in possible if name in WHILE_RUNNING)
            raise ValueError(f"needs `per` (minute, hour, day or month), and only {timeless} goes without")
        return self


class Limit(Quota):
    """One limit: exactly one of the amounts, the period it is counted in, and who shares it."""

    dollars: Annotated[float, Field(gt=0, le=9_000_000)] | None = Field(
        default=None, description="USD per calendar period (UTC)."
    )
    video_seconds: Annotated[float, Field(gt=0, le=10**9)] | None = Field(
        default=None, description="Seconds of video per period."
    )
    video_jobs: Count | None = Field(
        default=None, description="Video jobs that are not finished, at the same time; takes no period."
    )
    scope: Scope = Field(
        default="key",
        description="Who shares it: this key alone (key), all keys with the same user, project or organisation "
        "(each of which the key must name), or nobody: model counts each model of the key by itself.",
    )
    models: Annotated[list[ModelName], Field(min_length=1)] | None = Field(
        default=None, description="With scope model: the models it is for. Default: every model."
    )
    budget: Literal["hard", "soft"] | None = Field(
        default=None,
        description="For dollars: hard reserves the most a request can cost, soft what 95 of 100 like it stay "
        "below. Default: hard.",
    )
    on_store_error: OnStoreError | None = Field(
        default=None,
        description="While Redis is away: count in this process (local), let through (open) or refuse (closed); of "
        "a request's limits the strictest decides. Default: closed for hard dollars, else that of defaults.",
    )

    @model_validator(mode="after")
    def _what_goes_together(self) -> "Limit":
        if self.models is not None and self.scope != "model":
            raise ValueError("names `models`, which goes with `scope: model` only")
        if self.budget is not None and self.dollars is None:
            raise ValueError("says `budget`, which goes with `dollars` only")
        return self


Limits = Annotated[list[Limit], Field(max_length=50)]
