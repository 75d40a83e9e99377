"""What a webhook says and when it is sent again, as functions of values."""

import math

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from standardwebhooks import Webhook

from gateway.config.snapshot import Caller, Hook
from gateway.service.video_ports import WEBHOOK_WAITS
from gateway.service.webhooks import (
    GONE,
    JITTER,
    Outcome,
    after,
    headers_of,
    notice_of,
    outcome_of,
    secrets_of,
    wait_after,
)
from gateway.store.outbox import DEAD, DELIVERED, WAITING
from gateway.transport.post import Receipt
from providers.types import Secret
from tests.store.values import NOW, job

ENDED = job(state="completed", request={"surface": "videos", "model": "m", "prompt": "A kite"})
ASK = {**ENDED.request, "callback_url": "https://hooks.example/", "base_url": "https://g.example/"}


def test_only_who_asked_is_told_and_nobody_of_what_was_deleted() -> None:
    asked = replace(ENDED, request=ASK)
    told = notice_of(asked, NOW)
    assert told is not None
    assert (told.url, told.event, told.due_at) == ("https://hooks.example/", "video.completed", NOW)
    assert "A kite" not in repr(told.payload)
    assert notice_of(ENDED, NOW) is None
    assert notice_of(replace(asked, deleted_at=NOW), NOW) is None


def test_the_schedule_lasts_a_day_and_ends() -> None:
    waits = [wait_after(tries, WEBHOOK_WAITS, 0.5) for tries in range(1, len(WEBHOOK_WAITS) + 2)]
    assert waits == [*WEBHOOK_WAITS, None]
    assert 0.9 * 86_400 <= sum(WEBHOOK_WAITS) <= 86_400 * 1.1


@given(st.integers(1, len(WEBHOOK_WAITS)), st.floats(0, 1, exclude_max=True))
def test_chance_spreads_what_failed_together(tries: int, dice: float) -> None:
    wait = wait_after(tries, WEBHOOK_WAITS, dice)
    assert wait is not None
    assert abs(wait / WEBHOOK_WAITS[tries - 1] - 1) <= JITTER + 1e-9


@given(st.integers(100, 599), st.none() | st.floats(0, 3600), st.none() | st.floats(0, 86_400))
def test_only_2xx_delivers_and_only_410_and_the_end_of_the_schedule_give_up(
    status: int, asked: float | None, wait: float | None
) -> None:
    told = notice_of(replace(ENDED, request=ASK), NOW)
    assert told is not None
    stands = after(told, outcome_of(Receipt(status, asked)), NOW + 1, wait)
    assert stands.tries == 1
    if 200 <= status < 300:
        assert (stands.state, stands.delivered_at, stands.reason) == (DELIVERED, NOW + 1, None)
        return
    assert (stands.delivered_at, stands.reason) == (None, f"the receiver answered with status {status}")
    if status == GONE or wait is None:
        assert stands.state == DEAD
    else:
        assert stands.state == WAITING
        assert stands.due_at is not None
        assert math.isclose(stands.due_at, NOW + 1 + max(wait, asked or 0.0))


def test_a_failure_before_any_answer_is_tried_again() -> None:
    told = notice_of(replace(ENDED, request=ASK), NOW)
    assert told is not None
    assert after(told, Outcome(reason="its host did not answer"), NOW, 5.0).due_at == NOW + 5


def test_derived_secrets_differ_by_key_pepper_and_turn_and_the_last_one_signs_along() -> None:
    ann, bob = Caller(id="ann", name="a"), Caller(id="bob", name="b")
    turned = [
        secrets_of(replace(ann, hook=Hook(rotation=turn, url="https://h.example")), b"p") for turn in range(3)
    ]
    assert [len(secrets) for secrets in turned] == [1, 2, 2]
    assert turned[0] == secrets_of(ann, b"p")
    assert turned[1] == [turned[1][0], turned[0][0]]
    assert turned[2] == [turned[2][0], turned[1][0]]
    every = {secrets_of(ann, b"p")[0], secrets_of(bob, b"p")[0], secrets_of(ann, b"q")[0], turned[1][0]}
    assert len(every) == 4


def test_the_operators_own_secrets_win_and_each_signs() -> None:
    own = ["whsec_" + "QUFB" * 10, "whsec_" + "QkJC" * 10]
    caller = Caller(id="ann", name="a", hook=Hook(secrets=[Secret(one) for one in own], rotation=3))
    assert secrets_of(caller, b"p") == own
    assert own[0] not in repr(caller)
    told = notice_of(replace(ENDED, request=ASK), NOW)
    assert told is not None
    headers = headers_of(told, b'{"a": "\xc3\xa9"}', own, NOW + 0.9)
    signatures = headers["webhook-signature"].split(" ")
    assert headers["webhook-timestamp"] == str(int(NOW))
    assert len(signatures) == 2
    assert all(one.startswith("v1,") for one in signatures)
    assert len({*signatures}) == 2
    assert Webhook(own[0])  # a form the library takes
