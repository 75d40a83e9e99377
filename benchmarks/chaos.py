"""`python -m benchmarks.chaos`: kills gateways, worker, Redis and PostgreSQL all the time, and counts what is lost.

What runs, and what must hold, is in `tests/lab/chaos.py`; this is its long form. With `--chat` it is that of
`tests/lab/spending.py`: gateways and Redis are killed, Redis forgets, and the books are compared. Ends with 1 if a
promise was broken. The same `--seed` throws the same dice for kills, mishaps and orders; when they meet is the
machine's.
"""

import argparse
import asyncio
import contextlib
import sys
import time
from pathlib import Path

from tests.lab import accounts, chaos, spending
from tests.lab.parts import ProductionPostgres, ground


def main() -> int:
    """Run once and print the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=2000, help="videos to order (default: %(default)s)")
    parser.add_argument("--chat", action="store_true", help="chats instead of videos, and their money")
    parser.add_argument("--gateways", type=int, default=4, help="with --chat (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=10.0, help="of killing (default: %(default)s)")
    parser.add_argument("--every", type=float, help="seconds between kills (default: 0.5, with --chat 2)")
    parser.add_argument(
        "--rest", type=float, default=15.0, help="minutes until all is done (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the dice (default: the time)")
    parser.add_argument("--keep", type=Path, help="a directory that keeps what the parts wrote")
    given = parser.parse_args()
    with contextlib.nullcontext(given.keep) if given.keep is not None else ground() as folder:
        report, faults = (_chats if given.chat else _videos)(given, folder)
    sys.stdout.write(f"{report}\n")
    return 1 if faults else 0


def _videos(given: argparse.Namespace, folder: Path) -> tuple[str, bool]:
    plan = chaos.Plan(
        jobs=given.jobs,
        seconds=given.minutes * 60,
        every=given.every or 0.5,
        seed=given.seed,
        rest=given.rest * 60,
    )
    outcome = asyncio.run(chaos.run(plan, folder))
    return outcome.report(), bool(outcome.faults)


def _chats(given: argparse.Namespace, folder: Path) -> tuple[str, bool]:
    plan = spending.Plan(
        gateways=given.gateways, seconds=given.minutes * 60, every=given.every or 2.0, seed=given.seed
    )
    (folder / "postgres").mkdir(parents=True)
    postgres = ProductionPostgres(folder / "postgres")
    postgres.start()
    try:
        seen = asyncio.run(spending.run(plan, folder, postgres.create_database()))
    finally:
        postgres.stop()
    return accounts.report(seen), bool(accounts.broken(seen))


if __name__ == "__main__":
    sys.exit(main())
