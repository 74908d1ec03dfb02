"""Little scenes: which there are, how they are said; their drawing is in scenery.py."""

import random

from captions import colour_word, with_article
from spec import Spec

NIGHT = ["at night", "at night", "under a night sky", "under a night sky with a moon", "under the moon", "at night with a moon and stars", "under the stars"]
SUNSET = ["at sunset", "at sunset", "in the evening", "at dusk", "under an orange sky"]
DAY = ["", "", "", "on a sunny day", "under a blue sky", "by day", "in the sunshine"]
TIMES = {"day": DAY, "night": NIGHT, "sunset": SUNSET}

# scene: (times it is drawn at, colours or other variants or None)
SCENES = {
    "house": (["day", "night", "night", "sunset"], [None, None, "red", "yellow", "blue", "white", "pink", "brown"]),
    "sea": (["day", "night", "sunset", "sunset", "sunset"], None),
    "mountains": (["day", "day", "night", "sunset"], None),
    "tree": (["day", "day", "night", "sunset"], ["green", "green", "autumn", "blossom"]),
    "boat": (["day", "day", "night", "sunset"], [None, None, "red", "white", "yellow", "blue", "orange", "pink", "green"]),
    "rainbow": (["day"], None),
    "city": (["night", "night", "sunset", "day"], None),
    "balloon": (["day", "day", "sunset"], [None, None, "red", "orange", "yellow", "green", "blue", "purple", "pink", "turquoise"]),
    "fox": (["day", "day", "night"], ["snow", "snow", "snow", "meadow"]),
    "cat": (["day", "night", "sunset"], ["black", "orange", "grey", "white"]),
    "flower": (["day"], [None, "red", "orange", "yellow", "purple", "pink", "blue", "white"]),
    "fish": (["day"], [None, "red", "orange", "yellow", "green", "purple", "pink"]),
    "lighthouse": (["day", "night", "sunset"], None),
    "cactus": (["day", "sunset", "night"], None),
    "snowman": (["day", "night"], None),
    "car": (["day", "night", "sunset"], [None, "red", "orange", "yellow", "green", "blue", "purple", "pink", "turquoise", "white", "black"]),
    "rocket": (["night"], [None, "red", "blue", "white", "orange"]),
    "moon": (["night"], ["full", "crescent"]),
}


def scene_spec(rng: random.Random) -> Spec:
    name = rng.choice(list(SCENES))
    times, variants = SCENES[name]
    attributes = {"time": rng.choice(times), "variant": rng.choice(variants) if variants else None}
    return Spec("scene", scene=name, attributes=attributes)


def scene_words(spec: Spec, rng: random.Random) -> str:
    time, variant = spec.attributes["time"], spec.attributes["variant"]
    when = rng.choice(TIMES[time])
    coloured = lambda noun: with_article(f"{colour_word(rng, variant)} {noun}" if variant else noun)  # noqa: E731
    pick = rng.choice
    name = spec.scene
    if name == "house":
        text = coloured(pick(["house"] * 4 + ["cottage", "little house"])) + pick(["", "", " in a meadow", " on a hill"])
    elif name == "sea":
        sea = pick(["the sea", "the sea", "the ocean", "the water"])
        if time == "sunset":
            return pick([f"a sunset over {sea}", f"a sunset over {sea}", f"the sun setting over {sea}", f"sunset at {sea}", "a sunset", f"{sea} at sunset"])
        if time == "night":
            return pick([f"{sea} at night", f"the moon over {sea}", f"{sea} under a night sky with a moon", f"a moon over {sea} at night"])
        return pick([f"{sea}", f"{sea} on a sunny day", f"the sun over {sea}", f"{sea} under a blue sky"])
    elif name == "mountains":
        text = pick(["mountains with snow", "snowy mountains", "mountains", "a mountain with snow on top", "snow-capped mountains", "a snowy mountain"])
    elif name == "tree":
        tree = {"green": ["a tree", "a tree", "a green tree", "a big tree"], "autumn": ["an autumn tree", "a tree in autumn", "an orange tree"], "blossom": ["a cherry tree", "a tree in blossom", "a pink tree", "a cherry blossom tree"]}[variant]
        text = pick(tree) + pick([" in a meadow", " in a meadow", "", " on a hill", " in a field"])
    elif name == "boat":
        boat = pick(["boat", "boat", "sailboat", "sailing boat"])
        text = with_article(boat) if not variant else pick([coloured(boat), f"{with_article(boat)} with {with_article(colour_word(rng, variant))} sail", f"{with_article(boat)} with {with_article(colour_word(rng, variant))} sail"])
        text += pick([" at sea", " at sea", " on the sea", " on the water", ""])
    elif name == "rainbow":
        return pick(["a rainbow", "a rainbow over hills", "a rainbow over green hills", "a rainbow over a meadow", "a rainbow in the sky", "green hills with a rainbow"])
    elif name == "city":
        text = pick(["a city", "a city", "a city skyline", "tall buildings", "skyscrapers", "a town"])
    elif name == "balloon":
        text = coloured(pick(["hot-air balloon", "hot air balloon", "balloon"])) + pick(["", "", " in the sky", " over hills", " over green hills"])
    elif name == "fox":
        fox = pick(["a red fox", "a red fox", "a fox", "an orange fox", "a little fox"])
        where = {"snow": [" in the snow", " in the snow", " in winter", " in a snowy forest"], "meadow": [" in a meadow", " in the grass", " in the forest", ""]}[variant]
        text = fox + pick(where)
    elif name == "cat":
        text = coloured(pick(["cat", "cat", "cat", "kitten"])) + pick(["", "", " in a meadow", " in the grass", " sitting in the grass"])
    elif name == "flower":
        return coloured(pick(["flower", "flower", "flower", "daisy"])) + pick(["", "", " in a meadow", " in the grass", " on a sunny day"])
    elif name == "fish":
        return coloured("fish") + pick(["", "", " in the sea", " under water", " in the water", " swimming in the sea"])
    elif name == "lighthouse":
        text = pick(["a lighthouse", "a red and white lighthouse"]) + pick(["", " by the sea", " by the sea", " on a rock"])
    elif name == "cactus":
        text = pick(["a cactus in the desert", "a cactus in the desert", "a cactus", "a desert with a cactus", "the desert"])
    elif name == "snowman":
        text = pick(["a snowman", "a snowman in the snow", "a snowman in winter"])
    elif name == "car":
        text = coloured("car") + pick(["", "", " on a road", " on the road", " on a street"])
    elif name == "rocket":
        return coloured(pick(["rocket", "rocket", "spaceship"])) + pick(["", " in space", " in space", " among the stars", " in the night sky", " flying to the stars"])
    else:
        moon = {"full": ["a full moon", "the moon", "a moon"], "crescent": ["a crescent moon", "a thin moon"]}[variant]
        return pick(moon) + pick([" in the night sky", " and stars", " with stars", " at night", " and stars in the night sky"])
    return f"{text} {when}".strip() if rng.random() < 0.85 else (f"{when} {text}" if when and rng.random() < 0.3 else f"{text} {when}".strip())


def draw_scene(spec: Spec, rng: random.Random):
    import scenery

    return scenery.draw(spec.scene, spec.attributes["time"], spec.attributes["variant"], rng)
