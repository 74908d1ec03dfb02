"""A small antialiased canvas: draws three times too large with Pillow, then averages down."""

import math

import numpy as np
from PIL import Image, ImageDraw

SIZE = 256  # pixels a side of the finished picture; all coordinates below are in these pixels
SCALE = 3


def mix(a, b, t: float):
    """Colour between a (t = 0) and b (t = 1)."""
    return tuple(int(round(x + (y - x) * t)) for x, y in zip(a, b))


class Canvas:
    def __init__(self, top, bottom=None):
        side = SIZE * SCALE
        if bottom is None or bottom == top:
            self.image = Image.new("RGB", (side, side), tuple(top))
        else:
            self.image = _ramp(top, bottom, side, side)
        self.draw = ImageDraw.Draw(self.image)

    def finish(self) -> np.ndarray:
        """The picture, [256, 256, 3] uint8."""
        return np.asarray(self.image.reduce(SCALE))

    def polygon(self, points, colour):
        self.draw.polygon([(x * SCALE, y * SCALE) for x, y in points], fill=tuple(colour))

    def ellipse(self, x, y, rx, ry, colour):
        self.draw.ellipse([(x - rx) * SCALE, (y - ry) * SCALE, (x + rx) * SCALE, (y + ry) * SCALE], fill=tuple(colour))

    def circle(self, x, y, r, colour):
        self.ellipse(x, y, r, r, colour)

    def rect(self, x0, y0, x1, y1, colour, radius=0):
        box = [x0 * SCALE, y0 * SCALE, x1 * SCALE, y1 * SCALE]
        if radius:
            self.draw.rounded_rectangle(box, radius * SCALE, fill=tuple(colour))
        else:
            self.draw.rectangle(box, fill=tuple(colour))

    def line(self, points, colour, width):
        self.draw.line([(x * SCALE, y * SCALE) for x, y in points], fill=tuple(colour), width=round(width * SCALE), joint="curve")
        for x, y in (points[0], points[-1]):
            self.circle(x, y, width / 2, colour)

    def arc(self, x, y, r, start, end, colour, width):
        """A stroke along a circle, angles in degrees, clockwise from the right."""
        r += width / 2
        box = [(x - r) * SCALE, (y - r) * SCALE, (x + r) * SCALE, (y + r) * SCALE]
        self.draw.arc(box, start, end, fill=tuple(colour), width=round(width * SCALE))

    def ramp(self, y0, y1, top, bottom):
        """A vertical gradient over the whole width between two heights."""
        a, b = round(y0 * SCALE), round(y1 * SCALE)
        self.image.paste(_ramp(top, bottom, SIZE * SCALE, b - a), (0, a))

    def hills(self, base, height, waves, phase, colour):
        """A wavy ground from height `base` to the lower edge."""
        points = [(x, base - height * math.sin(waves * math.pi * x / SIZE + phase)) for x in range(0, SIZE + 9, 8)]
        self.polygon([*points, (SIZE, SIZE), (0, SIZE)], colour)

    def shaded(self, outer, inner, colour):
        """A polygon, less an optional inner one, filled from slightly lighter (top) to slightly darker (bottom)."""
        xs, ys = [p[0] for p in outer], [p[1] for p in outer]
        x0, y0 = math.floor(min(xs) * SCALE) - 1, math.floor(min(ys) * SCALE) - 1
        width, height = math.ceil(max(xs) * SCALE) + 2 - x0, math.ceil(max(ys) * SCALE) + 2 - y0
        mask = Image.new("L", (width, height), 0)
        pen = ImageDraw.Draw(mask)
        pen.polygon([(x * SCALE - x0, y * SCALE - y0) for x, y in outer], fill=255)
        if inner:
            pen.polygon([(x * SCALE - x0, y * SCALE - y0) for x, y in inner], fill=0)
        fill = _ramp(mix(colour, (255, 255, 255), 0.09), mix(colour, (0, 0, 0), 0.07), width, height)
        self.image.paste(fill, (x0, y0), mask)


def _ramp(top, bottom, width, height):
    t = np.linspace(0, 1, max(height, 1))[:, None]
    column = np.asarray(top)[None] * (1 - t) + np.asarray(bottom)[None] * t
    column = Image.fromarray(column.round().astype(np.uint8)[:, None])
    return column.resize((width, max(height, 1)), Image.NEAREST)
