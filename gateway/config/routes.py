"""Where each model is served: routes the file lists, and those made on demand for `provider/model`."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias, TypeVar

from msgspec.structs import replace
from pydantic import BaseModel, ValidationError

from gateway.config import model, steering
from gateway.config.catalogue import Catalogue
from gateway.config.limit_rules import quota
from gateway.config.moderation import compiled
from gateway.config.prices import Listing, PriceList, of_file
from gateway.config.problems import Path, unknown
from gateway.config.snapshot import (
    NANO,
    HealthRule,
    Moderation,
    ProviderRow,
    Retries,
    Route,
    RouteTarget,
    Terms,
    Timeouts,
)
from gateway.config.vendors import SCRIPTED, SPOKEN
from providers.quirks import rules_for
from providers.types import Json, VideoLimits

T = TypeVar("T")

Report: TypeAlias = Callable[[Path, str], None]
"""Takes what is wrong, and where below the model."""

USD_PER_SECOND = 0.001
"""What a second saved is worth to a route of policy `balanced` that does not say."""

_VIDEO_FIELDS = ("seconds", "min_seconds", "max_seconds", "sizes", "inputs", "operations", "input_names")
"""What a target in the file may say of a video model itself."""

_NAMELESS = frozenset(("fal", "replicate"))
"""Video dialects whose models each have names of their own for their input."""


class Routes:
    """Makes routes. `rows` are the providers that can be called, `broken` those whose entry is unsound."""

    def __init__(
        self,
        rows: Mapping[str, ProviderRow],
        broken: frozenset[str],
        defaults: model.Defaults,
        catalogue: Catalogue,
        prices: PriceList,
    ) -> None:
        self._rows = rows
        self._broken = broken
        self._defaults = defaults
        self._catalogue = catalogue
        self._prices = prices

    def route(self, name: str, written: model.Model, report: Report) -> Route | None:
        """The route of one model; None when something about it was reported."""
        defaults = self._defaults
        steering.check(written.kind, written.targets, report)
        made = [
            self._target(written, target, terms, partial(_below, report, at))
            for at, (target, terms) in enumerate(
                zip(written.targets, steering.terms_of(written.targets), strict=True)
            )
        ]
        whole = [target for target in made if target is not None]
        fits = written.on_cut == "error" or written.kind == "chat"
        if not fits:
            report(("on_cut",), f"is for models of kind chat; this one is {written.kind}")
        moderation = self._moderation(written, report)
        if len(whole) < len(made) or not fits:
            return None
        worth = USD_PER_SECOND if written.usd_per_second is None else written.usd_per_second
        route = Route(
            model=name,
            kind=written.kind,
            policy=written.policy,
            targets=[target for target in whole if not _is_shadow(target)],
            retries=_layered(Retries, defaults.retries, written.retries),
            timeouts=_layered(Timeouts, defaults.timeout, written.timeout),
            on_cut=written.on_cut,
            second=round(NANO * worth),
            affinity=written.affinity,
            hedge=written.hedge,
            shadows=[target for target in whole if _is_shadow(target)],
            default_cap=max(target.default_cap for target in whole),
            moderation=moderation,
        )
        return replace(route, steered=steering.is_steered(route))

    def _moderation(self, written: model.Model, report: Report) -> Moderation | None:
        if written.moderation is None:
            return None
        below = partial(_under, report, "moderation")
        if written.kind != "video":
            below((), f"is for models of kind video; this one is {written.kind}")
            return None
        return compiled(written.moderation, self._rows, self._broken, below)

    def on_demand(self, name: str, kind: str) -> Route | None:
        """The route of `provider/model` for any provider that can be called; None when there is none."""
        provider, _, upstream = name.partition("/")
        row = self._rows.get(provider)
        if row is None or row.face(kind) is None:
            return None
        try:
            written = model.Model.model_validate(
                {"kind": kind, "targets": [{"provider": provider, "model": upstream}]}
            )
        except ValidationError:
            return None
        return self.route(name, written, lambda _path, _message: None)

    def _target(
        self, whole: model.Model, written: model.Target, terms: Terms | None, report: Report
    ) -> RouteTarget | None:
        row = self._provider(whole.kind, written, report)
        if not _suits(whole.kind, written, report) or row is None:
            return None
        video = VideoLimits()
        rules: Json = {}
        if whole.kind == "video":
            video = _written(self._catalogue.video_limits(row.dialect, written.model), written)
            if row.dialect in _NAMELESS and "input" not in video.wire:
                report(
                    ("input_names",), f"says nothing of what {written.model} calls its input: write it down"
                )
                return None
        else:
            rules = rules_for(self._catalogue.rules.get(row.dialect, ()), written.model)
        if written.max_output is not None:
            rules = {**rules, "max_output": written.max_output}
        listing = self._listing(row, written)
        defaults = self._defaults
        identity = f"{row.id}/{written.model}"
        return RouteTarget(
            id=identity,
            target=row.target(written.model, rules, video),
            price=listing.price,
            timeouts=_layered(Timeouts, defaults.timeout, whole.timeout, written.timeout),
            health=_layered(HealthRule, defaults.health, whole.health, written.health),
            weight=written.weight,
            context_window=written.context_window or rules.get("context_window") or listing.context_window,
            max_output=rules.get("max_output"),
            prefill=bool(rules.get("prefill")) if written.prefill is None else written.prefill,
            default_cap=min(rules.get("max_output") or defaults.output_cap, defaults.output_cap),
            quota=quota(identity, written.limits, partial(_under, report, "limits")),
            terms=terms,
        )

    def _provider(self, kind: str, written: model.Target, report: Report) -> ProviderRow | None:
        name = written.provider
        row = self._rows.get(name)
        problem = None
        if row is None:
            problem = None if name in self._broken else self._missing(name)
        elif (face := row.face(kind)) is None:
            problem = f'provider "{name}" is for {row.kind}; a model of kind {kind} needs one of another kind'
        elif face.dialect not in SPOKEN[kind]:
            problem = f'provider "{name}" cannot do {kind}: its dialect {face.dialect} has none'
        else:
            return face
        if problem:
            report(("provider",), problem)
        return None

    def _missing(self, name: str) -> str:
        vendor = self._catalogue.vendors.get(name)
        if vendor is None:
            return unknown("provider", name, {*self._rows, *self._broken, *self._catalogue.vendors})
        if vendor.key and vendor.complete:
            names = " or ".join(vendor.key)
            return f'provider "{name}" has no key: set {names}, or list it under `providers`'
        return f'provider "{name}" must be listed under `providers`'

    def _listing(self, row: ProviderRow, written: model.Target) -> Listing:
        if written.price is not None:
            return Listing(price=of_file(written.price))
        if row.dialect == SCRIPTED:
            return Listing()
        return self._prices.find(row.vendor, row.base_url, written.model)


def _is_shadow(target: RouteTarget) -> bool:
    return target.terms is not None and target.terms.shadow > 0


def _under(report: Report, field: str, path: Path, message: str) -> None:
    report((field, *path), message)


def _below(report: Report, at: int, path: Path, message: str) -> None:
    report(("targets", at, *path), message)


def _suits(kind: str, written: model.Target, report: Report) -> bool:
    """Whether what is written of a target fits a model of this kind."""
    video = kind == "video"
    wrong = [name for name in _VIDEO_FIELDS if getattr(written, name) is not None and not video]
    for name in wrong:
        report((name,), f"is for models of kind video; this one is {kind}")
    if written.prefill is not None and kind != "chat":
        report(("prefill",), f"is for models of kind chat; this one is {kind}")
    if video and written.limits:
        report(("limits",), "is for models of kind chat and embedding; this one is video")
        return False
    price = written.price
    if price is not None and video != (price.input is None):
        wanted = "per_second (or per_gpu_hour and rendering_seconds)" if video else "input, output and cached"
        report(("price",), f"a model of kind {kind} is priced by {wanted}")
        return False
    if price is not None and kind == "chat" and price.output is None:
        report(("price",), "needs `output`; write 0 if it is free")
        return False
    return not wrong


def _written(limits: VideoLimits, written: model.Target) -> VideoLimits:
    """What is known of a video model, overridden by what the file says of it."""
    values = {name: value for name in _VIDEO_FIELDS if (value := getattr(written, name)) is not None}
    names = values.pop("input_names", None)
    if names is not None:
        native = [name for name in ("seed", "negative_prompt") if name in names]
        sound = "switch" if "audio" in names else "never"
        values |= {"wire": {**limits.wire, "input": names}, "fields": native, "audio": sound}
    return replace(limits, **values)


def _layered(shape: type[T], *layers: BaseModel | None) -> T:
    """The defaults of `shape`, overridden by what each layer gives, the last one last."""
    values: dict[str, Any] = {}
    for layer in layers:
        if layer is not None:
            values.update(layer.model_dump(exclude_none=True))
    return shape(**values)
