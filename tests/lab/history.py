"""What callers saw, what providers did and what was booked, and the invariants that hold over all of it."""

import contextlib
from collections.abc import Sequence

from msgspec import Struct
from sqlalchemy import select

from gateway.errors import Unavailable
from gateway.store.tables import ledger
from tests.lab.callers import Heard
from tests.lab.speech import ANSWER
from tests.lab.stage import Lab
from tests.lab.upstream import Served
from tests.system.process import until_async


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
    """The history so far, with the ledger written to its end: a database that was away has to come back."""
    rows: list[Row] = []
    gateway = lab.gateway.gateway
    columns = [ledger.c[name] for name in Row.__struct_fields__]

    async def read() -> bool:
        await gateway._books.flush()
        with contextlib.suppress(Unavailable):
            async with gateway._database.read() as transaction:
                rows[:] = [Row(**row) for row in (await transaction.execute(select(*columns))).mappings()]
            return not gateway._books._waiting
        return False

    await until_async(read)
    return History(
        asked=lab.callers.asked,
        heard=lab.callers.heard,
        served=[one for case in lab for up in case.targets for one in up.served],
        rows=rows,
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
    """A complete answer is booked with the usage its caller was told, which is the provider's own unless it
    had several parts; a broken one, or one whose usage was lost behind its finish, by what it had said; one
    that never began not at all. Each part once."""
    booked: dict[str, list[Row]] = {}
    for row in seen.rows:
        booked.setdefault(row.source, []).append(row)
    counted = {(one.asked, one.said) for one in seen.served if one.told}
    for one in seen.heard:
        rows = booked.pop(one.headers["x-request-id"], [])
        used = (sum(row.input_tokens for row in rows), sum(row.output_tokens for row in rows))
        if one.done and one.usage is not None:
            assert used == (one.usage["prompt_tokens"], one.usage["completion_tokens"])
            assert len(rows) == 1 + len(one.facts.get("continued", ()))
            assert len(rows) > 1 or used in counted
        else:
            assert bool(rows) is bool(one.text)
    assert not booked, "something was booked that nobody asked for"
    assert all(row.nano_dollars == 1000 * row.input_tokens + 2000 * row.output_tokens for row in seen.rows)
