"""What an attempt's outcome means: when money may have been spent, nobody else is asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.config.snapshot import ProviderRow
from gateway.service.attempts import (
    JOB_LOST,
    MESSAGES,
    NOT_CREATED,
    SUBMIT,
    UNKNOWN,
    Patience,
    ask_again_after_loss,
    certainty,
    choose,
    locate,
    pause,
    poll_after,
    retry_at,
)
from gateway.store.jobs import Attempt
from providers.errors import ErrorKind, ProviderError
from providers.types import Secret
from tests.service.video_rig import snapshot, target
from tests.store.values import attempt

TARGETS = [target(name, "http://127.0.0.1:9") for name in "abc"]
PATIENCE = Patience(busy=1000.0, away=100.0)


def test_every_kind_of_error_has_a_meaning_and_words() -> None:
    assert set(SUBMIT) == set(ErrorKind)
    for reading in SUBMIT.values():
        assert reading.final or reading.code in MESSAGES
        assert not (reading.final and (reading.busy or reading.away))


@pytest.mark.parametrize("kind", ErrorKind)
def test_only_silence_after_sending_leaves_a_doubt(kind: ErrorKind) -> None:
    silent = kind in (ErrorKind.UNAVAILABLE, ErrorKind.TIMEOUT, ErrorKind.PROTOCOL)
    assert certainty(ProviderError(kind, "x", sent=True)) == (UNKNOWN if silent else NOT_CREATED)
    assert certainty(ProviderError(kind, "x", sent=False)) == NOT_CREATED


@given(st.sampled_from(ErrorKind), st.integers(1, 50), st.floats(0, 2000), st.none() | st.floats(0, 5000))
def test_a_target_is_never_asked_again_too_early_or_too_late(
    kind: ErrorKind, refusals: int, now: float, told: float | None
) -> None:
    at = retry_at(ProviderError(kind, "x", retry_after=told), refusals, now, PATIENCE)
    if at is not None:
        assert at >= now + (told or 0.0)
        assert at >= now + 1.0
        assert at < (1000.0 if SUBMIT[kind].busy else 100.0)
        assert SUBMIT[kind].busy or SUBMIT[kind].away


def test_pauses_grow_and_end() -> None:
    assert [pause(failures) for failures in (1, 2, 3, 4, 5, 6, 1000)] == [1, 2, 4, 8, 16, 30, 30]
    assert [poll_after(age, None, 0.5) for age in (0, 5, 30, 3600)] == [0.5, 0.5, 3, 10]
    assert poll_after(0, 7.5, 0.5) == 7.5
    assert poll_after(3600, 1, 0.5) == 10


def tried(name: str, retry: float | None) -> Attempt:
    return attempt(target=f"{name}/m", certainty=NOT_CREATED, retry_at=retry)


@pytest.mark.parametrize(
    ("attempts", "asked", "wait"),
    [
        ([], "a", None),
        ([tried("a", None)], "b", None),
        ([tried("a", 0.0)], "b", None),  # whoever was not asked yet goes first
        ([tried("a", None), tried("b", None), tried("c", None)], None, None),
        ([tried("a", 30.0), tried("b", 20.0), tried("c", None)], None, 20.0),
        ([tried("a", 30.0), tried("b", 9.0), tried("c", None)], "b", None),
        ([tried("a", 5.0), tried("b", 9.0), tried("c", 1.0)], "a", None),
        ([tried("a", 5.0), tried("b", None), tried("c", None), tried("a", None)], None, None),
    ],
)
def test_who_is_asked_next(attempts: list[Attempt], asked: str | None, wait: float | None) -> None:
    choice = choose(TARGETS, attempts, now=10.0)
    assert (choice.target.target.provider if choice.target else None) == asked
    assert choice.wait_until == wait


def test_a_lost_video_may_be_asked_for_once_more_at_the_same_target() -> None:
    lost = attempt(1, error_code=JOB_LOST)
    assert ask_again_after_loss([lost], 5.0) == 5.0
    assert ask_again_after_loss([attempt(1, target="b/m", error_code=JOB_LOST), attempt(2)], 5.0) == 5.0
    assert ask_again_after_loss([lost, attempt(2)], 5.0) is None


def test_an_operation_is_asked_after_where_it_was_created_with_todays_key() -> None:
    old = attempt(target="a/m", provider="a", base_url="http://old/v1")
    here = target("a", "http://new")
    here = replace(here, target=replace(here.target, credential=Secret("today")))
    place = locate(snapshot(here), "sora-2", old)
    assert place is not None
    assert (place.target.base_url, place.target.credential) == ("http://old/v1", Secret("today"))
    row = ProviderRow(
        id="a", kind="video", dialect="openai", base_url="http://new/v1", credential=Secret("row")
    )
    moved = locate(snapshot(target("b", "http://b"), providers={"a": row}), "sora-2", old)
    assert moved is not None
    assert (moved.target.base_url, moved.target.credential) == ("http://old/v1", Secret("row"))
    assert locate(snapshot(target("b", "http://b")), "sora-2", old) is None
