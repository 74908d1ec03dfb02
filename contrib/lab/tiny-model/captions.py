"""Words for a picture: many ways to say the same thing."""

import random

from spec import Spec, Thing
from words import COLOUR_WORDS, NUMBERS, PLACES, RELATIONS, SHAPES, SIZE_WORDS

OPENINGS = ["a picture of ", "a drawing of ", "an illustration of ", "draw ", "draw me ", "please draw ", "show ", "show me ", "there is ", "I want ", "an image of ", "paint "]
STYLES = ["flat illustration", "flat style", "simple drawing", "minimalist", "vector art", "high quality", "clean lines", "soft colours", "digital art", "beautiful", "cute", "highly detailed", "in the style of a children's book"]


def colour_word(rng: random.Random, colour: str) -> str:
    return rng.choice(COLOUR_WORDS.get(colour, [colour]))


def with_article(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def _noun(rng: random.Random, thing: Thing, size: str | None = None) -> str:
    """The thing with its article: "a big red circle", "a circle that is red", "red circle"."""
    shape = rng.choice(SHAPES[thing.shape][0])
    colour = colour_word(rng, thing.colour)
    size = rng.choice(SIZE_WORDS[size]) + " " if size else ""
    way = rng.random()
    if way < 0.8:
        return with_article(f"{size}{colour} {shape}")
    if way < 0.88:
        return f"{size}{colour} {shape}"
    return with_article(f"{size}{shape} {rng.choice(['that is', 'in', 'coloured', 'colored'])} {colour}")


def _backdrop(rng: random.Random, background) -> str:
    """The background as a noun with its article."""
    if isinstance(background, tuple):
        top, bottom = (colour_word(rng, c) for c in background)
        return rng.choice(
            [
                f"a gradient from {top} to {bottom}",
                f"a gradient background from {top} to {bottom}",
                f"{with_article(top)} to {bottom} gradient",
                f"{with_article(top)} to {bottom} gradient background",
                f"a background that goes from {top} to {bottom}",
            ]
        )
    colour = colour_word(rng, background)
    plain = rng.choice(["", "", "", "", "plain "])
    ground = rng.choice(["background"] * 6 + ["backdrop"])
    return with_article(f"{plain}{colour} {ground}")


def _place_on(rng: random.Random, text: str, background) -> str:
    """Adds the background to a text, if one is said."""
    if background is None:
        return text
    backdrop = _backdrop(rng, background)
    way = rng.random()
    if way < 0.62:
        return f"{text} {rng.choice(['on', 'on', 'on', 'against', 'in front of'])} {backdrop}"
    if way < 0.85:
        bare = backdrop.split(" ", 1)[1] if rng.random() < 0.7 and not isinstance(background, tuple) else backdrop
        return f"{text}{rng.choice([', ', ', ', '; '])}{bare}"
    return f"{backdrop} with {text}"


def _finish(rng: random.Random, text: str) -> str:
    """Openings, styles, capitals and full stops."""
    if rng.random() < 0.2:
        text = rng.choice(OPENINGS) + text
    if rng.random() < 0.1:
        text += "".join(", " + s for s in rng.sample(STYLES, rng.choice([1, 1, 2, 3, 6])))
    way = rng.random()
    if way < 0.3:
        text = text[0].upper() + text[1:]
    elif way < 0.33:
        text = text.upper()
    elif way < 0.36:
        text = text.title()
    return text + (rng.choice([".", ".", "!"]) if rng.random() < 0.22 else "")


def _pair(rng: random.Random, spec: Spec) -> str:
    one, other = (_noun(rng, thing) for thing in spec.things)
    sides = {"left": ("on the left", "on the right"), "above": ("at the top", "at the bottom")}
    sides |= {"right": sides["left"][::-1], "below": sides["above"][::-1]}
    if spec.relation in sides and rng.random() < 0.15:
        here, there = sides[spec.relation]
        return f"{one} {here} and {other} {there}"
    return f"{one} {rng.choice(['', '', '', 'is ']) if spec.relation != 'and' else ''}{rng.choice(RELATIONS[spec.relation])} {other}"


def _count(rng: random.Random, spec: Spec) -> str:
    thing = spec.things[0]
    number = rng.choice(NUMBERS[spec.count])
    shape = rng.choice(SHAPES[thing.shape][1 if spec.count > 1 else 0])
    return f"{number} {colour_word(rng, thing.colour)} {shape}"


def caption(spec: Spec, rng: random.Random) -> str:
    """One way to ask for this picture."""
    if spec.kind == "scene":
        from scenes import scene_words

        return _finish(rng, scene_words(spec, rng))
    if spec.kind == "pair":
        text = _pair(rng, spec)
    elif spec.kind == "count":
        text = _count(rng, spec)
    else:
        text = _noun(rng, spec.things[0], spec.size)
        if spec.place:
            place = rng.choice(PLACES[spec.place][2])
            if rng.random() < 0.75:
                text = f"{text} {place}"
            else:
                return _finish(rng, f"{_place_on(rng, text, spec.background)}, {place}")
    return _finish(rng, _place_on(rng, text, spec.background))


def plain_caption(spec: Spec) -> str:
    """The plainest wording, for tests: no synonyms, no style."""
    things = [f"{with_article(t.colour)} {t.shape}" for t in spec.things]
    if spec.kind == "pair":
        text = f"{things[0]} {RELATIONS[spec.relation][0]} {things[1]}"
    elif spec.kind == "count" and spec.count > 1:
        text = f"{NUMBERS[spec.count][0]} {spec.things[0].colour} {SHAPES[spec.things[0].shape][1][0]}"
    else:
        thing = spec.things[0]
        text = with_article(f"{spec.size + ' ' if spec.size else ''}{thing.colour} {thing.shape}")
        text += f" {PLACES[spec.place][2][0]}" if spec.place else ""
    if isinstance(spec.background, tuple):
        return f"{text} on a gradient from {spec.background[0]} to {spec.background[1]}"
    return f"{text} on {with_article(spec.background)} background" if spec.background else text
