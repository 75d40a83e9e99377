"""What a client may rely on, for every order of events that the table allows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.service.job_states import COMPLETED, DONE, TERMINAL, TRANSITIONS, Standing, follow

RANK = {"queued": 0, "in_progress": 1, "completed": 2, "failed": 2}


@given(st.data())
def test_states_never_go_back_and_progress_never_falls(data: st.DataObject) -> None:
    standing = Standing()
    for _ in range(data.draw(st.integers(0, 25))):
        events = sorted(TRANSITIONS[standing.phase])
        if not events:
            break
        before = standing
        told = data.draw(st.sampled_from(["queued", "in_progress", "completed", "failed", "gone", "odd"]))
        progress = data.draw(st.none() | st.integers(-5, 300))
        standing = follow(before, data.draw(st.sampled_from(events)), state=told, progress=progress)
        assert RANK[standing.state] >= RANK[before.state]
        assert before.progress <= standing.progress <= 100
        assert (standing.progress == 100) == (standing.state == COMPLETED)
        if before.state in TERMINAL:
            assert standing.state == before.state
        assert (standing.phase in ("settling", DONE)) == (standing.state in TERMINAL)


@pytest.mark.parametrize("phase", TRANSITIONS)
def test_what_the_table_does_not_name_cannot_happen(phase: str) -> None:
    events = {event for row in TRANSITIONS.values() for event in row}
    for event in events - set(TRANSITIONS[phase]):
        with pytest.raises(ValueError, match="cannot happen"):
            follow(Standing(phase=phase), event)


def test_every_phase_can_be_left_for_the_end() -> None:
    reachable = {DONE}
    while True:
        more = {phase for phase, row in TRANSITIONS.items() if set(row.values()) & reachable} | reachable
        if more == reachable:
            break
        reachable = more
    assert reachable == set(TRANSITIONS)
