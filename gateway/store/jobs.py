"""Rows of video jobs: accepted once, claimed under a lease, moved on only by whoever holds the newest claim.

Every claim raises the job's `fence`; `save` writes only where the fence is still the same, so a process
that lost its lease (paused, cut off, killed and revived) cannot overwrite what its successor did. Each
function runs inside the caller's transaction and knows nothing of what the states mean.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import RowMapping, Select, case, delete, func, insert, select, update

from gateway.store.engine import Transaction, is_postgres
from gateway.store.media_rows import MediaRow, add_media, media_of
from gateway.store.tables import attempts, jobs, media, outbox
from providers.types import Json


class Attempt(Struct, frozen=True, kw_only=True):
    """One submit to one target. `certainty` is created, not_created or unknown.

    `dialect` and `base_url` are kept because an operation is known only where it was created, whatever the
    configuration says by now. `price` is nano-dollars per second at the time of the submit, `gpu_price` the same
    per second that a GPU works, `cost` nano-dollars; None when not known. `retry_at` is when the target may be
    asked again after it did not make the job; None when it must not be.
    """

    number: int
    target: str
    provider: str
    provider_model: str
    dialect: str
    base_url: str
    certainty: str
    started_at: float
    ended_at: float | None = None
    operation: Json | None = None
    error_code: str | None = None
    price: int | None = None
    gpu_price: int | None = None
    cost: int | None = None
    retry_at: float | None = None


class Begun(Struct, frozen=True, kw_only=True):
    """An attempt with the id of its job and what that asked for."""

    job: str
    request: Json
    attempt: Attempt


class Job(Struct, frozen=True, kw_only=True):
    """One video job. `request`, `held`, `error` and `output` are JSON whose shape the service knows.

    `lease` names what admission reserved. `tries` counts failures in a row of the step in hand. `due_at` is
    when somebody must look at the job again, None when never. `waiting_since` is set while it waits for a slot at
    a worker, `eta_at` when it will probably be done. Times are Unix seconds, `cost` nano-dollars; `video_ms` is
    how much video was charged for. `cache_key` names the result for requests that allow an earlier one.
    """

    id: str
    caller: str
    organisation: str
    fingerprint: bytes
    model: str
    request: Json
    lease: str
    held: Any
    state: str
    phase: str
    created_at: float
    deadline_at: float
    due_at: float | None
    project: str = ""
    user: str = ""
    progress: int = 0
    tries: int = 0
    warnings: Sequence[str] = ()
    error: Json | None = None
    output: Json | None = None
    cost: int | None = None
    video_ms: int = 0
    completed_at: float | None = None
    expires_at: float | None = None
    deleted_at: float | None = None
    leased_until: float = 0.0
    fence: int = 0
    cache_key: bytes | None = None
    waiting_since: float | None = None
    eta_at: float | None = None
    attempts: Sequence[Attempt] = ()
    media: Sequence[MediaRow] = ()

    def file(self, role: str) -> MediaRow | None:
        """The stored file with that role."""
        return next((row for row in self.media if row.role == role), None)


_BATCH = 500
"""Leases asked for in one statement: below every engine's limit of parameters."""
_RELATED = frozenset(("attempts", "media"))
_COLUMNS = tuple(name for name in Job.__struct_fields__ if name not in _RELATED)
_SAVED = ("state", "phase", "progress", "tries", "warnings", "error", "output", "cost", "video_ms",
          "completed_at", "expires_at", "due_at", "waiting_since", "eta_at")  # fmt: skip


async def insert_job(transaction: Transaction, job: Job) -> None:
    """Write a new job together with the rows of its files and attempts."""
    await transaction.execute(insert(jobs).values({name: getattr(job, name) for name in _COLUMNS}))
    for attempt in job.attempts:
        await put_attempt(transaction, job.id, attempt)
    await add_media(transaction, job.id, job.media)


