"""How long a provider asks us to wait, from every place where one says so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.waits import LONGEST, retry_after

DATE = "Fri, 20 Nov 2026 12:40:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "23"}, 23),
        ({"retry-after": "1", "retry-after-ms": "900"}, 0.9),
        ({"retry-after": "Fri, 20 Nov 2026 12:40:07 GMT", "date": DATE}, 7),
        ({"retry-after": "Fri, 20 Nov 2026 12:39:00 GMT", "date": DATE}, 0),
        ({"retry-after": "1m3.5s"}, 63.5),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "120ms"}, 0.12),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, 360),
        ({"x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": "6m0s"}, None),
        ({"x-ratelimit-remaining-tokens-minute": "0", "x-ratelimit-reset-tokens-minute": "12.5"}, 12.5),
        (
            {
                "anthropic-ratelimit-input-tokens-remaining": "0",
                "anthropic-ratelimit-input-tokens-reset": "2026-11-20T12:41:00Z",
                "date": DATE,
            },
            60,
        ),
        ({"retry-after": "Fri, 20 Nov 2026 12:40:07 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_headers(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        (b'{"error":{"details":[{"@type":"x","retryDelay":"34.4s"}]}}', 34.4),
        (b'{"message":"Please try again in 900ms."}', 0.9),
        (b'{"message":"Please try again in 1m3.5s."}', 63.5),
        (b'{"message":"Please retry after 12 seconds."}', 12),
        (b'{"message":"Try again in 250 milliseconds"}', 0.25),
        (b'{"message":"try again in 2 minutes"}', 120),
        (b'{"message":"try again in 5 messages"}', None),
        (b'{"message":"retry when you like"}', None),
    ],
)
def test_bodies(body: bytes, seconds: float | None) -> None:
    assert retry_after({}, body) == (None if seconds is None else pytest.approx(seconds))


def test_a_date_counts_from_our_clock_when_the_answer_has_none() -> None:
    wait = retry_after({"retry-after": "Fri, 20 Nov 2026 12:40:07 GMT"}, now_unix=1795178400.0)
    assert wait == pytest.approx(7)


def test_a_senseless_wait_is_passed_over_for_the_next() -> None:
    assert retry_after({"retry-after": "86400"}, b"try again in 2s") == 2
    assert retry_after({"retry-after": "-5"}) is None


@given(st.text(max_size=30), st.text(max_size=30), st.binary(max_size=60))
def test_no_text_whatever_breaks_the_reader(wait: str, date: str, body: bytes) -> None:
    headers = {"retry-after": wait, "date": date, "retry-after-ms": date, "x-ratelimit-remaining-x": "0"}
    seconds = retry_after(headers | {"x-ratelimit-reset-x": wait}, body)
    assert seconds is None or 0 <= seconds <= LONGEST
