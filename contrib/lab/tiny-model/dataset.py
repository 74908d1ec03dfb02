"""Draws training pictures on all cores into memory that the trainer shares, in chunks, while it works."""

import mmap
import os
import random
import signal

import numpy as np

from canvas import SIZE

CHUNK = 256
WORDINGS = 4  # captions per picture
LONGEST = 64  # tokens; longer captions are said again


class Pictures:
    """`images` [N, 256, 256, 3] uint8, `ids` [N, 4, 64] int16 and `lengths` [N, 4] uint8, filled from the front.

    Make it before CUDA wakes: the workers are forks.
    """

    def __init__(self, count: int, seed: int, workers: int, tokenizer):
        self.chunks = -(-count // CHUNK)
        self.count = self.chunks * CHUNK
        self.images = _shared((self.count, SIZE, SIZE, 3), np.uint8)
        self.ids = _shared((self.count, WORDINGS, LONGEST), np.int16)
        self.lengths = _shared((self.count, WORDINGS), np.uint8)
        self.done = _shared((self.chunks,), np.uint8)
        self.seed, self.tokenizer, self.workers = seed, tokenizer, []
        for worker in range(workers):
            child = os.fork()
            if child == 0:
                try:
                    os.nice(5)
                    for chunk in range(worker, self.chunks, workers):
                        self._fill(chunk)
                    os._exit(0)
                except BaseException:
                    import traceback

                    traceback.print_exc()
                    os._exit(1)
            self.workers.append(child)

    def _fill(self, chunk: int):
        from captions import caption
        from draw import draw
        from spec import training_spec
        from wording import ids as prompt_ids

        for i in range(chunk * CHUNK, (chunk + 1) * CHUNK):
            rng = random.Random(f"{self.seed}-{i}")
            spec = training_spec(rng)
            self.images[i] = draw(spec, rng)
            for k in range(WORDINGS):
                tokens = prompt_ids(self.tokenizer, caption(spec, rng))
                while len(tokens) > LONGEST:
                    tokens = prompt_ids(self.tokenizer, caption(spec, rng))
                self.ids[i, k, : len(tokens)] = tokens
                self.lengths[i, k] = len(tokens)
        self.done[chunk] = 1

    def ready(self) -> int:
        """How many pictures, from the front, are drawn."""
        missing = np.flatnonzero(self.done == 0)
        ready = int(missing[0]) if len(missing) else self.chunks
        if ready < self.chunks:
            for child in list(self.workers):
                finished, status = os.waitpid(child, os.WNOHANG)
                if finished:
                    self.workers.remove(child)
                    if status:
                        raise RuntimeError("a drawing worker failed; its error is above")
        return ready * CHUNK

    def close(self):
        for child in self.workers:
            try:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            except (ProcessLookupError, ChildProcessError):
                pass
        self.workers = []


def _shared(shape, dtype) -> np.ndarray:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer(mmap.mmap(-1, size), dtype=dtype).reshape(shape)
