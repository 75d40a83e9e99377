"""Small videos for tests: real files, whose frames tell where in the video they stand."""

from pathlib import Path

import av
from PIL import Image

WIDTH, HEIGHT = 96, 64
_FORMATS = {"mp4": ("mp4", "libx264"), "webm": ("webm", "libvpx-vp9")}


def film(
    path: Path,
    *,
    seconds: float = 2.0,
    fps: int = 9,
    form: str = "mp4",
    size: tuple[int, int] = (WIDTH, HEIGHT),
) -> Path:
    """Write a video that goes from black to white, and give back where it is."""
    container, codec = _FORMATS[form]
    count = round(seconds * fps)
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for index in range(count):
            grey = round(255 * index / max(1, count - 1))
            frame = av.VideoFrame.from_image(Image.new("RGB", size, (grey, grey, grey)))
            frame.pts = index
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def grey_at(picture: Image.Image, x: int, y: int) -> int:
    """How bright a picture is there, 0 to 255."""
    return int(picture.convert("L").getpixel((x, y)))
