"""Which bytes of a file a client gets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.local.content import byte_range

DATA = bytes(range(100))
sizes, edges = st.integers(0, 100), st.integers(0, 120)


@given(size=sizes, start=edges)
def test_from_a_byte_on(size: int, start: int) -> None:
    part = byte_range(f"bytes={start}-", size)
    assert part is not None
    assert DATA[:size][part.start : part.stop] == DATA[:size][start:]


@given(size=sizes, start=edges, length=edges)
def test_from_a_byte_to_a_byte(size: int, start: int, length: int) -> None:
    part = byte_range(f"bytes={start}-{start + length}", size)
    assert part is not None
    assert len(part) == len(DATA[:size][start : start + length + 1])
    assert not part or part.start == start


@given(size=sizes, length=edges)
def test_the_last_bytes(size: int, length: int) -> None:
    part = byte_range(f"bytes=-{length}", size)
    assert part is not None
    assert (part.stop, len(part)) == (size, min(length, size))


@pytest.mark.parametrize(
    "header",
    ["", "bytes", "bytes=", "bytes=-", "bytes=5-3", "bytes=0-1,4-5", "items=0-1", "bytes=a-b", "bytes=--1"],
)
def test_what_cannot_be_served_in_part_is_served_whole(header: str) -> None:
    assert byte_range(header, 100) is None


@given(st.text(max_size=30), sizes)
def test_no_header_leads_outside_the_file(header: str, size: int) -> None:
    part = byte_range(f"bytes={header}", size)
    assert part is None or 0 <= part.start <= part.stop <= size
