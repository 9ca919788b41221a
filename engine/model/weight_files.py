"""Reading of weight files without executing code, and descriptions of other files.

The format is detected from the content, not the file name: safetensors, or the format of
``torch.save``, read with torch's ``weights_only`` loading.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import pickle
import re
import struct
import sys
import zipfile
from _compat_pickle import IMPORT_MAPPING
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from engine.errors import DamagedFileError, InputError
from engine.model.tensor_file import read_metadata, read_tensors
from engine.text import listed

# This also applies to timm and the hub's client in this process.
os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"

_UNREADABLE: Final = (
    AttributeError, EOFError, IndexError, KeyError, OSError, RuntimeError, TypeError, ValueError,
    struct.error, pickle.UnpicklingError,
)  # fmt: skip
"""Exceptions raised when reading a damaged or malicious file."""
_MOST_HEADER_BYTES: Final = 100_000_000
"""Maximum header size of the safetensors format."""
_PLAIN_MODULES: Final = frozenset({
    "collections", "copyreg", "datetime", "decimal", "enum", "fractions", "pathlib", "types",
    "typing", "uuid",
})  # fmt: skip
"""Modules of the standard library whose classes are plain data."""
_PLAIN_VALUES: Final = frozenset({"builtins.object", "builtins.slice", "builtins.range"})
_DEEPEST: Final = 5
_NO_WEIGHTS: Final = ("optimizer", "lr_scheduler", "scheduler", "scaler", "loops")
"""Prefixes of keys whose tensors are not weights."""
ONLY_DATA: Final = (
    "Only .safetensors files and PyTorch state dicts are loaded (nothing that could execute code)."
)


@dataclass(frozen=True)
class Entry:
    """A state dict in a file: its nested keys and its tensors."""

    keys: tuple[str, ...]
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True)
class WeightsFile:
    """The content of a weight file: state dicts, the safetensors header, and model names.

    ``models`` are names of networks mentioned in the file, most likely first.
    """

    path: Path
    entries: tuple[Entry, ...]
    header: Mapping[str, str]
    models: tuple[str, ...] = ()


class Inert:
    """A placeholder for an object whose construction would need code."""

    def __new__(cls, *_args: object, **_kwargs: object) -> Inert:
        """Ignore the object's arguments."""
        return object.__new__(cls)

    def __setstate__(self, _state: object) -> None:
        """Ignore the object's state."""


def read_file(path: Path) -> WeightsFile:
    """Read every state dict in a file.

    Raises:
        InputError: if the file is missing or contains no weights; states what it is.
    """
    if path.is_dir():
        raise unreadable(path, f"it is {describe_folder(path)}")
    if not path.exists():
        raise InputError(f"no weight file {path}. Check --weights.")
    if not path.is_file():
        raise unreadable(path, "it is not a regular file")
    try:
        if _is_safetensors(path):
            tensors = read_tensors(path)
            return WeightsFile(path, (Entry((), tensors),), read_metadata(path))
        if known := describe_file(path):
            raise unreadable(path, f"it is {known}")
        if not _is_of_torch(path):
            raise unreadable(path, "it is not a weight file, or its beginning is damaged")
        content = _load(path)
    except InputError:
        raise
    except (*_UNREADABLE, DamagedFileError) as error:
        raise unreadable(path, _reason(error)) from None
    entries = tuple(_entries(content, ()))
    if not entries:
        raise InputError(f"{path} contains no state dict." + _whole_model(path))
    return WeightsFile(path, entries, {}, tuple(_models(content)))


def unreadable(path: Path, reason: str) -> InputError:
    """Return the error for an unusable file."""
    because = f": {reason.rstrip('.')}" if reason else ""
    return InputError(f"The weights in {path} could not be read{because}. {ONLY_DATA}")


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(9)
    if len(head) < 9 or head[8:] != b"{":
        return False
    length = int.from_bytes(head[:8], "little")
    return length <= min(_MOST_HEADER_BYTES, path.stat().st_size - 8)


def _is_of_torch(path: Path) -> bool:
    """Return whether a file starts like the output of ``torch.save``: a zip archive or a pickle."""
    with path.open("rb") as file:
        return file.read(4).startswith((b"PK\x03\x04", b"\x80"))


