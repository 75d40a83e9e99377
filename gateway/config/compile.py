"""Makes a frozen snapshot of a routing file, the catalogue and the environment, or says all that is wrong."""

import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple, TypeAlias

from gateway.config import prices
from gateway.config.catalogue import Catalogue, catalogue
from gateway.config.key_model import Key, Webhook
from gateway.config.limit_model import Limit
from gateway.config.limit_rules import rules_of
from gateway.config.load import Draft, load
from gateway.config.problems import ConfigError, Path, unknown
from gateway.config.routes import Routes
from gateway.config.snapshot import Caller, Hook, KeyRow, LimitRule, ProviderRow, Route, Snapshot
from gateway.config.vault import MissingSecretError, Vault
from gateway.config.vendors import SCRIPTED, provider_rows
from providers.types import Secret

Check: TypeAlias = Callable[[Path, Iterable[tuple[str | int, str]]], None]
"""Reports names of models that nobody can ask for; each comes with its place below the path."""

WARNED = 30 * 86_400.0
"""How long before a model's end, in seconds, a configuration that uses it is warned of it."""


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
    broken, defaults = draft.names("providers") - rows.keys(), draft.routing.defaults
    routes = Routes(rows, broken, defaults, data, prices.PriceList(data.prices, source.now))
    made = _routes(draft, routes)
    check = partial(_check_models, draft, {*rows, *broken, *data.vendors})
    limits = {
        name: _limits(draft, ("limits", name), rules, check) for name, rules in draft.routing.limits.items()
    }
    keys = _Keys(draft, vault, limits, check).rows()
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
        on_store_error=defaults.on_store_error,
        on_unknown_price=defaults.on_unknown_price,
        warnings=_retiring(made.values(), source.now),
        batch_concurrency=defaults.batch_concurrency,
        video_cache=defaults.video_cache,
        public_url=defaults.public_url or "",
        webhook_networks=defaults.webhook_networks,
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


def _retiring(routes: Iterable[Route], now: float) -> Sequence[str]:
    """A line for each target that its provider has shut down, or will within WARNED."""
    found = []
    for route in routes:
        for target in route.targets:
            end = target.target.video.retires_at
            if end is not None and now >= end - WARNED:
                day = datetime.fromtimestamp(end, UTC).date()
                what = "has been shut down" if now >= end else "will be shut down"
                found.append(f'model "{route.model}": {target.id} {what} by its provider on {day}')
    return found


def _report(draft: Draft, above: Path, path: Path, message: str) -> None:
    draft.report((*above, *path), message)


def _check_models(
    draft: Draft, providers: set[str], path: Path, names: Iterable[tuple[str | int, str]]
) -> None:
    """Report names of models that nobody can ask for. `providers` may stand before a slash."""
    known = draft.names("models")
    for at, name in names:
        provider, slash, _ = name.partition("/")
        if name not in known and not (slash and provider in providers):
            draft.report((*path, at), unknown("model", name, known))


def _limits(draft: Draft, path: Path, written: Sequence[Limit], check: Check) -> Sequence[LimitRule]:
    for at, limit in enumerate(written):
        check((*path, at, "models"), enumerate(limit.models or ()))
    return rules_of(written, lambda below, message: draft.report((*path, *below), message))


def _signs(text: str) -> bool:
    """Whether this is a secret of the Standard Webhooks form, long enough to be one."""
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except ValueError:
        return False
    return text.startswith("whsec_") and 24 <= len(key) <= 64


class _Keys:
    """The keys of a file. `check` reports names of models that do not exist."""

    def __init__(
        self, draft: Draft, vault: Vault, limits: Mapping[str, Sequence[LimitRule]], check: Check
    ) -> None:
        self._draft = draft
        self._vault = vault
        self._limits = limits
        self._check = check

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

    def _digest(self, path: Path, key: Key) -> bytes | None:
        if key.hash is not None:
            return bytes.fromhex(key.hash.removeprefix("sha256:"))
        try:
            return hashlib.sha256(self._vault.open(key.key or "").reveal().encode()).digest()
        except MissingSecretError as error:
            self._draft.report((*path, "key"), str(error))
            return None

    def _caller(self, path: Path, key: Key) -> Caller:
        caller = Caller(
            id=key.name,
            name=key.name,
            models=self._models(path, key),
            aliases=self._aliases(path, key),
            limits=self._rules(path, key),
            organisation=key.organisation,
            project=key.project,
            user=key.user,
            hook=self._hook((*path, "webhook"), key.webhook),
            batch_concurrency=key.batch_concurrency,
        )
        unowned = caller.unowned()
        if unowned:
            why = f"count by {unowned}, and this key has none: set `{unowned}` on the key"
            self._draft.report((*path, "limits"), why)
        return caller

    def _hook(self, path: Path, written: Webhook | None) -> Hook:
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

    def _models(self, path: Path, key: Key) -> frozenset[str] | None:
        if "*" in key.models:
            return None
        self._check((*path, "models"), enumerate(key.models))
        return frozenset(key.models)

    def _aliases(self, path: Path, key: Key) -> Mapping[str, str]:
        self._check((*path, "aliases"), key.aliases.items())
        for alias, name in key.aliases.items():
            if "*" not in key.models and name not in key.models:
                self._draft.report((*path, "aliases", alias), f'is "{name}", which is not among its `models`')
        return key.aliases

    def _rules(self, path: Path, key: Key) -> Sequence[LimitRule]:
        if not isinstance(key.limits, str):
            return _limits(self._draft, (*path, "limits"), key.limits, self._check)
        if key.limits not in self._draft.names("limits"):
            self._draft.report((*path, "limits"), unknown("limits", key.limits, self._draft.names("limits")))
        return self._limits.get(key.limits, ())
