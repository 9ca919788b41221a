"""Read files of weights without executing code from them.

A file is what its content says, whatever it is called: safetensors, or what ``torch.save``
wrote, read with torch's ``weights_only`` loading.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import pickle
import struct
import sys
from _compat_pickle import IMPORT_MAPPING
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from engine.errors import InputError
from engine.model.other_files import describe_file, describe_folder
from engine.model.tensor_file import DamagedFileError, read_metadata, read_tensors

# Whatever loads weights in this process, timm and the hub's client included, is held to it.
os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"

_UNREADABLE: Final = (
    AttributeError, EOFError, IndexError, KeyError, OSError, RuntimeError, TypeError, ValueError,
    struct.error, pickle.UnpicklingError,
)  # fmt: skip
"""What reading a damaged or hostile file raises, depending on where it is damaged."""
_MOST_HEADER_BYTES: Final = 100_000_000
"""Of a safetensors file: the format's own limit."""
_PLAIN_MODULES: Final = frozenset({
    "collections", "copyreg", "datetime", "decimal", "enum", "fractions", "pathlib", "types",
    "typing", "uuid",
})  # fmt: skip
"""Modules of the standard library whose objects settings are made of."""
_PLAIN_VALUES: Final = frozenset({"builtins.object", "builtins.slice", "builtins.range"})
_DEEPEST: Final = 5
_NO_WEIGHTS: Final = ("optimizer", "lr_scheduler", "scheduler", "scaler", "loops")
"""Beginnings of the keys under which tensors are no weights."""
ONLY_DATA: Final = (
    "Only .safetensors files and PyTorch state dicts are loaded: nothing that could execute code."
)


@dataclass(frozen=True)
class Entry:
    """A state dict in a file: its key, with those around it, and its tensors."""

    keys: tuple[str, ...]
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True)
class WeightsFile:
    """What was read from a file: state dicts, the header of safetensors, and hints of its maker.

    ``models`` are names of networks that it mentions, likeliest first.
    """

    path: Path
    entries: tuple[Entry, ...]
    header: Mapping[str, str]
    models: tuple[str, ...] = ()


class Inert:
    """Stands in place of an object that only code could make: nothing is imported or run."""

    def __new__(cls, *_args: object, **_kwargs: object) -> Inert:
        """Take whatever arguments the object was made with, and forget them."""
        return object.__new__(cls)

    def __setstate__(self, _state: object) -> None:
        """Forget the object's state."""


def read_file(path: Path) -> WeightsFile:
    """Read every state dict in a file.

    Raises:
        InputError: when there is no such file or it holds no weights, saying what it is.
    """
    if path.is_dir():
        raise unreadable(path, f"it is {describe_folder(path)}")
    if not path.exists():
        raise InputError(f"There is no weights file at {path}.")
    if not path.is_file():
        raise unreadable(path, "it is not a regular file")
    try:
        if _is_safetensors(path):
            tensors = read_tensors(path)
            return WeightsFile(path, (Entry((), tensors),), read_metadata(path))
        if known := describe_file(path):
            raise unreadable(path, f"it is {known}")
        if not _is_of_torch(path):
            raise unreadable(path, "it is not a file of weights, or its beginning is damaged")
        content = _load(path)
    except InputError:
        raise
    except (*_UNREADABLE, DamagedFileError) as error:
        raise unreadable(path, _reason(error)) from None
    entries = tuple(_entries(content, ()))
    if not entries:
        raise InputError(f"{path} holds no state dict (names and tensors)." + _whole_model(path))
    return WeightsFile(path, entries, {}, tuple(_models(content)))


def unreadable(path: Path, reason: str) -> InputError:
    """Return the refusal of a file."""
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
    """Say whether a file begins as one that ``torch.save`` wrote: as a zip archive or a pickle."""
    with path.open("rb") as file:
        return file.read(4).startswith((b"PK\x03\x04", b"\x80"))


def _load(path: Path) -> object:
    """Read what ``torch.save`` wrote; objects besides tensors are left out, never made.

    Raises:
        InputError: when the file names code that is no mere class of objects.
    """
    try:
        with safe_globals([argparse.Namespace]):  # timm's train.py saves its arguments so
            return _load_tensors(path)
    except pickle.UnpicklingError:
        names = _code_named_in(path)
        if not names:
            raise
    if calls := [name for name in names if _is_call(name)]:
        raise unreadable(path, f"it would run code ({', '.join(calls[:3])})")
    for stand_in in (Inert, OrderedDict):  # the latter for what is filled as a dict is
        known: list[Any] = [argparse.Namespace, *((stand_in, name) for name in names)]
        with contextlib.suppress(*_UNREADABLE), safe_globals(known):
            return _load_tensors(path)
    raise unreadable(path, f"it needs objects besides tensors ({', '.join(names[:3])})")


def _load_tensors(path: Path) -> object:
    with path.open("rb") as file:  # torch would go by the name of a path
        return torch.load(file, map_location="cpu", weights_only=True)


def _code_named_in(path: Path) -> list[str]:
    """Return the classes and functions that a file names; they are not imported for it."""
    try:
        with path.open("rb") as file, safe_globals([argparse.Namespace]):
            return sorted(get_unsafe_globals_in_checkpoint(file))
    except _UNREADABLE:  # a file of before PyTorch 1.6, say
        return []


def _is_call(name: str) -> bool:
    """Say whether this is the standard library's, and none of its plain values."""
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
    """Yield the networks that a training program named in a checkpoint."""
    if not isinstance(content, Mapping):
        return
    told = [content]
    told += [
        vars(each) if isinstance(each, argparse.Namespace) else each
        for each in map(content.get, ("args", "hyper_parameters", "config", "hparams"))
        if isinstance(each, argparse.Namespace | Mapping)
    ]
    for values in told:
        for key in ("arch", "model", "model_name", "architecture", "backbone"):
            if isinstance(name := values.get(key), str):
                yield name


def _whole_model(path: Path) -> str:
    names = _code_named_in(path)
    if not names:
        return f" {ONLY_DATA}"
    if any("numpy" in name and "_reconstruct" in name for name in names):
        return f" Its arrays are NumPy's: save tensors. {ONLY_DATA}"
    own = [name for name in names if not name.startswith("torch.nn.")] or names
    return (
        f" It was saved with its code ({', '.join(own[:3])}): save the state dict alone, "
        f"torch.save(model.state_dict(), FILE). {ONLY_DATA}"
    )


def _reason(error: Exception) -> str:
    """Say what went wrong; torch's own words advise to load pickles that execute code."""
    if isinstance(error, pickle.UnpicklingError):
        return "it is a Python pickle that would run code, or a damaged one"
    if " " not in str(error):
        return "it is damaged, or not a file of weights"
    return str(error).splitlines()[0]