async def find_alike(transaction: Transaction, caller: str, fingerprint: bytes, since: float) -> str | None:
    """The newest job of this caller made by the same request.

    On PostgreSQL the answer holds to the end of the transaction: others that ask the same wait. On SQLite a
    writing transaction is alone anyway.
    """
    if is_postgres(transaction):
        number = int.from_bytes(fingerprint[:8], signed=True)
        await transaction.execute(select(func.pg_advisory_xact_lock(number)))
    query = (
        select(jobs.c.id)
        .where(jobs.c.caller == caller, jobs.c.fingerprint == fingerprint)
        .where(jobs.c.created_at >= since, jobs.c.deleted_at.is_(None))
        .order_by(jobs.c.id.desc())
        .limit(1)
    )
    return (await transaction.execute(query)).scalar()


async def find_cached(
    transaction: Transaction, caller: str, key: bytes, since: float, now: float
) -> Job | None:
    """The newest job of this caller with that result, completed since a time and not expired."""
    query = _visible(caller).where(jobs.c.cache_key == key, jobs.c.state == "completed")
    query = query.where(jobs.c.completed_at >= since, jobs.c.expires_at > now)
    found = await _load(transaction, query.order_by(jobs.c.id.desc()).limit(1))
    return found[0] if found else None


async def get(transaction: Transaction, caller: str, job: str) -> Job | None:
    """A caller's job. None when there is none, when it was deleted, and when it is somebody else's."""
    found = await _load(transaction, _visible(caller).where(jobs.c.id == job))
    return found[0] if found else None


async def get_any(transaction: Transaction, job: str) -> Job | None:
    """Anybody's job; None when there is none or it was deleted. For whoever has shown a right to it."""
    found = await _load(transaction, select(jobs).where(jobs.c.id == job, jobs.c.deleted_at.is_(None)))
    return found[0] if found else None


async def lock(transaction: Transaction, job: str) -> bool:
    """Keep a job from being purged until the transaction ends; false when it was deleted already."""
    query = select(jobs.c.id).where(jobs.c.id == job, jobs.c.deleted_at.is_(None)).with_for_update()
    return (await transaction.execute(query)).first() is not None


async def page(
    transaction: Transaction, caller: str, *, after: str | None, limit: int, newest_first: bool
) -> list[Job]:
    """Up to `limit` of a caller's jobs by creation, those beyond the id `after` (which need not exist)."""
    query = _visible(caller).limit(limit).order_by(jobs.c.id.desc() if newest_first else jobs.c.id)
    if after is not None:
        query = query.where(jobs.c.id < after if newest_first else jobs.c.id > after)
    return await _load(transaction, query)


async def claim(transaction: Transaction, now: float, until: float, limit: int) -> list[Job]:
    """Take up to `limit` due jobs that nobody holds, oldest due first, until a time."""
    query = (
        select(jobs.c.id)
        .where(jobs.c.due_at <= now, jobs.c.leased_until <= now)
        .order_by(jobs.c.due_at)
        .limit(limit)
    )
    if is_postgres(transaction):
        query = query.with_for_update(skip_locked=True)
    ids = list((await transaction.execute(query)).scalars())
    if not ids:
        return []
    values = {"leased_until": until, "fence": jobs.c.fence + 1, "hastened_at": None}
    taken = update(jobs).where(jobs.c.id.in_(ids)).values(values)
    await transaction.execute(taken)
    return await _load(transaction, select(jobs).where(jobs.c.id.in_(ids)).order_by(jobs.c.due_at))


async def waiting(transaction: Transaction, limit: int) -> list[Job]:
    """The first of those who wait for a slot: everybody's first job before anybody's second, else by creation.

    What a caller has under way already counts as jobs before the first.
    """
    under_way = (
        select(jobs.c.caller, func.count().label("jobs"))
        .where(jobs.c.due_at.is_not(None), jobs.c.waiting_since.is_(None))
        .group_by(jobs.c.caller)
        .subquery()
    )
    place = func.row_number().over(partition_by=jobs.c.caller, order_by=jobs.c.id)
    turn = place + func.coalesce(under_way.c.jobs, 0)
    query = (
        select(jobs.c.id)
        .outerjoin(under_way, under_way.c.caller == jobs.c.caller)
        .where(jobs.c.waiting_since.is_not(None), jobs.c.deleted_at.is_(None))
        .order_by(turn, jobs.c.id)
        .limit(limit)
    )
    ids = list((await transaction.execute(query)).scalars())
    found = {job.id: job for job in await _load(transaction, select(jobs).where(jobs.c.id.in_(ids)))}
    return [found[one] for one in ids]


