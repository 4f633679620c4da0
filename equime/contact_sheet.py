"""A picture of a clip for people: three frames, what moved between two of them, when, and in which words.

Clip(row).contact_sheet().save("clip.png")
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from equime.errors import EquimeError
from equime.video import Frames

NARROWEST = 320
PAPER, INK, SOFT, LINE = (250, 249, 246), (28, 30, 34), (110, 113, 120), (214, 212, 206)
# What Pillow's own font has no sign for.
PLAIN = str.maketrans(
    {"\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": "-", "\u2212": "-", "\u00d7": "x"}
)
ACCENT = (196, 78, 52)


def difference(first: Frames, second: Frames, gain: float) -> Frames:
    """`second` - `first`, times `gain`, around mid grey: uint8 of the same shape, (H, W, 3)."""
    change = second.astype(np.float32) - first.astype(np.float32)
    shown: Frames = np.clip(np.rint(128 + gain * change), 0, 255).astype(np.uint8)
    return shown


@dataclass(frozen=True)
class Sheet:
    """What a contact sheet shows.

    Attributes:
        heading: The emotion.
        facts: Action units and duration, in one line.
        clip_id: At the right.
        note: What kind of thing this is, at the right.
        titles: Below the pictures.
        pictures: uint8 (H, W, 3), all of one shape.
        seconds: The clip's length.
        moments: Onset, apex and offset in seconds; empty without an expression.
        caption: A sentence or several, wrapped.
    """

    heading: str
    facts: str
    clip_id: str
    note: str
    titles: tuple[str, ...]
    pictures: tuple[Frames, ...]
    seconds: float
    moments: tuple[float, ...]
    caption: str

    def draw(self, width: int = 1280) -> Image.Image:
        """The sheet, RGB, `width` pixels wide and as high as it takes.

        Raises:
            EquimeError: Too narrow to be read.
        """
        if width < NARROWEST:
            raise EquimeError(f"expected a contact sheet of at least {NARROWEST} pixels, got {width = }")
        return _Pen(self, width).image()


class _Pen:
    """One sheet in the making. All measures follow from its width."""

    def __init__(self, sheet: Sheet, width: int) -> None:
        self.sheet, self.width = sheet, width
        self.left, self.gap = round(width * 0.034), round(width * 0.012)
        self.right = width - self.left
        self.unit = max(width * 0.0145, 9.0)
        self.small, self.normal, self.large, self.huge = (
            ImageFont.load_default(round(self.unit * scale)) for scale in (0.9, 1.0, 1.15, 2.0)
        )

    def image(self) -> Image.Image:
        cell = (self.right - self.left + self.gap) / len(self.sheet.pictures)
        shape = self.sheet.pictures[0].shape
        size = (round(cell - self.gap), max(round((cell - self.gap) * shape[0] / shape[1]), 1))
        top = self.left + self._units(4.8)
        bar = top + size[1] + self._units(2.6)
        words = bar + self._units(4.4)
        lines = self._wrapped(self.sheet.caption)
        height = words + self._units(1.65 * len(lines)) + self.left
        image = Image.new("RGB", (self.width, height), PAPER)
        pen = ImageDraw.Draw(image)
        self._heading(pen)
        for number, (title, picture) in enumerate(zip(self.sheet.titles, self.sheet.pictures, strict=True)):
            x = round(self.left + number * cell)
            image.paste(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS), (x, top))
            pen.text((x, top + size[1] + self._units(0.5)), title, fill=SOFT, font=self.small)
        self._timing(pen, bar)
        for number, line in enumerate(lines):
            pen.text((self.left, words + self._units(1.65 * number)), line, fill=INK, font=self.large)
        return image

    def _units(self, count: float) -> int:
        return round(self.unit * count)

    def _heading(self, pen: ImageDraw.ImageDraw) -> None:
        first, second = self.left + self._units(1.8), self.left + self._units(3.5)
        pen.text((self.left, first), self.sheet.heading, fill=INK, font=self.huge, anchor="ls")
        pen.text((self.left, second), self.sheet.facts, fill=ACCENT, font=self.normal, anchor="ls")
        pen.text((self.right, first), self.sheet.clip_id, fill=INK, font=self.normal, anchor="rs")
        pen.text((self.right, second), self.sheet.note, fill=SOFT, font=self.small, anchor="rs")

    def _timing(self, pen: ImageDraw.ImageDraw, y: int) -> None:
        """The clip as a line in seconds, the expression as a bar on it, a pointer at its apex."""
        line, tick, seconds = y + self._units(1.3), max(self._units(0.3), 2), self.sheet.seconds
        x = [self.left + (self.right - self.left) * at / seconds for at in self.sheet.moments]
        pen.line([(self.left, line), (self.right, line)], fill=LINE, width=tick)
        step = 1.0 if seconds > 1.5 else seconds / 4
        for number in range(int(seconds / step + 1e-6) + 1):
            place = self.left + (self.right - self.left) * number * step / seconds
            anchor = "la" if number == 0 else "ra" if place > self.right - 1 else "ma"
            pen.line([(place, line - tick), (place, line + tick)], fill=SOFT)
            text = f"{number * step:.2g} s"
            pen.text((place, line + 2 * tick), text, fill=SOFT, font=self.small, anchor=anchor)
        if x:
            pen.rounded_rectangle([(x[0], line - tick), (x[2], line + tick)], radius=tick, fill=ACCENT)
            top = line - self._units(0.95)
            pen.polygon([(x[1] - tick, top), (x[1] + tick, top), (x[1], line - tick)], fill=INK)

    def _wrapped(self, text: str) -> list[str]:
        lines = [""]
        for word in text.translate(PLAIN).split():
            longer = f"{lines[-1]} {word}".strip()
            if self.large.getlength(longer) <= self.right - self.left or not lines[-1]:
                lines[-1] = longer
            else:
                lines.append(word)
        return lines
