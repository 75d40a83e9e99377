"""Who can be called: the file's providers, completed from the catalogue, and vendors whose key is at hand."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from gateway.config import model
from gateway.config.catalogue import Catalogue, Vendor
from gateway.config.fields import PUBLIC_PARTS
from gateway.config.load import Draft
from gateway.config.problems import Path, unknown
from gateway.config.snapshot import ProviderRow
from gateway.config.vault import MissingSecretError, Vault
from providers.chat import CHAT, EMBEDDINGS
from providers.scripted import PREFIX
from providers.types import Quirks, Secret
from providers.video import VIDEO

SPOKEN: Mapping[str, Mapping[str, Any]] = {"chat": CHAT, "embedding": EMBEDDINGS, "video": VIDEO}
"""Which dialects can do what, by kind of model."""

SCRIPTED = "scripted"
"""The dialect that answers by itself: it needs no address and has no list price."""


def provider_rows(draft: Draft, catalogue: Catalogue, vault: Vault) -> dict[str, ProviderRow]:
    """Everyone who can be called, by name. What is wrong with the others is reported to the draft."""
    rows: dict[str, ProviderRow] = {}
    for name, written in draft.routing.providers.items():
        row = _Provider(draft, vault, name, written, catalogue.vendors.get(name)).row(catalogue)
        if row is not None:
            rows[name] = row
    for name, vendor in catalogue.vendors.items():
        variable = vault.first_set(vendor.key)
        if variable and vendor.complete and name not in draft.names("providers"):
            found = ProviderRow(
                id=name,
                kind=vendor.kind,
                dialect=vendor.dialect,
                base_url=vendor.base_url,
                vendor=name,
                credential=vault.open(f"env:{variable}"),
                quirks=vendor.quirks,
                found_in=variable,
            )
            rows[name] = replace(found, video=_face(found, vendor))
    return rows


def _face(row: ProviderRow, vendor: Vendor) -> ProviderRow | None:
    """How a provider of kind chat is called for video: at the vendor's own address, with the same key."""
    face = vendor.video
    if face is None or row.kind == "video" or row.base_url != vendor.base_url:
        return None
    return replace(row, kind="video", dialect=face.dialect, base_url=face.base_url, quirks=None)


class _Provider:
    """One entry of `providers` and the vendor of that name, if there is one."""

    def __init__(
        self, draft: Draft, vault: Vault, name: str, written: model.Provider, vendor: Vendor | None
    ) -> None:
        self._draft = draft
        self._vault = vault
        self._written = written
        self._vendor = vendor
        self._name = name
        self._path: Path = ("providers", name)

    def row(self, catalogue: Catalogue) -> ProviderRow | None:
        before = len(self._draft.problems)
        written, vendor = self._written, self._vendor
        kind = written.kind or (vendor.kind if vendor else "chat")
        known = vendor.video if vendor and vendor.video and kind == "video" else vendor
        dialect = written.dialect or (known.dialect if known else "")
        base_url = written.base_url or (known.base_url if known else PREFIX if dialect == SCRIPTED else "")
        self._check_dialect(dialect, kind, catalogue)
        self._check_address(base_url)
        credential = self._credential()
        if len(self._draft.problems) > before or self._draft.remains.blames(self._path):
            return None
        row = ProviderRow(
            id=self._name,
            kind=kind,
            dialect=dialect,
            base_url=base_url,
            vendor=self._name if vendor else catalogue.vendor_at(base_url),
            credential=credential,
            headers=written.headers,
            quirks=_merged(vendor.quirks if vendor else None, written.quirks),
        )
        return row if vendor is None else replace(row, video=_face(row, vendor))

    def _check_dialect(self, dialect: str, kind: str, catalogue: Catalogue) -> None:
        known = SPOKEN[kind] if kind == "video" else {**CHAT, **EMBEDDINGS}
        if not dialect:
            hint = unknown("vendor", self._name, catalogue.vendors)
            self._draft.report(self._path, f"needs `dialect` and `base_url` if it is your own: {hint}")
        elif dialect not in known:
            self._draft.report((*self._path, "dialect"), unknown(f"{kind} dialect", dialect, known))

    def _check_address(self, base_url: str) -> None:
        if "{" in base_url:
            self._draft.report(self._path, f"needs `base_url`, with its own parts filled in: {base_url}")
        elif not base_url and (self._written.dialect or self._vendor):
            self._draft.report(self._path, "needs `base_url`")

    def _credential(self) -> Secret | Mapping[str, Secret] | None:
        key, vendor = self._written.key, self._vendor
        if key is None and vendor is not None and vendor.key:
            variable = self._vault.first_set(vendor.key)
            if variable is None:
                names = " or ".join(vendor.key)
                self._draft.report(self._path, f"has no key: set {names}, or give it a `key`")
                return None
            key = f"env:{variable}"
        try:
            if key is None or isinstance(key, str):
                return self._vault.open(key) if key else None
            return {part: self._part(part, text) for part, text in key.items()}
        except MissingSecretError as error:
            self._draft.report((*self._path, "key"), str(error))
            return None

    def _part(self, part: str, text: str) -> Secret:
        plain = part in PUBLIC_PARTS and not text.startswith(("env:", "file:"))
        return Secret(text) if plain else self._vault.open(text)


def _merged(vendor: Quirks | None, written: model.Quirks | None) -> Quirks | None:
    if written is None:
        return vendor
    given = {name: getattr(written, name) for name in written.model_fields_set}
    base = vendor or Quirks()
    return Quirks(**{name: given.get(name, getattr(base, name)) for name in Quirks.__struct_fields__})
