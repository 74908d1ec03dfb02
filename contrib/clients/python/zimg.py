#!/usr/bin/env python3
"""A client for zimaged in Python's standard library alone, written from docs/protocol.md.

As a module:   for event in Client().draw("a red fox", seed=7): ...
As a program:  zimg.py "a red fox" fox.png [seed=7 count=4 width=512 image=a.ppm mask=b.pgm …]   zimg.py --status
"""
import os
import re
import socket
import struct
import sys
import zlib

# Messages by their names: fields and their types, or a list of variants, whose place is their number. A type is a
# letter of struct, "s" for a string, or the name of a message; "?" before it: it may be missing, "*": a list.
TYPES = {
    "FAILURE": "kind:I message:s hint:?s", "WEIGHTS": ["Read bytes:Q", "Retained bytes:Q"], "MEMORY": "used:Q total:Q",
    "STATE": ["Starting", "Loading done:Q total:Q", "Warming", "Ready", "Busy job:Q step:I of:I", "Draining",
              "Restarting in_ms:Q reason:s", "Failed failure:FAILURE", "Asleep"],
    "WAITING": ["Queue position:I", "Worker worker:STATE", "Preempted position:I", "Disk failure:FAILURE"],
    "CAN": "parameters:*s guidance:B negative_prompt:B side_min:I side_max:I side_multiple:I images_max:I"
    " initial_image:B mask:B control_image:B lora:B layouts:*I",
    "MODEL": "name:s device:s dtype:s width:I height:I steps:I guidance:f max_tokens:I capabilities:CAN",
    "WORKER": "worker:I state:STATE pid:?I restarts:I model:?MODEL load_s:?f age_s:?Q weights:?WEIGHTS memory:?MEMORY"
    " last_error:?s",
    "STATUS": "version:s pid:I uptime_s:Q workers:*WORKER queued:I done:Q failed:Q",
    "EVENT": ["Accepted job:Q position:I", "Waiting why:WAITING", "Started model:MODEL width:I height:I steps:I guidance:f",
        "Step image:I step:I of:I ms:f", "Decoding image:I", "Image index:I seed:Q width:I height:I bytes:Q",
        "Done queued:f text:f steps:f decode:f total:f", "Failed failure:FAILURE", "Status status:STATUS",
        "Busy failure:FAILURE depth:I wait_ms:?Q", None, None, "Acknowledged", None, "Resumed image:I step:I"],  # None: an answer to what is not asked here
}
TREATED = bytes(4 + 1 + 1)  # interactive, neither detached nor with previews
ROLES = (0, 0, "rgb", 3), (1, 1, "grey", 1)  # of an initial image and its mask: role, layout, pixels and bytes of one
TAGS = {str: (0, "s"), int: (1, "Q"), float: (2, "f"), bool: (3, "B")}  # of a parameter's value, and its type
CODES = [64, 65, 69, 70, 73, 74, 75, 76, 77, 78, 130, 66]  # of the kinds of failures
REQUEST, EVENTS, PIXELS, IMAGE, ERROR = 0x01, 0x02, 0x10, 0x12, 0xFF  # kinds of frames
LONGEST, CHUNK = 1_048_577, 262_143  # bytes of a frame to us; pixels of one from us


class Failed(Exception):
    """What the daemon refused, in a sentence; `code` is the exit code that fits."""
    def __init__(self, code, message, hint=None):
        super().__init__(message)
        self.code, self.hint = code, hint


def write(kind, value):
    """A value's bytes."""
    if kind[0] == "?":
        return b"\0" if value is None else b"\1" + write(kind[1:], value)
    if kind == "s":
        return struct.pack("<Q", len(value.encode())) + value.encode()
    return struct.pack("<" + kind, value)


def read(kind, data, at=0):
    """A value at a place in bytes, and where it ends. A message is a dictionary, a variant has its "name" in it."""
    if kind[0] == "?":
        return read(kind[1:], data, at + 1) if data[at] else (None, at + 1)
    if kind[0] in "*s":
        (length,), at, items = struct.unpack_from("<Q", data, at), at + 8, []
        if kind == "s":
            return data[at : at + length].decode(), at + length
        while len(items) < length:
            item, at = read(kind[1:], data, at)
            items.append(item)
        return items, at
    if kind not in TYPES:
        return struct.unpack_from("<" + kind, data, at)[0], at + struct.calcsize(kind)
    fields, value = TYPES[kind], {}
    if isinstance(fields, list):
        (number,), at = struct.unpack_from("<I", data, at), at + 4
        value["name"], _, fields = fields[number].partition(" ")
    for name, inner in (field.split(":") for field in fields.split()):
        value[name], at = read(inner, data, at)
    return value, at


