"""A still and a sheet of stills of a video: as large, and in the forms, that OpenAI's variants have.

Imported only in a process of its own: it decodes bytes that a stranger made.
"""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

_FORMATS = {"video/mp4": "mp4", "video/webm": "matroska"}
_STILL_EDGE = 512
_TILE_EDGE, _TILES, _COLUMNS = 256, 9, 3
_LONG = 60.0
"""Seconds from which on only key frames are decoded: a still need not be from the exact moment."""


class UnreadableError(Exception):
    """Not a single picture could be read."""


def stills(path: Path, mime: str) -> tuple[bytes, bytes]:
    """The frame in the middle as WebP, and nine over the whole length as one JPEG, in rows of three.

    A video that breaks off is shown as far as it goes. Raises UnreadableError.
    """
    try:
        return _stills(path, mime)
    except (av.FFmpegError, OSError, ValueError, IndexError) as error:
        raise UnreadableError(type(error).__name__) from error


def _stills(path: Path, mime: str) -> tuple[bytes, bytes]:
    # the format is said, so that no playlist is taken for a video and followed
    with av.open(f"file:{path}", format=_FORMATS[mime]) as file:
        stream = file.streams.video[0]
        length = _seconds(file.duration, stream)
        if length > _LONG:
            stream.codec_context.skip_frame = "NONKEY"
        moments = sorted([*(length * at / _TILES for at in range(_TILES)), length / 2])
        middle = moments.index(length / 2)
        taken = _taken(_frames(file.decode(stream)), moments)
    still = taken.pop(middle)
    return _saved(_small(still, _STILL_EDGE), "WEBP"), _saved(_sheet(taken), "JPEG")


def _seconds(duration: int | None, stream: VideoStream) -> float:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return (duration or 0) / 1_000_000


def _frames(decoded: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """The frames up to the first that cannot be decoded."""
    try:
        yield from decoded
    except av.FFmpegError:
        return


def _taken(frames: Iterator[VideoFrame], moments: Sequence[float]) -> list[Image.Image]:
    """A picture for each of these moments, in seconds and in order; the last there is where the frames end before."""
    taken: list[Image.Image] = []
    last: VideoFrame | None = None
    for frame in frames:
        last, at = frame, frame.time or 0.0
        while len(taken) < len(moments) and at >= moments[len(taken)]:
            taken.append(_picture(frame))
        if len(taken) == len(moments):
            break
    if last is None:
        raise UnreadableError("no frame")
    return taken + [_picture(last)] * (len(moments) - len(taken))


def _picture(frame: VideoFrame) -> Image.Image:
    """The frame with its longer edge at most as a still's, its sides in proportion."""
    shrunk = min(1.0, _STILL_EDGE / max(frame.width, frame.height))
    width, height = (max(1, round(edge * shrunk)) for edge in (frame.width, frame.height))
    made: Image.Image = frame.to_image(width=width, height=height)  # type: ignore[no-untyped-call]
    return made


def _small(picture: Image.Image, edge: int) -> Image.Image:
    copy = picture.copy()
    copy.thumbnail((edge, edge))
    return copy


def _sheet(pictures: Sequence[Image.Image]) -> Image.Image:
    tiles = [_small(picture, _TILE_EDGE) for picture in pictures]
    width, height = tiles[0].size
    sheet = Image.new("RGB", (width * _COLUMNS, height * -(-len(tiles) // _COLUMNS)))
    for number, tile in enumerate(tiles):
        row, column = divmod(number, _COLUMNS)
        sheet.paste(tile, (column * width, row * height))
    return sheet


def _saved(picture: Image.Image, form: str) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, quality=80)
    return file.getvalue()
