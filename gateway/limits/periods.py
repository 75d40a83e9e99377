"""Calendar periods in UTC, from Unix seconds. Pure: no clock, no library of dates."""

from collections.abc import Mapping
from typing import NamedTuple

SECONDS: Mapping[str, int] = {"minute": 60, "hour": 3600, "day": 86_400, "month": 2_592_000}
"""Length of each window in seconds (a month is 30 days); budgets follow the calendar instead."""


class Period(NamedTuple):
    """A calendar period: its name (`2026-11`, `2026-11-20T13`), start and end in Unix seconds."""

    name: str
    start: float
    end: float


def period(per: str, now: float) -> Period:
    """The minute, hour, day or month that `now` lies in."""
    days = int(now // 86_400)
    year, month, day = _civil(days)
    if per == "month":
        first = days - day + 1
        after = next(first + length for length in (28, 29, 30, 31) if _civil(first + length)[1] != month)
        return Period(f"{year:04}-{month:02}", first * 86_400.0, after * 86_400.0)
    length = SECONDS[per]
    start = now // length * length
    hour, minute = int(start % 86_400) // 3600, int(start % 3600) // 60
    clock = {"day": "", "hour": f"T{hour:02}", "minute": f"T{hour:02}:{minute:02}"}[per]
    return Period(f"{year:04}-{month:02}-{day:02}{clock}", start, start + length)


def _civil(days: int) -> tuple[int, int, int]:
    """Year, month and day of a day counted from 1970-01-01.

    Inside, a year begins in March, so that the leap day is its last; 146,097 days make 400 years.
    """
    era, day_of_era = divmod(days + 719_468, 146_097)
    year = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year + year // 4 - year // 100)
    month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month + 2) // 5 + 1
    return year + era * 400 + (month >= 10), month - 9 if month >= 10 else month + 3, day
