"""How long a provider asks us to wait, read from wherever it says so. Seconds; reads no clock."""

import re
from calendar import timegm
from collections.abc import Mapping
from email.utils import mktime_tz, parsedate_tz

LONGEST = 3600.0
"""Seconds: a longer (or negative) wait is a mistake or an outage, and is not believed."""

_UNITS = {"ms": 0.001, "millis": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s?(ms|millis|s|m|h)", re.IGNORECASE)
_UNIT = r"(?:ms|milliseconds?|s|sec(?:ond)?s?|m|min(?:ute)?s?|h|hours?)(?![a-z])"
_SPELLED = re.compile(rf"(?:try again|retry) (?:in|after) ((?:\d+(?:\.\d+)?\s?{_UNIT}\s?)+)", re.IGNORECASE)
_DELAY = re.compile(r'"retryDelay"\s*:\s*"([^"]{1,32})"')
_RFC3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d+)?Z")
_REMAINING = re.compile(r"(?:x-ratelimit-remaining-\w+(?:-\w+)?|anthropic-ratelimit-[\w-]+-remaining)$")


def retry_after(
    headers: Mapping[str, str], body: bytes = b"", *, now_unix: float | None = None
) -> float | None:
    """Seconds until another try is worth it, None when the provider does not say (CHAT_WIRE 2.9 step 6).

    The first that gives 0 to LONGEST wins: `retry-after-ms`, `retry-after`, `RetryInfo.retryDelay` in the
    body, "try again in 900ms" in its text, and the resets of rate limits that have nothing left. Dates count
    from the answer's own `date` header, else from `now_unix`; without either they are not read.
    """
    now = unix_time(headers.get("date", ""))
    if now is None:
        now = now_unix
    text = body[:65536].decode(errors="replace")
    waits = (
        _scaled(headers.get("retry-after-ms", ""), 0.001),
        _wait(headers.get("retry-after", ""), now),
        _first_span(_DELAY, text),
        _first_span(_SPELLED, text),
        _longest_reset(headers, now),
    )
    return next((wait for wait in waits if wait is not None and 0 <= wait <= LONGEST), None)


def _wait(value: str, now: float | None) -> float | None:
    """A wait as seconds ("1.5"), as a span ("1m3.5s", "900ms") or as a date."""
    seconds = _scaled(value, 1.0)
    if seconds is not None:
        return seconds
    when = unix_time(value)
    if when is not None:
        return None if now is None else max(when - now, 0.0)
    return _span(value)


def _scaled(value: str, unit: float) -> float | None:
    return float(value) * unit if re.fullmatch(r"\d{1,12}(?:\.\d{1,9})?", value.strip()) else None


def _span(value: str) -> float | None:
    parts = _SPAN.findall(value)
    return sum(float(number) * _UNITS[unit.lower()] for number, unit in parts) if parts else None


def _first_span(pattern: re.Pattern[str], text: str) -> float | None:
    found = pattern.search(text)
    return _span(found.group(1)) if found else None


def unix_time(value: str) -> float | None:
    """Unix seconds of an RFC 3339 time in UTC or of an HTTP date."""
    if found := _RFC3339.match(value):
        return float(timegm(tuple(int(part) for part in found.groups())))
    parsed = parsedate_tz(value) if "," in value else None
    return float(mktime_tz(parsed)) if parsed else None


def _longest_reset(headers: Mapping[str, str], now: float | None) -> float | None:
    """OpenAI and Anthropic name each limit's reset; only a limit with nothing left makes one wait."""
    empty = (name for name, left in headers.items() if left == "0" and _REMAINING.match(name))
    waits = (_wait(headers.get(name.replace("remaining", "reset"), ""), now) for name in empty)
    return max((wait for wait in waits if wait is not None), default=None)
