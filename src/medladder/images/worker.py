"""A process that decodes images for another one: a broken file, or a broken decoder, ends this process alone.

Run as `python -m medladder.images.worker`; it says `ready` once it is. A line of standard input is a JSON list of jobs.
Each is answered in its turn, by a line of JSON and the bytes of the array that the line announces. It ends with its
input.

- `{"look": PATH}` is answered by `{"header": …}`.
- `{"prepare": [PATH, …], "frame", "is_stack", "preparation"}` by `{"content", "is_colour", "notes", "shape", "dtype"}`
  and the pixels at working size; with `"into": {"path", "dtype", "shape", "at"}` they are written there instead.
- Whatever cannot be read is answered by `{"reason": …}`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import UInt

from ..errors import ImageError
from ..language import phrase
from ..machine import limit_memory
from .formats import read_header, read_image
from .pool import READY
from .prepare import Preparation, prepare
from .raster import raise_limit_of_pillow

MEMORY_BYTES = 2**30
"""More memory than this, beyond what the idle process has, no image may take."""

Answer = dict[str, Any]


def main() -> None:
    """Answer until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the process that asks
    warnings.simplefilter("ignore")
    answers = _own_output()
    raise_limit_of_pillow()
    limit_memory(MEMORY_BYTES)
    answers.write(READY)
    answers.flush()
    for line in sys.stdin.buffer:
        for job in json.loads(line):
            answer, pixels = answer_job(job)
            answers.write(json.dumps(answer, separators=(",", ":")).encode() + b"\n")
            if pixels is not None:
                answers.write(np.ascontiguousarray(pixels).data)
            answers.flush()


def _own_output() -> BinaryIO:
    """The pipe to the asking process, for us alone: decoders in C print what they like to standard output."""
    own = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return own


def answer_job(job: Answer) -> tuple[Answer, UInt[np.ndarray, "..."] | None]:
    """The answer, and pixels where they are asked for here."""
    try:
        if "look" in job:
            return {"header": read_header(Path(job["look"])).to_json()}, None
        return _prepare(job)
    except ImageError as error:
        return {"reason": error.reason}, None
    except MemoryError:
        return {"reason": f"reading it takes more than {MEMORY_BYTES // 2**30} GB of memory"}, None
    except Exception as error:  # a fault of a reader: the cohort goes on without the file
        return {"reason": phrase("reading it failed") + f" ({type(error).__name__})"}, None


def _prepare(job: Answer) -> tuple[Answer, UInt[np.ndarray, "..."] | None]:
    preparation = _preparation(json.dumps(job["preparation"]))
    paths = [Path(path) for path in job["prepare"]]
    image = read_image(paths, window=preparation.window, frame=job["frame"], is_stack=job["is_stack"])
    prepared = prepare(image, preparation)
    told = {"content": image.content, "is_colour": image.pixels.shape[-1] == 3, "notes": list(image.notes)}
    if "into" not in job:
        return {**told, "shape": prepared.shape, "dtype": prepared.dtype.str}, prepared
    into = job["into"]
    target = _opened(into["path"], into["dtype"], tuple(into["shape"]))
    if prepared.dtype == np.uint16 and target.dtype == np.uint8:
        raise ImageError(paths[0].name, phrase("it holds deeper values than its header says"))
    target[into["at"]] = prepared * np.uint16(257) if prepared.dtype != target.dtype else prepared
    return told, None


@lru_cache(maxsize=1)
def _preparation(text: str) -> Preparation:
    return Preparation.of_json(json.loads(text))


@lru_cache(maxsize=1)
def _opened(path: str, dtype: str, shape: tuple[int, ...]) -> UInt[np.ndarray, "image ..."]:
    return np.memmap(path, dtype=np.dtype(dtype), mode="r+", shape=shape)


if __name__ == "__main__":
    main()
