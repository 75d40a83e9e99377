"""What may be written in the routing file. The descriptions here are the reference documentation.

Shapes and bounds only: names that must exist elsewhere are looked up by `compile.py`. A field that is not
here is refused as unknown, so whatever is accepted works.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from gateway.config.fields import (
    Count,
    Credential,
    Dollars,
    Duration,
    Headers,
    ModelName,
    Name,
    Network,
    Part,
    Percent,
    Size,
    Url,
    VideoLength,
)
from gateway.config.key_model import Key
from gateway.config.limit_model import Limits, OnStoreError, Quota
from gateway.config.moderation import Moderation

Kind = Literal["chat", "embedding", "video"]
InputWord = Literal[
    "prompt", "negative_prompt", "seed", "audio", "seconds", "seconds_text", "seconds_unit", "ratio", "tier", "size",
    "width", "height", "first_frame", "last_frame", "source_video",
]  # fmt: skip
InputRole = Literal["first_frame", "last_frame", "reference_image", "reference_video", "source_video"]


class Quirks(Part):
    """How a provider departs from OpenAI's request body. Each field given replaces the known vendor's."""

    refuse: list[str] = Field(
        default=[], description="Top-level fields it cannot do: a request that uses one goes elsewhere."
    )
    drop: list[str] = Field(
        default=[], description="Top-level fields to leave out; the client is told which."
    )
    quiet: list[str] = Field(
        default=[], description="Top-level fields to leave out without telling the client."
    )
    rename: dict[str, str] = Field(
        default={}, description="Old names to new, as in {max_completion_tokens: max_tokens}."
    )
    roles: dict[str, str] = Field(
        default={}, description="Message roles to replace, as in {developer: system}."
    )
    force: dict[str, Any] = Field(
        default={}, description="Fields set to this value whatever the client said."
    )
    finish: dict[str, str] = Field(
        default={}, description="Its finish reasons to OpenAI's, as in {eos: stop}."
    )


class Provider(Part):
    """Someone who can be called. A known vendor needs no more than a key."""

    dialect: str | None = Field(
        default=None, description="The API it speaks: openai, anthropic, gemini, scripted, ..."
    )
    kind: Literal["chat", "video"] | None = Field(
        default=None, description="What it is called for: chat (embeddings included) or video. Default: chat."
    )
    base_url: Url | None = Field(
        default=None,
        description="The prefix an official SDK of the dialect would be given, as in https://host/v1.",
    )
    key: Credential | None = Field(
        default=None,
        description="Its credential: env:NAME or file:/path, or a mapping of named parts. A known vendor's "
        "usual environment variable is used when this is left out.",
    )
    headers: Headers = Field(
        default={}, description="Headers sent with every call, as written: no secrets here."
    )
    quirks: Quirks | None = Field(
        default=None, description="How it departs from OpenAI's body (dialect openai)."
    )


class Timeout(Part):
    """Separate clocks of one attempt. Written as 8s, 500ms, 2m, or a number of seconds."""

    connect: Duration | None = Field(default=None, description="Until the connection stands. Default: 2s.")
    headers: Duration | None = Field(
        default=None, description="Until the response headers have come. Default: 30s."
    )
    first_token: Duration | None = Field(
        default=None, description="Until a stream's first content. Default: 30s."
    )
    silence: Duration | None = Field(default=None, description="Longest pause inside a stream. Default: 60s.")
    total: Duration | None = Field(
        default=None, description="The whole request, all attempts together. Default: 600s."
    )
    generation: Duration | None = Field(
        default=None,
        description="Video: how long a target may work at one while another could make it. Then it is told to stop, "
        "and the next target is asked, under the same id. Default: until the video's deadline.",
    )


class Health(Part):
    """When a target is taken out of rotation."""

    failures: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None, description="Failures in a row that take it out. Default: 5."
    )
    rest: Duration | None = Field(
        default=None, description="How long it rests before it is tried again. Default: 5s."
    )


class Retries(Part):
    """How much more a request may ask of the providers when one fails."""

    attempts: Annotated[int, Field(ge=1, le=10)] | None = Field(
        default=None, description="Calls per request over all targets, the first one included. Default: 3."
    )
    budget: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None,
        description="Extra load that retries may cause, as a share of running requests; a failover to a "
        "target that is well is none. Default: 0.2.",
    )


class Price(Part):
    """What a target costs, in USD: tokens (input and output), or video (per_second, or per_gpu_hour)."""

    input: Dollars | None = Field(default=None, description="USD per million input tokens.")
    output: Dollars | None = Field(default=None, description="USD per million output tokens.")
    cached: Dollars | None = Field(
        default=None, description="USD per million cached input tokens. Default: as input."
    )
    per_second: Dollars | None = Field(default=None, description="USD per second of finished video.")
    per_gpu_hour: Dollars | None = Field(
        default=None,
        description="USD per hour of the GPU that renders the video; at a worker by the time it really works.",
    )
    rendering_seconds: Annotated[float, Field(gt=0, le=10**6)] | None = Field(
        default=None,
        description="GPU seconds that one second of video takes; needed with per_gpu_hour, at a worker only until "
        "it has made its first.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> "Price":
        given = self.model_fields_set
        tokens = given & {"input", "output", "cached"}
        video = given & {"per_second", "per_gpu_hour", "rendering_seconds"}
        if tokens and not video and self.input is not None:
            return self
        if not tokens and video in (
            {"per_second"},
            {"per_gpu_hour", "rendering_seconds"},
            {"per_gpu_hour"},
        ):
            return self
        raise ValueError(
            "must be {input, output, cached} for tokens, {per_second} for video, "
            "or {per_gpu_hour, rendering_seconds} for video on an own GPU (per_gpu_hour alone for a worker)"
        )


class When(Part):
    """The requests a target is asked for; what is left out does not matter."""

    tools: bool | None = Field(
        default=None, description="true: only with tools. false: only without, for a model that has none."
    )
    images: bool | None = Field(default=None, description="The same for pictures in the messages.")
    json_schema: bool | None = Field(default=None, description="The same for answers by a JSON schema.")
    min_input: Count | None = Field(default=None, description="Estimated input tokens, at least.")
    max_input: Count | None = Field(default=None, description="Estimated input tokens, at most.")

    @model_validator(mode="after")
    def _some_size(self) -> "When":
        if self.min_input is not None and self.max_input is not None and self.min_input > self.max_input:
            raise ValueError(f"takes no size: min_input {self.min_input} is above max_input {self.max_input}")
        return self


class Target(Part):
    """One place a model can be served."""

    provider: Name = Field(description="A provider of this file, or a known vendor whose key is set.")
    model: ModelName = Field(description="The name that provider knows the model by.")
    price: Price | None = Field(default=None, description="What it costs; overrides the catalogue.")
    timeout: Timeout | None = Field(
        default=None, description="Overrides the model's clocks; total bounds one attempt."
    )
    health: Health | None = Field(default=None, description="Overrides the model's health rule.")
    weight: Annotated[int, Field(ge=0, le=10**6)] = Field(
        default=1, description="Its share under the policy weighted."
    )
    when: When | None = Field(default=None, description="The requests it is asked for. Default: all.")
    tags: Annotated[list[Name], Field(max_length=20)] = Field(
        default=[], description="What requests may ask for in x-fairlead-tags; all they name must be here."
    )
    region: Name | None = Field(
        default=None, description="Where it runs, as in eu-west-1; requests may ask by x-fairlead-region."
    )
    canary: Percent | None = Field(
        default=None, description="Percent of requests that are asked here first; it gets no others."
    )
    shadow: Percent | None = Field(
        default=None, description="Percent of requests it gets a copy of; its answers are thrown away."
    )
    context_window: Count | None = Field(
        default=None, description="Tokens the model can take in; overrides the catalogue."
    )
    max_output: Count | None = Field(
        default=None, description="Tokens the model can give out; overrides the catalogue."
    )
    prefill: bool | None = Field(
        default=None,
        description="Chat: whether it goes on from the beginning of an answer that is the last message; "
        "overrides the catalogue.",
    )
    limits: Annotated[list[Quota], Field(max_length=20)] = Field(
        default=[],
        description="What it may be asked for at most, by all keys together; at its quota it is passed over.",
    )
    seconds: Annotated[list[VideoLength], Field(min_length=1)] | None = Field(
        default=None, description="Video: the only lengths it can make, in seconds."
    )
    min_seconds: VideoLength | None = Field(
        default=None, description="Video: the shortest it can make, in seconds."
    )
    max_seconds: VideoLength | None = Field(
        default=None, description="Video: the longest it can make, in seconds."
    )
    sizes: Annotated[list[Size], Field(min_length=1)] | None = Field(
        default=None, description="Video: the only sizes it can make, as WIDTHxHEIGHT."
    )
    inputs: list[InputRole] | None = Field(
        default=None, description="Video: what it can start from beside words; [] for words alone."
    )
    operations: list[Literal["generate", "remix", "edit", "extend"]] | None = Field(
        default=None, description="Video: what it can be asked for; default what is known of the model."
    )
    input_names: dict[InputWord, str] | None = Field(
        default=None,
        description="Video by fal or Replicate: what the model calls each value it is told, as in "
        "{prompt: prompt, seconds: duration}.",
    )


class Model(Part):
    """A name that clients use, and where it is served."""

    kind: Kind = Field(default="chat", description="What it does: chat, embedding or video.")
    policy: Literal["cheapest", "fastest", "balanced", "least_busy", "weighted", "in_order"] = Field(
        default="in_order", description="Which target is asked first; the others are asked when it fails."
    )
    usd_per_second: Dollars | None = Field(
        default=None, description="Policy balanced: USD that a second saved is worth. Default: 0.001."
    )
    targets: Annotated[list[Target], Field(min_length=1, max_length=100)] = Field(
        description="Where it is served."
    )
    affinity: bool = Field(
        default=False,
        description="Whether a session's requests go to one target, while that is well and not crowded.",
    )
    hedge: bool = Field(
        default=False,
        description="Whether streams ask a second target when the first is later than 95 of 100 times.",
    )
    timeout: Timeout | None = Field(default=None, description="Overrides the default clocks.")
    retries: Retries | None = Field(default=None, description="Overrides the default retries.")
    health: Health | None = Field(default=None, description="Overrides the default health rule.")
    moderation: Moderation | None = Field(
        default=None, description="Video: what a prompt must pass before anything is reserved or sent."
    )
    latency_budget: Duration | None = Field(
        default=None,
        description="Video: how long after it was asked for a video should be done; where a worker's ETA is later, "
        "the next target that is no worker is asked.",
    )
    on_cut: Literal["error", "continue"] = Field(
        default="error",
        description="Chat: a stream that breaks after its first content ends with an error, or the next "
        "target goes on with it (text only), and the last chunk says so.",
    )

    @model_validator(mode="after")
    def _has_effect(self) -> "Model":
        if self.usd_per_second is not None and self.policy != "balanced":
            raise ValueError(f"sets usd_per_second, which only policy balanced uses; it is {self.policy}")
        if self.hedge and (self.kind != "chat" or len(self.targets) < 2):
            raise ValueError("sets hedge, which needs kind chat and a second target")
        return self


class Defaults(Part):
    """What holds for every model that does not say otherwise."""

    timeout: Timeout = Field(default_factory=Timeout, description="The clocks of a request.")
    retries: Retries = Field(
        default_factory=Retries, description="How often a failed call is made again elsewhere."
    )
    health: Health = Field(default_factory=Health, description="When a target is taken out of rotation.")
    output_cap: Count = Field(
        default=4096,
        description="Output tokens reserved for a request that names no cap, the target's max_output at most; "
        "a key with a hard dollar limit gets it as its cap.",
    )
    on_store_error: OnStoreError = Field(
        default="local",
        description="Limits that do not say it themselves while Redis is away: count in this process, let everything "
        "through, or refuse.",
    )
    on_unknown_price: Literal["refuse", "allow"] = Field(
        default="refuse",
        description="Whether a key with a dollar limit may use a target whose price is not known.",
    )
    batch_concurrency: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=10, description="Requests of batches that run at the same time, for each key."
    )
    video_cache: Duration = Field(
        default=86_400.0,
        description="How long a finished video answers the same request of its key again, if that says "
        "x-fairlead-cache: allow; 24h at most.",
    )
    public_url: Url | None = Field(
        default=None,
        description="The address that clients reach this gateway by, as in https://ai.example.com, for the links "
        "it gives out. Default: that of each request, which is http:// behind a proxy that ends TLS.",
    )
    webhook_networks: list[Network] = Field(
        default=[],
        description="Networks of your own, as in 10.1.0.0/16, that webhooks may reach though they are not "
        "public; only there over http:// and to any port.",
    )


class RoutingFile(Part):
    """Who can be called, what clients may ask for, and who may ask. All of it may change while running."""

    providers: dict[Name, Provider] = Field(
        default={}, description="Whom to call, by your own name or a vendor's."
    )
    models: dict[ModelName, Model] = Field(
        default={}, description="The models clients see, and where each is served."
    )
    defaults: Defaults = Field(
        default_factory=Defaults, description="What holds unless a model or target says otherwise."
    )
    limits: dict[Name, Limits] = Field(default={}, description="Limits by name, for keys to refer to.")
    keys: Annotated[list[Key], Field(max_length=10_000)] = Field(
        default=[], description="Who may use the gateway."
    )
