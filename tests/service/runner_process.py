"""A process that does nothing but run video jobs, so that a test can kill it: see test_runner_crash.py.

python -m tests.service.runner_process DATABASE_URL FOLDER PROVIDER_URL repeats|blind

Its webhooks may go to loopback, and are sent again soon.
"""

import asyncio
import sys
from pathlib import Path

from tests.service.video_rig import rig, snapshot, target


async def main(url: str, folder: str, provider: str, repeats: str) -> None:
    config = snapshot(
        target("one", provider, repeats=repeats == "repeats"), webhook_networks=("127.0.0.0/8",)
    )
    figures = {"lease": 0.8, "renew": 0.2, "uncertain": 0.2, "webhook_waits": (0.05,) * 100}
    async with rig(Path(folder), config, url=url, **figures):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