def _load(path: Path) -> object:
    """Read the output of ``torch.save``; objects other than tensors become placeholders.

    Raises:
        InputError: if the file refers to code other than classes.
    """
    try:
        with safe_globals([argparse.Namespace]):  # timm's train.py saves its arguments like this
            return _load_tensors(path)
    except pickle.UnpicklingError:
        names = _code_named_in(path)
        if not names:
            raise
    if calls := [name for name in names if _is_call(name)]:
        raise unreadable(path, f"it would run code ({', '.join(calls[:3])})")
    for stand_in in (Inert, OrderedDict):  # OrderedDict for objects that are filled like a dict
        known: list[Any] = [argparse.Namespace, *((stand_in, name) for name in names)]
        with contextlib.suppress(*_UNREADABLE), safe_globals(known):
            return _load_tensors(path)
    raise unreadable(path, f"it needs objects other than tensors ({', '.join(names[:3])})")


def _load_tensors(path: Path) -> object:
    with path.open("rb") as file:  # given a path, torch would use its suffix
        return torch.load(file, map_location="cpu", weights_only=True)


def _code_named_in(path: Path) -> list[str]:
    """Return the classes and functions that a file refers to, without importing them."""
    try:
        with path.open("rb") as file, safe_globals([argparse.Namespace]):
            return sorted(get_unsafe_globals_in_checkpoint(file))
    except _UNREADABLE:  # such as a file from before PyTorch 1.6
        return []


def _is_call(name: str) -> bool:
    """Return whether a name is in the standard library and not plain data."""
    first = name.split(".", maxsplit=1)[0]
    module = IMPORT_MAPPING.get(first, first)  # protocol 2 has Python 2's names
    is_plain = module in _PLAIN_MODULES or name in _PLAIN_VALUES
    return module in sys.stdlib_module_names and not is_plain


def _entries(content: object, keys: tuple[str, ...]) -> Iterator[Entry]:
    """Yield the state dicts in nested mappings and lists."""
    if len(keys) > _DEEPEST or any(key.startswith(_NO_WEIGHTS) for key in keys):
        return
    if isinstance(content, list | tuple):
        content = {str(place): each for place, each in enumerate(content)}
        own = {}
    elif isinstance(content, Mapping):
        own = {k: v for k, v in content.items() if isinstance(k, str) and isinstance(v, Tensor)}
    else:
        return
    if own:
        yield Entry(keys, own)
    for key, value in content.items():
        if isinstance(key, str) and isinstance(value, Mapping | list | tuple):
            yield from _entries(value, (*keys, key))


def _models(content: object) -> Iterator[str]:
    """Yield the model names that a training program stored in a checkpoint."""
    if not isinstance(content, Mapping):
        return
    settings = [content]
    settings += [
        vars(each) if isinstance(each, argparse.Namespace) else each
        for each in map(content.get, ("args", "hyper_parameters", "config", "hparams"))
        if isinstance(each, argparse.Namespace | Mapping)
    ]
    for values in settings:
        for key in ("arch", "model", "model_name", "architecture", "backbone"):
            if isinstance(name := values.get(key), str):
                yield name


def _whole_model(path: Path) -> str:
    names = _code_named_in(path)
    if not names:
        return f" {ONLY_DATA}"
    if any("numpy" in name and "_reconstruct" in name for name in names):
        return f" It contains NumPy arrays; save tensors instead. {ONLY_DATA}"
    own = [name for name in names if not name.startswith("torch.nn.")] or names
    return (
        f" It is a whole pickled model ({', '.join(own[:3])}); save only the state dict: "
        f"torch.save(model.state_dict(), FILE). {ONLY_DATA}"
    )


def _reason(error: Exception) -> str:
    """Return what went wrong; torch's own message suggests loading pickles that execute code."""
    if isinstance(error, pickle.UnpicklingError):
        return "it is a Python pickle that would run code, or damaged"
    if " " not in str(error):
        return "it is damaged, or not a weight file"
    return str(error).splitlines()[0]


