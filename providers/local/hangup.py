"""Noticing that the process at the other end of a pipe is gone."""

import select


def wait_for_hangup(descriptor: int) -> None:
    """Block until the other end of the pipe or socket `descriptor` is closed; reads nothing from it."""
    poll = select.poll()
    poll.register(descriptor, 0)  # a hang-up is told whether asked for or not
    poll.poll()
