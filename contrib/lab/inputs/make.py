#!/usr/bin/env python3
"""Makes the files of tests/fixtures/inputs, and expected.json there: what Pillow and its LittleCMS make of them.

Needs Pillow 11 or later with WebP, AVIF and LittleCMS, ImageMagick 6 (`convert`) and libvips (`vips`).
The colour profiles are made here: matrices and gammas, and for inks a table of two points an ink.
"""

import io
import json
import pathlib
import struct
import subprocess

from PIL import Image, ImageCms, ImageOps

HERE = pathlib.Path(__file__).parents[3] / "tests" / "fixtures" / "inputs"
SIZE = (64, 48)
COLOURS = [(200, 40, 30), (30, 160, 60), (40, 60, 200), (128, 128, 128)]


def picture(mode="RGB"):
    """Four rectangles: red, green, blue and grey, from the top left."""
    image = Image.new("RGB", SIZE)
    width, height = SIZE[0] // 2, SIZE[1] // 2
    for at, colour in enumerate(COLOURS):
        image.paste(colour, ((at % 2) * width, (at // 2) * height,
                             (at % 2 + 1) * width, (at // 2 + 1) * height))
    return image.convert(mode)


def profile(space, name, tags):
    """An ICC profile of version 2 (ICC.1:2001-04)."""
    text = name.encode() + b"\0"
    tags = [(b"desc", b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78)),
            (b"cprt", b"text" + bytes(4) + b"CC0\0"), (b"wtpt", xyz(0.9642, 1.0, 0.8249)), *tags]
    at = 128 + 4 + 12 * len(tags)
    table, data = struct.pack(">I", len(tags)), b""
    for tag, value in tags:
        table += tag + struct.pack(">II", at + len(data), len(value))
        data += value + bytes(-len(value) % 4)
    kind = b"prtr" if space == b"CMYK" else b"mntr"
    pcs = b"Lab " if space == b"CMYK" else b"XYZ "
    head = struct.pack(">I4sI4s4s4s12s4s4sI4s4s8sI12s4s", at + len(data), b"", 0x02100000, kind,
                       space, pcs, struct.pack(">6H", 2026, 1, 1, 0, 0, 0), b"acsp", b"", 0, b"",
                       b"", b"", 0, struct.pack(">3i", 63190, 65536, 54061), b"")
    return head + bytes(128 - len(head)) + table + data


def xyz(*values):
    return b"XYZ " + bytes(4) + b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def gamma(value):
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(value * 256))


def rgb_profile(name, power, red, green, blue):
    curves = [(tag, gamma(power)) for tag in (b"rTRC", b"gTRC", b"bTRC")]
    matrix = [(b"rXYZ", xyz(*red)), (b"gXYZ", xyz(*green)), (b"bXYZ", xyz(*blue))]
    return profile(b"RGB ", name, matrix + curves)


# Primaries adapted to D50: Adobe RGB (1998), 4.3.5.3; Display P3 after CSS Color 4's matrices.
ADOBE = rgb_profile("Wide as Adobe RGB", 2.2, (0.60974, 0.31111, 0.01947),
                    (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
P3 = rgb_profile("Wide as P3", 2.2, (0.51512, 0.24120, -0.00105),
                 (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
GREY = profile(b"GRAY", "Grey of gamma 1.8", [(b"kTRC", gamma(1.8))])


def inks_profile():
    """Inks as lut8: the colours of each combination of none or all of an ink."""
    corners = b""
    for at in range(16):
        cyan, magenta, yellow, black = [(at >> bit) & 1 for bit in (3, 2, 1, 0)]
        light = 100 - 40 * cyan - 50 * magenta - 8 * yellow
        light = max(light, 12) * (0.1 if black else 1)
        a = (-35 * cyan + 72 * magenta - 4 * yellow) * (0.1 if black else 1)
        b = (-48 * cyan - 4 * magenta + 88 * yellow) * (0.1 if black else 1)
        corners += bytes([round(light * 2.55), max(0, min(255, round(a + 128))),
                          max(0, min(255, round(b + 128)))])
    identity = bytes(range(256))
    matrix = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + identity * 4 + corners + identity * 3
    return profile(b"CMYK", "Inks of a test", [(b"A2B0", lut)])


INKS = inks_profile()


def save(name, image, **options):
    image.save(HERE / name, **options)


def run(*command):
    subprocess.run(command, check=True, cwd=HERE)


def make():
    turns = {1: None, 2: Image.FLIP_LEFT_RIGHT, 3: Image.ROTATE_180, 4: Image.FLIP_TOP_BOTTOM,
             5: Image.TRANSPOSE, 6: Image.ROTATE_90, 7: Image.TRANSVERSE, 8: Image.ROTATE_270}
    for number, turn in turns.items():
        exif = Image.Exif()
        exif[0x0112] = number
        turned = picture() if turn is None else picture().transpose(turn)
        save(f"orientation-{number}.jpg", turned, exif=exif, quality=95, subsampling=0)
        if number == 6:
            save("orientation-6.png", turned, exif=exif)
            save("orientation-6.webp", turned, exif=exif, lossless=True)
            save("orientation-6.tif", turned, exif=exif, compression="tiff_lzw")
    save("grey.png", picture("L"))
    save("grey.jpg", picture("L"), quality=95)
    save("bits.png", picture().convert("1", dither=Image.Dither.NONE))
    save("palette.png", picture().quantize(8))
    save("palette.gif", picture().quantize(8))
    save("transparent-palette.png", picture().quantize(4), transparency=3)
    clear = picture("RGBA")
    clear.paste((255, 0, 255, 0), (32, 24, 64, 48))
    for name in ("transparent.png", "transparent.webp", "transparent.tif"):
        save(name, clear, **({"lossless": True, "exact": True} if name.endswith("webp") else {}))
    save("transparent-grey.png", clear.convert("LA"))
    save("adobe.jpg", picture(), icc_profile=ADOBE, quality=95, subsampling=0)
    save("p3.png", picture(), icc_profile=P3)
    save("p3.webp", picture(), icc_profile=P3, lossless=True)
    save("p3.tif", picture(), icc_profile=P3, compression="tiff_adobe_deflate")
    save("grey-profile.png", picture("L"), icc_profile=GREY)
    save("profile-of-another.png", picture("RGB"), icc_profile=GREY)
    save("profile-broken.png", picture("RGB"), icc_profile=b"no profile" * 20)
    save("inks.jpg", picture("CMYK"), quality=95)
    save("inks-profile.jpg", picture("CMYK"), quality=95, icc_profile=INKS)
    save("inks.tif", picture("CMYK"))
    save("picture.bmp", picture())
    save("picture.ppm", picture())
    save("progressive.jpg", picture(), progressive=True, quality=95)
    run("convert", "picture.bmp", "-depth", "16", "-define", "png:bit-depth=16",
        "-define", "png:color-type=2", "deep.png")
    run("convert", "p3.png", "-depth", "16", "-define", "png:bit-depth=16",
        "-define", "png:color-type=2", "deep-p3.png")
    run("convert", "picture.bmp", "-depth", "16", "-compress", "LZW", "deep.tif")
    run("convert", "picture.bmp", "-colorspace", "gray", "-depth", "16",
        "-define", "png:bit-depth=16", "-define", "png:color-type=0", "deep-grey.png")
    run("convert", "picture.bmp", "-quality", "95", "-sampling-factor", "2x2", "magick.jpg")
    run("vips", "jpegsave", "picture.ppm", "vips.jpg", "--Q", "95", "--strip")
    frames = [picture(), picture().rotate(180)]
    for name, options in (("moving.gif", {}), ("moving.webp", {"lossless": True}), ("moving.png", {})):
        save(name, frames[0], save_all=True, append_images=frames[1:], duration=100, **options)
    # Those that are refused by name.
    save("picture.avif", picture())
    save("picture.jp2", picture())
    run("vips", "jxlsave", "picture.ppm", "picture.jxl")


def expected():
    """What Pillow shows of each file: size, and the middle of each rectangle with alpha."""
    found = {}
    for path in sorted(HERE.iterdir()):
        if path.suffix in (".json", ".md", ".avif", ".jp2", ".jxl"):
            continue
        image = ImageOps.exif_transpose(Image.open(path))
        icc = image.info.get("icc_profile")
        if image.mode == "I;16":
            image = image.point(lambda value: value / 257).convert("L")
        alpha = image.convert("RGBA").getchannel("A")
        if icc and not path.name.startswith("profile-"):
            mode = image.mode if image.mode in ("L", "CMYK") else "RGB"
            image = ImageCms.profileToProfile(image.convert(mode), io.BytesIO(icc),
                                              ImageCms.createProfile("sRGB"),
                                              renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                                              outputMode="RGB")
        image = image.convert("RGB")
        width, height = image.size
        places = [(x * width // 4, y * height // 4) for y in (1, 3) for x in (1, 3)]
        found[path.name] = {"size": image.size,
                            "colours": [[*image.getpixel(at), alpha.getpixel(at)] for at in places]}
    lines = ",\n".join(f'  "{name}": {json.dumps(value)}' for name, value in found.items())
    (HERE / "expected.json").write_text("{\n" + lines + "\n}\n")


make()
expected()
