"""Makes a frozen snapshot of a routing file, the catalogue and the environment, or says all that is wrong."""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from gateway.config import model, prices
from gateway.config.catalogue import Catalogue, catalogue
from gateway.config.load import Draft, load
from gateway.config.model import AMOUNTS
from gateway.config.problems import ConfigError, Path, unknown
from gateway.config.routes import Routes
from gateway.config.snapshot import NANO, Caller, Hook, KeyRow, LimitRule, ProviderRow, Route, Snapshot
from gateway.config.vault import MissingSecretError, Vault
from gateway.config.vendors import SCRIPTED, provider_rows
from providers.types import Secret

_UNITS: Mapping[str, int] = {"dollars": NANO, "video_seconds": 1000}
"""How many of a dimension's own unit make one of what is written; 1 for the others."""


class Source(NamedTuple):
    """What to compile. `file` is the name problems are reported under, `now` Unix seconds."""

    text: str
    file: str
    environment: Mapping[str, str]
    now: float
    generation: int = 1


def compile_config(source: Source, data: Catalogue | None = None, vault: Vault | None = None) -> Snapshot:
    """The snapshot of a routing file. Raises ConfigError with all of its problems.

    Reads the environment and the secret files that the text names, or asks `vault` for them; asks nobody over
    a network.
    """
    draft = load(source.text, source.file)
    data = data or catalogue()
    vault = vault or Vault(source.environment)
    rows = provider_rows(draft, data, vault)
    broken = draft.names("providers") - rows.keys()
    listed = prices.PriceList(data.prices, source.now)
    routes = Routes(rows, broken, draft.routing.defaults, data, listed)
    made = _routes(draft, routes)
    limits = {name: _limits(draft, ("limits", name), rules) for name, rules in draft.routing.limits.items()}
    keys = _Keys(draft, vault, limits, {*rows, *broken, *data.vendors}).rows()
    if draft.problems:
        raise ConfigError(draft.problems)
    if any(map(_has_list_prices, rows.values())):
        prices.library()  # now, and not when the first client asks for one of its models
    return Snapshot(
        etag=hashlib.sha256(source.text.encode()).hexdigest(),
        generation=source.generation,
        compiled_at=int(source.now),
        routes=made,
        keys=keys,
        limits=limits,
        on_store_error=draft.routing.defaults.on_store_error,
        on_unknown_price=draft.routing.defaults.on_unknown_price,
        public_url=draft.routing.defaults.public_url or "",
        webhook_networks=draft.routing.defaults.webhook_networks,
        secrets=vault.secrets,
        providers=rows,
        on_demand=routes.on_demand,
    )


def _has_list_prices(row: ProviderRow) -> bool:
    return row.kind == "chat" and row.dialect != SCRIPTED and row.base_url.startswith("https://")


def _routes(draft: Draft, routes: Routes) -> dict[str, Route]:
    made: dict[str, Route] = {}
    for name, written in draft.routing.models.items():
        route = routes.route(name, written, partial(_report, draft, ("models", name)))
        if route is not None:
            made[name] = route
    return made


def _report(draft: Draft, above: Path, path: Path, message: str) -> None:
    draft.report((*above, *path), message)


def _limits(draft: Draft, path: Path, written: Iterable[model.Limit]) -> Sequence[LimitRule]:
    rules: dict[tuple[str, str], LimitRule] = {}
    for at, limit in enumerate(written):
        dimension = next(name for name in AMOUNTS if getattr(limit, name) is not None)
        per = limit.per or ""
        if (dimension, per) in rules:
            draft.report((*path, at), f"limits {dimension}{per and f' per {per}'} a second time")
        amount = round(getattr(limit, dimension) * _UNITS.get(dimension, 1))
        rules[dimension, per] = LimitRule(dimension=dimension, limit=amount, per=per)
    return tuple(rules.values())


def _signs(text: str) -> bool:
    """Whether this is a secret of the Standard Webhooks form, long enough to be one."""
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except ValueError:
        return False
    return text.startswith("whsec_") and 24 <= len(key) <= 64


class _Keys:
    """The keys of a file. `providers` are the names that may stand before the slash of `provider/model`."""

    def __init__(
        self, draft: Draft, vault: Vault, limits: Mapping[str, Sequence[LimitRule]], providers: set[str]
    ) -> None:
        self._draft = draft
        self._vault = vault
        self._limits = limits
        self._providers = providers

    def rows(self) -> Sequence[KeyRow]:
        rows: dict[bytes, KeyRow] = {}
        names: set[str] = set()
        for at, key in enumerate(self._draft.routing.keys):
            path: Path = ("keys", at)
            if key.name in names:
                self._draft.report((*path, "name"), f'a second key is called "{key.name}"')
            names.add(key.name)
            caller = self._caller(path, key)
            digest = self._digest(path, key)
            if digest in rows:
                self._draft.report(path, f'is the same key as "{rows[digest].caller.name}"')
            if digest is not None:
                rows[digest] = KeyRow(sha256=digest, caller=caller)
        return tuple(rows.values())

    def _digest(self, path: Path, key: model.Key) -> bytes | None:
        if key.hash is not None:
            return bytes.fromhex(key.hash.removeprefix("sha256:"))
        try:
            return hashlib.sha256(self._vault.open(key.key or "").reveal().encode()).digest()
        except MissingSecretError as error:
            self._draft.report((*path, "key"), str(error))
            return None

    def _caller(self, path: Path, key: model.Key) -> Caller:
        return Caller(
            id=key.name,
            name=key.name,
            models=self._models(path, key),
            limits=self._rules(path, key),
            organisation=key.organisation,
            project=key.project,
            user=key.user,
            hook=self._hook((*path, "webhook"), key.webhook),
        )

    def _hook(self, path: Path, written: model.Webhook | None) -> Hook:
        if written is None:
            return Hook()
        if (written.url or "").startswith("http://") and not self._draft.routing.defaults.webhook_networks:
            self._draft.report(
                (*path, "url"), "must be https://, unless `webhook_networks` names its network"
            )
        secrets = [
            self._hook_secret((*path, "secrets", at), reference)
            for at, reference in enumerate(written.secrets)
        ]
        return Hook(url=written.url or "", secrets=[secret for secret in secrets if secret is not None])

    def _hook_secret(self, path: Path, reference: str) -> Secret | None:
        try:
            secret = self._vault.open(reference)
        except MissingSecretError as error:
            self._draft.report(path, str(error))
            return None
        if not _signs(secret.reveal()) and secret.reveal() != reference:  # a vault that trusts did not look
            self._draft.report(path, "must lead to whsec_ and the base64 of 24 to 64 random bytes")
        return secret

    def _models(self, path: Path, key: model.Key) -> frozenset[str] | None:
        known = self._draft.names("models")
        for at, name in enumerate(key.models):
            provider, slash, _ = name.partition("/")
            if name != "*" and name not in known and not (slash and provider in self._providers):
                self._draft.report((*path, "models", at), unknown("model", name, known))
        return None if "*" in key.models else frozenset(key.models)

    def _rules(self, path: Path, key: model.Key) -> Sequence[LimitRule]:
        if not isinstance(key.limits, str):
            return _limits(self._draft, (*path, "limits"), key.limits)
        if key.limits not in self._draft.names("limits"):
            self._draft.report((*path, "limits"), unknown("limits", key.limits, self._draft.names("limits")))
        return self._limits.get(key.limits, ())
