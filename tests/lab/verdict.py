"""What a run of chaos left behind, looked at from the outside, and the promises that it must have kept.

Nothing here asks the gateway's code: rows are read from the database by SQL, the worker's books from its own
file, the limits from Redis, and what was sent is what its receiver got.
"""

import itertools
import json
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import redis
from msgspec import Struct

from tests.lab.crowd import Order
from tests.lab.fleet import PRICES, SECONDS, Fleet

TERMINAL = ("completed", "failed")
_RANK = {"queued": 0, "in_progress": 1, "completed": 2, "failed": 2}


class Submit(Struct, frozen=True, kw_only=True):
    """One attempt as its provider saw it: how often it was begun there, and what that costs (nano-dollars)."""

    provider: str
    begun: int
    bill: int


class Evidence(Struct, frozen=True, kw_only=True):
    """All sides. `submits` is what providers began, by our token of the attempt; `told` are the webhooks as they came
    (see `Fleet`); `counters` is what is left in Redis by counter; `files` are sizes by
    name."""

    orders: Sequence[Order]
    jobs: Mapping[str, Mapping[str, Any]]
    attempts: Sequence[Mapping[str, Any]]
    ledger: Sequence[Mapping[str, Any]]
    outbox: Sequence[Mapping[str, Any]]
    media: Sequence[Mapping[str, Any]]
    submits: Mapping[str, Submit]
    told: Sequence[tuple[str, str, str, bool]]
    counters: Mapping[str, int]
    files: Mapping[str, int]
    surprises: Mapping[str, int]


def gather(fleet: Fleet, orders: Sequence[Order]) -> Evidence:
    """Everything but `submits` as it stands now, while all servers answer."""
    rows = fleet.rows
    return Evidence(
        orders=orders,
        submits={},
        jobs={row["id"]: row for row in rows("select * from jobs")},
        attempts=rows("select * from attempts order by job, number"),
        ledger=rows("select * from ledger"),
        outbox=rows("select * from outbox"),
        media=rows("select * from media where role = 'video'"),
        told=fleet.told,
        counters=counters(fleet.redis.url),
        files={path.name: path.stat().st_size for path in fleet.media.iterdir()},
        surprises=fleet.surprises(),
    )


def counters(url: str) -> Mapping[str, int]:
    """What Redis holds: `slots` of unfinished jobs, nano-dollars `held` and `spent`, `leases` not settled."""
    found: Counter[str] = Counter()
    with redis.Redis.from_url(url) as client:
        for key in client.scan_iter("gw:*"):
            name = key.decode().partition("}:")[2]
            if name.startswith("j:"):
                found["slots"] += client.zcard(key)
            elif name.startswith("b:"):
                spent, held = client.hmget(key, "spent", "held")
                found["spent"] += int(spent or 0)
                found["held"] += int(held or 0)
            elif name.startswith("l:"):
                found["leases"] += bool(client.get(key))
    return found


def broken(seen: Evidence) -> list[str]:
    """Every promise that was not kept, in words; empty when all were."""
    checks = (_accepted_once, _ended, _seen_in_order, _submitted_once, _charged_once, _stored, _heard, _freed)
    found = [fault for check in checks for fault in check(seen)]
    return [*found, *(f"surprise x{count}: {what}" for what, count in seen.surprises.items())]


def submits(fleet: Fleet) -> Mapping[str, Submit]:
    """What the providers' own books say, once the worker is gone, which lets nobody else read its own."""
    agency, price = fleet.agency, {name: SECONDS * nano for name, nano in PRICES.items()}
    failed = {video.token for video in agency.videos.values() if video.failed}
    found = {
        token: Submit(provider="agency", begun=count, bill=(token not in failed) * count * price["agency"])
        for token, count in agency.accepted.items()
    }
    with closing(sqlite3.connect(f"file:{fleet.worker.table}?mode=ro", uri=True)) as books:
        made = books.execute("select token, status, count(*) from jobs group by token, status").fetchall()
    for token, status, count in made:
        assert token not in found, "one token at two providers"
        bill = (status == "completed") * count * price["studio"]
        found[token] = Submit(provider="studio", begun=count, bill=bill)
    return found


def _accepted_once(seen: Evidence) -> list[str]:
    ids = Counter(one.id for one in seen.orders)
    lost = [f"job {job} was accepted and is gone" for job in ids if job not in seen.jobs]
    doubled = [f"{count} orders became job {job}" for job, count in ids.items() if count > 1]
    return (
        lost + doubled + [f"job {job} was made twice for one order" for job in seen.jobs.keys() - ids.keys()]
    )


