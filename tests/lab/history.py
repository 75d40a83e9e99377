"""What callers saw, what providers did and what was booked, and the invariants that hold over all of it."""

from collections.abc import Sequence

from msgspec import Struct
from sqlalchemy import select

from gateway.store.tables import ledger
from tests.lab.callers import Heard
from tests.lab.speech import ANSWER
from tests.lab.stage import Lab
from tests.lab.upstream import Served


class Row(Struct, kw_only=True):
    """One row of the ledger."""

    source: str
    kind: str
    model: str
    target: str
    input_tokens: int
    output_tokens: int
    nano_dollars: int | None


class History(Struct, kw_only=True):
    """All sides of what happened in a laboratory; `asked` counts the requests that were begun."""

    asked: int
    heard: Sequence[Heard]
    served: Sequence[Served]
    rows: Sequence[Row]


async def history(lab: Lab) -> History:
    """The history so far, with the ledger written to its end."""
    gateway = lab.gateway.gateway
    await gateway._books.flush()
    columns = [ledger.c[name] for name in Row.__struct_fields__]
    async with gateway._database.read() as transaction:
        rows = (await transaction.execute(select(*columns))).mappings().all()
    return History(
        asked=lab.callers.asked,
        heard=lab.callers.heard,
        served=[one for case in lab for up in case.targets for one in up.served],
        rows=[Row(**row) for row in rows],
    )


def check(seen: History, *, calls_per_request: float) -> None:
    """Every invariant at once."""
    every_request_ended(seen)
    nothing_half_looks_whole(seen)
    the_ledger_is_what_was_used(seen)
    assert len(seen.served) <= calls_per_request * seen.asked, "more calls than the retries allow"


def every_request_ended(seen: History) -> None:
    """With an answer or an error, never with both or neither."""
    assert len(seen.heard) == seen.asked
    assert all(one.done is (one.error is None) for one in seen.heard)


def nothing_half_looks_whole(seen: History) -> None:
    """An answer that calls itself complete is; one that broke is a beginning of it."""
    for one in seen.heard:
        assert not one.done or (one.text == ANSWER and one.finish == "stop")
        assert one.done or (ANSWER.startswith(one.text) and one.finish is None)


def the_ledger_is_what_was_used(seen: History) -> None:
    """Every answer that told its usage is booked with it, once; nothing else is but what broke, estimated."""
    exact = sorted((one.asked, one.said) for one in seen.served if one.told)
    booked = [(row.input_tokens, row.output_tokens) for row in seen.rows]
    for usage in exact:
        assert usage in booked, "an answer was not booked as the provider counted it"
        booked.remove(usage)
    broken = [one for one in seen.served if one.said and not one.told]
    assert len(booked) <= len(broken), "something was booked that nobody gave"
    assert all(row.nano_dollars == 1000 * row.input_tokens + 2000 * row.output_tokens for row in seen.rows)
    keys = [(row.source, row.kind) for row in seen.rows]
    assert len(set(keys)) == len(keys)
