"""The words and marks of a test card: prompt, parameters, clock, a leader's ring and a progress bar.

Everything that does not change is drawn once; per frame only the clock's few digits are. The font is the
one inside Pillow, which knows Latin letters; others show as boxes.
"""

import math

import av
from PIL import Image, ImageDraw, ImageFont
from PIL.ImageFont import FreeTypeFont

from providers.local.engine import Order, Output
from providers.local.overlay import Overlay, fill_white

_INK = (255, 255, 255, 255)
_FAINT = (255, 255, 255, 190)
_SHADE = (8, 10, 20, 150)
_LONGEST_PROMPT = 600  # letters; more would not be read, and measuring text takes time
_PROMPT_LINES = 5
_SMOOTH = 4  # curves are drawn this much larger and scaled down


class Card:
    """Draws one order's card on frame after frame."""

    def __init__(self, order: Order, output: Output, count: int) -> None:
        """`count` is the number of frames of the whole video."""
        self._width, self._height, self._fps, self._count = (
            output.width,
            output.height,
            round(output.fps),
            count,
        )
        self._unit = min(output.width, output.height) / 100
        self._gap = max(2, round(4 * self._unit))
        self._small, self._large = _font(3.6 * self._unit), _font(22 * self._unit)
        self._panel = Overlay(self._draw_panel(order))
        self._ring = Overlay(_ring(round(46 * self._unit)))
        self._dot = Overlay(_dot(max(4, round(5 * self._unit))))
        self._second, self._number = 0, Overlay(_number(0, self._large))

    def draw(self, frame: av.VideoFrame, index: int) -> None:
        """Lay everything over the frame number `index`, counted from 0."""
        second, within = divmod(index, self._fps)
        middle = self._width // 2, round(self._height * 0.4)
        self._centre(self._ring, frame, middle)
        if second != self._second:
            self._second, self._number = second, Overlay(_number(second, self._large))
        self._centre(self._number, frame, middle)
        angle, radius = math.tau * within / self._fps, 20 * self._unit
        hand = round(middle[0] + radius * math.sin(angle)), round(middle[1] - radius * math.cos(angle))
        self._centre(self._dot, frame, hand)
        clock = f"{second // 60:02}:{second % 60:02}:{within:02}   {index + 1}/{self._count}"
        Overlay(_clock(clock, self._small, max(1, self._gap // 4))).lay(frame, self._gap, self._gap)
        self._panel.lay(frame, self._gap, self._height - self._panel.height - 2 * self._gap)
        done = self._gap + (self._width - 2 * self._gap) * (index + 1) // self._count
        bottom = self._height - self._gap
        fill_white(frame, (self._gap, bottom, done, bottom + max(2, self._gap // 3)))

    def _centre(self, overlay: Overlay, frame: av.VideoFrame, middle: tuple[int, int]) -> None:
        overlay.lay(frame, max(0, middle[0] - overlay.width // 2), max(0, middle[1] - overlay.height // 2))

    def _draw_panel(self, order: Order) -> Image.Image:
        font = _font(5.2 * self._unit)
        row, small_row = _row(font), _row(self._small)
        inner = self._width - 4 * self._gap
        room = (self._height // 2 - small_row - self._gap) // row
        lines = _wrap(order.prompt, font, inner, max(1, min(_PROMPT_LINES, room)))
        panel, pen = _plate(
            self._width - 2 * self._gap, row * len(lines) + small_row + self._gap * 3 // 2, self._gap
        )
        for number, line in enumerate(lines):
            pen.text((self._gap, self._gap / 2 + row * (number + 0.5)), line, _INK, font, anchor="lm")
        caption = _wrap(_caption(order), self._small, inner, 1)[0]
        pen.text(
            (self._gap, panel.height - (self._gap + small_row) / 2), caption, _FAINT, self._small, anchor="lm"
        )
        return panel


def _caption(order: Order) -> str:
    facts = [
        order.size,
        f"{order.seconds:g} s",
        f"seed {order.seed}",
        order.style_preset,
        order.camera_movement,
    ]
    if order.negative_prompt:
        facts.append(f"without {order.negative_prompt}")
    if order.operation != "generate":
        facts.append(order.operation)
    return " · ".join(fact for fact in facts if fact)


def _wrap(text: str, font: FreeTypeFont, width: float, most: int) -> list[str]:
    """One to `most` lines, words kept whole where they fit, an ellipsis where the text goes on."""
    lines = [""]
    for word in text[:_LONGEST_PROMPT].split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
            continue
        lines.append("")
        for letter in word:
            if font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    lines = [line for line in lines if line] or [""]
    return lines if len(lines) <= most else [*lines[: most - 1], lines[most - 1][:-1] + "…"]


def _font(pixels: float) -> FreeTypeFont:
    font = ImageFont.load_default(max(8.0, pixels))
    if not isinstance(font, FreeTypeFont):
        raise TypeError("Pillow was built without FreeType: install the wheel from the package index.")
    return font


def _row(font: FreeTypeFont) -> int:
    """The height of a line of text with the space to the next, in pixels."""
    return round(sum(font.getmetrics()) * 1.15)


def _plate(width: int, height: int, corner: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """A dark plate with round corners that bright words can be read on, and a pen to write them."""
    picture = Image.new("RGBA", (width, height))
    pen = ImageDraw.Draw(picture)
    pen.rounded_rectangle((0, 0, width - 1, height - 1), corner, fill=_SHADE)
    return picture, pen


def _clock(text: str, font: FreeTypeFont, pad: int) -> Image.Image:
    plate, pen = _plate(math.ceil(font.getlength(text)) + 4 * pad, _row(font) + 2 * pad, 2 * pad)
    pen.text((2 * pad, plate.height / 2), text, _INK, font, anchor="lm")
    return plate


def _number(number: int, font: FreeTypeFont) -> Image.Image:
    picture = Image.new("RGBA", (math.ceil(font.getlength(str(number))) + 2, _row(font)))
    ImageDraw.Draw(picture).text(
        (picture.width / 2, picture.height / 2), str(number), _INK, font, anchor="mm"
    )
    return picture


def _ring(edge: int) -> Image.Image:
    """Two circles and a cross, like the leader of a film."""
    large = edge * _SMOOTH
    pen = ImageDraw.Draw(shape := Image.new("L", (large, large)))
    line = max(_SMOOTH, large // 120)
    for inset in (line, large // 9):
        pen.ellipse((inset, inset, large - inset, large - inset), outline=200, width=line)
    pen.line((0, large // 2, large, large // 2), fill=90, width=line // 2)
    pen.line((large // 2, 0, large // 2, large), fill=90, width=line // 2)
    return _white(shape, edge)


def _dot(edge: int) -> Image.Image:
    pen = ImageDraw.Draw(shape := Image.new("L", (edge * _SMOOTH, edge * _SMOOTH)))
    pen.ellipse((0, 0, edge * _SMOOTH - 1, edge * _SMOOTH - 1), fill=255)
    return _white(shape, edge)


def _white(shape: Image.Image, edge: int) -> Image.Image:
    picture = Image.new("RGBA", (edge, edge), _INK)
    picture.putalpha(shape.resize((edge, edge), Image.Resampling.LANCZOS))
    return picture
