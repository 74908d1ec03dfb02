"""Draws what a spec says: shapes as outlines around a centre, laid out by size, place, relation and count."""

import math
import random

import numpy as np

from canvas import SIZE, Canvas
from spec import Spec
from words import COLOURS, PLACES


def _regular(corners: int, start: float, radius: float = 1.0):
    return [
        (radius * math.cos(start + 2 * math.pi * i / corners), radius * math.sin(start + 2 * math.pi * i / corners))
        for i in range(corners)
    ]


def _arc(x, y, radius, start, end, steps=40):
    return [
        (x + radius * math.cos(start + (end - start) * i / steps), y + radius * math.sin(start + (end - start) * i / steps))
        for i in range(steps + 1)
    ]


def outline(shape: str):
    """(outer, inner or None): polygons within about one unit of (0, 0), y downwards."""
    up = -math.pi / 2
    if shape == "circle":
        return _regular(72, 0), None
    if shape == "square":
        return [(-0.86, -0.86), (0.86, -0.86), (0.86, 0.86), (-0.86, 0.86)], None
    if shape == "triangle":
        return [(0, -0.95), (1.02, 0.8), (-1.02, 0.8)], None
    if shape == "star":
        tips, notches = _regular(5, up, 1.1), _regular(5, up + math.pi / 5, 0.46)
        return [(x, y + 0.06) for pair in zip(tips, notches) for x, y in pair], None
    if shape == "heart":
        angles = [2 * math.pi * i / 72 for i in range(72)]
        return [
            (16 * math.sin(a) ** 3 / 16.5, -(13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a)) / 16.5 - 0.12)
            for a in angles
        ], None
    if shape == "diamond":
        return [(0, -1.08), (0.74, 0), (0, 1.08), (-0.74, 0)], None
    if shape == "pentagon":
        return [(x, y + 0.05) for x, y in _regular(5, up, 1.04)], None
    if shape == "hexagon":
        return _regular(6, 0, 1.05), None
    if shape == "cross":
        a, b = 0.33, 0.98
        return [(-a, -b), (a, -b), (a, -a), (b, -a), (b, a), (a, a), (a, b), (-a, b), (-a, a), (-b, a), (-b, -a), (-a, -a)], None
    if shape == "ring":
        return _regular(72, 0), _regular(72, 0, 0.58)
    if shape == "crescent":
        # the unit disc less a disc of radius 0.85 whose centre lies to the right and a little up
        x, y, r = 0.46, -0.14, 0.82
        d, tilt = math.hypot(x, y), math.atan2(y, x)
        half = math.acos((1 + d * d - r * r) / (2 * d))
        inner = math.acos((d * d + r * r - 1) / (2 * d * r))
        away = _arc(0, 0, 1, tilt + half, tilt + 2 * math.pi - half)
        back = _arc(x, y, r, tilt + math.pi + inner, tilt + math.pi - inner)
        return [(px + 0.12, py) for px, py in away + back], None
    if shape == "drop":
        angles = [2 * math.pi * i / 72 for i in range(72)]
        return [(0.95 * math.sin(a) * math.sin(a / 2) ** 1.5 if a else 0.0, -1.08 * math.cos(a)) for a in angles], None
    raise ValueError(shape)


def _put(canvas: Canvas, rng: random.Random, thing, x: float, y: float, radius: float):
    outer, inner = outline(thing.shape)
    x, y = x * SIZE + rng.uniform(-4, 4), y * SIZE + rng.uniform(-4, 4)
    radius *= rng.uniform(0.95, 1.05)
    tint = rng.uniform(-5, 5)
    colour = [min(255, max(0, c + tint)) for c in COLOURS[thing.colour]]
    place = lambda points: [(x + radius * px, y + radius * py) for px, py in points]  # noqa: E731
    canvas.shaded(place(outer), place(inner) if inner else None, colour)


def draw(spec: Spec, rng: random.Random) -> np.ndarray:
    """The picture, [256, 256, 3] uint8. Chance moves things a little; what is said is always true."""
    if spec.kind == "scene":
        from scenes import draw_scene

        return draw_scene(spec, rng)
    shown = spec.background or "white"
    ends = shown if isinstance(shown, tuple) else (shown, shown)
    canvas = Canvas(*(COLOURS[end] for end in ends))
    if spec.kind == "pair":
        gap = {"left": (-1, 0), "right": (1, 0), "above": (0, -1), "below": (0, 1), "and": (-1, 0)}[spec.relation]
        for thing, sign in zip(spec.things, (1, -1)):
            _put(canvas, rng, thing, 0.5 + sign * gap[0] * 0.235, 0.5 + sign * gap[1] * 0.235, 45)
    elif spec.kind == "count":
        places, radius = {1: ([0.5], 60), 2: ([0.27, 0.73], 45), 3: ([0.185, 0.5, 0.815], 33)}[spec.count]
        for x in places:
            _put(canvas, rng, spec.things[0], x, 0.5, radius)
    else:
        x, y, _ = PLACES[spec.place or "centre"]
        if spec.place in (None, "centre"):
            radius = {None: 64, "small": 30, "big": 96}[spec.size]
        else:
            radius = {None: 42, "small": 24, "big": 54}[spec.size]
        _put(canvas, rng, spec.things[0], x, y, radius)
    return canvas.finish()
