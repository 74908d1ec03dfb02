"""The drawing of the little scenes, each with a sky for the time of day and small chances of place."""

import math
import random

from canvas import SIZE, Canvas, mix
from words import COLOURS

WHITE, BLACK = (252, 252, 252), (32, 32, 38)
SKIES = {
    "day": ((132, 196, 240), (214, 238, 250)),
    "night": ((16, 24, 66), (52, 66, 124)),
    "sunset": ((112, 78, 146), (252, 176, 104)),
}
GRASS = {"day": (112, 186, 92), "night": (34, 74, 74), "sunset": (112, 122, 72)}
SEA = {"day": ((52, 136, 206), (26, 92, 168)), "night": ((24, 50, 108), (12, 26, 70)), "sunset": ((214, 112, 102), (88, 62, 128))}
SNOW = {"day": (240, 246, 252), "night": (150, 168, 210), "sunset": (250, 218, 206)}
STARS = [(30, 34), (62, 82), (94, 28), (126, 62), (22, 120), (150, 22), (232, 96), (222, 22), (112, 104), (176, 110), (54, 140), (240, 58)]


def dim(colour, time):
    """A colour as it looks at this time of day."""
    if time == "night":
        return mix(colour, (20, 30, 80), 0.42)
    return mix(colour, (220, 110, 80), 0.16) if time == "sunset" else colour


def _cloud(c: Canvas, x, y, size, colour):
    for dx, dy, r in ((-1, 0, 0.62), (0, -0.4, 0.85), (1, 0, 0.62), (0.1, 0.15, 0.62)):
        c.circle(x + dx * size, y + dy * size, r * size, colour)
    c.rect(x - 1.3 * size, y + 0.02 * size, x + 1.3 * size, y + 0.62 * size, colour, 0.3 * size)


def _sky(time, rng, clouds=True, sun=True, moon=(196, 52)) -> Canvas:
    c = Canvas(*SKIES[time])
    shift = rng.uniform(-6, 6)
    if time == "night":
        for x, y in STARS:
            c.circle(x + shift / 2, y, 1.7, (248, 244, 214))
        c.circle(moon[0] + shift, moon[1], 24, (250, 242, 200))
        for dx, dy, r in ((-7, -5, 5), (8, 4, 4), (-3, 10, 3)):
            c.circle(moon[0] + shift + dx, moon[1] + dy, r, (236, 224, 176))
        return c
    if time == "sunset" and sun:
        c.circle(128 + shift, 128, 34, (255, 220, 120))
    elif sun:
        c.circle(206 + shift, 46, 23, (255, 220, 90))
    if clouds and time == "day":
        _cloud(c, 58 + shift, 52, 15, WHITE)
        _cloud(c, 142 + shift, 32, 9, WHITE)
    return c


def _water(c: Canvas, y, time, rng):
    c.ramp(y, SIZE, *SEA[time])
    light = mix(SEA[time][0], WHITE, 0.32)
    for i, (x, dy, half) in enumerate(((40, 18, 16), (196, 26, 20), (92, 48, 20), (226, 66, 16), (36, 78, 18), (150, 92, 24))):
        if y + dy < SIZE - 6:
            c.rect(x - half, y + dy, x + half, y + dy + 3, light, 1.5)


def house(time, variant, rng):
    c = _sky(time, rng)
    x = 118 + rng.uniform(-8, 8)
    c.hills(192, 8, 1, rng.uniform(-0.4, 0.4), dim(GRASS["day"], time))
    wall = dim(COLOURS[variant] if variant else (244, 226, 190), time)
    roof = dim((126, 72, 62) if variant in ("red", "pink", "brown") else (196, 78, 62), time)
    glass = (255, 222, 120) if time != "day" else (168, 216, 240)
    c.rect(x + 24, 98, x + 38, 134, dim((150, 96, 80), time))
    c.rect(x - 50, 134, x + 50, 206, wall)
    c.polygon([(x - 64, 138), (x, 86), (x + 64, 138)], roof)
    c.rect(x - 13, 162, x + 13, 206, dim((120, 74, 50), time), 2)
    for side in (-1, 1):
        c.rect(x + side * 33 - 11, 150, x + side * 33 + 11, 172, glass, 2)
        c.line([(x + side * 33, 151), (x + side * 33, 171)], wall, 2)
    c.hills(212, 4, 1.5, 1, dim((92, 164, 80), time))
    return c


