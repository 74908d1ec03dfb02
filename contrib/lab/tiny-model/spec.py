"""What a picture shows, as data: drawn from chance, and split into training and held-out combinations."""

import random
import zlib
from dataclasses import dataclass, field

from words import BACKGROUNDS, COLOURS, PLACES, RELATIONS, SHAPE_COLOURS, SHAPES, readable

GRADIENTS = [
    (a, b)
    for a in ["light blue", "blue", "pink", "orange", "yellow", "purple", "turquoise", "lavender", "dark blue", "white", "green"]
    for b in ["white", "pink", "yellow", "light blue", "purple", "cream", "blue", "black", "turquoise", "light green"]
    if a != b
]
FREE_BACKGROUNDS = [None] * 5 + ["white"] * 5 + BACKGROUNDS


@dataclass(frozen=True)
class Thing:
    """One shape of one colour."""

    shape: str
    colour: str


@dataclass(frozen=True)
class Spec:
    """One picture. `background` is None (unsaid: white), a colour's name, or a (top, bottom) gradient."""

    kind: str  # "single", "pair", "count" or "scene"
    things: tuple = ()
    background: object = None
    size: str | None = None
    place: str | None = None
    relation: str | None = None
    count: int = 1
    scene: str | None = None
    attributes: dict = field(default_factory=dict, hash=False)


def _hash(*words) -> int:
    return zlib.crc32("|".join(map(str, words)).encode()) % 1000


def unseen_pair(thing: Thing) -> bool:
    """Twelve of the 144 pairs of shape and colour (one of each shape and each colour) are in no training picture."""
    shapes, colours = list(SHAPES), SHAPE_COLOURS
    return (shapes.index(thing.shape) * 7 + 5) % 12 == colours.index(thing.colour)


def held_out(spec: Spec) -> bool:
    """Whether this combination is kept from training. Decided by a hash of what is said, never by chance."""
    if spec.kind == "scene":
        return False
    if any(unseen_pair(thing) for thing in spec.things):
        return True
    words = [f"{t.shape}-{t.colour}" for t in spec.things]
    if spec.kind == "single":
        return spec.background not in (None, "white") and _hash("single", *words, spec.background) < 120
    if spec.kind == "pair":
        return _hash("pair", spec.relation, *words) < 120
    return _hash("count", spec.count, *words) < 150


def stands_out(colour: str, background) -> bool:
    """Whether a shape of this colour can be told from the background, everywhere on a gradient."""
    if not isinstance(background, tuple):
        return readable(COLOURS[colour], COLOURS[background or "white"])
    ends = [COLOURS[end] for end in background]
    between = [tuple(a + (b - a) * t for a, b in zip(*ends)) for t in (0, 0.25, 0.5, 0.75, 1)]
    return all(readable(COLOURS[colour], ground) for ground in between)


def _background(rng: random.Random, colours: list[str]):
    for _ in range(100):
        choice = rng.choice(GRADIENTS) if rng.random() < 0.14 else rng.choice(FREE_BACKGROUNDS)
        if all(stands_out(colour, choice) for colour in colours):
            return choice
    return None


def _thing(rng: random.Random) -> Thing:
    return Thing(rng.choice(list(SHAPES)), rng.choice(SHAPE_COLOURS))


def shapes_spec(rng: random.Random, kind: str) -> Spec:
    """A picture of shapes of the given kind, held out or not."""
    while True:
        first = _thing(rng)
        if kind == "pair":
            second = _thing(rng)
            if second.colour == first.colour and second.shape == first.shape:
                continue
            background = _background(rng, [first.colour, second.colour])
            spec = Spec(kind, (first, second), background, relation=rng.choice(list(RELATIONS)))
        elif kind == "count":
            spec = Spec(kind, (first,), _background(rng, [first.colour]), count=rng.choice([1, 2, 2, 3, 3]))
        else:
            size = rng.choice([None, None, None, "small", "big"])
            place = rng.choice([None, None, *PLACES]) if rng.random() < 0.6 else None
            spec = Spec(kind, (first,), _background(rng, [first.colour]), size=size, place=place)
        if all(stands_out(t.colour, spec.background) for t in spec.things):
            return spec


def training_spec(rng: random.Random) -> Spec:
    """A picture for training: never a held-out combination."""
    from scenes import scene_spec

    kind = rng.choices(["single", "pair", "count", "scene"], [35, 21, 14, 30])[0]
    if kind == "scene":
        return scene_spec(rng)
    while True:
        spec = shapes_spec(rng, kind)
        if not held_out(spec):
            return spec


def test_specs(seed: int, counts: dict[str, int]) -> list[Spec]:
    """Held-out pictures, `counts` of each kind ("unseen": single with a pair of shape and colour never seen)."""
    rng = random.Random(seed)
    specs = []
    for kind, number in counts.items():
        found = 0
        while found < number:
            spec = shapes_spec(rng, "single" if kind == "unseen" else kind)
            unseen = any(unseen_pair(t) for t in spec.things)
            if not held_out(spec) or (kind in ("single", "unseen") and unseen != (kind == "unseen")):
                continue
            if kind == "count" and spec.count == 1 or spec.relation == "and":
                continue
            specs.append(spec)
            found += 1
    return specs
