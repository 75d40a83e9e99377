"""What a target costs, looked up once when it is configured. The only importer of the price library.

Three sources, the first that knows wins: the target's own `price`, config/prices.yaml, the genai-prices
library. The library's figures are list prices of the standard tier at the time of the lookup: the base step
where the price grows with the length of the input, and tokens only (fees per search or call are left out).
Its import takes a fifth of a second, so it waits for the first target that needs it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING

from msgspec import Struct

from gateway.config import model
from gateway.config.catalogue import PriceRow
from gateway.config.snapshot import NANO, Price

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import Provider, TieredPrices


class Listing(Struct, frozen=True, kw_only=True):
    """What is known of a provider's model: its price and its context window in tokens."""

    price: Price | None = None
    context_window: int | None = None


class PriceList:
    """Prices by vendor and model. `now` (Unix seconds) chooses among prices that change with time."""

    def __init__(self, rows: Mapping[str, Mapping[str, PriceRow]], now: float) -> None:
        self._rows = rows
        self._now = datetime.fromtimestamp(now, UTC)

    def find(self, vendor: str, base_url: str, model_name: str) -> Listing:
        """What is known of a model that is called at `base_url`; an empty listing when nothing is.

        `vendor` is the catalogue's id, empty when the provider is not a known one.
        """
        row = self._rows.get(vendor, {}).get(model_name)
        if row is not None:
            return Listing(price=_from_row(row))
        if not base_url.startswith("https://"):  # an own server: the library knows public ones only
            return Listing()
        return _listed(vendor, base_url, model_name, self._now)


def of_file(written: model.Price, *, worker: bool = False) -> Price:
    """A price from the routing file; a worker's GPU is paid by the time it really works."""
    per_second, gpu_second = written.per_second, None
    if written.per_gpu_hour is not None and worker:
        gpu_second = _nano(Decimal(str(written.per_gpu_hour)) / 3600)
    if written.per_gpu_hour is not None and written.rendering_seconds is not None:
        per_second = written.per_gpu_hour * written.rendering_seconds / 3600
    return Price(
        input=_nano(written.input),
        output=_nano(written.output),
        cached=_nano(written.cached),
        per_second=_nano(per_second),
        gpu_second=gpu_second,
    )


@cache
def library() -> "DataSnapshot":
    """The price library's data. The first call imports it."""
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415 - see the module's first lines

    return get_snapshot()


def _from_row(row: PriceRow) -> Price:
    per_second = row.per_second
    return Price(
        input=_nano(row.input),
        output=_nano(row.output),
        cached=_nano(row.cached),
        per_second=None if isinstance(per_second, Mapping) else _nano(per_second),
        tiers=_by_tier(per_second if isinstance(per_second, Mapping) else {}),
        silent=_by_tier(row.silent),
    )


def _by_tier(dollars: Mapping[str, float]) -> dict[str, int]:
    return {tier: round(Decimal(str(each)) * NANO) for tier, each in dollars.items()}


def _listed(vendor: str, base_url: str, name: str, at: datetime) -> Listing:
    provider = _seller(vendor, base_url)
    found = provider and provider.find_model(name, all_providers=library().providers)
    if not found or not found.prices:
        return Listing()
    steps = found.get_prices(at)
    price = Price(
        input=_base(steps.input_mtok),
        output=_base(steps.output_mtok),
        cached=_base(steps.cache_read_mtok),
        cache_write=_base(steps.cache_write_mtok),
    )
    return Listing(price=None if price == Price() else price, context_window=found.context_window)


def _seller(vendor: str, base_url: str) -> "Provider | None":
    for by_id, by_url in ((None, base_url), (vendor, None)):
        try:
            return library().find_provider(None, by_id, by_url)
        except LookupError:
            continue
    return None


def _base(price: "Decimal | TieredPrices | None") -> int | None:
    return _nano(price if price is None or isinstance(price, Decimal) else price.base)


def _nano(dollars: float | Decimal | None) -> int | None:
    return None if dollars is None else round(Decimal(str(dollars)) * NANO)
