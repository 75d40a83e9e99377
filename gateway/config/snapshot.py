"""The whole configuration, compiled and frozen: what the request path reads.

Built by `config/compile.py` from what a person wrote; a request takes one snapshot at its start and keeps
it to its end. Durations are seconds, money is whole nano-dollars.
"""

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct, field

from providers.types import Json, Quirks, Secret, Target

NANO = 1_000_000_000
"""Nano-dollars in a dollar."""

MADE_ROUTES = 1024
"""How many `provider/model` routes a snapshot remembers."""


class Timeouts(Struct, frozen=True, kw_only=True):
    """Separate clocks of one attempt, in seconds; `total` spans all attempts of a request."""

    connect: float = 2.0
    headers: float = 30.0
    first_token: float = 30.0
    silence: float = 60.0
    total: float = 600.0


class HealthRule(Struct, frozen=True, kw_only=True):
    """When a target's breaker opens: after `failures` in a row, for `rest` seconds the first time."""

    failures: int = 5
    rest: float = 5.0


class Retries(Struct, frozen=True, kw_only=True):
    """At most `attempts` calls per request over all targets; `budget` is the extra load allowed, a share."""

    attempts: int = 3
    budget: float = 0.2


class Price(Struct, frozen=True, kw_only=True):
    """What a target costs. Tokens: nano-dollars per million. Video: nano-dollars per second of video.

    A field that is None is not known, which never means free. A price for cached input, or for input that is
    written to a cache, falls back to the input price when it is not known.
    """

    input: int | None = None
    output: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    per_second: int | None = None


class VideoLimits(Struct, frozen=True, kw_only=True):
    """What a video model can make. None means anything goes or it is not known.

    `seconds` are the durations offered; `sizes` the `WIDTHxHEIGHT` offered; `inputs` the roles of pictures
    and clips it can start from (first_frame, ...).
    """

    seconds: Sequence[float] | None = None
    min_seconds: float | None = None
    max_seconds: float | None = None
    sizes: Sequence[str] | None = None
    inputs: Sequence[str] | None = None


class RouteTarget(Struct, frozen=True, kw_only=True):
    """One place a model can be served. `id` is `provider/model`, the name telemetry and headers use."""

    id: str
    target: Target
    price: Price | None
    timeouts: Timeouts
    health: HealthRule
    weight: int = 1
    context_window: int | None = None
    max_output: int | None = None
    video: VideoLimits | None = None


class Route(Struct, frozen=True, kw_only=True):
    """A model's targets and policy. `kind` is chat, embedding or video."""

    model: str
    kind: str
    policy: str
    targets: Sequence[RouteTarget]
    retries: Retries
    timeouts: Timeouts


class ProviderRow(Struct, frozen=True, kw_only=True):
    """Someone who can be called. `kind` is chat (embeddings included) or video.

    `vendor` is the catalogue's id, empty for an own one; `found_in` names the environment variable that holds
    the key of a provider the file does not mention, and is empty for one of the file.
    """

    id: str
    kind: str
    dialect: str
    base_url: str
    vendor: str = ""
    credential: Secret | Mapping[str, Secret] | None = None
    headers: Mapping[str, str] = {}
    quirks: Quirks | None = None
    found_in: str = ""

    def target(self, model: str, rules: Json) -> Target:
        """Where a call for one of its models goes."""
        return Target(
            provider=self.id,
            dialect=self.dialect,
            base_url=self.base_url,
            model=model,
            credential=self.credential,
            headers=self.headers,
            quirks=self.quirks,
            rules=rules,
        )


class LimitRule(Struct, frozen=True, kw_only=True):
    """One limit of a caller. `dimension`: requests, tokens, dollars, concurrent, video_seconds.

    `limit` counts the dimension's unit (dollars in nano-dollars, video in milliseconds); `per` is minute,
    hour, day or month, and empty for `concurrent`.
    """

    dimension: str
    limit: int
    per: str = ""


class Hook(Struct, frozen=True, kw_only=True):
    """How a caller is told of finished videos. `url` is empty when only requests name one.

    `secrets` are the operator's own, each of which signs. Without any they are derived from the pepper;
    `rotation` counts how often they were renewed.
    """

    url: str = ""
    secrets: Sequence[Secret] = ()
    rotation: int = 0


class Caller(Struct, frozen=True, kw_only=True):
    """Who owns a key. `models` None allows every model. `id` is stable and safe to show in telemetry."""

    id: str
    name: str
    models: frozenset[str] | None = None
    limits: Sequence[LimitRule] = ()
    organisation: str = ""
    project: str = ""
    user: str = ""
    hook: Hook = Hook()

    def may_use(self, model: str) -> bool:
        """Whether this caller's key is allowed that model name."""
        return self.models is None or model in self.models


class KeyRow(Struct, frozen=True, kw_only=True):
    """A key from the file: SHA-256 of the key's text, and who it belongs to."""

    sha256: bytes
    caller: Caller


def _nothing(_model: str, _kind: str) -> Route | None:
    return None


class Snapshot(Struct, frozen=True, kw_only=True):
    """One version of everything an operator can edit. `etag` is a hash of the text it came from.

    `providers` holds those of the file and those whose key was found in the environment; `on_demand` makes
    the route of a `provider/model` that the file does not list.
    """

    etag: str
    generation: int
    compiled_at: int = 0
    """Unix seconds."""
    routes: Mapping[str, Route]
    keys: Sequence[KeyRow]
    limits: Mapping[str, Sequence[LimitRule]]
    on_store_error: str = "local"
    on_unknown_price: str = "refuse"
    public_url: str = ""
    webhook_networks: Sequence[str] = ()
    secrets: Sequence[Secret] = ()
    """Every credential in use, so that output can be checked for leaks."""
    providers: Mapping[str, ProviderRow] = {}
    on_demand: Callable[[str, str], Route | None] = _nothing
    made: dict[tuple[str, str], Route | None] = field(default_factory=dict)
    """Routes made on demand, the latest MADE_ROUTES of them. The only part that changes."""

    def resolve(self, model: str, kind: str = "chat") -> Route | None:
        """The route that serves a model name as `kind` (chat, embedding or video); None if there is none."""
        route = self.routes.get(model)
        if route is not None:
            return route if route.kind == kind else None
        asked = (model, kind)
        if asked not in self.made:
            if len(self.made) >= MADE_ROUTES:
                del self.made[next(iter(self.made))]
            self.made[asked] = self.on_demand(model, kind)
        return self.made[asked]
