"""Where each model is served: routes the file lists, and those made on demand for `provider/model`."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError

from gateway.config import model
from gateway.config.catalogue import Catalogue
from gateway.config.limit_rules import quota
from gateway.config.prices import Listing, PriceList, of_file
from gateway.config.problems import Path, unknown
from gateway.config.snapshot import (
    HealthRule,
    ProviderRow,
    Retries,
    Route,
    RouteTarget,
    Timeouts,
    VideoLimits,
)
from gateway.config.vendors import SCRIPTED, SPOKEN
from providers.quirks import rules_for
from providers.types import Json

T = TypeVar("T")

Report: TypeAlias = Callable[[Path, str], None]
"""Takes what is wrong, and where below the model."""

_VIDEO_FIELDS = VideoLimits.__struct_fields__


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
        targets = [
            self._target(written, target, partial(_below, report, at))
            for at, target in enumerate(written.targets)
        ]
        whole = [target for target in targets if target is not None]
        if len(whole) < len(targets):
            return None
        return Route(
            model=name,
            kind=written.kind,
            policy=written.policy,
            targets=whole,
            retries=_layered(Retries, defaults.retries, written.retries),
            timeouts=_layered(Timeouts, defaults.timeout, written.timeout),
            default_cap=max(target.default_cap for target in whole),
        )

    def on_demand(self, name: str, kind: str) -> Route | None:
        """The route of `provider/model` for any provider that can be called; None when there is none."""
        provider, _, upstream = name.partition("/")
        row = self._rows.get(provider)
        if row is None or row.kind != ("video" if kind == "video" else "chat"):
            return None
        try:
            written = model.Model.model_validate(
                {"kind": kind, "targets": [{"provider": provider, "model": upstream}]}
            )
        except ValidationError:
            return None
        return self.route(name, written, lambda _path, _message: None)

    def _target(self, whole: model.Model, written: model.Target, report: Report) -> RouteTarget | None:
        row = self._provider(whole.kind, written, report)
        if not _suits(whole.kind, written, report) or row is None:
            return None
        video = whole.kind == "video"
        section = f"video/{row.dialect}" if video else row.dialect
        rules = rules_for(self._catalogue.rules.get(section, ()), written.model)
        if written.max_output is not None:
            rules = {**rules, "max_output": written.max_output}
        listing = self._listing(row, written)
        defaults = self._defaults
        identity = f"{row.id}/{written.model}"
        return RouteTarget(
            id=identity,
            target=row.target(written.model, rules),
            price=listing.price,
            timeouts=_layered(Timeouts, defaults.timeout, whole.timeout, written.timeout),
            health=_layered(HealthRule, defaults.health, whole.health, written.health),
            weight=written.weight,
            context_window=written.context_window or rules.get("context_window") or listing.context_window,
            max_output=rules.get("max_output"),
            default_cap=min(rules.get("max_output") or defaults.output_cap, defaults.output_cap),
            quota=quota(identity, written.limits, partial(_under, report, "limits")),
            video=_video_limits(rules, written) if video else None,
        )

    def _provider(self, kind: str, written: model.Target, report: Report) -> ProviderRow | None:
        name = written.provider
        row = self._rows.get(name)
        problem = None
        if row is None:
            problem = None if name in self._broken else self._missing(name)
        elif row.kind != ("video" if kind == "video" else "chat"):
            problem = f'provider "{name}" is for {row.kind}; a model of kind {kind} needs one of another kind'
        elif row.dialect not in SPOKEN[kind]:
            problem = f'provider "{name}" cannot do {kind}: its dialect {row.dialect} has none'
        else:
            return row
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


def _video_limits(rules: Json, written: model.Target) -> VideoLimits:
    values = {name: rules.get(name) for name in _VIDEO_FIELDS}
    values |= {name: value for name in _VIDEO_FIELDS if (value := getattr(written, name)) is not None}
    return VideoLimits(**values)


def _layered(shape: type[T], *layers: BaseModel | None) -> T:
    """The defaults of `shape`, overridden by what each layer gives, the last one last."""
    values: dict[str, Any] = {}
    for layer in layers:
        if layer is not None:
            values.update(layer.model_dump(exclude_none=True))
    return shape(**values)
