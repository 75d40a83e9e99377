"""`python -m benchmarks.chaos`: kills gateways, worker, Redis and PostgreSQL all the time, and counts what is lost.

What runs, and what must hold, is in `tests/lab/chaos.py`; this is its long form. Ends with 1 if a promise was
broken. The same `--seed` throws the same dice for kills, mishaps and orders; when they meet is the machine's.
"""

import argparse
import asyncio
import sys
import time
from pathlib import Path

from tests.lab.chaos import Plan, run
from tests.lab.parts import ground


def main() -> int:
    """Run once and print the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=2000, help="videos to order (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=10.0, help="of killing (default: %(default)s)")
    parser.add_argument(
        "--every", type=float, default=0.5, help="seconds between kills (default: %(default)s)"
    )
    parser.add_argument(
        "--rest", type=float, default=15.0, help="minutes until all is done (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the dice (default: the time)")
    parser.add_argument("--keep", type=Path, help="a directory that keeps what the parts wrote")
    given = parser.parse_args()
    plan = Plan(
        jobs=given.jobs, seconds=given.minutes * 60, every=given.every, seed=given.seed, rest=given.rest * 60
    )
    if given.keep is not None:
        outcome = asyncio.run(run(plan, given.keep))
    else:
        with ground() as folder:
            outcome = asyncio.run(run(plan, folder))
    sys.stdout.write(f"{outcome.report()}\n")
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
