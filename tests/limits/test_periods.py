"""Calendar periods agree with Python's own calendar."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.periods import period

MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(2399, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001
FORMATS = {"minute": "%Y-%m-%dT%H:%M", "hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "month": "%Y-%m"}


@given(MOMENTS, st.sampled_from(sorted(FORMATS)))
def test_a_period_is_the_calendars_and_holds_its_moment(moment: datetime, per: str) -> None:
    found = period(per, moment.timestamp())
    first, after = (datetime.fromtimestamp(edge, UTC) for edge in (found.start, found.end))
    assert found.name == moment.strftime(FORMATS[per])
    assert first <= moment < after
    assert first.strftime(FORMATS[per]) == found.name
    assert (after - timedelta(seconds=1)).strftime(FORMATS[per]) == found.name
    assert (first - timedelta(seconds=1)).strftime(FORMATS[per]) != found.name
    assert after.strftime(FORMATS[per]) != found.name


def test_leap_days_belong_to_february() -> None:
    leap = datetime(2028, 2, 29, 12, tzinfo=UTC).timestamp()
    assert period("day", leap).name == "2028-02-29"
    assert period("month", leap).end == datetime(2028, 3, 1, tzinfo=UTC).timestamp()
