"""Images with metadata as other programs write it: programs.py OUT.

Each function follows the program's own source, which it names; the libraries are those that the
program uses where it is written in Python.
"""

import json
import struct
import sys
import zlib
from pathlib import Path
from xml.sax.saxutils import escape

import piexif
import piexif.helper
from PIL import Image
from PIL.PngImagePlugin import PngInfo

out = Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
IMAGE = Image.new("RGB", (64, 64), (9, 9, 9))
PROMPT, NEGATIVE, SEED = "a castle, sunset テスト", "blurry, \"low\"", 2**33 + 7


def png(name, texts, raw=()):
    """PNG with texts as Pillow writes them: Latin-1 in tEXt, else iTXt."""
    info = PngInfo()
    for keyword, text in texts.items():
        info.add_text(keyword, text)
    for kind, data in raw:
        info.add(kind, data)
    IMAGE.save(out / name, pnginfo=info)


def commented(name, text, **options):
    """JPEG or WebP with a user comment by piexif, as in A1111's modules/images.py."""
    IMAGE.save(out / name)
    comment = piexif.helper.UserComment.dump(text, encoding="unicode")
    piexif.insert(piexif.dump({"Exif": {piexif.ExifIFD.UserComment: comment}, **options}), str(out / name))


def block(order, comment, kind=7, next_ifd=b"\0\0\0\0"):
    """An EXIF block with one comment, in a byte order and with a type."""
    pack = lambda form, *values: struct.pack(order + form, *values)
    head = (b"II*\0" if order == "<" else b"MM\0*") + pack("I", 8)
    first = pack("HHHIII", 1, 0x8769, 4, 1, 26, 0)
    inner = pack("HHHII", 1, 0x9286, kind, len(comment), 26 + 14 + len(next_ifd)) + next_ifd
    return b"Exif\0\0" + head + first + inner + comment


def a1111():
    """modules/processing.py (create_infotext), modules/images.py (save_image_with_geninfo)."""
    text = (
        f"{PROMPT}\nNegative prompt: {NEGATIVE}\nSteps: 9, Sampler: Euler, Schedule type: Simple, "
        f"CFG scale: 7, Seed: {SEED}, Size: 512x768, Model hash: 00ff00ff00, Model: z_image_turbo, "
        'Lora hashes: "a: 00ff, b: 11ee", Version: v1.10.1'
    )
    png("a1111.png", {"parameters": text})
    commented("a1111.jpg", text)
    commented("a1111.webp", text)
    # The same text as other programs and editors put it.
    utf16 = {"<": text.encode("utf-16-le"), ">": text.encode("utf-16-be")}
    for name, comment in {
        "le": block("<", b"UNICODE\0" + utf16["<"]),
        "be-in-le": block("<", b"UNICODE\0" + utf16[">"]),
        "le-in-be": block(">", b"UNICODE\0" + utf16["<"]),
        "bom": block(">", b"UNICODE\0" + text.encode("utf-16")),
        "utf8": block(">", b"UNICODE\0" + text.encode()),
        "ascii-utf8": block("<", b"ASCII\0\0\0" + text.encode()),
        "zeros": block(">", b"\0" * 8 + text.encode()),
        "bare": block("<", text.encode()),
        "as-ascii": block("<", text.encode(), kind=2),
        "as-bytes": block(">", b"UNICODE\0" + utf16[">"], kind=1),
        "as-utf8-type": block(">", text.encode(), kind=129),
        "no-next-ifd": block(">", b"UNICODE\0" + utf16[">"], next_ifd=b""),
        "bad-next-ifd": block("<", b"UNICODE\0" + utf16["<"], next_ifd=b"\xff" * 4),
    }.items():
        IMAGE.save(out / f"a1111-{name}.jpg", exif=comment)
    IMAGE.save(out / "a1111-exif.png", exif=block("<", b"UNICODE\0" + utf16["<"]))
    zeroth = {piexif.ImageIFD.ImageDescription: text.encode()}
    IMAGE.save(out / "a1111-description.jpg", exif=piexif.dump({"0th": zeroth}))
    zeroth = {piexif.ImageIFD.XPComment: text.encode("utf-16-le")}
    IMAGE.save(out / "a1111-xpcomment.jpg", exif=piexif.dump({"0th": zeroth}))
    IMAGE.save(out / "a1111-comment.jpg", comment=text.encode())
    # PNG texts: raw UTF-8 in tEXt, compressed, after the pixels, other line ends.
    raw = b"parameters\0" + text.encode()
    png("a1111-utf8.png", {}, [(b"tEXt", raw)])
    packed = zlib.compress(text.replace("テスト", "test").encode("latin-1"))
    png("a1111-ztxt.png", {}, [(b"zTXt", b"parameters\0\0" + packed)])
    late = PngInfo()
    late.add(b"tEXt", raw, after_idat=True)
    IMAGE.save(out / "a1111-late.png", pnginfo=late)
    png("a1111-crlf.png", {"parameters": text.replace("\n", "\r\n")})
    png("a1111-cr.png", {"parameters": text.replace("\n", "\r")})
    # Extensions: lists before Size, lines after the settings, Steps not first.
    resources = 'Civitai resources: [{"type":"checkpoint","weight":1,"a, b":"x: y"}], Size:'
    hashes = text + ', Hashes: {"model": "00ff", "lora:a": "11ee"}'
    templates = "\nTemplate: a {castle|tower}, 4k\nNegative Template: blurry"
    png("a1111-extended.png", {"parameters": hashes.replace("Size:", resources) + templates})
    settings = f"Size: 512x768, Seed: {SEED}, CFG scale: 7.0, Sampler: Euler, Steps: 9, Version: ComfyUI"
    png("a1111-shuffled.png", {"parameters": f"{PROMPT}\nNegative prompt: {NEGATIVE}\n{settings}"})


