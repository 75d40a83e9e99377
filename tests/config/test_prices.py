import subprocess
import sys
from datetime import date

import pytest

from gateway.config import model
from gateway.config.catalogue import catalogue, data_file
from gateway.config.prices import Listing, PriceList, of_file
from gateway.config.snapshot import NANO, Price
from tests.config.samples import NOW, VENDORS


@pytest.mark.parametrize(
    ("vendor", "base_url", "name", "expected"),
    [
        ("anthropic", "https://api.anthropic.com", "claude-haiku-4-5", (1.0, 5.0, 0.1, 1.25)),
        ("openai", "https://api.openai.com/v1", "gpt-4o", (2.5, 10.0, 1.25, None)),
        ("", "https://api.openai.com/v1", "gpt-4o", (2.5, 10.0, 1.25, None)),
        ("openai", "https://api.openai.com/v1", "text-embedding-3-small", (0.02, None, None, None)),
        ("together", "https://api.together.ai/v1", "meta-llama/Llama-3.3-70B-Instruct-Turbo", None),
    ],
)
def test_list_prices_come_from_the_library(
    vendor: str, base_url: str, name: str, expected: tuple[float | None, ...] | None
) -> None:
    price = PriceList({}, NOW).find(vendor, base_url, name).price
    assert price is not None
    if expected is not None:
        nano = [None if dollars is None else round(dollars * NANO) for dollars in expected]
        assert [price.input, price.output, price.cached, price.cache_write] == nano


def test_a_price_that_grows_with_the_input_is_taken_at_its_base_step() -> None:
    price = PriceList({}, NOW).find("anthropic", "https://api.anthropic.com", "claude-haiku-5-5").price
    assert price == Price(input=100_000_000, output=500_000_000, cached=10_000_000, cache_write=125_000_000)


@pytest.mark.parametrize(
    ("vendor", "base_url", "name"),
    [
        ("openai", "https://api.openai.com/v1", "no-such-model"),
        ("", "https://own.example/v1", "gpt-4o"),
        ("", "http://10.0.0.5:8000/v1", "gpt-4o"),
    ],
)
def test_what_nobody_lists_is_unknown_and_not_free(vendor: str, base_url: str, name: str) -> None:
    assert PriceList({}, NOW).find(vendor, base_url, name) == Listing()


def test_our_own_rows_win_over_the_library() -> None:
    listing = PriceList(VENDORS.prices, NOW).find("alpha", "https://api.openai.com/v1", "big-1")
    assert listing == Listing(price=Price(input=2_500_000_000, output=10 * NANO, cached=250_000_000))


def test_a_gpu_of_ones_own_has_a_price_per_second_of_video() -> None:
    written = model.Price(per_gpu_hour=3.60, rendering_seconds=25)
    assert of_file(written) == Price(per_second=25_000_000)
    by_time = of_file(model.Price(per_gpu_hour=3.60), worker=True)
    assert by_time == Price(gpu_second=1_000_000)
    assert of_file(written, worker=True) == Price(per_second=25_000_000, gpu_second=1_000_000)
    assert of_file(model.Price(input=0.1, output=0.4)) == Price(input=100_000_000, output=400_000_000)


def test_every_shipped_row_has_a_price_a_source_and_a_date() -> None:
    for rows in catalogue().prices.values():
        for name, row in rows.items():
            assert row.source, name
            assert date.fromisoformat(row.date), name
            assert (row.input is None) != (row.per_second is None), name


def test_a_configuration_that_needs_no_list_price_does_not_load_the_library() -> None:
    script = (
        "import sys; from gateway.config.compile import Source, compile_config\n"
        f"text = open({str(data_file('fairlead.yaml'))!r}, encoding='utf-8').read()\n"
        "compile_config(Source(text, 'f', {'FAIRLEAD_DEMO_KEY': 'k'}, 0.0))\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('genai_prices', 'watchfiles', 'anyio')])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout.strip() == "[]"
