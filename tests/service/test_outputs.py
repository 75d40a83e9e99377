"""What is learned of the length of answers."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.service.outputs import ENOUGH, SAMPLES, Outputs


@given(st.lists(st.integers(0, 100_000), max_size=2 * SAMPLES))
def test_at_most_one_of_twenty_remembered_answers_was_longer(told: list[int]) -> None:
    outputs = Outputs()
    for tokens in told:
        outputs.note("key", "model", tokens)
    usual, kept = outputs.p95("key", "model"), told[-SAMPLES:]
    if len(kept) < ENOUGH:
        assert usual is None
    else:
        assert usual in kept
        assert sum(tokens > usual for tokens in kept) <= len(kept) / 20
    assert outputs.p95("other", "model") is None