def zimg_0_1():
    """Version 0.1 of zimg: its CFG scale is guidance, its note has a NUL after the name."""
    note = {
        "prompt": PROMPT, "negative": NEGATIVE, "width": 512, "height": 768, "steps": 9, "seed": SEED,
        "guidance": 6.0, "guidance_normalization": 0.5, "guidance_truncation": 1.0,
        "model": "Z-Image-Turbo", "dtype": "bfloat16", "device": "cuda:0", "program": "zimg 0.1.0",
    }
    note = json.dumps(note, ensure_ascii=False)
    text = (
        f"{PROMPT}\nNegative prompt: {NEGATIVE}\nSteps: 9, Sampler: Euler, CFG scale: 6, Seed: {SEED}, "
        "Size: 512x768, Model: Z-Image-Turbo, Version: zimg 0.1.0"
    )
    info = PngInfo()
    info.add_itxt("parameters", text)
    info.add_itxt("zimg", note)
    IMAGE.save(out / "zimg-0.1.png", pnginfo=info)
    png("zimg-0.1-text.png", {"parameters": text})
    comment = piexif.helper.UserComment.dump(text, encoding="unicode")
    fields = {piexif.ExifIFD.UserComment: comment, piexif.ExifIFD.MakerNote: b"zimg\0" + note.encode()}
    for name in ("zimg-0.1.jpg", "zimg-0.1.webp"):
        IMAGE.save(out / name)
        piexif.insert(piexif.dump({"Exif": fields}), str(out / name))