async def left_at(transaction: Transaction, base_url: str, code: str, since: float) -> list[Attempt]:
    """Attempts at a place, begun since then, that ended with this code."""
    query = select(attempts).where(attempts.c.base_url == base_url, attempts.c.error_code == code)
    rows = (await transaction.execute(query.where(attempts.c.started_at >= since))).mappings()
    return [_attempt(row) for row in rows]


async def begun_at(transaction: Transaction, base_url: str, since: float, until: float) -> list[Begun]:
    """All attempts at a place that began between two times."""
    query = select(attempts, jobs.c.request).join(jobs, jobs.c.id == attempts.c.job)
    query = query.where(attempts.c.base_url == base_url, attempts.c.started_at.between(since, until))
    rows = (await transaction.execute(query)).mappings()
    return [Begun(job=row["job"], request=row["request"], attempt=_attempt(row)) for row in rows]


async def rouse(transaction: Transaction, ids: Sequence[str], now: float) -> bool:
    """Make jobs that wait due at once, those that nobody holds; whether there were any."""
    query = update(jobs).where(jobs.c.id.in_(ids), jobs.c.waiting_since.is_not(None))
    idle = query.where(jobs.c.due_at > now, jobs.c.leased_until <= now)
    return (await transaction.execute(idle.values(due_at=now))).rowcount > 0


async def tell_etas(transaction: Transaction, etas: Mapping[str, float]) -> None:
    """Write down when jobs that wait will probably be done, in Unix seconds by id."""
    for job, eta_at in etas.items():
        told = update(jobs).where(jobs.c.id == job, jobs.c.waiting_since.is_not(None))
        await transaction.execute(told.values(eta_at=eta_at))


async def next_due(transaction: Transaction) -> float | None:
    """When the next job may be claimed, in Unix seconds; None when none waits."""
    free_at = case((jobs.c.leased_until > jobs.c.due_at, jobs.c.leased_until), else_=jobs.c.due_at)
    soonest = await transaction.execute(select(func.min(free_at)).where(jobs.c.due_at.is_not(None)))
    free: float | None = soonest.scalar_one()
    return free


async def held(transaction: Transaction, phases: Collection[str]) -> Sequence[tuple[str, Any]]:
    """What jobs in these phases hold: `lease` and `held` of each."""
    query = select(jobs.c.lease, jobs.c.held).where(jobs.c.due_at.is_not(None), jobs.c.phase.in_(phases))
    return [(lease, what) for lease, what in await transaction.execute(query)]


async def open_leases(transaction: Transaction, leases: Sequence[str]) -> set[str]:
    """Which of these leases belong to jobs that are not done with."""
    found: set[str] = set()
    for start in range(0, len(leases), _BATCH):
        some = jobs.c.lease.in_(leases[start : start + _BATCH])
        found.update(
            (
                await transaction.execute(select(jobs.c.lease).where(jobs.c.due_at.is_not(None), some))
            ).scalars()
        )
    return found


async def hasten(transaction: Transaction, job: str, phase: str, now: float) -> None:
    """Make a job in a phase due at once; one that somebody holds, as soon as it is given back."""
    due = case((jobs.c.due_at > now, now), else_=jobs.c.due_at)
    hastened = update(jobs).where(jobs.c.id == job, jobs.c.phase == phase)
    await transaction.execute(hastened.values(due_at=due, hastened_at=now))


