"""The whole configuration, compiled and frozen: what the request path reads.

Built by `config/compile.py` from what a person wrote; a request takes one snapshot at its start and keeps
it to its end. Durations are seconds, money is whole nano-dollars.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import force_setattr

from providers.types import Json, Quirks, Secret, Target, VideoLimits

NANO = 1_000_000_000
"""Nano-dollars in a dollar."""

MADE_ROUTES = 1024
"""How many `provider/model` routes a snapshot remembers."""


class Timeouts(Struct, frozen=True, kw_only=True):
    """Separate clocks of one attempt, in seconds; `total` spans all attempts of a request.

    `generation` is how long a target may work at a video when there are others to ask; None: as long as the job may.
    """

    connect: float = 2.0
    headers: float = 30.0
    first_token: float = 30.0
    silence: float = 60.0
    total: float = 600.0
    generation: float | None = None


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

    `tiers` are prices per second by tier, `silent` those of a video without sound; where there are any,
    `per_second` is None and a tier that is not among them has no known price. `gpu_second` is what a second of a
    worker's work costs, and `per_second` then only what counts until it is known how long it takes.
    A field that is None is not known, which never means free. A price for cached input, or for input that is
    written to a cache, falls back to the input price when it is not known.
    """

    input: int | None = None
    output: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    per_second: int | None = None
    gpu_second: int | None = None
    tiers: Mapping[str, int] = {}
    silent: Mapping[str, int] = {}


class Terms(Struct, frozen=True, kw_only=True):
    """Which requests a target is asked for. A need that is None does not matter; sizes are input tokens.

    `canary` is the part of [0, 1) that a request's draw must fall in, `shadow` the share of requests it gets a
    copy of.
    """

    tools: bool | None = None
    images: bool | None = None
    json_schema: bool | None = None
    min_input: int = 0
    max_input: int | None = None
    tags: frozenset[str] = frozenset()
    region: str = ""
    canary: tuple[float, float] | None = None
    shadow: float = 0.0


class RouteTarget(Struct, frozen=True, kw_only=True):
    """One place a model can be served. `id` is `provider/model`, the name telemetry and headers use.

    `prefill`: given the beginning of its answer as the last message, the model goes on from there.
    `terms` is None for a target that takes any request.
    `default_cap` is the output of a request that names no cap. `quota` is who the target's own limits are
    counted for, None when it has none. `written` is what the file says of a video model itself, which counts more
    than what is known of it. `pace` is how long a worker takes: seconds per megapixel and second of video, None
    when not known; `redraw` the part of that for a video it draws over, where the request does not say, None where
    it draws over none.
    """

    id: str
    target: Target
    price: Price | None
    timeouts: Timeouts
    health: HealthRule
    weight: int = 1
    context_window: int | None = None
    max_output: int | None = None
    prefill: bool = False
    terms: Terms | None = None
    default_cap: int = 4096
    quota: "Caller | None" = None
    written: Json = {}
    pace: float | None = None
    redraw: float | None = None


class Moderation(Struct, frozen=True, kw_only=True):
    """What a prompt must pass: it holds nothing that `denied` finds in its plain form, and `target` does not flag it.

    Either may be None. `timeout` is in seconds; `allow_unasked` says that a prompt goes through while the target
    cannot answer.
    """

    denied: re.Pattern[str] | None = None
    target: Target | None = None
    timeout: float = 5.0
    allow_unasked: bool = False


class Route(Struct, frozen=True, kw_only=True):
    """A model's targets and policy. `kind` is chat, embedding or video.

    `on_cut` says what becomes of a stream that breaks after its first content: error or continue.
    `second` is what the policy `balanced` takes a second saved to be worth, in nano-dollars. `affinity`: requests
    of one session go to one target. `shadows` are not among the targets: they get copies. `steered` says that any
    of this is in use, so that a request's traits must be known. `hedge`: a second target is asked when the first is
    late.
    `default_cap` is the largest of its targets'. `moderation` is asked before anything else happens. `latency_budget`
    is how many seconds after its acceptance a video should be done; None where that does not matter.
    """

    model: str
    kind: str
    policy: str
    targets: Sequence[RouteTarget]
    retries: Retries
    timeouts: Timeouts
    on_cut: str = "error"
    second: int = 0
    affinity: bool = False
    shadows: Sequence[RouteTarget] = ()
    steered: bool = False
    hedge: bool = False
    default_cap: int = 4096
    moderation: Moderation | None = None
    latency_budget: float | None = None