_HEAD_BYTES: Final = 4096
_SHOWN_LETTERS: Final = 30
_SHOWN_NAMES: Final = 3
_LFS: Final = b"version https://git-lfs.github.com/spec/"
_MAGIC: Final[Sequence[tuple[int, bytes, str]]] = (
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras and TensorFlow write"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"GGUF", "a GGUF file"),
    (0, b"\x89PNG\r\n", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"GIF8", "a GIF image"),
    (0, b"BM", "a BMP image"),
    (0, b"II*\x00", "a TIFF image"),
    (0, b"MM\x00*", "a TIFF image"),
    (8, b"WEBP", "a WebP image"),
    (4, b"TFL3", "a TensorFlow Lite model"),
    (257, b"ustar", "a tar archive: unpack it first"),
    (0, _LFS, "a Git LFS pointer, not the file itself: fetch it with git lfs pull"),
    (0, b"%PDF", "a PDF document"),
    (0, b"SQLite format 3", "an SQLite database"),
    (0, b"\x7fELF", "a program"),
    (0, b"\x1f\x8b", "a gzip archive: unpack it first"),
    (0, b"BZh", "a bzip2 archive: unpack it first"),
    (0, b"\xfd7zXZ", "an xz archive: unpack it first"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive: unpack it first"),
    (0, b"7z\xbc\xaf", "a 7z archive: unpack it first"),
    (0, b"Rar!", "a RAR archive: unpack it first"),
)
_SUFFIXES: Final = {
    ".onnx": "an ONNX model",
    ".pb": "a TensorFlow graph",
    ".tflite": "a TensorFlow Lite model",
    ".index": "the index of a TensorFlow checkpoint",
    ".msgpack": "a Flax checkpoint",
    ".mlmodel": "a Core ML model",
}
_KINDS_OF_ZIP: Final = (
    (re.compile(r"(^|/)constants\.pkl$"), "a TorchScript archive: a program, not a state dict"),
    (re.compile(r"\.npy$"), "a NumPy archive (.npz)"),
    (re.compile(r"(^|/)model\.weights\.h5$"), "a Keras model"),
    (re.compile(r"(^|/)models/.*\.json$|archive_format$"), "an exported PyTorch program (.pt2)"),
    (re.compile(r"^\[Content_Types\]\.xml$"), "an office document"),
)


def describe_folder(folder: Path) -> str:
    """Return ``a folder``, with the name of a weight file in it if there is one."""
    patterns = (
        "checkpoints/best.safetensors",
        "*.safetensors",
        "*.pth*",
        "*.pt",
        "*.bin",
        "*.ckpt",
    )
    inside = [path for pattern in patterns for path in sorted(folder.glob(pattern))]
    return "a folder" + (f"; give a file in it, such as {inside[0]}" if inside else "")


def describe_file(path: Path) -> str | None:
    """Return what a file is; None if unknown or written by PyTorch.

    Raises:
        OSError: if it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        return "empty (0 bytes): the copy or download was interrupted"
    if head.startswith(b"PK"):
        return _describe_zip(path)
    found = (kind for offset, magic, kind in _MAGIC if head[offset:].startswith(magic))
    if (kind := next(found, None)) is not None:
        return kind
    if path.suffix.lower() in _SUFFIXES:
        return _SUFFIXES[path.suffix.lower()]
    if head[:1] == b"\x08" and head[2:3] in (b"\x12", b"\x1a", b":"):
        return _SUFFIXES[".onnx"]  # its first fields: the version, then who made it
    return _describe_text(path, head, size)


def _describe_zip(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile, ValueError):
        return "truncated: it starts like a PyTorch file, but the end is missing"
    for pattern, kind in _KINDS_OF_ZIP:
        if any(pattern.search(name) for name in names):
            return kind
    if any(name.rpartition("/")[2] == "data.pkl" for name in names):
        return None
    inside = listed(names, _SHOWN_NAMES) or "nothing"
    return f"a zip archive that PyTorch did not write (contains {inside})"


def _describe_text(path: Path, head: bytes, size: int) -> str | None:
    try:
        text = head.decode("utf-8-sig", errors="strict" if size <= len(head) else "ignore")
    except UnicodeDecodeError:
        return None
    if any(not (letter.isprintable() or letter.isspace()) for letter in text):
        return None
    begins = f"starts with {text.strip()[:_SHOWN_LETTERS]!r}"
    start = text.lstrip().lower()
    if start.startswith(("<!doctype html", "<html")):
        return (
            f"an HTML page ({begins}): download the file itself, not its web page, or log in first"
        )
    if start.startswith("<"):
        return f"an XML document ({begins})"
    if start.startswith(("{", "[")):
        return _describe_json(path, begins)
    return f"a text file ({begins})"


def _describe_json(path: Path, begins: str) -> str:
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return f"a text file ({begins})"
    if isinstance(content, dict) and isinstance(content.get("weight_map"), dict):
        names = sorted({str(name) for name in content["weight_map"].values()})
        files = listed(names, _SHOWN_NAMES) or "nothing"
        return f"the index of a sharded checkpoint ({files}): merge it into one file"
    return f"a JSON document ({begins})"