def sdcpp():
    """examples/common/common.cpp (get_image_params), thirdparty/stb_image_write.h, media_io.cpp."""
    detail = {
        "schema": "sdcpp.image.params/v1", "mode": "img_gen", "seed": SEED, "width": 512, "height": 768,
        "prompt": {"positive": PROMPT, "negative": NEGATIVE},
        "sampling": {"steps": 9, "guidance": {"txt_cfg": 7.0, "distilled_guidance": 3.5}, "method": "euler"},
    }
    text = (
        f"{PROMPT}\nNegative prompt: {NEGATIVE}\nSteps: 9, CFG scale: 7.000000, SLG scale: 2.500000, "
        "Skip layers: [7, 8, 9, ], Skip layer start: 0.010000, Guidance: 3.500000, Eta: 0.000000, "
        f"ADetailer prompt: a face, Seed: 1, Seed: {SEED}, Size: 512x768, Model: , RNG: cuda, "
        "Sampler: euler, Custom Sigmas: [1.0000, 0.5000], TE: qwen_3_4b.safetensors, "
        "Unet: z_image_turbo.gguf, VAE: ae.safetensors, Version: stable-diffusion.cpp"
    )
    text += ", SDCPP: " + json.dumps(detail, ensure_ascii=False, separators=(",", ":"))
    png("sdcpp.png", {}, [(b"tEXt", b"parameters\0" + text.encode())])
    IMAGE.save(out / "sdcpp.jpg", comment=b"parameters\0" + text.encode() + b"\0")
    xmp = (
        '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
        '<rdf:Description xmlns:sdcpp="https://github.com/leejet/stable-diffusion.cpp/ns/1.0/">\n'
        f"<sdcpp:parameters>{escape(text)}</sdcpp:parameters>\n</rdf:Description>\n</rdf:RDF>\n"
        '</x:xmpmeta>\n<?xpacket end="w"?>'
    )
    IMAGE.save(out / "sdcpp.webp", xmp=xmp.encode())


def swarmui():
    """src/Text2Image/T2IParamInput.cs (GenFullMetadataObject), src/Media/ImageFile.cs (ConvertTo)."""
    params = {
        "prompt": PROMPT, "negativeprompt": NEGATIVE, "model": "z_image_turbo", "seed": SEED, "steps": 9,
        "cfgscale": 7.0, "aspectratio": "Custom", "width": 512, "height": 768, "sampler": "euler",
        "swarm_version": "0.9.7.0",
    }
    text = json.dumps({"sui_image_params": params, "sui_extra_data": {"date": "2026-01-01"}}, indent=2)
    png("swarmui.png", {"parameters": text})
    IMAGE.save(out / "swarmui.jpg", exif=block("<", b"UNICODE\0" + text.encode("utf-16-le")))


def invokeai():
    """invokeai/app/invocations/metadata.py, services/image_files/image_files_disk.py."""
    metadata = {
        "generation_mode": "z_image_txt2img", "positive_prompt": PROMPT, "negative_prompt": NEGATIVE,
        "width": 512, "height": 768, "seed": SEED, "cfg_scale": 7.0, "steps": 9, "scheduler": "euler",
        "model": {"key": "k", "hash": "h", "name": "Z-Image Turbo", "base": "z-image", "type": "main"},
        "app_version": "6.9.0",
    }
    png("invokeai.png", {"invokeai_metadata": json.dumps(metadata), "invokeai_graph": '{"nodes":{}}'})
    image = {
        "prompt": [{"prompt": f"{PROMPT} [{NEGATIVE}]", "weight": 1.0}], "steps": 9, "cfg_scale": 7.0,
        "seed": SEED, "width": 512, "height": 768, "sampler": "k_euler", "type": "txt2img",
    }
    old = {"model": "stable diffusion", "model_weights": "z-image", "app_id": "invoke-ai/InvokeAI",
           "app_version": "2.3.5", "image": image}
    png("invokeai-2.png", {"sd-metadata": json.dumps(old), "Dream": f'"{PROMPT}" -s 9'})
    png("invokeai-graph.png", {"invokeai_graph": '{"nodes":{}}'})


def mflux():
    """src/mflux/utils/generated_image.py (_get_metadata), image_util.py: ASCII JSON as the user comment."""
    metadata = {
        "mflux_version": "0.13.1", "model": "Tongyi-MAI/Z-Image", "base_model": "z-image", "seed": SEED, "steps": 9,
        "guidance": 6.0, "height": 768, "width": 512, "precision": "mlx.core.bfloat16", "quantize": 8,
        "lora_paths": None, "image_path": None, "prompt": PROMPT, "negative_prompt": NEGATIVE,
    }
    for name, changes in {
        "mflux.png": {}, "mflux.jpg": {}, "mflux-from-image.png": {"image_path": "a.png", "image_strength": 0.4},
    }.items():
        comment = b"ASCII\0\0\0" + json.dumps(metadata | changes).encode()
        exif = piexif.dump({"Exif": {piexif.ExifIFD.UserComment: comment}})
        IMAGE.save(out / name, exif=exif)


