"""What may happen to a video job, as one pure table. Nothing here does I/O or reads a clock.

Theory of operation
-------------------
A client sees four states: queued, in_progress, completed, failed. Inside, a job goes through phases, and a
phase says what a runner that picks the job up, perhaps after a crash, has to do next:

* accepted: nobody was asked yet, or the last one asked did not make it: choose a target and ask it.
* submitting: a target is being asked. Written down *before* the call goes out, so that a runner which finds
  a job in this phase knows that its predecessor died around a call that may have been heard. Only where the
  target recognises a repeated token may it ask again; otherwise the job is in doubt.
* uncertain: it is not known whether a target accepted. Nothing is submitted any more, since that could be paid
  for twice; it is looked for where the target lists what it has, and if nothing settles the doubt in time, the
  job fails.
* running: a target works on it and is polled.
* downloading: the target is done and its bytes are fetched; only stored bytes make a job completed.
* settling: the job is over, the charge is in the ledger, but what was reserved is not yet settled.
* done: nothing is left to do.

The table names every event that can happen in a phase and the phase it leads to; anything else is a bug and
raises. `follow` also holds what clients rely on: a state never goes back (queued < in_progress < completed,
failed), a terminal state absorbs, and progress never falls, not even when another target starts from zero;
100 is shown only for a completed job.
"""

from collections.abc import Mapping
from typing import TypeAlias

from msgspec import Struct

QUEUED, IN_PROGRESS, COMPLETED, FAILED = "queued", "in_progress", "completed", "failed"
TERMINAL = frozenset((COMPLETED, FAILED))

ACCEPTED, SUBMITTING, UNCERTAIN, RUNNING = "accepted", "submitting", "uncertain", "running"
DOWNLOADING, SETTLING, DONE = "downloading", "settling", "done"

Phase: TypeAlias = str
Event: TypeAlias = str

TRANSITIONS: Mapping[Phase, Mapping[Event, Phase]] = {
    ACCEPTED: {"wait": ACCEPTED, "submit": SUBMITTING, "fail": SETTLING},
    SUBMITTING: {
        "submit": SUBMITTING,  # the same token once more, where the target recognises it
        "created": RUNNING,
        "refused": ACCEPTED,
        "doubt": UNCERTAIN,
        "fail": SETTLING,
    },
    UNCERTAIN: {"wait": UNCERTAIN, "created": RUNNING, "fail": SETTLING},
    RUNNING: {"progress": RUNNING, "rendered": DOWNLOADING, "lost": ACCEPTED, "fail": SETTLING},
    DOWNLOADING: {"wait": DOWNLOADING, "lost": ACCEPTED, "complete": SETTLING, "fail": SETTLING},
    SETTLING: {"wait": SETTLING, "settled": DONE},
    DONE: {},
}

OPEN = frozenset(TRANSITIONS) - {DONE}
"""Phases in which what a job reserved is not settled."""
RESERVING = OPEN - {SETTLING}
"""Phases in which a job is not in the ledger yet, and only what it reserved counts."""

_OUTCOME: Mapping[Event, str] = {"complete": COMPLETED, "fail": FAILED}
_RANK: Mapping[str, int] = {QUEUED: 0, IN_PROGRESS: 1, COMPLETED: 2, FAILED: 2}
_ALMOST = 99


class Standing(Struct, frozen=True, kw_only=True):
    """Where a job stands: `state` and `progress` (0 to 100) for clients, `phase` for runners."""

    state: str = QUEUED
    phase: Phase = ACCEPTED
    progress: int = 0


def follow(standing: Standing, event: Event, *, state: str = QUEUED, progress: int | None = None) -> Standing:
    """Where the job stands after an event. `state` and `progress` are what the target says of itself.

    Raises ValueError for an event that cannot happen in this phase.
    """
    phase = TRANSITIONS[standing.phase].get(event)
    if phase is None:
        raise ValueError(f"the event {event!r} cannot happen to a job that is {standing.phase}")
    if standing.state in TERMINAL:
        return Standing(state=standing.state, phase=phase, progress=standing.progress)
    state = _OUTCOME.get(event) or (state if _RANK.get(state, 0) == 1 else QUEUED)
    if _RANK[state] < _RANK[standing.state]:
        state = standing.state
    shown = max(standing.progress, min(progress or 0, _ALMOST))
    return Standing(state=state, phase=phase, progress=100 if state == COMPLETED else shown)
