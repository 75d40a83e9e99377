"""What runs in a media process: one order from standard input, one outcome to standard output, and it is over.

It decodes what a stranger made: it has few rights to memory and time, and stands back behind the gateway's own work.
"""

import os
import resource
import sys
from pathlib import Path

import msgspec

from gateway.media.words import Order, Outcome, Stills

_MEMORY = 4 * 1024**3
_FACTOR = 10


def carry_out(order: Order) -> Outcome:
    """Do it. The libraries are imported for what is asked, not before."""
    path = Path(order.path)
    if order.what == "stills":
        from gateway.media.stills import UnreadableError, stills  # noqa: PLC0415

        try:
            thumbnail, sheet = stills(path, order.mime)
        except UnreadableError as error:
            return Outcome(failure=f"it cannot be decoded ({error})")
        return Outcome(stills=Stills(thumbnail=thumbnail, spritesheet=sheet))
    from gateway.media.credentials import CredentialsError, read, sign  # noqa: PLC0415

    try:
        if order.claim is not None and order.signing is not None:
            ingredient = Path(order.ingredient) if order.ingredient else None
            sign(path, Path(order.target), order.claim, order.signing, ingredient)
            return Outcome()
        return Outcome(credentials=read(path))
    except CredentialsError as error:
        return Outcome(failure=str(error))
    except OSError as error:
        return Outcome(failure=error.strerror or type(error).__name__)


def main() -> None:
    """The program."""
    os.nice(_FACTOR)
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    if order.what == "stills":
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    sys.stdout.buffer.write(msgspec.json.encode(carry_out(order)))


if __name__ == "__main__":
    main()
