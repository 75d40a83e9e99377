"""The data files that come with the gateway: known vendors, what models accept, prices, the example.

In a checkout they stand in `config/`, in an installed wheel beside the packages in `gateway/_data/`. Read
once per process; they change with a release, not while running.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from gateway.config.document import read
from providers.types import Json, Quirks

T = TypeVar("T")

_PACKAGE = Path(__file__).resolve().parents[1]
_FOLDERS = (_PACKAGE / "_data", _PACKAGE.parent / "config")


class Vendor(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A known provider: a row of providers.yaml.

    `key` names the environment variables its key is usually in, the first that is set wins; empty for those
    that need none. A `base_url` with a `{part}` must be written out by the operator.
    """

    name: str
    dialect: str
    base_url: str
    key: Sequence[str] = ()
    kind: str = "chat"
    quirks: Quirks | None = None

    @property
    def complete(self) -> bool:
        """Whether the address can be called as it stands."""
        return "{" not in self.base_url

    def is_at(self, base_url: str) -> bool:
        """Whether an address written out in full is this vendor's."""
        if self.complete:
            return self.base_url == base_url
        return re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(self.base_url)), base_url) is not None


class PriceRow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row of prices.yaml, in USD: tokens per million, video per second; where it was read and when."""

    source: str
    date: str
    input: float | None = None
    output: float | None = None
    cached: float | None = None
    per_second: float | None = None


class Catalogue(Struct, frozen=True, kw_only=True):
    """`vendors` by id, `rules` of models.yaml by dialect (`video/DIALECT` for video), `prices` by vendor, model."""

    vendors: Mapping[str, Vendor]
    rules: Mapping[str, Sequence[Json]]
    prices: Mapping[str, Mapping[str, PriceRow]]

    def vendor_at(self, base_url: str) -> str:
        """The id of the vendor whose address this is, empty for anyone else's."""
        return next((name for name, vendor in self.vendors.items() if vendor.is_at(base_url)), "")


def data_file(name: str) -> Path:
    """Where a shipped file is: `fairlead.yaml`, `schema.json`, ... Raises FileNotFoundError."""
    for folder in _FOLDERS:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{name} did not come with this installation; looked in {_FOLDERS}")


@cache
def catalogue() -> Catalogue:
    """What came with this release."""
    return Catalogue(
        vendors=_rows("providers.yaml", dict[str, Vendor]),
        rules=_rows("models.yaml", dict[str, list[dict[str, Any]]]),
        prices=_rows("prices.yaml", dict[str, dict[str, PriceRow]]),
    )


def _rows(name: str, shape: type[T]) -> T:
    return msgspec.convert(read(data_file(name).read_text(encoding="utf-8")).data, shape)
