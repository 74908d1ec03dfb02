"""Says what shapes of which colours a picture shows, from its pixels alone.

It shares nothing with the drawing code but the names and values of the colours: shapes are recognised by their overlap
with templates that are defined here as inequalities.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from words import BACKGROUNDS, COLOURS, SHAPE_COLOURS

GRID = 64


def lab(rgb) -> np.ndarray:
    """CIE L*a*b* (D65) of sRGB values 0..255, last axis 3."""
    c = np.asarray(rgb, dtype=np.float64) / 255
    c = np.where(c > 0.04045, ((c + 0.055) / 1.055) ** 2.4, c / 12.92)
    xyz = c @ np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]])
    f = xyz / [0.9505, 1.0, 1.089]
    f = np.where(f > 0.008856, np.cbrt(f), 7.787 * f + 16 / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


COLOUR_LAB = lab([COLOURS[name] for name in COLOURS])


def colour_name(value, names) -> str:
    """The nearest of the named colours to a Lab value."""
    rows = COLOUR_LAB[[list(COLOURS).index(name) for name in names]]
    return names[int(np.argmin(np.linalg.norm(rows - value, axis=-1)))]


def _fit(mask: np.ndarray) -> np.ndarray:
    """The mask's bounding box, scaled to a square grid without changing its aspect, centred, as 0..1."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32)
    side = max(box.shape)
    square = np.zeros((side, side), np.float32)
    y, x = (side - box.shape[0]) // 2, (side - box.shape[1]) // 2
    square[y : y + box.shape[0], x : x + box.shape[1]] = box
    at = (np.arange(GRID) + 0.5) * side / GRID - 0.5
    return ndimage.map_coordinates(square, np.meshgrid(at, at, indexing="ij"), order=1, mode="nearest")


def _templates():
    y, x = np.mgrid[-1.5:1.5:301j, -1.5:1.5:301j]
    r, angle = np.hypot(x, y), np.arctan2(x, -y)  # angle from straight up

    def polygon(corners, turn=0.0):
        sector = (angle + turn) % (2 * np.pi / corners) - np.pi / corners
        return r * np.cos(sector) < 0.8

    yield "circle", r < 1
    yield "square", np.maximum(abs(x), abs(y)) < 0.9
    yield "triangle", (y < 0.8) & (abs(x) < (y + 1.0) * 0.57)
    for depth in (0.36, 0.42, 0.48):
        sector = abs((angle + np.pi / 5) % (2 * np.pi / 5) - np.pi / 5)
        tip, notch = 1.2, 1.2 * depth
        # the edge from the tip (angle 0) to the notch (angle 36 degrees), in polar form
        edge = tip * notch * np.sin(np.pi / 5) / (tip * np.sin(sector) + notch * np.sin(np.pi / 5 - sector))
        yield "star", r < edge
    yield "heart", ((x * 1.05) ** 2 + (y * -1.1) ** 2 - 1) ** 3 - (x * 1.05) ** 2 * (y * -1.1) ** 3 < 0
    yield "heart", (y < 0.35 - abs(x) + 0.8) & ((np.hypot(abs(x) - 0.5, y + 0.35) < 0.62) | (y > -0.35) & (abs(x) + y < 1.05) & (abs(x) < 1.1))
    for width in (0.58, 0.68, 0.8):
        yield "diamond", abs(x) / width + abs(y) < 1.2
    yield "pentagon", polygon(5)
    yield "hexagon", polygon(6, np.pi / 6)
    yield "hexagon", polygon(6)
    for arm in (0.25, 0.33, 0.42):
        yield "cross", (np.minimum(abs(x), abs(y)) < arm) & (np.maximum(abs(x), abs(y)) < 1)
    for hole in (0.45, 0.58, 0.7):
        yield "ring", (r < 1) & (r > hole)
    for shift in (0.35, 0.5):
        for size in (0.75, 0.88):
            for tilt in (0.0, 0.3):
                yield "crescent", (r < 1) & (np.hypot(x - shift, y + tilt * shift) > size)
    for wide in (0.55, 0.65, 0.75):
        centre = 0.45
        slope = wide / np.sqrt((centre + 1.2) ** 2 - wide**2)
        yield "drop", (np.hypot(x, y - centre) < wide) | ((y < centre - wide**2 / (centre + 1.2)) & (abs(x) < (y + 1.2) * slope))