def _ended(seen: Evidence) -> list[str]:
    return [
        f"job {job} is {row['state']}, {row['phase']}"
        for job, row in seen.jobs.items()
        if row["state"] not in TERMINAL or row["phase"] != "done"
    ]


def _seen_in_order(seen: Evidence) -> list[str]:
    """No client saw a job go back, not in its status and not in its progress."""
    found = []
    for one in seen.orders:
        looks = [(_RANK[status], progress) for status, progress in one.looks]
        back = any(a[0] > b[0] or a[1] > b[1] for a, b in itertools.pairwise(looks))
        ends = {status for status, _ in one.looks if status in TERMINAL}
        if back or len(ends) > 1:
            found.append(f"job {one.id} went back: {one.looks}")
    return found


def _submitted_once(seen: Evidence) -> list[str]:
    """Each attempt began at most one video at its provider, and nobody was asked after one in doubt."""
    ours = {f"{row['job']}-{row['number']}": row for row in seen.attempts}
    found = [f"{token} was begun {one.begun} times" for token, one in seen.submits.items() if one.begun != 1]
    found += [f"{token} is an attempt nobody wrote down" for token in seen.submits.keys() - ours.keys()]
    for token, row in ours.items():
        if row["certainty"] == "created" and token not in seen.submits:
            found.append(f"{token} is said to be begun and is not")
        if row["certainty"] == "not_created" and token in seen.submits:
            found.append(f"{token} is said not to be begun and is")
        doubtful = row["certainty"] == "unknown"
        if doubtful and f"{row['job']}-{row['number'] + 1}" in ours:
            found.append(f"somebody else was asked after {token}, which was in doubt")
    return found


def _charged_once(seen: Evidence) -> list[str]:
    """The ledger is the providers' bill to the nano-dollar, but for videos whose submit stayed in doubt."""
    rows = Counter(row["source"] for row in seen.ledger)
    found = [f"job {job} was charged {count} times" for job, count in rows.items() if count > 1]
    charged = {row["source"]: row["nano_dollars"] for row in seen.ledger}
    bill: Counter[str] = Counter()
    for token, one in seen.submits.items():
        job = token.rpartition("-")[0]
        bill[job] += 0 if in_doubt(seen.jobs.get(job, {})) else one.bill
    found += [
        f"job {job} was charged {charged.get(job, 0)} and billed {bill[job]}"
        for job in seen.jobs
        if charged.get(job, 0) != bill[job]
    ]
    completed = {job for job, row in seen.jobs.items() if row["state"] == "completed"}
    return found + [f"job {job} was delivered for nothing" for job in completed - charged.keys()]


def _stored(seen: Evidence) -> list[str]:
    kept = {row["job"]: row for row in seen.media}
    completed = [job for job, row in seen.jobs.items() if row["state"] == "completed"]
    return [
        f"job {job} is completed and its file is not there"
        for job in completed
        if job not in kept or seen.files.get(kept[job]["name"]) != kept[job]["size"]
    ]


def _heard(seen: Evidence) -> list[str]:
    """Each end was told at least once, under one id, with a good signature, and says what is so."""
    found = [f"webhook {name} of {job} is not genuine" for name, job, _, good in seen.told if not good]
    heard = {(name, job, status) for name, job, status, _ in seen.told}
    owed = {(row["id"], row["job"], seen.jobs[row["job"]]["state"]) for row in seen.outbox}
    found += [f"webhook {name} of {job} was never heard" for name, job, _ in owed - heard]
    found += [f"webhook {name} of {job} says what is not so" for name, job, _ in heard - owed]
    counts = Counter(row["job"] for row in seen.outbox)
    found += [f"job {job} has {counts[job]} webhooks" for job in seen.jobs if counts[job] != 1]
    return found + [f"webhook {row['id']} is not delivered" for row in seen.outbox if not row["delivered_at"]]


def _freed(seen: Evidence) -> list[str]:
    """Nothing is reserved any more, and the budget knows exactly what the ledger says."""
    spent = sum(row["nano_dollars"] or 0 for row in seen.ledger)
    wanted = {"slots": 0, "held": 0, "leases": 0, "spent": spent}
    return [
        f"the limits say {name} {seen.counters.get(name, 0)}, not {value}"
        for name, value in wanted.items()
        if seen.counters.get(name, 0) != value
    ]


def ends(seen: Evidence) -> Mapping[str, int]:
    """How many jobs ended how: completed, or the code of their error."""
    found = (json.loads(row["error"] or "{}").get("code", row["state"]) for row in seen.jobs.values())
    return Counter(found)


def in_doubt(job: Mapping[str, Any]) -> bool:
    """Whether a job ended without anybody knowing whether its provider began it."""
    return json.loads(job.get("error") or "{}").get("code") == "submit_uncertain"