class ProviderRow(Struct, frozen=True, kw_only=True):
    """Someone who can be called. `kind` is chat (embeddings included) or video.

    `vendor` is the catalogue's id, empty for an own one; `found_in` names the environment variable that holds
    the key of a provider the file does not mention, and is empty for one of the file. `video` is how one of
    kind chat is called for video, where it makes any.
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
    video: "ProviderRow | None" = None

    def face(self, kind: str) -> "ProviderRow | None":
        """Itself, or how it is called for a model of this kind; None when it does not do such."""
        if kind == "video" and self.kind != "video":
            return self.video
        return self if kind == "video" or self.kind == "chat" else None

    def target(self, model: str, rules: Json, video: VideoLimits) -> Target:
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
            video=video,
        )


class LimitRule(Struct, frozen=True, kw_only=True):
    """One limit. `dimension`: requests, tokens, dollars, concurrent, video_seconds, video_jobs.

    `limit` counts the dimension's unit (dollars in nano-dollars, video in milliseconds); `per` is minute,
    hour, day or month, and empty for what is counted while it runs. `scope` says who shares the counter: key,
    user, project, organisation, or model (each model of a key by itself, of which `models` may leave some out).
    A `soft` budget reserves what a request will probably cost, any other the most it can cost.
    `on_store_error` is local, open or closed, and empty for what the defaults say.
    """

    dimension: str
    limit: int
    per: str = ""
    scope: str = "key"
    models: frozenset[str] | None = None
    soft: bool = False
    on_store_error: str = ""


class Hook(Struct, frozen=True, kw_only=True):
    """How a caller is told of finished videos. `url` is empty when only requests name one.

    `secrets` are the operator's own, each of which signs. Without any they are derived from the pepper;
    `rotation` counts how often they were renewed.
    """

    url: str = ""
    secrets: Sequence[Secret] = ()
    rotation: int = 0


class Caller(Struct, frozen=True, kw_only=True):
    """Who owns a key. `models` None allows every model. `id` is stable and safe to show in telemetry.

    `aliases` are names only this caller uses, to the models they stand for. `tags` and `region` are what every
    target of its requests must have; `pinned`: there are any. `batch_concurrency` None: the default.
    `hard` and `soft` say whether there are dollar limits of that kind; they follow from `limits`.
    """

    id: str
    name: str
    models: frozenset[str] | None = None
    aliases: Mapping[str, str] = {}
    tags: frozenset[str] = frozenset()
    region: str = ""
    limits: Sequence[LimitRule] = ()
    organisation: str = ""
    project: str = ""
    user: str = ""
    hard: bool = False
    soft: bool = False
    pinned: bool = False
    hook: Hook = Hook()
    batch_concurrency: int | None = None

    def __post_init__(self) -> None:
        """Find out once what every request asks."""
        budgets = {rule.soft for rule in self.limits if rule.dimension == "dollars"}
        force_setattr(self, "hard", False in budgets)
        force_setattr(self, "soft", True in budgets)
        force_setattr(self, "pinned", bool(self.tags or self.region))

    def unowned(self) -> str:
        """The first of user, project and organisation that a limit counts by and that this key does not name."""
        owners = {"user": self.user, "project": self.project, "organisation": self.organisation}
        return next((rule.scope for rule in self.limits if not owners.get(rule.scope, "key")), "")

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
    warnings: Sequence[str] = ()
    """What works and will not for long: targets whose provider shuts them down."""
    batch_concurrency: int = 10
    """How many requests of batches a key may have running, unless it says otherwise."""
    video_cache: float = 86_400.0
    """For how many seconds a finished video answers the same request again, where that allows it."""
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
