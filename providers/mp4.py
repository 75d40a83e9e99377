"""Reads from an MP4 how long and how large its video is, without decoding it (ISO/IEC 14496-12, pure)."""

import struct
from collections.abc import Callable, Iterator
from typing import IO

from msgspec import Struct

Read = Callable[[int, int], bytes]
"""Gives up to so many bytes (the second) from a place (the first) on; fewer at the end of the file."""

_BOXES = 1000
"""A file of more boxes on one level is none that a camera or a model made."""
_LONGEST = 86_400.0
_C2PA = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")


class Clip(Struct, frozen=True, kw_only=True):
    """A video's length in seconds and its edges in pixels."""

    seconds: float
    width: int
    height: int


def reader(file: IO[bytes]) -> Read:
    """How an open file is read here."""

    def read(start: int, count: int) -> bytes:
        file.seek(start)
        return file.read(count)

    return read


def clip(read: Read, size: int) -> Clip | None:
    """What the file of `size` bytes says of itself; None when it is no MP4 with a video in it."""
    try:
        return _clip(read, size)
    except struct.error:  # cut short
        return None


def has_credentials(read: Read, size: int) -> bool:
    """Whether the file carries content credentials, sound or not: a box of C2PA's own (C2PA 2.4, embedding in BMFF)."""
    try:
        return any(kind == b"uuid" and read(start, 16) == _C2PA for kind, start, _ in _boxes(read, 0, size))
    except struct.error:  # cut short
        return False


def _clip(read: Read, size: int) -> Clip | None:
    seconds, edges = 0.0, (0, 0)
    for kind, start, end in _boxes(read, 0, size):
        if kind != b"moov":
            continue
        for inner, at, until in _boxes(read, start, end):
            if inner == b"mvhd":
                seconds = _length(read(at, 32))
            elif inner == b"trak":
                edges = max(edges, _edges(read, at, until))
    if not 0 < seconds <= _LONGEST or 0 in edges:
        return None
    return Clip(seconds=seconds, width=edges[0], height=edges[1])


def _boxes(read: Read, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, first byte of the content, and end of each box between two places."""
    for _ in range(_BOXES):
        head = read(start, 16)
        if start + 8 > end or len(head) < 8:
            return
        length, kind = struct.unpack_from(">I4s", head)
        content = start + 8
        if length == 1:
            content, (length,) = start + 16, struct.unpack_from(">Q", head, 8)
        until = end if length == 0 else start + length
        if until > end or until < content:
            return
        yield kind, content, until
        start = until


def _length(header: bytes) -> float:
    """Seconds, from a movie header."""
    scale, units = (
        struct.unpack_from(">IQ", header, 20)
        if header[:1] == b"\x01"
        else struct.unpack_from(">II", header, 12)
    )
    return units / scale if scale else 0.0


def _edges(read: Read, start: int, end: int) -> tuple[int, int]:
    """Width and height of a track; zeros for sound."""
    for kind, at, _ in _boxes(read, start, end):
        if kind == b"tkhd":
            header = read(at, 96)
            width, height = struct.unpack_from(">II", header, 88 if header[:1] == b"\x01" else 76)
            return width >> 16, height >> 16
    return 0, 0
