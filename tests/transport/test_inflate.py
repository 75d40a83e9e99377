"""Unpacking: the same bytes however they are split, never more than asked for, and no silent loss."""

import gzip
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.transport.inflate import PIECE, Inflate
from providers.errors import ErrorKind, ProviderError


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


CODINGS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "members": (
        "X-Gzip",
        lambda data: gzip.compress(data[:7]) + gzip.compress(b"") + gzip.compress(data[7:]),
    ),
    "deflate": ("deflate", zlib.compress),
    "raw": ("deflate", raw_deflate),
}


def unpacked(coding: str, packed: bytes, split: int, step: int) -> bytes:
    inflate, out = Inflate(coding), []
    for start in range(0, len(packed), split):
        piece = inflate.some(packed[start : start + split], step)
        while piece:
            assert len(piece) <= step
            out.append(piece)
            piece = inflate.some(b"", step)
    inflate.end()
    return b"".join(out)


@settings(deadline=None)
@given(
    st.sampled_from(sorted(CODINGS)),
    st.binary(max_size=400).map(lambda data: data * 7),
    st.integers(1, 50),
    st.integers(1, 300),
)
def test_a_body_is_the_same_however_it_is_split(name: str, data: bytes, split: int, step: int) -> None:
    coding, pack = CODINGS[name]
    assert unpacked(coding, pack(data), split, step) == data
    assert Inflate(coding).whole(pack(data), len(data)) == data


@pytest.mark.parametrize("name", CODINGS)
def test_a_bomb_is_unpacked_no_further_than_the_limit(name: str) -> None:
    coding, pack = CODINGS[name]
    packed = pack(b"\0" * 50_000_000)
    assert len(Inflate(coding).some(packed)) <= PIECE
    assert len(Inflate(coding).whole(packed, 1_000_000)) == 1_000_001


@pytest.mark.parametrize("name", CODINGS)
def test_a_body_cut_in_its_middle_is_an_error(name: str) -> None:
    coding, pack = CODINGS[name]
    packed = pack(b"hello hello hello")
    for length in range(1, len(packed)):
        if name == "members" and gzip_is_whole(packed[:length]):
            continue
        with pytest.raises(ProviderError) as caught:
            Inflate(coding).whole(packed[:length], 100)
        assert caught.value.kind is ErrorKind.PROTOCOL


def gzip_is_whole(packed: bytes) -> bool:
    try:
        gzip.decompress(packed)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return False
    return True


def test_garbage_and_unknown_codings_are_protocol_errors() -> None:
    for coding in ("gzip", "deflate"):
        with pytest.raises(ProviderError, match="damaged"):
            Inflate(coding).some(b"\xff\xff not compressed")
    for coding in ("br", "zstd", "gzip, gzip", "compress"):
        with pytest.raises(ProviderError, match="not asked for"):
            Inflate(coding)


def test_an_empty_body_is_empty() -> None:
    assert Inflate("gzip").whole(b"", 10) == b""