TEMPLATES = [(name, _fit(mask)) for name, mask in _templates()]


def shape_name(mask: np.ndarray):
    """(name, overlap 0..1) of the template that overlaps most with the mask."""
    seen = _fit(mask)
    overlaps = [np.minimum(seen, t).sum() / np.maximum(seen, t).sum() for _, t in TEMPLATES]
    best = int(np.argmax(overlaps))
    return TEMPLATES[best][0], float(overlaps[best])


@dataclass
class Found:
    shape: str
    colour: str
    overlap: float
    x: float  # centre of its box, 0..1
    y: float
    extent: float  # longer side of its box, 0..1


def background_name(picture: np.ndarray):
    """A colour's name, or (top, bottom) where they differ."""
    edge = lab(np.concatenate([picture[:, :5], picture[:, -5:]], 1))
    top, bottom = (np.median(edge[rows].reshape(-1, 3), 0) for rows in (slice(0, 8), slice(-8, None)))
    names = colour_name(top, BACKGROUNDS), colour_name(bottom, BACKGROUNDS)
    return names if np.linalg.norm(top - bottom) > 12 else names[0]


def look(picture: np.ndarray) -> list[Found]:
    """The things in a picture [256, 256, 3] uint8, in front of a plain or vertical-gradient background."""
    values = lab(picture)
    ground = np.median(np.concatenate([values[:, :5], values[:, -5:]], 1), 1, keepdims=True)
    far = np.linalg.norm(values - ground, axis=-1) > 16
    labels, number = ndimage.label(far, np.ones((3, 3)))
    found = []
    height, width = far.shape
    for i, box in enumerate(ndimage.find_objects(labels), 1):
        mask = labels[box] == i
        if mask.sum() < 80:
            continue
        inside = ndimage.binary_erosion(mask, iterations=3)
        inside = inside if inside.sum() > 20 else mask
        colour = colour_name(np.median(values[box][inside], 0), SHAPE_COLOURS)
        shape, overlap = shape_name(mask)
        (y0, y1), (x0, x1) = ((s.start, s.stop) for s in box)
        found.append(Found(shape, colour, overlap, (x0 + x1) / 2 / width, (y0 + y1) / 2 / height, max(y1 - y0, x1 - x0) / height))
    return found


def _same(found: Found, thing) -> bool:
    return (found.shape, found.colour) == (thing.shape, thing.colour)


def _is(relation: str, one: Found, other: Found) -> bool:
    dx, dy = other.x - one.x, other.y - one.y
    if relation == "and":
        return True
    sign = {"left": dx, "right": -dx, "above": dy, "below": -dy}[relation]
    across = abs(dy) if relation in ("left", "right") else abs(dx)
    return sign > 0.1 and sign > across


def verdict(spec, picture: np.ndarray) -> dict[str, bool]:
    """What of the description is true of the picture: shape, colour, both, and relation, count, place, size, background."""
    found = look(picture)
    out = {}
    wanted = list(spec.things) * (spec.count if spec.kind == "count" else 1)
    right_number = len(found) == len(wanted)
    out["shape"] = right_number and sorted(f.shape for f in found) == sorted(t.shape for t in wanted)
    out["colour"] = right_number and sorted(f.colour for f in found) == sorted(t.colour for t in wanted)
    key = lambda t: (t.shape, t.colour)  # noqa: E731
    out["both"] = right_number and sorted(map(key, found)) == sorted(map(key, wanted))
    if spec.kind == "pair":
        a, b = spec.things
        pairs = [(f, g) for f in found for g in found if f is not g and _same(f, a) and _same(g, b)]
        out["relation"] = right_number and any(_is(spec.relation, f, g) for f, g in pairs)
    if spec.kind == "count":
        out["count"] = out["both"]
        out["number"] = right_number
    if spec.kind == "single":
        from words import PLACES

        x, y, _ = PLACES[spec.place or "centre"]
        out["place"] = any(abs(f.x - x) < 0.12 and abs(f.y - y) < 0.12 for f in found)
        if spec.size and spec.place in (None, "centre"):
            low, high = {"small": (0, 0.36), "big": (0.58, 1)}[spec.size]
            out["size"] = any(low < f.extent < high for f in found)
    out["background"] = background_name(picture) == (spec.background or "white")
    return out
