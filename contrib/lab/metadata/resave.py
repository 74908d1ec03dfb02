"""zimg's own images saved again by other tools: resave.py OWN OUT.

OWN has own.png, own.jpg, own.webp and lossy.webp of `cargo run -p zimg-image --example own_files`.
Each tool is called as its users call it. A file is named TOOL[-VARIANT].EXTENSION.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import oxipng
import piexif
import piexif.helper
from PIL import Image, PngImagePlugin

own, out = (Path(name) for name in sys.argv[1:3])
out.mkdir(parents=True, exist_ok=True)
png, jpg, webp = (own / f"own.{extension}" for extension in ("png", "jpg", "webp"))


def run(*words):
    subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL)


def edited(source, name, *words):
    """A copy that a tool changes in place; the file is the last word."""
    copy = out / name
    shutil.copy(source, copy)
    run(*words, copy)


def pillow():
    image = Image.open(png)
    image.save(out / "pillow.png")
    texts = PngImagePlugin.PngInfo()
    late = PngImagePlugin.PngInfo()
    for keyword, text in image.text.items():
        texts.add_itxt(keyword, text)
        late.add(b"iTXt", keyword.encode() + b"\0\0\0\0\0" + text.encode(), after_idat=True)
    image.save(out / "pillow-pnginfo.png", pnginfo=texts)
    image.save(out / "pillow-late.png", pnginfo=late)
    compressed = PngImagePlugin.PngInfo()
    for keyword, text in image.text.items():
        compressed.add_itxt(keyword, text, zip=True)
    image.save(out / "pillow-zip.png", pnginfo=compressed)
    image = Image.open(jpg)
    image.save(out / "pillow-exif-of-jpg.png", exif=image.info["exif"])
    for source in (jpg, webp):
        image = Image.open(source)
        suffix = source.suffix
        image.save(out / f"pillow{suffix}")
        image.save(out / f"pillow-info{suffix}", exif=image.info["exif"])
        image.save(out / f"pillow-getexif{suffix}", exif=image.getexif())


def piexif_tool():
    for source in (jpg, webp):
        copy = out / f"piexif{source.suffix}"
        shutil.copy(source, copy)
        piexif.insert(piexif.dump(piexif.load(str(source))), str(copy))
        # As A1111-like web UIs write it: the text alone.
        copy = out / f"piexif-text{source.suffix}"
        text = Image.open(png).text["parameters"]
        comment = piexif.helper.UserComment.dump(text, encoding="unicode")
        Image.open(png).save(copy)
        piexif.insert(piexif.dump({"Exif": {piexif.ExifIFD.UserComment: comment}}), str(copy))


def imagemagick():
    for source, name in [
        (png, "imagemagick.png"),
        (jpg, "imagemagick-of-jpg.png"),
        (webp, "imagemagick-of-webp.png"),
        (jpg, "imagemagick.jpg"),
        (png, "imagemagick-of-png.jpg"),
        (webp, "imagemagick.webp"),
        (jpg, "imagemagick-of-jpg.webp"),
    ]:
        run("convert", source, out / name)
        run("gm", "convert", source, out / name.replace("imagemagick", "graphicsmagick"))


def libvips():
    for source, name in [
        (png, "libvips.png"),
        (jpg, "libvips-of-jpg.png"),
        (jpg, "libvips.jpg"),
        (png, "libvips-of-png.jpg"),
        (webp, "libvips.webp"),
        (jpg, "libvips-of-jpg.webp"),
    ]:
        run("vips", "copy", source, out / name)


def metadata_editors():
    for source in (png, jpg, webp):
        suffix = source.suffix
        words = ("-q", "-overwrite_original")
        edited(source, f"exiftool{suffix}", "exiftool", *words, "-Artist=me", "-XMP:Rating=5")
        comment = "-UserComment=another comment"
        edited(source, f"exiftool-comment{suffix}", "exiftool", *words, comment)
    copied = ("-TagsFromFile", jpg, "-exif:all")
    edited(png, "exiftool-exif-of-jpg.png", "exiftool", "-q", "-overwrite_original", *copied)
    edited(jpg, "exiv2.jpg", "exiv2", "-M", "set Exif.Image.Artist me")
    edited(webp, "exiv2.webp", "exiv2", "-M", "set Exif.Image.Artist me")


def optimizers():
    run("pngcrush", "-q", png, out / "pngcrush.png")
    run("optipng", "-quiet", png, "-out", out / "optipng.png")
    run("optipng", "-quiet", "-strip", "all", png, "-out", out / "optipng-strip.png")
    oxipng.optimize(png, out / "oxipng.png")
    run("jpegtran", "-copy", "all", "-rotate", "90", "-outfile", out / "jpegtran.jpg", jpg)
    run("jpegtran", "-copy", "none", "-outfile", out / "jpegtran-none.jpg", jpg)
    for source, name in [(jpg, "cwebp.webp"), (png, "cwebp-of-png.webp"), (webp, "cwebp-of-webp.webp")]:
        run("cwebp", "-quiet", "-metadata", "all", source, "-o", out / name)
    run("cwebp", "-quiet", jpg, "-o", out / "cwebp-default.webp")


for step in (pillow, piexif_tool, imagemagick, libvips, metadata_editors, optimizers):
    step()