def sea(time, variant, rng):
    c = _sky(time, rng, sun=time != "sunset", moon=(128, 60))
    if time == "sunset":
        c = Canvas((104, 72, 144), (255, 176, 96))
        x = 128 + rng.uniform(-10, 10)
        c.ramp(0, 150, (104, 72, 144), (255, 184, 100))
        c.circle(x, 146, 44, (255, 226, 130))
        _cloud(c, 54, 70, 11, (232, 140, 132))
        _cloud(c, 206, 52, 13, (214, 124, 136))
    _water(c, 150, time, rng)
    if time != "day":
        glow = (255, 214, 140) if time == "sunset" else (206, 208, 200)
        for i, half in enumerate((34, 27, 21, 15, 9)):
            c.rect(128 - half, 158 + 15 * i, 128 + half, 164 + 15 * i, glow, 3)
    return c


def mountains(time, variant, rng):
    c = _sky(time, rng)
    shift = rng.uniform(-8, 8)
    rock, snow = dim((112, 124, 152), time), SNOW[time]
    for x, top, half, shade in ((60, 104, 84, 0.18), (206, 96, 92, 0.1), (134, 62, 96, 0)):
        x += shift
        base = 214
        c.polygon([(x - half, base), (x, top), (x + half, base)], mix(rock, WHITE, shade))
        cap, slope = 40, half / (base - top)
        c.polygon(
            [(x, top), (x + cap * slope, top + cap), (x + cap * slope * 0.5, top + cap * 0.72), (x + 3, top + cap * 1.1), (x - cap * slope * 0.4, top + cap * 0.74), (x - cap * slope, top + cap)],
            snow,
        )
    c.hills(204, 7, 1.4, 0.4, dim((92, 156, 104), time))
    c.hills(226, 5, 1.8, 2, dim((74, 134, 90), time))
    return c


def tree(time, variant, rng):
    c = _sky(time, rng)
    x = 118 + rng.uniform(-8, 8)
    c.hills(192, 9, 1, 0.2, dim(GRASS["day"], time))
    c.polygon([(x - 9, 216), (x - 7, 140), (x + 7, 140), (x + 9, 216)], dim((122, 82, 56), time))
    leaf = {"green": (62, 150, 82), "autumn": (232, 128, 44), "blossom": (246, 164, 196)}[variant]
    for dx, dy, r in ((0, 104, 40), (-34, 124, 29), (34, 124, 29), (0, 132, 34)):
        c.circle(x + dx, dy, r, dim(leaf, time))
    for dx, dy, r in ((-14, 96, 15), (22, 112, 11), (-30, 122, 9)):
        c.circle(x + dx, dy, r, dim(mix(leaf, WHITE, 0.2), time))
    for i in range(6):
        fx, fy = 20 + 42 * i, 222 + 14 * (i % 2)
        c.circle(fx, fy, 3.4, dim(((250, 220, 80), WHITE, (244, 138, 178))[i % 3], time))
    return c


def boat(time, variant, rng):
    c = _sky(time, rng, sun=time != "sunset")
    if time == "sunset":
        c.circle(196, 132, 28, (255, 224, 130))
    _water(c, 162, time, rng)
    x = 116 + rng.uniform(-10, 10)
    sail = dim(COLOURS[variant] if variant else WHITE, time)
    c.rect(x - 2, 72, x + 2, 176, dim((120, 80, 54), time))
    c.polygon([(x + 5, 74), (x + 5, 162), (x + 60, 162)], sail)
    c.polygon([(x - 5, 92), (x - 5, 162), (x - 42, 162)], mix(sail, (120, 130, 150), 0.14))
    c.polygon([(x - 62, 170), (x + 68, 170), (x + 48, 196), (x - 46, 196)], dim((158, 82, 56), time))
    c.rect(x - 62, 168, x + 68, 174, dim((236, 226, 206), time), 2)
    c.rect(x - 74, 196, x - 20, 199, mix(SEA[time][0], WHITE, 0.4), 1.5)
    c.rect(x + 6, 201, x + 76, 204, mix(SEA[time][0], WHITE, 0.4), 1.5)
    return c