class Client:
    """A connection, which draws one job at a time."""
    def __init__(self, path=None):
        own = os.path.join(os.environ.get("XDG_RUNTIME_DIR") or "/nowhere", "zimaged/zimaged.sock")
        path = path or os.environ.get("ZIMG_SOCKET") or (own if os.path.exists(own) else "/run/zimaged/zimaged.sock")
        self.stream = socket.socket(socket.AF_UNIX)
        self.stream.settimeout(5)
        try:
            self.stream.connect(path)
            self.stream.sendall(struct.pack(">4sHHQ", b"ZIMG", 2, 2, 0))
        except PermissionError:
            raise Failed(77, f"you may not use the daemon at {path}") from None
        except OSError as error:
            raise Failed(69, f"no daemon at {path}: {error}") from None
        self.file = self.stream.makefile("rb")
        start = self.exactly(4)
        # Without a place for us it says why at once, else after a Welcome if no version fits.
        if start != b"ZIMG" or struct.unpack(">HHQ", self.exactly(12))[0] != 2:
            raise Failed(76, f"no daemon of this protocol: {self.frame(start if start != b'ZIMG' else None)}")
        self.stream.settimeout(None)

    def exactly(self, count):
        try:
            data = self.file.read(count)
        except OSError as error:
            raise Failed(75 if isinstance(error, TimeoutError) else 70, f"the daemon does not answer: {error}") from None
        if len(data) == count:
            return data
        raise Failed(70, "the daemon ended the connection before it was done")

    def frame(self, length=None):
        (length,) = struct.unpack(">I", length or self.exactly(4))
        if not 1 <= length <= LONGEST:
            raise Failed(76, "that is no daemon of this protocol")
        body = self.exactly(length)
        if body[0] == ERROR:  # its last word
            raise Failed(struct.unpack_from(">H", body, 1)[0], body[3:].decode(errors="replace"))
        return body[0], body[1:]

    def send(self, number, payload=b""):
        self.write_frame(struct.pack("<BI", REQUEST, number) + payload)

    def write_frame(self, body):
        self.stream.sendall(struct.pack(">I", len(body)) + body)

    def receive(self):
        """The next event, or {"name": "Pixels", "rgb": …}; a failure is raised."""
        while True:
            kind, payload = self.frame()
            if kind == PIXELS:
                return {"name": "Pixels", "rgb": payload}
            try:
                event, end = read("EVENT", payload)
            except (AttributeError, IndexError):  # of a later minor version: none of ours
                continue
            if kind != EVENTS or end != len(payload):
                raise Failed(70, "the daemon does not keep to the protocol")
            if failure := event.get("failure"):
                raise Failed(CODES[failure["kind"]], failure["message"], failure["hint"])
            return event

    def status(self):
        self.send(2)
        return self.receive()["status"]

    def cancel(self):
        """Ends the job at its next step: draw() then raises Failed with code 130."""
        self.send(1)

    def draw(self, prompt, image=None, mask=None, **options):
        """Yields events to the last one, Done; a Image when it has come whole, with its "rgb".
        It starts from an image, as load() has it; where its mask is white, it may change."""
        wanted = {"prompt": prompt, **{name: value for name, value in options.items() if value is not None}}
        if odd := [name for name, value in wanted.items() if type(value) not in TAGS]:
            raise Failed(64, f"parameter {', '.join(odd)} is neither text nor a number")
        pairs = ((write("s", name), *TAGS[type(value)], value) for name, value in wanted.items())
        written = b"".join(name + write("I", tag) + write(kind, value) for name, tag, kind, value in pairs)
        inputs = [(role, given) for role, given in zip(ROLES, (image, mask)) if given]
        sent = b""
        for (role, layout, pixels, size), given in inputs:
            width, height = given["width"], given["height"]
            if pixels not in given or len(given[pixels]) != width * height * size:
                raise Failed(64, f"an image has no {pixels} of {width}x{height}")
            sent += struct.pack("<5I", role, layout, width, height, 1)  # inline
        # The last byte: for its own user.
        self.send(0, write("Q", len(wanted)) + written + TREATED + write("Q", len(inputs)) + sent + b"\0")
        for (_, _, pixels, _), given in inputs:
            for at in range(0, len(given[pixels]), CHUNK):
                self.write_frame(bytes([IMAGE]) + given[pixels][at : at + CHUNK])
        event = {"name": "Accepted"}
        while event["name"] != "Done":
            event = self.receive()
            if event["name"] == "Image":  # One that is announced again starts again.
                image, rgb = event, bytearray()
            elif event["name"] == "Pixels":
                rgb += event["rgb"]
                if len(rgb) == image["bytes"]:
                    yield {**image, "rgb": bytes(rgb)}
            else:
                yield event


def save(path, image):
    """An image as PPM, or as PNG by the name."""
    width, height, rgb = image["width"], image["height"], image["rgb"]
    data = b"P6\n%d %d\n255\n" % (width, height) + rgb
    if path.endswith(".png"):
        rows = b"".join(b"\0" + rgb[y * 3 * width :][: 3 * width] for y in range(height))
        chunks = [b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(rows), b"IEND"]
        packed = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks)
        data = b"\x89PNG\r\n\x1a\n" + b"".join(packed)
    with open(path, "wb") as file:
        file.write(data)


def load(path):
    """The image of a PPM file, or the mask of a PGM file: 8 bits, as other programs write them."""
    with open(path, "rb") as file:
        data = file.read()
    head = re.match(rb"P([56])\s+(?:#.*\s+)*(\d+)\s+(\d+)\s+255\s", data)
    if not head:
        raise Failed(65, f"{path} is no PPM or PGM file of 8 bits")
    kind, width, height = map(int, head.groups())
    return {"width": width, "height": height, "rgb" if kind == 6 else "grey": data[head.end() :]}


def main(words):
    if words == ["--status"]:
        return print(Client().status())
    if len(words) < 2 or not all("=" in word for word in words[2:]):
        raise Failed(64, __doc__.strip())
    prompt, path, pairs = *words[:2], (word.partition("=") for word in words[2:])
    numbers = {key: value_of(key, value) for key, _, value in pairs}
    for event in Client().draw(prompt, **numbers):
        if event["name"] == "Step":
            print(f"step {event['step']} of {event['of']}", file=sys.stderr)
        elif event["name"] == "Image":
            stem, end = os.path.splitext(path)
            save(f"{stem}-{event['seed']}{end}" if numbers.get("count", 1) > 1 else path, event)


def value_of(key, value):
    return load(value) if key in ("image", "mask") else float(value) if "." in value else int(value)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Failed as failure:
        print("\nhint: ".join(filter(None, [f"zimg.py: {failure}", failure.hint])), file=sys.stderr)
        sys.exit(failure.code)
    except KeyboardInterrupt:
        sys.exit(130)
