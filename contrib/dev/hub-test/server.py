"""A small server that speaks as the Hugging Face Hub does, for huggingface_hub and zimg alike.

usage: server.py PORT_FILE [CUT_BYTES]

It serves one repository, a diffusers folder of random bytes. With CUT_BYTES the first answer for a
large file breaks off after so many bytes, and the process PID in the file `PORT_FILE.pid` is killed.
"""

import hashlib
import http.server
import json
import os
import random
import re
import signal
import sys
import urllib.parse

REPOSITORY = "Tongyi-MAI/Z-Image-Turbo"
COMMIT = "2f862278568d3f0a83167a16e5f11094da6dee72"
SIZES = {
    ".gitattributes": 300,
    "README.md": 900,
    "model_index.json": 500,
    "scheduler/scheduler_config.json": 400,
    "text_encoder/config.json": 600,
    "text_encoder/model-00001-of-00002.safetensors": 3_000_000,
    "text_encoder/model-00002-of-00002.safetensors": 1_000_000,
    "text_encoder/model.safetensors.index.json": 32_000,
    "tokenizer/tokenizer.json": 11_000_000,
    "tokenizer/vocab.json": 2_000,
    "transformer/config.json": 500,
    "transformer/diffusion_pytorch_model.safetensors": 30_000_000,
    "vae/config.json": 700,
    "vae/diffusion_pytorch_model.safetensors": 2_000_000,
}
LFS = 100_000
FILES = {name: random.Random(name).randbytes(size) for name, size in SIZES.items()}


def blob_id(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def is_lfs(content):
    return len(content) >= LFS


def etag(content):
    return hashlib.sha256(content).hexdigest() if is_lfs(content) else blob_id(content)


ETAGS = {name: etag(content) for name, content in FILES.items()}


class Hub(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    broken = False

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def json(self, value, body):
        text = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if body:
            self.wfile.write(text)

    def answer(self, body):
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        if path.startswith(f"/api/models/{REPOSITORY}/tree/"):
            return self.json([self.entry(name) for name in FILES], body)
        if path.startswith(f"/api/models/{REPOSITORY}"):
            return self.json(self.info(), body)
        found = re.fullmatch(f"/{REPOSITORY}/resolve/[^/]+/(.+)", path)
        if found is None or found[1] not in FILES:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.file(found[1], body)

    def entry(self, name):
        content = FILES[name]
        entry = {"type": "file", "path": name, "size": len(content), "oid": blob_id(content)}
        if is_lfs(content):
            entry["lfs"] = {"oid": ETAGS[name], "size": len(content), "pointerSize": 134}
        return entry

    def info(self):
        siblings = []
        for name, content in FILES.items():
            sibling = {"rfilename": name, "size": len(content), "blobId": blob_id(content)}
            if is_lfs(content):
                size = len(content)
                sibling["lfs"] = {"sha256": ETAGS[name], "size": size, "pointerSize": 134}
            siblings.append(sibling)
        info = {"_id": "0", "id": REPOSITORY, "modelId": REPOSITORY, "sha": COMMIT}
        return info | {"private": False, "gated": False, "tags": [], "siblings": siblings}

    def file(self, name, body):
        content = FILES[name]
        first = 0
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if found:
            first = int(found[1])
        self.send_response(206 if found else 200)
        if found:
            last = len(content) - 1
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("X-Linked-Etag", f'"{ETAGS[name]}"')
        self.send_header("X-Linked-Size", str(len(content)))
        self.send_header("ETag", f'"{ETAGS[name]}"')
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        if not body:
            return
        fill()
        cut = int(sys.argv[2]) if len(sys.argv) > 2 else 0
        if cut and len(content) > 4 * cut and first == 0 and not Hub.broken:
            Hub.broken = True
            self.wfile.write(content[:cut])
            self.wfile.flush()
            wait_for_beginning(ETAGS[name], cut)
            os.kill(int(open(sys.argv[1] + ".pid").read()), signal.SIGKILL)
            return
        self.wfile.write(content[first:])


def fill():
    """Another program fills the disk meanwhile: HUB_FILL bytes, once."""
    path = os.path.join(os.environ["HF_HUB_CACHE"], "filler")
    if "HUB_FILL" in os.environ and not os.path.exists(path):
        with open(path, "wb") as filler:
            filler.write(bytes(int(os.environ["HUB_FILL"])))


def wait_for_beginning(tag, cut):
    """Until the client has written what it got, but for what is in its buffers."""
    blobs = os.path.join(os.environ["HF_HUB_CACHE"], "models--Tongyi-MAI--Z-Image-Turbo", "blobs")
    while True:
        for entry in os.scandir(blobs) if os.path.isdir(blobs) else []:
            if entry.name.startswith(tag) and entry.name.endswith(".incomplete"):
                if entry.stat().st_size >= cut // 2:
                    return


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    with open(sys.argv[1] + ".new", "w") as port:
        port.write(str(server.server_address[1]))
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    server.serve_forever()


if __name__ == "__main__":
    main()
