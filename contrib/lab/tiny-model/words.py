"""The words of the little world: colours, shapes, places, and how people say them."""

# Named colours as sRGB. The first twelve are colours of shapes; all are colours of backgrounds.
COLOURS = {
    "red": (219, 50, 54),
    "orange": (245, 140, 38),
    "yellow": (250, 208, 56),
    "green": (56, 161, 88),
    "blue": (48, 106, 210),
    "purple": (132, 76, 178),
    "pink": (244, 138, 178),
    "brown": (128, 82, 52),
    "black": (32, 32, 38),
    "white": (252, 252, 252),
    "grey": (142, 146, 152),
    "turquoise": (46, 190, 184),
    "light blue": (186, 218, 246),
    "dark blue": (26, 38, 88),
    "light green": (196, 232, 190),
    "dark green": (22, 74, 52),
    "cream": (250, 238, 210),
    "light grey": (224, 226, 230),
    "lavender": (214, 202, 242),
}
SHAPE_COLOURS = list(COLOURS)[:12]
BACKGROUNDS = list(COLOURS)

COLOUR_WORDS = {
    "purple": ["purple", "purple", "violet"],
    "grey": ["grey", "gray"],
    "turquoise": ["turquoise", "turquoise", "teal", "cyan"],
    "red": ["red"] * 8 + ["crimson"],
    "yellow": ["yellow"] * 6 + ["golden"],
    "light blue": ["light blue", "light blue", "pale blue", "sky blue"],
    "dark blue": ["dark blue", "dark blue", "navy blue", "navy"],
    "light green": ["light green", "pale green", "mint green"],
    "cream": ["cream", "cream coloured", "beige"],
    "light grey": ["light grey", "light gray"],
    "lavender": ["lavender", "light purple", "pale purple"],
}

# shape: (weighted names, weighted plurals)
SHAPES = {
    "circle": (["circle"] * 6 + ["disc", "dot", "ball"], ["circles"] * 6 + ["discs", "dots", "balls"]),
    "square": (["square"], ["squares"]),
    "triangle": (["triangle"], ["triangles"]),
    "star": (["star"] * 6 + ["five-pointed star"], ["stars"]),
    "heart": (["heart"] * 6 + ["heart shape"], ["hearts"]),
    "diamond": (["diamond"] * 3 + ["rhombus"], ["diamonds"]),
    "pentagon": (["pentagon"], ["pentagons"]),
    "hexagon": (["hexagon"], ["hexagons"]),
    "cross": (["cross"] * 4 + ["plus sign", "plus"], ["crosses"]),
    "ring": (["ring"] * 4 + ["hoop", "donut"], ["rings"]),
    "crescent": (["crescent"] * 3 + ["crescent moon"], ["crescents"]),
    "drop": (["drop"] * 3 + ["raindrop", "teardrop"], ["drops"] * 3 + ["raindrops"]),
}

SIZE_WORDS = {"small": ["small", "small", "little", "tiny"], "big": ["big", "big", "large", "huge"]}

# place: (x, y as fractions of the picture, how it is said)
PLACES = {
    "top left": (0.26, 0.26, ["in the top left corner", "in the top left", "at the top left", "in the upper left"]),
    "top": (0.5, 0.25, ["at the top", "at the top", "at the top of the picture"]),
    "top right": (0.74, 0.26, ["in the top right corner", "in the top right", "at the top right", "in the upper right"]),
    "left": (0.25, 0.5, ["on the left", "on the left side", "at the left"]),
    "centre": (0.5, 0.5, ["in the centre", "in the center", "in the middle"]),
    "right": (0.75, 0.5, ["on the right", "on the right side", "at the right"]),
    "bottom left": (0.26, 0.74, ["in the bottom left corner", "in the bottom left", "at the bottom left", "in the lower left"]),
    "bottom": (0.5, 0.75, ["at the bottom", "at the bottom", "at the bottom of the picture"]),
    "bottom right": (0.74, 0.74, ["in the bottom right corner", "in the bottom right", "at the bottom right", "in the lower right"]),
}

RELATIONS = {
    "left": ["to the left of", "to the left of", "left of", "on the left of", "on the left side of"],
    "right": ["to the right of", "to the right of", "right of", "on the right of", "on the right side of"],
    "above": ["above", "above", "over", "on top of"],
    "below": ["below", "below", "under", "beneath", "underneath"],
    "and": ["and", "and", "next to", "beside"],
}
NUMBERS = {1: ["one", "a single", "1"], 2: ["two", "two", "2", "a pair of"], 3: ["three", "three", "3"]}


def readable(colour, ground) -> bool:
    """Whether one RGB colour stands out on another (weighted RGB distance; 0 to about 760)."""
    (r1, g1, b1), (r2, g2, b2) = colour, ground
    mean = (r1 + r2) / 512
    return ((2 + mean) * (r1 - r2) ** 2 + 4 * (g1 - g2) ** 2 + (3 - mean) * (b1 - b2) ** 2) ** 0.5 > 190
