r"""Cuts the bytes of a server-sent event stream into events. Knows nothing of what the events mean.

Theory of operation. Line ends are first made `\n`; an event then ends at an empty line, so a piece is cut
with one `split(b"\n\n")`. What follows the last cut waits, as a list of pieces, until a later piece ends
it: nothing is joined twice, so the time is linear in the bytes however they were cut.

Two things may be cut in half by the network. A `\r` at the end of a piece counts as a line end at once, and
a `\n` that opens the next piece is then swallowed. A `\n` at the end of a piece is taken off and put in
front of the next piece, so that an empty line is seen also when its two `\n` came apart.

Nearly every event of a chat stream is one `data: {...}` line and is recognised without looking at fields.
"""

from msgspec import Struct

from providers.errors import ErrorKind, ProviderError

MAX_PENDING = 4 * 1024 * 1024
"""Bytes of one unfinished event: more is not an event stream."""

_BOM = b"\xef\xbb\xbf"


class Event(Struct, frozen=True, gc=False):
    r"""One event: `name` is the `event:` field ("" when absent), `data` its `data:` lines joined by `\n`.

    `data` is never empty: events without data (comments, keep-alives) are not given.
    """

    name: str
    data: bytes


class Splitter:
    """Reads one stream. Feed it every piece in order, then call `end` once."""

    __slots__ = ("_after_cr", "_line_ended", "_open", "_size")

    def __init__(self) -> None:
        self._open: list[bytes] = []
        self._size = 0
        self._line_ended = False
        self._after_cr = False

    def feed(self, piece: bytes) -> list[Event]:
        """The events that `piece` completes. Raises PROTOCOL when one event passes MAX_PENDING."""
        if self._after_cr or b"\r" in piece:
            piece = self._unify(piece)
        if self._line_ended:
            piece = b"\n" + piece
            self._line_ended = False
        blocks = piece.split(b"\n\n")
        rest = blocks.pop()
        if blocks and self._open:
            blocks[0] = b"".join((*self._open, blocks[0]))
            self._open = []
            self._size = 0
        if rest:
            self._keep(rest)
        events = []
        for block in blocks:
            if block.startswith(b"data: ") and b"\n" not in block and len(block) > 6:
                events.append(Event("", block[6:]))
            elif block and (event := _event(block)) is not None:
                events.append(event)
        return events

    def end(self) -> list[Event]:
        """The event left open when the stream ended without a last empty line; at most one."""
        event = _event(b"".join(self._open))
        self._open = []
        self._size = 0
        self._line_ended = False
        return [] if event is None else [event]

    def _unify(self, piece: bytes) -> bytes:
        if not piece:
            return piece
        if self._after_cr and piece[0] == 0x0A:
            piece = piece[1:]
        self._after_cr = piece.endswith(b"\r")
        return piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _keep(self, rest: bytes) -> None:
        self._line_ended = rest.endswith(b"\n")
        if self._line_ended:
            rest = rest[:-1]
        self._open.append(rest)
        self._size += len(rest) + 1
        if self._size > MAX_PENDING:
            message = f"The provider sent an event of more than {MAX_PENDING} bytes without an end."
            raise ProviderError(ErrorKind.PROTOCOL, message)


def _event(block: bytes) -> Event | None:
    """Reads the fields of one event; a byte order mark before the first is skipped."""
    name = ""
    data: list[bytes] = []
    for line in block.removeprefix(_BOM).split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ").decode(errors="replace")
    joined = b"\n".join(data)
    return Event(name, joined) if joined else None
