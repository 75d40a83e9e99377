from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.snapshot import NANO, Price
from gateway.routing.cost import bill, dollars, estimate, token_estimate, video
from providers.types import Usage

HAIKU = Price(input=NANO, output=5 * NANO, cached=NANO // 10, cache_write=NANO * 5 // 4)
amounts = st.integers(min_value=0, max_value=10**9)
prices = st.integers(min_value=0, max_value=10**15)


def test_a_million_tokens_cost_the_price() -> None:
    assert estimate(HAIKU, 1_000_000, 0) == NANO
    assert estimate(HAIKU, 0, 1_000_000) == 5 * NANO


def test_each_kind_of_token_has_its_own_price() -> None:
    usage = Usage(input=1000, cached=300, cache_write=200, output=100, reasoning=50)
    assert bill(HAIKU, usage) == 500 * 1000 + 300 * 100 + 200 * 1250 + 100 * 5000


def test_cached_tokens_cost_as_much_as_others_when_nobody_says_otherwise() -> None:
    price = Price(input=NANO, output=NANO)
    assert bill(price, Usage(input=10, cached=4, cache_write=3)) == bill(price, Usage(input=10))


def test_an_unknown_price_is_unknown_and_never_free() -> None:
    assert estimate(None, 1, 1) is None
    assert estimate(Price(), 1, 0) is None
    assert bill(Price(output=5), Usage(input=1)) is None
    assert video(None, 1.0) is None
    assert video(HAIKU, 1.0) is None


def test_a_price_that_is_not_needed_may_be_unknown() -> None:
    assert estimate(Price(input=20_000_000), 1_000_000, 0) == 20_000_000
    assert estimate(Price(input=20_000_000), 1_000_000, 1) is None
    assert estimate(Price(input=0, output=0), 1, 1) == 0


@given(amounts, amounts, amounts, prices, prices, prices)
def test_a_bill_is_exact_and_rounded_up_once(
    plain: int, cached: int, output: int, each: int, each_cached: int, each_output: int
) -> None:
    price = Price(input=each, cached=each_cached, output=each_output)
    usage = Usage(input=plain + cached, cached=cached, output=output)
    exact = Fraction(plain * each + cached * each_cached + output * each_output, 1_000_000)
    assert bill(price, usage) == ceil(exact)


@given(amounts, amounts)
def test_an_estimate_is_the_bill_of_a_call_without_cache(input_tokens: int, output_tokens: int) -> None:
    used = Usage(input=input_tokens, output=output_tokens)
    assert estimate(HAIKU, input_tokens, output_tokens) == bill(HAIKU, used)


@pytest.mark.parametrize(
    ("seconds", "expected"), [(8.0, 960_000_000), (0.0, 0), (5.5, 660_000_000), (0.001, 120_000)]
)
def test_video_costs_by_the_second(seconds: float, expected: int) -> None:
    assert video(Price(per_second=120_000_000), seconds) == expected


def test_a_part_of_a_nano_dollar_counts_as_a_whole_one() -> None:
    assert video(Price(per_second=1), 0.5) == 1
    assert estimate(Price(input=1), 1, 0) == 1


@pytest.mark.parametrize(("size", "tokens"), [(0, 0), (1, 1), (350, 115), (3500, 1150)])
def test_tokens_are_guessed_on_the_high_side(size: int, tokens: int) -> None:
    assert token_estimate(size) == tokens


@given(st.integers(min_value=0, max_value=10**8))
def test_a_guess_is_never_below_three_and_a_half_bytes_to_the_token(size: int) -> None:
    assert token_estimate(size) >= size / 3.5
    assert token_estimate(size) <= token_estimate(size + 1)


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "0"),
        (1, "0.000000001"),
        (NANO, "1"),
        (NANO // 8, "0.125"),
        (10 * NANO, "10"),
        (123_450_000_000, "123.45"),
    ],
)
def test_dollars_are_written_without_an_exponent(nano: int, text: str) -> None:
    assert dollars(nano) == text