async def renew(transaction: Transaction, held: Mapping[str, int], until: float) -> set[str]:
    """Keep leases, given as job id to fence; returns the ids that are still ours.

    A lease its step has just given back stays given back: taken again, nobody would work on the job until it
    ran out.
    """
    ours: set[str] = set()
    kept_until = case((jobs.c.leased_until > 0, until), else_=0.0)
    for job, fence in held.items():
        kept = update(jobs).where(jobs.c.id == job, jobs.c.fence == fence).values(leased_until=kept_until)
        if (await transaction.execute(kept)).rowcount == 1:
            ours.add(job)
    return ours


async def save(transaction: Transaction, job: Job, *, release: bool) -> Job | None:
    """Write what may change of a job; None when somebody else has claimed it since (nothing is written).

    `release` gives the lease back, and makes a job due at once that was hastened while we held it. The result
    carries `deleted_at` as it is now: the job's owner may have deleted it in the meantime.
    """
    changes = {name: getattr(job, name) for name in _SAVED}
    if release:
        changes["leased_until"] = 0.0
        hastened = jobs.c.hastened_at
        changes["due_at"] = job.due_at and case((hastened < job.due_at, hastened), else_=job.due_at)
    query = update(jobs).where(jobs.c.id == job.id, jobs.c.fence == job.fence).values(changes)
    row = (await transaction.execute(query.returning(jobs.c.deleted_at))).first()
    return None if row is None else replace(job, deleted_at=row.deleted_at)


async def mark_deleted(transaction: Transaction, caller: str, job: str, now: float) -> Job | None:
    """Hide a job from its owner for good and make it due at once; None when it is not there for them."""
    query = update(jobs).where(jobs.c.id == job, jobs.c.caller == caller, jobs.c.deleted_at.is_(None))
    done = await transaction.execute(query.values(deleted_at=now, due_at=now, hastened_at=now))
    if done.rowcount == 0:
        return None
    return (await _load(transaction, select(jobs).where(jobs.c.id == job)))[0]


async def purge(transaction: Transaction, job: str) -> list[str]:
    """Remove a job with everything that belongs to it; returns the names of files to remove after commit."""
    names = list((await transaction.execute(select(media.c.name).where(media.c.job == job))).scalars())
    await transaction.execute(delete(outbox).where(outbox.c.job == job))
    await transaction.execute(delete(jobs).where(jobs.c.id == job))
    return names


async def put_attempt(transaction: Transaction, job: str, attempt: Attempt) -> None:
    """Write an attempt, new or changed; only inside a transaction that also saves the job."""
    values = {name: getattr(attempt, name) for name in Attempt.__struct_fields__}
    where = (attempts.c.job == job, attempts.c.number == attempt.number)
    changed = await transaction.execute(update(attempts).where(*where).values(values))
    if changed.rowcount == 0:
        await transaction.execute(insert(attempts).values(job=job, **values))


async def drop_attempt(transaction: Transaction, job: str, number: int) -> None:
    """Forget an attempt that nothing came of; only inside a transaction that also saves the job."""
    await transaction.execute(delete(attempts).where(attempts.c.job == job, attempts.c.number == number))


def _visible(caller: str) -> Select[Any]:
    return select(jobs).where(jobs.c.caller == caller, jobs.c.deleted_at.is_(None))


def _attempt(row: RowMapping) -> Attempt:
    return Attempt(**{name: row[name] for name in Attempt.__struct_fields__})


async def _load(transaction: Transaction, query: Select[Any]) -> list[Job]:
    rows = (await transaction.execute(query)).mappings().all()
    if not rows:
        return []
    ids = [row["id"] for row in rows]
    tried: dict[str, list[Attempt]] = {job: [] for job in ids}
    files = await media_of(transaction, ids)
    ordered = select(attempts).where(attempts.c.job.in_(ids)).order_by(attempts.c.number)
    for row in (await transaction.execute(ordered)).mappings():
        tried[row["job"]].append(_attempt(row))
    return [
        Job(
            **{name: row[name] for name in _COLUMNS},
            attempts=tuple(tried[row["id"]]),
            media=tuple(files[row["id"]]),
        )
        for row in rows
    ]