def ruined_fooocus():
    """modules/sdxl_pipeline.py."""
    metadata = {
        "Prompt": PROMPT, "Negative": NEGATIVE, "steps": 9, "cfg": 7, "width": 512, "height": 768, "seed": SEED,
        "sampler_name": "euler", "scheduler": "simple", "base_model_name": "z_image.safetensors", "loras": [],
        "start_step": 0, "denoise": None, "clip_skip": 1, "software": "RuinedFooocus",
    }
    png("ruined-fooocus.png", {"parameters": json.dumps(metadata)})


def fooocus():
    """modules/meta_parser.py, modules/private_logger.py."""
    fields = {
        "adm_guidance": "(1.5, 0.8, 0.3)", "base_model": "juggernautXL", "base_model_hash": "00ff",
        "full_negative_prompt": [NEGATIVE, "worst"], "full_prompt": [PROMPT, "cinematic"],
        "guidance_scale": 7.0, "metadata_scheme": "fooocus", "negative_prompt": NEGATIVE,
        "performance": "Speed", "prompt": PROMPT, "resolution": "(512, 768)", "sampler": "euler",
        "scheduler": "simple", "seed": str(SEED), "sharpness": 2.0, "steps": 9, "styles": "[]",
        "version": "Fooocus v2.5.5",
    }
    text = json.dumps(fields)
    quoted = json.dumps(NEGATIVE, ensure_ascii=False)
    infotext = (
        f"{PROMPT}, cinematic\nNegative prompt: {NEGATIVE}, worst\nSteps: 9, Sampler: Euler, "
        f"Seed: {SEED}, Size: 512x768, CFG scale: 7.0, Sharpness: 2.0, ADM Guidance: \"(1.5, 0.8, 0.3)\", "
        f"Model: juggernautXL, Model hash: 00ff, Performance: Speed, Scheduler: simple, VAE: Default, "
        f'Raw prompt: {json.dumps(PROMPT, ensure_ascii=False)}, Raw negative prompt: {quoted}, '
        "Version: Fooocus v2.5.5"
    )
    for scheme, written in {"fooocus": text, "a1111": infotext}.items():
        png(f"fooocus-{scheme}.png", {"parameters": written, "fooocus_scheme": scheme})
        exif = Image.Exif()
        exif[0x9286], exif[0x0131], exif[0x927C] = written, "Fooocus v2.5.5", scheme
        IMAGE.save(out / f"fooocus-{scheme}.jpg", exif=exif)
        IMAGE.save(out / f"fooocus-{scheme}.webp", exif=exif)


def comfyui():
    """nodes.py (SaveImage), comfy_extras/nodes_images.py (SaveAnimatedWEBP); the template for Z-Image."""
    text = lambda words: {"class_type": "CLIPTextEncode", "inputs": {"text": words, "clip": ["2", 0]}}
    graph = {
        "1": {"class_type": "UNETLoader", "inputs": {"unet_name": "z_image_turbo_bf16.safetensors"}},
        "2": {"class_type": "CLIPLoader", "inputs": {"clip_name": "qwen_3_4b.safetensors"}},
        "3": {"class_type": "KSampler", "is_changed": [float("nan")], "inputs": {
            "seed": SEED, "steps": 9, "cfg": 7.0, "sampler_name": "euler", "scheduler": "simple",
            "denoise": 1.0, "model": ["4", 0], "positive": ["5", 0], "negative": ["6", 0],
            "latent_image": ["7", 0]}},
        "4": {"class_type": "ModelSamplingAuraFlow", "inputs": {"shift": 3.0, "model": ["1", 0]}},
        "5": text(PROMPT), "6": text(NEGATIVE),
        "7": {"class_type": "EmptySD3LatentImage", "inputs": {"width": 512, "height": 768, "batch_size": 1}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0]}},
    }
    layout = json.dumps({"nodes": [], "links": [], "version": 0.4})
    png("comfyui.png", {"prompt": json.dumps(graph), "workflow": layout})
    exif = IMAGE.getexif()
    exif[0x0110], exif[0x010F] = "prompt:" + json.dumps(graph), "workflow:" + layout
    IMAGE.save(out / "comfyui.webp", exif=exif)
    custom = {name: graph[name] for name in "124567"} | {
        "3": {"class_type": "SamplerCustomAdvanced", "inputs": {
            "noise": ["9", 0], "guider": ["10", 0], "sampler": ["11", 0], "sigmas": ["12", 0],
            "latent_image": ["7", 0]}},
        "9": {"class_type": "RandomNoise", "inputs": {"noise_seed": ["13", 0]}},
        "10": {"class_type": "CFGGuider", "inputs": {
            "cfg": 7.0, "model": ["4", 0], "positive": ["5", 0], "negative": ["6", 0]}},
        "11": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "euler"}},
        "12": {"class_type": "BasicScheduler", "inputs": {"steps": 9, "denoise": 1.0, "model": ["4", 0]}},
        "13": {"class_type": "PrimitiveInt", "inputs": {"value": SEED}},
    }
    png("comfyui-custom.png", {"prompt": json.dumps(custom)})
    png("comfyui-two-samplers.png", {"prompt": json.dumps(graph | {"14": graph["3"]}), "workflow": layout})
    encoded = {"7": {"class_type": "VAEEncode", "inputs": {"pixels": ["15", 0]}}}
    png("comfyui-from-image.png", {"prompt": json.dumps(graph | encoded)})
    png("comfyui-workflow.png", {"workflow": layout})
    # Civitai's generator: the graph as the user comment, with notes beside its nodes.
    commented("comfyui-civitai.jpg", json.dumps(graph | {"extra": {"airs": []}, "extraMetadata": "{}"}))


