"""What an MP4 says of its length and size, also when it is not what it seems."""

import struct
from pathlib import Path
from tempfile import TemporaryDirectory

import av
from hypothesis import given
from hypothesis import strategies as st

from providers.mp4 import Clip, clip


def made(frames: int = 36, width: int = 96, height: int = 64, **options: str) -> bytes:
    """A real MP4 of 24 frames a second."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "made.mp4"
        encode(path, frames, (width, height), options)
        return path.read_bytes()


def encode(path: Path, frames: int, size: tuple[int, int], options: dict[str, str]) -> None:
    width, height = size
    with av.open(path, "w", format="mp4", options=options) as out:
        stream = out.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for _ in range(frames):
            out.mux(stream.encode(av.VideoFrame(width, height, "yuv420p")))
        out.mux(stream.encode(None))


def of(data: bytes) -> Clip | None:
    return clip(lambda start, count: data[start : start + count], len(data))


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def test_length_and_size_are_read_wherever_the_index_is():
    for options in ({}, {"movflags": "+faststart"}):
        assert of(made(**options)) == Clip(seconds=1.5, width=96, height=64)


def test_long_fields_and_long_boxes_are_read():
    movie = b"\x01" + bytes(19) + struct.pack(">IQ", 1000, 2500) + bytes(80)
    track = b"\x01" + bytes(87) + struct.pack(">II", 320 << 16, 240 << 16)
    moov = box(b"mvhd", movie) + box(b"trak", box(b"tkhd", track))
    data = box(b"ftyp", b"isom") + struct.pack(">I4sQ", 1, b"mdat", 16 + 5) + b"bytes" + box(b"moov", moov)
    assert of(data) == Clip(seconds=2.5, width=320, height=240)


def test_what_has_no_picture_or_no_length_is_none():
    assert of(b"") is None
    assert of(box(b"ftyp", b"isom")) is None
    movie = bytes(12) + struct.pack(">II", 0, 100) + bytes(80)
    assert of(box(b"moov", box(b"mvhd", movie))) is None


WHOLE = made(frames=3, movflags="+faststart")


@given(st.integers(0, len(WHOLE)), st.integers(0, 900), st.binary(max_size=8))
def test_nothing_that_is_cut_or_spoiled_breaks_it(end: int, at: int, spoiled: bytes):
    of(WHOLE[:end])
    of(WHOLE[:at] + spoiled + WHOLE[at + len(spoiled) :])