def rainbow(time, variant, rng):
    c = _sky("day", rng, clouds=False, sun=False)
    x = 128 + rng.uniform(-8, 8)
    bands = ("red", "orange", "yellow", "green", "blue", "purple")
    for i, band in enumerate(bands):
        c.arc(x, 196, 118 - 10 * i, 180, 360, COLOURS[band], 10.6)
    _cloud(c, x - 96, 176, 17, WHITE)
    _cloud(c, x + 96, 176, 17, WHITE)
    c.hills(204, 14, 1, 0.6, (120, 192, 100))
    c.hills(222, 10, 1.3, 2.6, (88, 164, 84))
    return c


def city(time, variant, rng):
    c = _sky(time, rng)
    back = {"night": (44, 52, 104), "sunset": (150, 92, 120), "day": (160, 186, 212)}[time]
    front = {"night": (26, 30, 66), "sunset": (84, 56, 92), "day": (96, 120, 152)}[time]
    lit = {"night": (255, 218, 112), "sunset": (255, 206, 128), "day": (206, 228, 244)}[time]
    for x, top, width in ((8, 138, 34), (66, 112, 32), (124, 128, 36), (182, 104, 30), (222, 134, 34)):
        c.rect(x, top, x + width, SIZE, back)
    for i, (x, top, width) in enumerate(((-4, 168, 44), (46, 140, 40), (94, 158, 36), (138, 118, 42), (188, 150, 36), (230, 174, 40))):
        top += rng.uniform(-3, 3)
        c.rect(x, top, x + width, SIZE, front)
        for row in range(int((SIZE - 20 - top) // 18)):
            for column in range(int(width // 14)):
                if (row * 3 + column * 5 + i * 2) % 4:
                    wx, wy = x + 6 + 13 * column, top + 9 + 18 * row
                    c.rect(wx, wy, wx + 7, wy + 9, lit, 1)
    c.rect(0, 240, SIZE, SIZE, mix(front, BLACK, 0.35))
    return c


def balloon(time, variant, rng):
    c = _sky(time, rng, sun=False)
    _cloud(c, 206, 92, 11, WHITE if time == "day" else (240, 160, 140))
    c.hills(220, 10, 1.2, 0.3, dim((112, 186, 92), time))
    c.hills(236, 7, 1.6, 2.4, dim((84, 158, 80), time))
    x, y = 128 + rng.uniform(-9, 9), 96 + rng.uniform(-5, 5)
    skin = dim(COLOURS[variant] if variant else COLOURS["red"], time)
    stripe = mix(skin, WHITE, 0.34)
    c.polygon([(x - 40, y + 34), (x + 40, y + 34), (x + 13, y + 74), (x - 13, y + 74)], skin)
    c.circle(x, y, 54, skin)
    c.ellipse(x, y, 30, 54, stripe)
    c.polygon([(x - 20, y + 41), (x + 20, y + 41), (x + 7, y + 74), (x - 7, y + 74)], stripe)
    c.ellipse(x, y, 11, 54, skin)
    c.polygon([(x - 8, y + 44), (x + 8, y + 44), (x + 3, y + 74), (x - 3, y + 74)], skin)
    for side in (-1, 1):
        c.line([(x + side * 11, y + 74), (x + side * 9, y + 88)], (96, 70, 56), 2)
    c.rect(x - 12, y + 87, x + 12, y + 105, dim((158, 104, 62), time), 3)
    return c


def _pine(c: Canvas, x, base, height, colour, snow):
    c.rect(x - 3, base - 8, x + 3, base, (104, 74, 58))
    for i in range(3):
        top, half = base - height + i * height * 0.24, height * (0.17 + 0.07 * i)
        c.polygon([(x, top), (x - half, top + height * 0.4), (x + half, top + height * 0.4)], colour)
        if snow:
            c.polygon([(x, top), (x - half * 0.42, top + height * 0.17), (x + half * 0.42, top + height * 0.17)], snow)


def fox(time, variant, rng):
    c = _sky(time, rng, sun=variant != "snow")
    winter = variant == "snow"
    ground = SNOW[time] if winter else dim(GRASS["day"], time)
    c.hills(176, 8, 1, 0.4, mix(ground, (120, 150, 190), 0.14))
    for x, base, height in ((34, 178, 76), (74, 172, 54), (220, 178, 84)):
        _pine(c, x, base, height, dim((52, 112, 92), time), SNOW[time] if winter else None)
    c.hills(202, 5, 1.2, 2, ground)
    if winter:
        for i in range(16):
            c.circle((i * 67 + 20) % 250, (i * 41 + 12) % 170, 2.1, WHITE)
    x = 132 + rng.uniform(-8, 8)
    fur, light, dark = dim((226, 98, 42), time), dim((252, 244, 232), time), dim((70, 44, 40), time)
    # tail, body, legs, head: a fox that sits and looks at us
    c.polygon([(x + 20, 214), (x + 66, 204), (x + 76, 172), (x + 62, 150), (x + 48, 176), (x + 18, 190)], fur)
    c.ellipse(x + 66, 160, 11, 15, light)
    c.ellipse(x, 186, 31, 40, fur)
    c.ellipse(x, 184, 16, 30, light)
    for side in (-1, 1):
        c.rect(x + side * 13 - 8, 190, x + side * 13 + 8, 224, fur, 7)
        c.rect(x + side * 13 - 8, 214, x + side * 13 + 8, 225, dark, 5)
        c.polygon([(x + side * 38, 84), (x + side * 6, 108), (x + side * 36, 128)], fur)
        c.polygon([(x + side * 33, 94), (x + side * 16, 108), (x + side * 31, 120)], dark)
    c.polygon([(x - 44, 128), (x - 26, 106), (x + 26, 106), (x + 44, 128), (x + 10, 162), (x - 10, 162)], fur)
    for side in (-1, 1):
        c.polygon([(x + side * 44, 128), (x + side * 14, 136), (x, 154), (x + side * 10, 162)], light)
        c.circle(x + side * 17, 129, 4.2, BLACK)
    c.ellipse(x, 158, 6.5, 5, BLACK)
    return c


def cat(time, variant, rng):
    c = _sky(time, rng)
    c.hills(196, 7, 1, 0.3, dim(GRASS["day"], time))
    x = 122 + rng.uniform(-8, 8)
    base = {"black": (46, 44, 56), "orange": (238, 148, 62), "grey": (146, 150, 160), "white": (248, 246, 242)}[variant]
    fur = mix(base, (30, 40, 90), 0.2) if time == "night" and variant != "black" else base
    inner, shade = (240, 160, 160), mix(fur, BLACK, 0.14)
    c.line([(x + 24, 216), (x + 58, 214), (x + 68, 190), (x + 60, 166)], fur, 13)
    c.ellipse(x, 184, 36, 44, fur)
    for side in (-1, 1):
        c.rect(x + side * 15 - 10, 188, x + side * 15 + 10, 228, fur, 9)
        c.line([(x + side * 4, 196), (x + side * 4, 222)], shade, 2)
        c.polygon([(x + side * 38, 78), (x + side * 8, 100), (x + side * 38, 122)], fur)
        c.polygon([(x + side * 33, 90), (x + side * 17, 102), (x + side * 32, 113)], inner)
    c.ellipse(x, 126, 43, 37, fur)
    for side in (-1, 1):
        c.ellipse(x + side * 18, 122, 7.5, 8.5, (250, 224, 110) if variant != "white" else (130, 200, 220))
        c.ellipse(x + side * 18, 122, 2.8, 7, BLACK)
        whisker = (236, 236, 240) if variant == "black" else mix(fur, BLACK, 0.5)
        c.line([(x + side * 24, 140), (x + side * 52, 136)], whisker, 1.6)
        c.line([(x + side * 24, 145), (x + side * 51, 149)], whisker, 1.6)
    c.polygon([(x - 5, 137), (x + 5, 137), (x, 143)], inner)
    return c


def flower(time, variant, rng):
    c = _sky("day", rng)
    c.hills(206, 8, 1, 0.4, (112, 186, 92))
    x = 124 + rng.uniform(-8, 8)
    petal = COLOURS[variant] if variant else COLOURS["pink"]
    stem = (58, 140, 74)
    c.line([(x, 116), (x, 236)], stem, 7)
    for side in (-1, 1):
        c.polygon([(x, 206), (x + side * 20, 176), (x + side * 46, 170), (x + side * 30, 196)], mix(stem, WHITE, 0.1))
    for i in range(8):
        a = math.pi * i / 4
        c.circle(x + 34 * math.cos(a), 106 + 34 * math.sin(a), 18.5, petal)
    for i in range(8):
        a = math.pi * i / 4
        c.circle(x + 26 * math.cos(a), 106 + 26 * math.sin(a), 8, mix(petal, WHITE, 0.2))
    c.circle(x, 106, 20, (250, 200, 60) if variant != "yellow" else (150, 92, 50))
    c.hills(238, 4, 2, 1, (92, 166, 80))
    return c


def fish(time, variant, rng):
    c = Canvas((116, 206, 232), (26, 96, 168))
    c.hills(232, 6, 1.3, 0.4, (232, 210, 160))
    for x, height in ((26, 60), (40, 42), (222, 68), (236, 44)):
        c.line([(x, 238), (x - 5, 238 - height * 0.4), (x + 4, 238 - height * 0.7), (x, 238 - height)], (46, 146, 104), 7)
    x, y = 122 + rng.uniform(-8, 8), 122 + rng.uniform(-6, 6)
    body = COLOURS[variant] if variant else COLOURS["orange"]
    fin = mix(body, BLACK, 0.16)
    c.polygon([(x + 44, y), (x + 92, y - 36), (x + 82, y), (x + 92, y + 36)], fin)
    c.polygon([(x - 16, y - 36), (x + 28, y - 60), (x + 34, y - 28)], fin)
    c.polygon([(x - 6, y + 38), (x + 22, y + 56), (x + 26, y + 30)], fin)
    c.ellipse(x, y, 64, 43, body)
    c.ellipse(x + 2, y + 17, 46, 22, mix(body, WHITE, 0.24))
    c.polygon([(x + 4, y), (x + 26, y - 13), (x + 26, y + 13)], fin)
    c.circle(x - 36, y - 10, 10, WHITE)
    c.circle(x - 38, y - 10, 5, BLACK)
    for dx, dy, r in ((-82, -30, 6), (-92, -54, 4.5), (-80, -74, 7)):
        c.circle(x + dx, y + dy, r, (196, 232, 246))
    return c


def lighthouse(time, variant, rng):
    c = _sky(time, rng, sun=time != "sunset", moon=(206, 46))
    if time == "sunset":
        c.circle(206, 146, 26, (255, 224, 130))
    _water(c, 174, time, rng)
    x = 104 + rng.uniform(-6, 6)
    c.polygon([(x - 78, 222), (x - 46, 186), (x + 44, 184), (x + 80, 222), (x + 60, 238), (x - 60, 238)], dim((116, 110, 116), time))
    if time != "day":
        c.polygon([(x, 70), (0, 44), (0, 92)], mix(SKIES[time][0], (255, 240, 170), 0.45))
    width = lambda y: 15 + 12 * (y - 84) / 106  # noqa: E731
    for i in range(5):
        y0, y1 = 84 + 21.2 * i, 84 + 21.2 * (i + 1)
        c.polygon([(x - width(y0), y0), (x + width(y0), y0), (x + width(y1), y1), (x - width(y1), y1)], dim((WHITE, (214, 62, 58))[i % 2], time))
    c.rect(x - 20, 80, x + 20, 86, dim((70, 76, 92), time), 2)
    c.rect(x - 11, 60, x + 11, 80, (255, 226, 120))
    c.polygon([(x - 16, 61), (x, 42), (x + 16, 61)], dim((196, 58, 56), time))
    return c


def cactus(time, variant, rng):
    c = _sky(time, rng, clouds=False)
    c.hills(180, 8, 1, 0.2, dim((232, 176, 110), time))
    c.hills(210, 8, 1.4, 2.2, dim((242, 200, 132), time))
    x = 120 + rng.uniform(-8, 8)
    green = dim((66, 150, 92), time)
    c.line([(x, 84), (x, 222)], green, 30)
    c.line([(x, 172), (x - 42, 172), (x - 42, 132)], green, 18)
    c.line([(x, 150), (x + 42, 150), (x + 42, 106)], green, 18)
    for dx in (-7, 3):
        c.line([(x + dx, 88), (x + dx, 218)], mix(green, WHITE, 0.16), 2.4)
    c.circle(x, 68, 7, dim((244, 120, 160), time))
    for fx, fy in ((34, 226), (206, 216), (226, 238)):
        c.ellipse(fx, fy, 12, 6, dim((196, 146, 100), time))
    return c


def snowman(time, variant, rng):
    c = _sky(time, rng, sun=False, moon=(208, 46))
    c.hills(186, 8, 1, 0.3, mix(SNOW[time], (120, 150, 190), 0.16))
    for x, base, height in ((36, 190, 84), (218, 190, 92)):
        _pine(c, x, base, height, dim((52, 112, 92), time), SNOW[time])
    c.hills(210, 5, 1.2, 1.6, SNOW[time])
    for i in range(16):
        c.circle((i * 67 + 20) % 250, (i * 41 + 12) % 190, 2.3, WHITE)
    x = 126 + rng.uniform(-8, 8)
    snow = dim((250, 252, 254), time) if time == "day" else (206, 214, 240)
    shade = mix(snow, (120, 150, 200), 0.3)
    for y, r in ((194, 42), (136, 31), (92, 24)):
        c.circle(x + 2, y + 2, r, shade)
        c.circle(x, y, r, snow)
    c.line([(x - 26, 130), (x - 58, 106)], (112, 78, 56), 4)
    c.line([(x + 26, 130), (x + 58, 106)], (112, 78, 56), 4)
    c.rect(x - 26, 72, x + 26, 78, BLACK, 2)
    c.rect(x - 17, 44, x + 17, 74, BLACK, 3)
    c.rect(x - 17, 64, x + 17, 70, (214, 62, 58))
    c.rect(x - 22, 108, x + 22, 118, (214, 62, 58), 4)
    c.rect(x + 8, 114, x + 18, 144, (214, 62, 58), 3)
    for dx, dy in ((-8, 88), (8, 88), (0, 134), (0, 150), (0, 176)):
        c.circle(x + dx, dy, 3.2, BLACK)
    c.polygon([(x, 93), (x + 22, 98), (x, 101)], (242, 140, 50))
    return c


def car(time, variant, rng):
    c = _sky(time, rng)
    c.hills(168, 9, 1, 0.4, dim(GRASS["day"], time))
    c.rect(0, 192, SIZE, 240, dim((104, 108, 118), time))
    for x in range(-10, SIZE, 52):
        c.rect(x, 222, x + 28, 226, dim((236, 232, 214), time), 1)
    c.rect(0, 240, SIZE, SIZE, dim((92, 164, 80), time))
    x = 126 + rng.uniform(-10, 10)
    paint = COLOURS[variant] if variant else COLOURS["red"]
    paint = mix(paint, (30, 40, 90), 0.15) if time == "night" else paint
    c.polygon([(x - 52, 156), (x - 32, 120), (x + 30, 120), (x + 56, 156)], paint)
    c.polygon([(x - 40, 154), (x - 26, 128), (x - 3, 128), (x - 3, 154)], (190, 226, 244))
    c.polygon([(x + 4, 154), (x + 4, 128), (x + 26, 128), (x + 42, 154)], (190, 226, 244))
    c.rect(x - 84, 152, x + 84, 196, paint, 14)
    c.rect(x - 84, 180, x + 84, 192, mix(paint, BLACK, 0.2), 4)
    c.ellipse(x + 78, 168, 6, 7, (255, 232, 140))
    c.ellipse(x - 80, 168, 4, 6, (206, 56, 56))
    for dx in (-46, 46):
        c.circle(x + dx, 196, 20, (40, 42, 50))
        c.circle(x + dx, 196, 9, (206, 210, 218))
    return c


def rocket(time, variant, rng):
    c = Canvas((14, 16, 46), (54, 40, 104))
    shift = rng.uniform(-6, 6)
    for x, y in STARS + [(40, 190), (210, 180), (226, 226), (24, 236), (70, 220), (190, 148)]:
        c.circle(x + shift / 2, y, 1.9, (250, 244, 214))
    c.circle(210 + shift, 62, 23, (226, 152, 96))
    c.ellipse(210 + shift, 64, 36, 6, (244, 206, 150))
    x = 118 + rng.uniform(-8, 8)
    trim = COLOURS[variant] if variant and variant != "white" else (214, 62, 58)
    hull = COLOURS[variant] if variant else (236, 238, 244)
    trim = (240, 240, 246) if variant in ("red", "orange", "blue") else trim
    c.polygon([(x - 17, 186), (x, 240), (x + 17, 186)], (250, 150, 50))
    c.polygon([(x - 9, 186), (x, 218), (x + 9, 186)], (255, 224, 110))
    for side in (-1, 1):
        c.polygon([(x + side * 24, 140), (x + side * 54, 184), (x + side * 50, 200), (x + side * 18, 182)], trim)
    points = [(x + 31 * math.sin(math.pi * i / 24) ** 0.8 * s, 40 + 150 * i / 24) for s in (1, -1) for i in (range(25) if s == 1 else range(24, -1, -1)) if i <= 22]
    c.polygon(points, hull)
    c.polygon([(px, py) for px, py in points if py <= 84], trim)
    c.rect(x - 15, 180, x + 15, 188, (96, 100, 116), 2)
    c.circle(x, 114, 15, (86, 96, 120))
    c.circle(x, 114, 11, (150, 214, 240))
    return c


def moon(time, variant, rng):
    c = Canvas(*SKIES["night"])
    shift = rng.uniform(-6, 6)
    for x, y in STARS + [(34, 200), (210, 196), (228, 150), (76, 232), (168, 234), (18, 168)]:
        c.circle(x + shift / 2, y, 2.0, (250, 244, 214))
    x, y = 128 + rng.uniform(-9, 9), 118 + rng.uniform(-6, 6)
    if variant == "full":
        c.circle(x, y, 58, (250, 242, 200))
        for dx, dy, r in ((-20, -16, 12), (18, 8, 9), (-8, 26, 8), (24, -24, 6), (-32, 12, 5)):
            c.circle(x + dx, y + dy, r, (236, 224, 176))
    else:
        angles = [math.radians(a) for a in range(55, 306, 5)]
        outer = [(x + 58 * math.cos(a), y + 58 * math.sin(a)) for a in angles]
        inner = [(x + 24 + 47 * math.cos(a), y + 47 * math.sin(a)) for a in (math.radians(d) for d in range(282, 77, -5))]
        c.polygon(outer + inner, (250, 240, 190))
    _cloud(c, 54 + shift, 206, 13, (74, 88, 150))
    _cloud(c, 204 + shift, 220, 15, (66, 80, 140))
    return c


PAINTERS = {f.__name__: f for f in (house, sea, mountains, tree, boat, rainbow, city, balloon, fox, cat, flower, fish, lighthouse, cactus, snowman, car, rocket, moon)}


def draw(name: str, time: str, variant, rng: random.Random):
    """The scene as a picture, [256, 256, 3] uint8."""
    return PAINTERS[name](time, variant, rng).finish()
