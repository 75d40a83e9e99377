"""Frames to an MP4 that plays everywhere, and a still of it. Frames are streamed, never gathered.

The video is H.264 in yuv420p with BT.709 colours, its index in front so that players start at once. That
pixel format keeps one colour sample for two by two pixels, so both edges must be even: an odd edge is
rounded up by `even`, and the engine draws that one row or column more.

The same frames give the same bytes: no time stamps are written, and the encoder uses one thread. Where a card
has an encoder of its own, that is used.
"""

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image

from providers.local.engine import SPRITESHEET, THUMBNAIL, VIDEO, Output

Pixels = NDArray[np.uint8]
"""Rows, columns, and for colour pictures red, green, blue."""

_MUXER = {"movflags": "+faststart", "fflags": "+bitexact"}
_FAST = {"preset": "ultrafast", "crf": "20", "threads": "1", "x264-params": "cabac=1:deblock=0,0"}
"""The quickest preset with the two tools back that halve the file for no measurable time: 160 frames a
second at 1280x720 on one core, where `superfast` makes 80 and twice the bytes (measured 2026-11-20)."""

_NVENC = {"preset": "p4", "rc": "constqp", "qp": "20"}
_ENCODERS = {"h264_nvenc": _NVENC, "libx264": _FAST}
"""Best first: a card's own encoder leaves the processor to the rest."""

_BT709 = 1  # the number of BT.709 in H.264's tables of matrices, primaries and transfer curves
_STILL_EDGE = 512
_TILE_EDGE, _TILES, _COLUMNS = 256, 9, 3


def even(edge: int) -> int:
    """`edge` in pixels, rounded up to an even number."""
    return edge + edge % 2


def frame_of(rgb: Pixels, width: int, height: int) -> av.VideoFrame:
    """A yuv420p frame of `width` x `height` from a colour picture of any size."""
    return av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
        width=width,
        height=height,
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        interpolation=Interpolation.BICUBIC,
        threads=1,
    )


def usable_encoder(output: Output) -> str:
    """The best encoder that really opens here for such a video; the last one always does.

    That PyAV brings NVENC says nothing: it takes a card, a driver, and edges that are not too small.
    """
    *better, last = _ENCODERS
    return next((name for name in better if _opens(name, output)), last)


def _opens(name: str, output: Output) -> bool:
    try:
        codec = cast("VideoCodecContext", av.CodecContext.create(name, "w"))
        codec.width, codec.height, codec.pix_fmt = output.width, output.height, "yuv420p"
        codec.time_base, codec.options = Fraction(1, round(output.fps)), dict(_ENCODERS[name])
        codec.open()
    except (av.FFmpegError, ValueError):
        return False
    return True


def write_video(
    folder: Path, frames: Iterable[av.VideoFrame], output: Output, report: Callable[[int], None]
) -> None:
    """Write the yuv420p frames `output` tells of as `VIDEO`, the middle one as `THUMBNAIL`, some as `SPRITESHEET`.

    `VIDEO` appears whole or not at all. Reports 0 to 99 as frames go by.
    """
    count = round(output.seconds * output.fps)
    part = folder / f"{VIDEO}.part"
    shown = {at * count // _TILES for at in range(_TILES)}
    tiles: list[Image.Image] = []
    with av.open(part, "w", format="mp4", options=_MUXER) as file:
        encoder = usable_encoder(output)
        stream = cast(
            "VideoStream", file.add_stream(encoder, rate=round(output.fps), options=_ENCODERS[encoder])
        )
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = output.width, output.height, "yuv420p"
        context.color_range = int(ColorRange.MPEG)
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        for index, frame in enumerate(frames):
            frame.pts = index
            file.mux(stream.encode(frame))
            if index == count // 2:
                _write_still(frame, folder / THUMBNAIL)
            if index in shown:
                tiles.append(_small(frame, _TILE_EDGE))
            report(index * 99 // count)
        file.mux(stream.encode(None))
    _write_sheet(tiles, folder / SPRITESHEET)
    part.replace(folder / VIDEO)


def _write_still(frame: av.VideoFrame, path: Path) -> None:
    _small(frame, _STILL_EDGE).save(path, "WEBP", quality=80)


def _write_sheet(tiles: Sequence[Image.Image], path: Path) -> None:
    """The tiles in rows of `_COLUMNS`, in the order of the video."""
    width, height = tiles[0].size
    rows = -(-len(tiles) // _COLUMNS)
    sheet = Image.new("RGB", (width * _COLUMNS, height * rows))
    for number, tile in enumerate(tiles):
        row, column = divmod(number, _COLUMNS)
        sheet.paste(tile, (column * width, row * height))
    sheet.save(path, "JPEG", quality=80)


def _small(frame: av.VideoFrame, edge: int) -> Image.Image:
    picture = Image.fromarray(frame.to_ndarray(format="rgb24"))
    picture.thumbnail((edge, edge))
    return picture
