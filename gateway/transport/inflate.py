"""Undoes `content-encoding: gzip` and `deflate`, a bounded amount at a time.

We ask for `identity`; this is for upstreams that compress anyway. Output is produced only as it is asked
for, so that a small body which unpacks to gigabytes costs no more memory than the reader allows.
"""

import zlib

from providers.errors import ErrorKind, ProviderError

PIECE = 256 * 1024
"""Bytes one step unpacks at most."""

_ZLIB = 15  # the window bits by which zlib is told the format
_RAW_DEFLATE = -15
_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": _ZLIB}


class Inflate:
    """One compressed body, fed in pieces."""

    def __init__(self, coding: str) -> None:
        """Raise PROTOCOL for a coding that nobody asked for and we do not know."""
        bits = _WINDOW_BITS.get(coding.strip().lower())
        if bits is None:
            raise _unreadable(f"sent content-encoding {coding[:40]!r}, which was not asked for")
        self._bits = bits
        self._guess = bits == _ZLIB  # some servers send `deflate` without the zlib wrapping it stands for
        self._stream = zlib.decompressobj(bits)
        self._input = b""
        self._fresh = True
        self._cramped = False  # the last step was cut short by its limit: zlib may hold back more

    def some(self, data: bytes, limit: int = PIECE) -> bytes:
        """Take `data` in and give at most `limit` bytes out; empty once all that came in is unpacked."""
        self._input += data
        if self._guess:
            if len(self._input) < 2:
                return b""
            self._guess = False
            if self._input[0] & 15 != 8 or int.from_bytes(self._input[:2]) % 31:  # RFC 1950, section 2.2
                self._bits = _RAW_DEFLATE
                self._stream = zlib.decompressobj(_RAW_DEFLATE)
        output = b""
        while (self._input or self._cramped) and not output:
            output = self._step(limit)
        return output

    def whole(self, data: bytes, limit: int) -> bytes:
        """Take the rest of the body in and give all that is left out, or `limit` + 1 bytes if it is more."""
        pieces, size = [], 0
        piece = self.some(data, limit + 1)
        while piece:
            pieces.append(piece)
            size += len(piece)
            piece = self.some(b"", limit + 1 - size) if size <= limit else b""
        if size <= limit:
            self.end()
        return b"".join(pieces)

    def end(self) -> None:
        """Raise PROTOCOL when the body stopped in the middle of the compressed data."""
        if self._input or not (self._fresh or self._stream.eof):
            raise _unreadable("sent a compressed body that ends too early")

    def _step(self, limit: int) -> bytes:
        try:
            output = self._stream.decompress(self._input, limit)
        except zlib.error as error:
            raise _unreadable("sent a damaged compressed body") from error
        self._fresh = False
        self._cramped = len(output) == limit
        self._input = self._stream.unconsumed_tail
        if self._stream.eof and self._stream.unused_data:  # a gzip body may have several members
            self._input = self._stream.unused_data
            self._stream = zlib.decompressobj(self._bits)
        return output


def _unreadable(reason: str) -> ProviderError:
    return ProviderError(ErrorKind.PROTOCOL, f"The upstream {reason}.")