def novelai():
    """Images of the service, as sd-parsers and others read them."""
    comment = {
        "prompt": PROMPT, "uc": NEGATIVE, "steps": 9, "scale": 7.0, "seed": SEED, "width": 512, "height": 768,
        "sampler": "k_euler", "strength": 0.7, "noise": 0.2, "request_type": "PromptGenerateRequest",
    }
    png("novelai.png", {
        "Title": "NovelAI generated image", "Description": PROMPT, "Software": "NovelAI",
        "Source": "NovelAI Diffusion V4.5 4BDE2A90", "Comment": json.dumps(comment)})


def draw_things():
    """XMP as Draw Things and its integrations write it."""
    comment = {
        "c": PROMPT, "uc": NEGATIVE, "model": "z_image_turbo_1.0_q8p.ckpt", "sampler": "Euler A Trailing",
        "scale": 7, "seed": SEED, "size": "512x768", "steps": 9, "strength": 1, "seed_mode": "Scale Alike",
    }
    item = lambda text: f'<rdf:Alt><rdf:li xml:lang="x-default">{escape(text)}</rdf:li></rdf:Alt>'
    description = f"{PROMPT}\n-{NEGATIVE}\nSteps: 9, Guidance Scale: 7.0, Seed: {SEED}, Size: 512x768"
    xmp = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 6.0.0">\n'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n<rdf:Description rdf:about=""\n'
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"\n'
        'xmlns:exif="http://ns.adobe.com/exif/1.0/">\n'
        f"<dc:description>{item(description)}</dc:description>\n"
        "<xmp:CreatorTool>Draw Things</xmp:CreatorTool>\n"
        f"<exif:UserComment>{item(json.dumps(comment, ensure_ascii=False))}</exif:UserComment>\n"
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp)
    IMAGE.save(out / "draw-things.png", pnginfo=info)
    IMAGE.save(out / "draw-things.jpg", xmp=xmp.encode())


def easy_diffusion():
    """ui/easydiffusion/utils/save_utils.py; sdkit/utils/image_utils.py embeds each entry."""
    entries = {
        "prompt": PROMPT, "negative_prompt": NEGATIVE, "seed": SEED, "use_stable_diffusion_model": "z-image",
        "sampler_name": "euler", "width": 512, "height": 768, "num_inference_steps": 9, "guidance_scale": 7.0,
    }
    png("easy-diffusion.png", {key: str(value) for key, value in entries.items()})
    commented("easy-diffusion.jpg", json.dumps(entries))


for program in (
    zimg_0_1, a1111, sdcpp, swarmui, invokeai, fooocus, mflux, ruined_fooocus, comfyui, novelai, draw_things, easy_diffusion,
):
    program()
