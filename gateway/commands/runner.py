"""`fairlead runner`: moves videos and batches on without serving anybody, beside gateways on the same stores."""

import asyncio
import logging
import os
import sys
from pathlib import Path
from signal import SIGINT, SIGTERM

from gateway.app import Gateway
from gateway.config.settings import Settings, read


def run(config: Path | None) -> None:
    """Work until told to stop; steps in hand are finished, leases given back. Exits with 1 when it cannot start."""
    form = "%(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=logging.WARNING, format=form, stream=sys.stderr)
    logging.getLogger("fairlead").setLevel(logging.INFO)
    settings = read(os.environ, config)
    if settings.redis_url is None:
        sys.exit(
            "`fairlead runner` needs FAIRLEAD_REDIS_URL: without it the gateways would not learn what it settles."
        )
    asyncio.run(_work(settings))


async def _work(settings: Settings) -> None:
    told = asyncio.Event()
    for number in (SIGINT, SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    async with Gateway(settings, os.environ).working(runs_jobs=True):
        sys.stdout.write("Fairlead moves video jobs on\n")
        sys.stdout.flush()
        await told.wait()
