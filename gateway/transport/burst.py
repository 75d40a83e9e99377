"""Writes to sockets once per turn of the event loop, one right after the other.

A write to a sleeping peer wakes it, which costs several times what the write itself does. Under load a turn
serves many requests; when all of its writes go out together, most of them find their peer awake. A lone
request waits for nothing: its write is the only thing left to do in its turn.
"""

import asyncio

_waiting: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.WriteTransport, bytes]]] = {}


def write(transport: asyncio.WriteTransport, data: bytes) -> None:
    """Write at the end of this turn. Who writes past this function, or closes, before that must `flush` first."""
    loop = asyncio.get_running_loop()
    if loop in _waiting:
        _waiting[loop] += ((transport, data),)
    else:
        _waiting[loop] = [(transport, data)]
        loop.call_soon(flush, loop)


def flush(loop: asyncio.AbstractEventLoop) -> None:
    """Write what waits now."""
    for transport, data in _waiting.pop(loop, ()):
        if not transport.is_closing():
            transport.write(data)
