"""What the answers of task APIs have in common."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.service.attempts import MESSAGES, SUBMIT
from providers.errors import ErrorKind, ProviderError
from providers.types import HttpResponse, VideoOutput
from providers.video import tasks

odd = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.lists(st.integers())


@given(odd)
def test_a_number_is_finite_and_not_negative_or_it_is_none(value: Any) -> None:
    found, whole = tasks.number(value), tasks.whole(value)
    assert (found is None) == (whole is None)
    assert found is None or 0 <= found < float("inf")


@pytest.mark.parametrize(
    ("told", "number"),
    [("5.04", 5.04), (8, 8.0), ("", None), (True, None), ("-1", None), (float("nan"), None)],
)
def test_numbers_come_as_such_or_as_text(told: object, number: float | None) -> None:
    assert tasks.number(told) == number


@given(odd)
def test_progress_is_between_0_and_100(value: Any) -> None:
    progress = tasks.running(HttpResponse(status=200, headers={}, body=b""), "in_progress", value).progress
    assert progress is None or 0 <= progress <= 100


@given(st.binary(max_size=30))
def test_a_body_is_an_object_or_empty(body: bytes) -> None:
    assert isinstance(tasks.body_of(HttpResponse(status=200, headers={}, body=body)), dict)


@pytest.mark.parametrize("kind", ErrorKind)
def test_a_failed_job_and_a_refused_submit_go_by_the_same_words(kind: ErrorKind) -> None:
    update, submit = tasks.failed(ProviderError(kind, "why")), SUBMIT[kind]
    assert (update.state, update.code, update.message) == ("failed", submit.code, "why")
    assert update.blamed == submit.final
    assert update.blamed or update.code in MESSAGES


@pytest.mark.parametrize("url", [None, "", 7, []])
def test_a_job_that_is_finished_without_a_file_has_failed(url: object) -> None:
    assert tasks.finished(url, VideoOutput()).state == "failed"
