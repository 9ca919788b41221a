"""Safetensors files: a checksum and the card of a trained network in the header.

The format itself has no checksum, so a corrupted tensor would go unnoticed. The CRC-32 takes 0.04 s
for 100 MiB; files of other programs have none. The card describes a network so that it can be used
without its run. A header maps strings to strings; other values are encoded as JSON.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, TypeVar

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from engine.errors import DamagedFileError
from engine.machine.disk import sync_folder
from engine.text import format_size

STATE_KEY: Final = "vld_state"
"""Key of the JSON state in the header of a checkpoint."""
DIGEST_KEY: Final = "vld_crc32"
_KEYS_WITHOUT_DIGEST: Final = {"format", STATE_KEY}
"""Header keys of checkpoints of older versions, which had no checksum."""
T = TypeVar("T")
Shapes = dict[str, tuple[int, ...]]
_TYPES: Mapping[str, Any] = {
    "model": str, "model_args": dict[str, int], "classes": tuple[str, ...], "image_size": int,
    "resize": str, "interpolation": str, "mean": tuple[float, ...], "std": tuple[float, ...],
    "tuning": str, "linear_start": str, "linear_features": str, "dataset": str, "target": str,
    "held_out_source": str, "split_seed": int, "validation_fraction": float, "run": str,
}  # fmt: skip


def write_tensors(
    path: Path,
    tensors: Mapping[str, Tensor],
    state: bytes,
    about: Mapping[str, str] = MappingProxyType({}),
) -> int:
    """Write tensors and a JSON state durably; return the file's size in bytes.

    ``about``: texts for the header, for other programs.

    Raises:
        OSError: if it cannot be written; the old file is then unchanged.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    contiguous = _unshared(tensors)
    header = {**about, "format": "pt", STATE_KEY: state.decode()}
    digest = _digest_of_header(header)
    for name in sorted(contiguous):
        digest = _digest(name, contiguous[name], digest)
    try:
        path.parent.mkdir(exist_ok=True)
        temporary.unlink(missing_ok=True)  # left by an earlier process, or a link
        temporary.touch(exist_ok=False)
        mode = stat.S_IMODE(temporary.stat().st_mode)
        save_file(contiguous, temporary, metadata={**header, DIGEST_KEY: f"{digest:08x}"})
        temporary.chmod(mode)  # safetensors ignores the umask and makes files private
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        size = temporary.stat().st_size
        temporary.replace(path)
    except SafetensorError as error:
        needed_bytes = sum(tensor.nbytes for tensor in contiguous.values())
        raise _as_os_error(error, path, needed_bytes) from None
    finally:
        with contextlib.suppress(OSError):  # the disk may have turned read-only
            temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
    return size


def _unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors on the CPU without shared memory, which the format requires.

    Layers with shared weights get a copy each.
    """
    unshared: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        alone = tensor.detach().cpu().contiguous()
        if alone.numel() and alone.untyped_storage().data_ptr() in seen:
            alone = alone.clone()
        seen.add(alone.untyped_storage().data_ptr())
        unshared[name] = alone
    return unshared


def read_header(path: Path) -> tuple[bytes, Shapes]:
    """Return the JSON state and the shape of each tensor, without reading tensors.

    Raises:
        DamagedFileError: if the header is damaged or not written by :func:`write_tensors`.
        OSError: if the file cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            shapes = {
                name: tuple(file.get_slice(name).get_shape())
                for name in file.keys()  # noqa: SIM118 - not a mapping
            }
    except SafetensorError as error:
        raise DamagedFileError(str(error)) from None
    if STATE_KEY not in header:
        raise DamagedFileError(f"the header has no {STATE_KEY}")
    return header[STATE_KEY].encode(), shapes


