"""Named arrays as a skops archive, and back from one that anyone may have written.

skops rebuilds whatever an archive's schema names, and by default trusts all of scikit-learn's estimators and many
functions: a long list to be sure of. A model needs none of it. Its archive is one flat dict of plain arrays, and before
skops sees it, the schema must be exactly that, the zip must hold exactly the arrays that the schema names, stored and
not compressed, and every array must announce exactly the bytes that it has.
"""

from __future__ import annotations

import json
import math
import re
import zipfile
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
from jaxtyping import Shaped

from .arrays import Arrays

MOST_ARRAYS = 1000
"""A rung has up to five arrays a member and one member a part of its draw, nearly always five."""

SCHEMA_BYTES = 2**20
"""skops writes about 300 bytes an array."""

_SCHEMA = "schema.json"
_OLDEST_PROTOCOL = 2
"""Older schemas of skops mean other code of skops; a newer one than it knows, skops refuses itself."""
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}

_DICT = ("builtins", "dict", "DictNode")
_LIST = ("builtins", "list", "ListNode")
_TEXT = ("builtins", "str", "TypeNode")
_ARRAY = ("numpy", "ndarray", "NdArrayNode")
_NODE = {"__module__", "__class__", "__loader__", "__id__"}


def write_archive(arrays: Mapping[str, Shaped[np.ndarray, "..."]]) -> bytes:
    """Put arrays into a skops archive, under their names."""
    import skops.io  # type: ignore[import-untyped]

    # An array of its own each: skops would write one object, named twice, once.
    return skops.io.dumps({name: np.array(array) for name, array in arrays.items()})


def read_archive(data: bytes) -> Arrays:
    """Take the arrays out of an archive as `write_archive` makes them.

    Raises
    ------
    ValueError
        It is another archive, or none; nothing in it is run or built to find out.
    """
    import skops.io

    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            stored = _check_zip(archive, len(data))
            if stored[_SCHEMA].file_size > SCHEMA_BYTES:
                raise ValueError("its schema is too long")
            files = _check_schema(json.loads(archive.read(_SCHEMA)))
            if sorted(files.values()) != sorted(stored.keys() - {_SCHEMA}):
                raise ValueError("its schema and its files disagree")
            for info in stored.values():
                if info.filename != _SCHEMA:
                    _check_array(archive, info)
        found = skops.io.loads(data, trusted=[])
    except ValueError:
        raise
    except Exception as error:  # what damaged zip, JSON and NumPy files raise shares no base
        raise ValueError(f"it is no whole skops archive ({type(error).__name__})") from error
    if list(found) != list(files) or any(type(array) is not np.ndarray for array in found.values()):
        raise ValueError("it holds something other than arrays")
    return found


def _check_zip(archive: zipfile.ZipFile, n_bytes: int) -> dict[str, zipfile.ZipInfo]:
    """The files of the zip by name, each stored as it is: then all of them are no longer than the zip itself."""
    infos = archive.infolist()
    if len(infos) > MOST_ARRAYS + 1:
        raise ValueError(f"it holds {len(infos)} files, and at most {MOST_ARRAYS + 1} are read")
    for info in infos:
        if not re.fullmatch(r"schema\.json|[0-9]{1,20}\.npy", info.filename):
            raise ValueError(f"it holds a file named {info.filename[:60]!r}")
        is_stored = info.compress_type == zipfile.ZIP_STORED and info.compress_size == info.file_size
        if not is_stored or info.flag_bits & 1:
            raise ValueError("it holds a file that is compressed or encrypted")
    stored = {info.filename: info for info in infos}
    if len(stored) < len(infos) or sum(info.file_size for info in infos) > n_bytes:
        raise ValueError("it holds a file twice")
    if _SCHEMA not in stored:
        raise ValueError("it has no schema")
    return stored


def _check_schema(schema: Any) -> dict[str, str]:
    """The file of each array by the array's name, from a schema that says nothing else."""
    content = _node(schema, _DICT, {"content", "key_types", "protocol", "_skops_version"})["content"]
    protocol = schema["protocol"]
    if type(protocol) is not int or protocol < _OLDEST_PROTOCOL:
        raise ValueError(f"its protocol is {str(protocol)[:20]}")
    kinds = _node(schema["key_types"], _LIST, {"content"})["content"]
    if not isinstance(content, dict) or not isinstance(kinds, list) or len(kinds) != len(content):
        raise ValueError("its schema is no dict of arrays")
    for kind in kinds:
        _node(kind, _TEXT, set())
    for array in content.values():
        _node(array, _ARRAY, {"type", "file"})
        if array["type"] != "numpy" or not isinstance(array["file"], str):
            raise ValueError("it holds an array of Python objects")
    # skops takes one number for one object: a repeated one would put something in another's place.
    numbers = [schema["__id__"], schema["key_types"]["__id__"], *(array["__id__"] for array in content.values())]
    numbers += kinds[:1] and [kinds[0]["__id__"]]
    if len(set(numbers)) < len(numbers) or len({kind["__id__"] for kind in kinds}) > 1:
        raise ValueError("its schema names an object twice")
    return {name: array["file"] for name, array in content.items()}


def _node(state: Any, kind: tuple[str, str, str], more: set[str]) -> dict[str, Any]:
    """A node of the schema, if it is of the one kind that may stand there and says no more than such a node does."""
    if not isinstance(state, dict):
        raise ValueError("its schema is not one that skops writes")
    found = tuple(state.get(key) for key in ("__module__", "__class__", "__loader__"))
    if found != kind:
        raise ValueError(f"it holds {' '.join(str(part)[:60] for part in found)} where {kind[1]} belongs")
    if state.keys() != _NODE | more or type(state["__id__"]) is not int:
        raise ValueError(f"its schema describes a {kind[1]} as skops does not")
    return state


def _check_array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    """Refuse Python objects, and an array that announces more or less than the bytes it has."""
    with archive.open(info) as file:
        try:
            shape, _, dtype = _HEADERS[np.lib.format.read_magic(file)](file)
        except Exception as error:  # NumPy's parser lets through whatever Python's own raises
            raise ValueError("it holds an array that NumPy did not write") from error
        if dtype.hasobject or dtype.itemsize == 0:
            raise ValueError("it holds an array of Python objects, or of nothing")
        if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != info.file_size - file.tell():
            raise ValueError("it holds an array of another size than it says")
