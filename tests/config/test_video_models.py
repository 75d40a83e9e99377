"""The shipped table of video models: every row means something to the router."""

from datetime import UTC, datetime

import pytest

from gateway.config.catalogue import Catalogue, VideoRow, catalogue
from providers.types import VideoLimits
from providers.video import VIDEO
from providers.video.shapes import pixels, shape, tier

ROWS = [(dialect, row) for dialect, rows in catalogue().video.items() for row in rows]
TIERS = {"480p", "720p", "1080p", "2k", "4k"}
ROLES = {"first_frame", "last_frame", "reference_image", "reference_video", "source_video"}


@pytest.mark.parametrize(("dialect", "row"), ROWS, ids=[f"{dialect}/{row.model}" for dialect, row in ROWS])
def test_rows(dialect: str, row: VideoRow) -> None:
    assert dialect in VIDEO
    assert [one.model for one in catalogue().video[dialect]].count(row.model) == 1
    limits = row.limits()
    assert limits.seconds is None or (
        list(limits.seconds) == sorted(limits.seconds) and min(limits.seconds) > 0
    )
    assert limits.sizes is None or limits.ratios is None
    assert {*(limits.inputs or ()), *limits.needs} <= ROLES
    for offered in (limits.ratios or {}, limits.image_ratios or {}):
        assert offered.keys() <= TIERS
        for at, words in offered.items():
            for ratio in words:
                width, height = (int(edge) for edge in ratio.split(":"))
                if max(width, height) < 100:
                    assert tier(pixels(ratio, at)) == at
                    assert shape(pixels(ratio, at), offered) is not None


def test_a_span_is_every_whole_number_and_a_day_is_a_time() -> None:
    limits = VideoRow(model="m", seconds="2-5", retires_at="2026-12-01").limits()
    assert limits.seconds == [2, 3, 4, 5]
    assert limits.retires_at == datetime(2026, 12, 1, tzinfo=UTC).timestamp()


def test_the_longest_beginning_of_a_name_counts() -> None:
    rows = [VideoRow(model="", seconds=[5]), VideoRow(model="film"), VideoRow(model="film-2", seconds="1-3")]
    data = Catalogue(vendors={}, rules={}, prices={}, video={"openai": rows})
    assert data.video_limits("openai", "film-2-pro").seconds == [1, 2, 3]
    assert data.video_limits("openai", "film-1").seconds is None
    assert data.video_limits("openai", "other").seconds == [5]
    assert data.video_limits("nobody", "film") == VideoLimits()


@pytest.mark.parametrize("dialect", ["gemini_omni", "kling", "luma", "runway", "veo"])
def test_a_model_that_is_not_in_the_table_is_told_no_more_than_all_are(dialect: str) -> None:
    limits = catalogue().video_limits(dialect, "a-model-of-tomorrow")
    assert limits.fields is not None
    assert set(limits.fields) <= {"seed", "negative_prompt"}
    assert limits.ratios


def test_every_price_of_a_video_is_of_a_tier() -> None:
    for rows in catalogue().prices.values():
        for name, row in rows.items():
            tiers = row.per_second if isinstance(row.per_second, dict) else {}
            assert {*tiers, *row.silent} <= TIERS, name
            assert row.silent.keys() <= tiers.keys(), name
