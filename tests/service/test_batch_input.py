"""Lines of a file are found wherever reading begins, and one that is too long is not held."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from gateway.service import batch_input
from gateway.service.batch_input import Line, lines
from gateway.store.media import MediaStore
from gateway.store.media_files import Directory

MOST = 20
LINES = st.lists(st.sampled_from([b"", b" ", b"\r", b"a", b"bc", b"d" * MOST, b"e" * 50]), max_size=12)


async def read(text: bytes, start: int = 0) -> list[Line]:
    """The lines of a stored file."""

    async def chunks() -> AsyncIterator[bytes]:
        yield text

    with TemporaryDirectory() as folder:
        store = MediaStore(Path(folder), Directory(Path(folder)))
        file = await store.open((await store.write(chunks(), 10_000)).name)
        try:
            return [line async for line in lines(file, start)]
        finally:
            file.close()


@given(wanted=LINES, piece=st.integers(1, 16), ended=st.booleans())
def test_every_line_is_given_with_its_place_whatever_the_pieces(
    wanted: list[bytes], piece: int, ended: bool
) -> None:
    text = b"\n".join(wanted) + (b"\n" if ended else b"")
    before = batch_input._FIRST_PIECE, batch_input._PIECE, batch_input.MAX_LINE
    batch_input._FIRST_PIECE, batch_input._PIECE, batch_input.MAX_LINE = piece, piece + 2, MOST
    try:
        found = asyncio.run(read(text))
        later = asyncio.run(read(text, found[1].start)) if len(found) > 1 else []
    finally:
        batch_input._FIRST_PIECE, batch_input._PIECE, batch_input.MAX_LINE = before
    full = [(number, data) for number, data in enumerate(wanted, start=1) if data.strip()]
    assert [line.number for line in found] == [number for number, _ in full]
    assert [line.data for line in found] == [data if len(data) <= MOST else None for _, data in full]
    for line, (_, data) in zip(found, full, strict=True):
        assert text[line.start :].startswith(data)
    assert [(line.start, line.data) for line in later] == [(line.start, line.data) for line in found[1:]]
