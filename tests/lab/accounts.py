"""Whether the books of a run of `spending.py` agree: provider, ledger, counters, and what is listed as unsettled."""

from collections import Counter
from collections.abc import Mapping

from gateway.limits.unsettled import Unsettled
from tests.lab.spending import CAP, LATE, PRICE, Asked, Evidence


def broken(seen: Evidence) -> list[str]:
    """Every disagreement in words, to the nano-dollar; empty when there is none."""
    checks = (_exactly_once, _unknown_only_by_kills, _counted, _closed)
    return [fault for check in checks for fault in check(seen)]


def report(seen: Evidence) -> str:
    """What happened, for people to read."""
    faults = broken(seen)
    billed = sum(seen.billed.values()) * PRICE
    ledger = sum(seen.had.values())
    statuses = Counter(one.status for one in seen.asked)
    told = {
        "faults": ", ".join(f"{count} x {fault}" for fault, count in sorted(seen.faults.items())),
        "asked": f"{len(seen.asked)} requests; "
        + ", ".join(f"{count} x {status or 'cut off'}" for status, count in sorted(statuses.items())),
        "billed": f"{billed / 1e9:.6f} dollars for {len(seen.billed)} answers",
        "ledger": f"{ledger / 1e9:.6f} dollars in {len(seen.had)} requests",
        "counted": f"{seen.counted.get('spent', 0) / 1e9:.6f} spent and {seen.counted.get('held', 0) / 1e9:.6f} held",
        "listed": f"{len(seen.listed)} unsettled, {sum(one.spent for one in seen.listed)} of them spent and not in "
        f"the ledger; {sum(one.nano_dollars for one in seen.listed) / 1e9:.6f} dollars",
        "forgotten": f"{len(_forgotten(seen))} were listed when Redis forgot them",
        "closed": f"{sum(row['nano_dollars'] for row in seen.rows) / 1e9:.6f} in the ledger, "
        f"{seen.left.get('spent', 0) / 1e9:.6f} spent and {seen.left.get('held', 0) / 1e9:.6f} held",
    }
    lines = [f"{name:10} {words}" for name, words in told.items()]
    lines += [f"BROKEN: {fault}" for fault in faults]
    return "\n".join([*lines, f"{len(faults)} disagreements"])


def _exactly_once(seen: Evidence) -> list[str]:
    """Each answer that is billed is in the ledger with its own price, once, or it is listed."""
    rows = [row for row in seen.rows if row["kind"] == "chat"]
    booked = Counter(row["input_tokens"] for row in rows)
    found = [f"request {number} was booked {count} times" for number, count in booked.items() if count > 1]
    found += [
        f"request {row['input_tokens']} was booked with {row['nano_dollars']}, not {_bill(seen, row['input_tokens'])}"
        for row in rows
        if row["nano_dollars"] != _bill(seen, row["input_tokens"])
    ]
    known = booked.keys() | _listed(seen).keys() | _forgotten(seen).keys()
    return found + [
        f"request {number} was billed {_bill(seen, number)}, and nobody knows"
        for number in seen.billed
        if number not in known
    ]


def _unknown_only_by_kills(seen: Evidence) -> list[str]:
    """What is listed, and not in the ledger, was in the hands of a gateway that was killed."""
    found = [
        f"nobody asked for this: {one.sentence()}"
        for one in seen.listed
        if one.request not in seen.had and _whose(seen, one) is None
    ]
    left = [*_listed(seen).values(), *_forgotten(seen).values()]
    return found + [
        f"request {one.number} is listed, and its gateway lived" for one in left if not _was_killed(seen, one)
    ]


def _counted(seen: Evidence) -> list[str]:
    """Before anything is closed: the counters are the ledger and what is listed. What Redis was not told of in time
    is listed as held, and in the ledger too."""
    held = sum(one.nano_dollars for one in seen.listed if not one.spent)
    noted = sum(one.nano_dollars - seen.had.get(one.lease, 0) for one in seen.listed if one.spent)
    doubled = sum(seen.had.get(one.request, 0) for one in seen.listed if not one.spent)
    wanted = {"held": held, "spent": sum(seen.had.values()) + noted - doubled}
    return _differ("before it was closed", seen.counted, wanted)


def _closed(seen: Evidence) -> list[str]:
    """After it the counters are the ledger, and nothing is held."""
    spent = sum(row["nano_dollars"] for row in seen.rows)
    return _differ("after it was closed", seen.left, {"held": 0, "leases": 0, "spent": spent})


def _differ(when: str, counted: Mapping[str, int], wanted: Mapping[str, int]) -> list[str]:
    return [
        f"{when} Redis counts {name} {counted.get(name, 0)}, not {value}"
        for name, value in wanted.items()
        if counted.get(name, 0) != value
    ]


def _listed(seen: Evidence) -> Mapping[int, Asked]:
    """Requests that are listed at the end and of which the ledger had nothing."""
    rest = [one for one in seen.listed if one.request not in seen.had]
    return {found.number: found for one in rest if (found := _whose(seen, one))}


def _forgotten(seen: Evidence) -> Mapping[int, Asked]:
    """Requests that were listed when Redis forgot, and that nobody knows since."""
    known = {row["input_tokens"] for row in seen.rows if row["kind"] == "chat"} | _listed(seen).keys()
    told = [found for one in seen.forgotten if (found := _whose(seen, one))]
    return {one.number: one for one in told if one.number not in known}


def _whose(seen: Evidence, one: Unsettled) -> Asked | None:
    """The request that it is of: what it reserved is its own; what was spent has its id, if its caller was told."""
    if not one.spent:
        number = one.nano_dollars // PRICE - CAP
        return seen.asked[number - 1] if 0 < number <= len(seen.asked) else None
    named = [asked for asked in seen.asked if asked.request == one.lease]
    like = [
        asked for asked in seen.asked if not asked.request and _bill(seen, asked.number) == one.nano_dollars
    ]
    return next(iter([*named, *like]), None)


def _bill(seen: Evidence, number: int) -> int:
    return seen.billed.get(number, 0) * PRICE


def _was_killed(seen: Evidence, one: Asked) -> bool:
    """Whether its gateway was, while it was in its hands or its settlement was."""
    return any(gateway == one.gateway and one.began <= at <= one.over + LATE for gateway, at in seen.killed)
