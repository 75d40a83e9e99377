"""One round of work that goes on for ever beside the requests."""

import logging
from collections.abc import Awaitable, Callable

from gateway.errors import Unavailable

log = logging.getLogger("fairlead.runner")


async def went_well(work: Callable[[], Awaitable[None]]) -> bool:
    """Do it once; what goes wrong is logged, told as false, and the next round comes."""
    try:
        await work()
    except Unavailable:
        log.warning("a store does not answer; jobs and batches wait")
    except Exception:  # a bug here must not end all the work
        log.exception("the work on jobs and batches met an error")
    else:
        return True
    return False