def read_metadata(path: Path) -> dict[str, str]:
    """Return the texts in the header of a safetensors file of any program.

    Raises:
        DamagedFileError: if the header is damaged.
        OSError: if the file cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except SafetensorError as error:
        raise DamagedFileError(str(error)) from None


def read_tensors(path: Path, prefix: str = "") -> dict[str, Tensor]:
    """Return the tensors whose names start with ``prefix``, with it removed; verify the checksum.

    Raises:
        DamagedFileError: if any part of the file is damaged.
        OSError: if the file cannot be read.
    """
    kept = {}
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            written = header.pop(DIGEST_KEY, None)
            digest = _digest_of_header(header)
            for name in sorted(file.keys()):
                tensor = file.get_tensor(name)
                if written is not None:
                    digest = _digest(name, tensor, digest)
                if name.startswith(prefix):
                    kept[name.removeprefix(prefix)] = tensor
    except SafetensorError as error:
        raise DamagedFileError(str(error)) from None
    lacks_digest = written is None and STATE_KEY in header and set(header) != _KEYS_WITHOUT_DIGEST
    if lacks_digest or written not in (None, f"{digest:08x}"):
        raise DamagedFileError("checksum mismatch")
    return kept


def digest_of(path: Path) -> str:
    """Return a text that changes with a file's tensors: its stored checksum, or else a new one.

    Raises:
        DamagedFileError: if the header is damaged.
        OSError: if the file cannot be read.
    """
    stored = read_metadata(path).get(DIGEST_KEY)
    return stored or f"{zlib.crc32(path.read_bytes()):08x}"


def under_prefix(prefix: str, named: Mapping[str, T]) -> dict[str, T]:
    """Return the values whose names start with ``prefix``, with it removed."""
    return {
        name.removeprefix(prefix): value for name, value in named.items() if name.startswith(prefix)
    }


def _digest_of_header(header: Mapping[str, str]) -> int:
    return zlib.crc32(repr(sorted(header.items())).encode())


def _digest(name: str, tensor: Tensor, before: int) -> int:
    about = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), before)
    return zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, about)


def _as_os_error(error: SafetensorError, path: Path, needed_bytes: int) -> OSError:
    """Return the OSError behind an error of safetensors, which keeps only its text."""
    said = re.search(r"os error (\d+)", str(error))
    if said is None:
        return OSError(f"{path} could not be written: {error}")
    number = int(said[1])
    reason = f"{os.strerror(number)}; {format_size(needed_bytes)} needed"
    return OSError(number, reason, str(path))


class NetworkCard(msgspec.Struct, frozen=True, kw_only=True):
    """How to build a trained network and prepare its input, and what it was trained on.

    Attributes:
        model: timm's model name.
        model_args: additional arguments of ``timm.create_model``.
        classes: names, in label order.
        image_size: side of the images in pixels.
        resize: ``squeeze``: resize to a square without cropping.
        interpolation: of the resizing.
        mean: mean of each channel, for images in [0, 1].
        std: standard deviation of each channel.
        tuning: ``linear``: the tensors are those of :class:`engine.model.linear.LinearNetwork`.
        linear_start: features of linear tuning; None: ``ones``, or not linear.
        linear_features: features of linear tuning; None: ``blocks``, or not linear.
        dataset: training data set.
        target: domain left out of training, if any.
        held_out_source: other domain left out of training, if any.
        split_seed: seed of the other domains' split.
        validation_fraction: fraction of each domain held out.
        run: id of the run.
    """

    model: str
    model_args: dict[str, int]
    classes: tuple[str, ...]
    image_size: int
    resize: Literal["squeeze"] = "squeeze"
    interpolation: Literal["bilinear"] = "bilinear"
    mean: tuple[float, ...]
    std: tuple[float, ...]
    tuning: Literal["full", "linear"] = "full"
    linear_start: Literal["ones", "authors"] | None = None
    linear_features: Literal["blocks", "penultimate"] | None = None
    dataset: str
    target: str | None = None
    held_out_source: str | None = None
    split_seed: int
    validation_fraction: float
    run: str

    @property
    def features(self) -> str:
        """Return the features that the last layer reads, see :func:`features_read`."""
        return features_read(
            self.tuning, self.linear_start or "ones", self.linear_features or "blocks"
        )

    def as_header(self) -> dict[str, str]:
        """Return the card as header texts."""
        values: dict[str, Any] = msgspec.structs.asdict(self)
        return {
            key: value if isinstance(value, str) else msgspec.json.encode(value).decode()
            for key, value in values.items()
            if value is not None
        }


def features_read(tuning: str, linear_start: str, linear_features: str) -> str:
    """Return a name for the features that a last layer reads; equal for compatible networks."""
    if tuning == "full" or linear_features == "penultimate":
        return "full"
    return tuning if linear_start == "ones" else f"{tuning} ({linear_start})"


def read_card(header: Mapping[str, str]) -> NetworkCard | None:
    """Return the card in a header; None for files of other programs or older versions."""
    try:
        values = {
            key: text if kind is str else msgspec.json.decode(text, type=kind)
            for key, kind in _TYPES.items()
            if (text := header.get(key)) is not None
        }
        return msgspec.convert(values, NetworkCard)
    except (msgspec.ValidationError, msgspec.DecodeError):
        return None
