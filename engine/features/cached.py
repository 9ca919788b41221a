"""The feature cache: a frozen network's features of all images of a data set.

An array of features belongs to the images (names, sizes and stamps of the files, image size), the
network and the content of its weights, and to one augmented view or none. Split, seed, target and
number of views do not matter, so that all runs of a study share the arrays. Each is an entry of
:mod:`engine.cache` with ``features.bin`` (float32, N rows in the order of the data set's files).
Features are computed in fp32, as evaluation is.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec
import numpy as np
import timm
import torch
from torch import Tensor

from engine.cache import (
    MANIFEST,
    SPARE_BYTES,
    MappedRows,
    allow_mappings,
    entries,
    find_or_make,
    lock_of,
    room_bytes,
    word_sum,
)
from engine.data import FeatureRows, FrozenFeatures, RowsInMemory, RunData
from engine.data.batches import send
from engine.data.frozen import Indices, Rows
from engine.data.transforms import network_input
from engine.datasets.cache import cache_key
from engine.errors import InputError
from engine.execution import Execution
from engine.features.views import Views
from engine.machine.disk import describe_disk, is_full
from engine.machine.processor import available_memory_bytes
from engine.model import FineTunedNetwork
from engine.model.linear import FrozenNetwork
from engine.protocol import RunSpec
from engine.rundir import write_atomic
from engine.rundir.lock import is_held
from engine.text import format_size
from engine.work import Progress

FORMAT_VERSION: Final = 1
FEATURES: Final = "features.bin"
KIND: Final = "features"
"""Folder of the entries in the cache."""
OUTDATED: Final = (
    "Features of the same data set, network and weights were cached before, but the images have "
    "changed since, or timm has."
)
DAMAGED: Final = "Cached features were damaged and have been computed again."
CPU: Final = torch.device("cpu")
PLAIN: Final = "plain"
"""Stands for the images without augmentation in descriptions of entries."""
SHOWN_DIGITS: Final = 8
"""Digits of the weights' digest in descriptions of entries."""
MEMORY_SHARE: Final = 0.5
"""Fraction of the available memory for features that cannot be stored."""

Write = Callable[[Indices, Rows], None]
"""Takes the features of rows."""


class Manifest(msgspec.Struct, frozen=True):
    """Description of an array of features: (N, …), see :func:`engine.cache.word_sum`."""

    format_version: int
    shape: tuple[int, ...]
    word_sum: int
    about: dict[str, str | int] = {}


@dataclass(frozen=True)
class CachedFeatures:
    """Features, and how they were obtained.

    Attributes:
        features: of all images.
        images: number of images and views, N · (V + 1).
        computed: how many of them were computed now, the others were cached.
        size_bytes: of all arrays.
        notes: what the user should know, in sentences.
    """

    features: FrozenFeatures
    images: int
    computed: int
    size_bytes: int
    notes: tuple[str, ...] = ()


def cached_features(
    network: FineTunedNetwork,
    data: RunData,
    cache_dir: Path,
    execution: Callable[[], Execution],
    *,
    model: str,
    device: torch.device = CPU,
    views: int = 0,
    transforms: Literal["batch", "pil"] = "batch",
    batch_size: int = 32,
    on_progress: Progress = lambda _done, _total: None,
) -> CachedFeatures:
    """Return a network's features of all images of all domains, from the cache or computed into it.

    For linear tuning, these are the features that its backbone computes; for other networks, the
    penultimate ones. If they cannot be stored, they are kept in memory.

    Args:
        network: the network; left in evaluation mode.
        data: the images; their split does not matter.
        cache_dir: folder of caches, created if missing.
        execution: returns device, memory format and folding; called only if needed.
        model: the network's name.
        device: that of ``execution``; kinds of devices round differently, so they share nothing.
        views: V, augmented views in addition to the images without augmentation.
        transforms: training transform of the views.
        batch_size: images of a forward pass.
        on_progress: called with the number of images done and the total over all views; may raise
            to abort.

    Raises:
        InputError: if features can neither be stored nor kept in memory.
        TrainingError: if an original file can no longer be read.
    """
    frozen = FrozenPart.of(network)
    source = _Source(network, data, execution, transforms, batch_size, frozen.shape)
    wanted = [None, *range(views)]
    allow_mappings(len(wanted))
    count, computed = len(data.image_set), 0
    keys = _Keys.of(frozen, data, model, transforms, device)
    folders = {view: cache_dir / KIND / keys.of_view(view) for view in wanted}
    if missing := sum(not folder.exists() for folder in folders.values()):
        _refuse_without_room(cache_dir, source.array_bytes, missing)
    arrays: dict[int | None, FeatureRows] = {}
    notes: dict[str, str] = {}  # the first of each kind: free space differs between arrays
    for number, view in enumerate(_free_first(folders)):
        progress = _shifted(on_progress, number * count, len(wanted) * count)
        left = sum(not folders[each].exists() for each in folders if each not in arrays)
        found = _array(source, folders[view], view, keys.about(view), progress, max(1, left))
        arrays[view] = found.rows
        computed += 0 if found.was == "found" else count
        if found.note:
            notes.setdefault(found.was, found.note)
        elif (found.was, computed) == ("missing", count) and keys.is_outdated(cache_dir, view):
            notes.setdefault(found.was, OUTDATED)
        on_progress((number + 1) * count, len(wanted) * count)
    return CachedFeatures(
        FrozenFeatures(arrays[None], [arrays[view] for view in range(views)]),
        count * len(wanted), computed,
        sum(each.array.nbytes for each in arrays.values()), tuple(notes.values()),
    )  # fmt: skip


def _free_first(folders: Mapping[int | None, Path]) -> Iterator[int | None]:
    """Yield the views, those that another process is making last: several processes that need the
    same views share the work."""
    later = []
    for view, folder in folders.items():
        if is_held(lock_of(folder)):
            later.append(view)
        else:
            yield view
    yield from later


class _Found(NamedTuple):
    rows: FeatureRows
    was: Literal["found", "missing", "damaged", "not stored"]
    note: str = ""


def _array(
    source: _Source,
    folder: Path,
    view: int | None,
    about: dict[str, str | int],
    on_progress: Progress,
    arrays_left: int,
) -> _Found:
    """Return one array, computed if it is missing or damaged."""
    shape, needed = source.shape, source.array_bytes

    def make(into: Path) -> None:
        with (into / FEATURES).open("xb") as file:
            file.truncate(needed)

            def write(rows: Indices, features: Rows) -> None:
                for start, stop in _spans(rows):
                    file.seek(int(rows[start]) * (needed // shape[0]))
                    file.write(np.ascontiguousarray(features[start:stop]).data)

            source.compute(view, write, on_progress)
            file.flush()
            os.fsync(file.fileno())
        array = MappedRows(into / FEATURES, np.float32, shape[1:]).array
        manifest = Manifest(FORMAT_VERSION, shape, word_sum(array), about)
        write_atomic(into / MANIFEST, msgspec.json.encode(manifest))

    try:
        entry = find_or_make(
            folder, lambda path: _read(path, shape), make, needed, lambda: on_progress(0, shape[0])
        )
    except OSError as error:
        note = _kept_in_memory(error, folder.parent, needed * arrays_left)
        array = np.zeros(shape, dtype=np.float32)
        source.compute(view, array.__setitem__, on_progress)
        return _Found(RowsInMemory(array), "not stored", note)
    return _Found(entry.content, entry.was, DAMAGED if entry.was == "damaged" else "")


def _read(folder: Path, shape: tuple[int, ...]) -> FeatureRows | None:
    """Map an array; None if it is missing or damaged."""
    file = folder / FEATURES
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
        size = file.stat().st_size
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None
    if (manifest.format_version, manifest.shape) != (FORMAT_VERSION, shape):
        return None
    if size != bytes_of(shape):
        return None
    rows = MappedRows(file, np.float32, shape[1:])
    is_whole = word_sum(rows.array) == manifest.word_sum
    rows.release()
    return rows if is_whole else None


def bytes_of(shape: tuple[int, ...]) -> int:
    """Return the size of an array of features."""
    return int(np.prod(shape)) * np.dtype(np.float32).itemsize


def _refuse_without_room(cache_dir: Path, array_bytes: int, missing: int) -> None:
    """Check, before anything is computed, that missing arrays fit on the disk or in memory.

    Raises:
        InputError: if they do not.
    """
    needed = array_bytes * missing
    room = room_bytes(cache_dir)
    if needed > room:
        fit = room // array_bytes
        _refuse_beyond_memory(_needed_on_disk(needed, cache_dir), array_bytes * (missing - fit))


def _kept_in_memory(error: OSError, place: Path, needed: int) -> str:
    """Return a note that features stay in memory.

    Raises:
        InputError: if they do not fit.
    """
    reason = f"{place} cannot be written: {error.strerror or error}"
    if is_full(error):
        reason = _needed_on_disk(needed, place)
    _refuse_beyond_memory(reason, needed)
    return f"Features are kept in memory for this run only, because {reason}."


def _needed_on_disk(needed: int, place: Path) -> str:
    return f"they need {format_size(needed + SPARE_BYTES)} on the disk {describe_disk(place)}"


def _refuse_beyond_memory(reason: str, needed: int) -> None:
    available = available_memory_bytes()
    if needed > MEMORY_SHARE * available:
        raise InputError(
            f"Features cannot be cached ({reason}), and {format_size(needed)} do not fit in memory "
            f"({format_size(available)} available). Free space with vld data cache --remove, or "
            "use fewer --views or another --home (VLD_HOME)."
        ) from None


@dataclass(frozen=True)
class _Keys:
    """Names of the entries, which depend on everything that determines the features."""

    images: str
    model: str
    kind: str
    weights: str
    device: str
    transforms: str
    dataset: str
    image_size: int

    @classmethod
    def of(
        cls, frozen: FrozenPart, data: RunData, model: str, transforms: str, device: torch.device
    ) -> _Keys:  # fmt: skip
        cached = data.domains[0].cached
        image_size = cached.pixels.shape[1]
        images = f"{cache_key(data.image_set, image_size)} {sorted(cached.unreadable)}"
        return cls(
            images, model, frozen.kind, frozen.digest, device.type, transforms, data.name,
            image_size,
        )  # fmt: skip

    def of_view(self, view: int | None) -> str:
        augmentation = None if view is None else (self.transforms, view)
        content = (
            FORMAT_VERSION, timm.__version__, self.images, self.model, self.kind, self.weights,
            self.device, augmentation,
        )  # fmt: skip
        return hashlib.sha256(msgspec.json.encode(content)).hexdigest()[:32]

    def about(self, view: int | None) -> dict[str, str | int]:
        about: dict[str, str | int] = {
            "dataset": self.dataset,
            "image_size": self.image_size,
            "model": self.model,
            "features": self.kind,
            "weights": self.weights[:SHOWN_DIGITS],
            "device": self.device,
        }
        if view is None:
            return {**about, "view": PLAIN}
        return {**about, "view": view, "transforms": self.transforms}

    def is_outdated(self, cache_dir: Path, view: int | None) -> bool:
        """Return whether the cache has an array of this description, of another version."""
        about, key = self.about(view), self.of_view(view)
        return any(
            entry.kind == KIND and entry.folder.name != key and entry.about == about
            for entry in entries(cache_dir)
        )


class FrozenPart(NamedTuple):
    """What determines features: their kind, their shape for an image, the digest of the weights."""

    kind: str
    shape: tuple[int, ...]
    digest: str

    @classmethod
    def of(cls, network: FineTunedNetwork) -> FrozenPart:
        """Return that of a network; for one that is not linear, of its penultimate features."""
        module = network.module
        if isinstance(module, FrozenNetwork):
            digest = _digest(module.backbone.state_dict())
            return cls(module.features_kind, module.features_shape, digest)
        head = {id(each) for each in network.head.state_dict(keep_vars=True).values()}
        state = module.state_dict(keep_vars=True).items()
        digest = _digest({name: each for name, each in state if id(each) not in head})
        return cls("penultimate", (network.feature_dim,), digest)


def missing_views(
    cache_dir: Path, spec: RunSpec, device: torch.device, frozen: FrozenPart, array_bytes: int
) -> int:
    """Return how many of a run's 1 + V arrays are not cached, by the descriptions of the entries.

    Whether they are of the same version of the images is known only when they are opened.
    """
    wanted: dict[str, str | int] = {
        "dataset": spec.dataset, "image_size": spec.image_size, "model": spec.model,
        "features": frozen.kind, "weights": frozen.digest[:SHOWN_DIGITS], "device": device.type,
        "transforms": spec.transforms,
    }  # fmt: skip
    views = {PLAIN, *range(spec.views or 0)}
    found = {
        entry.about.get("view")
        for entry in entries(cache_dir)
        if entry.kind == KIND
        and entry.size_bytes > array_bytes
        and all(entry.about.get(name, value) == value for name, value in wanted.items())
    }
    return len(views - found)


def _digest(state: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in state.items():
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


class _Source:
    """Computes features of the images of a data set."""

    def __init__(
        self,
        network: FineTunedNetwork,
        data: RunData,
        execution: Callable[[], Execution],
        transforms: Literal["batch", "pil"],
        batch_size: int,
        row_shape: tuple[int, ...],
    ) -> None:
        self.data = data
        self._network, self._execution = network, execution
        self._transforms, self._batch_size = transforms, batch_size
        self.shape = (len(data.image_set), *row_shape)
        self.array_bytes = bytes_of(self.shape)

    def compute(self, view: int | None, write: Write, on_progress: Progress) -> None:
        """Compute the features of all readable images, and pass them on by their rows."""
        network, execution = self._network, self._execution()
        module = network.module
        frozen = module.forward_features if isinstance(module, FrozenNetwork) else network.features
        execution.prepare(module)
        module.eval()
        folded = network.folded(execution.folds_inference)
        for rows, pixels in _one_ahead(self._batches(view)):
            images = network_input(send(pixels, execution.device), network.mean, network.std)
            with torch.inference_mode(), folded:
                features = frozen(execution.lay_out(images)).float()
            write(rows, features.cpu().numpy())
            on_progress(int(rows[-1]) + 1, len(self.data.image_set))

    def _batches(self, view: int | None) -> Iterator[tuple[Indices, Tensor]]:
        views = Views(self.data, self._transforms)
        rows = np.sort(np.concatenate([domain.rows for domain in self.data.domains]))
        for start in range(0, len(rows), self._batch_size):
            batch = rows[start : start + self._batch_size]
            yield batch, views.images(batch, view)


def _one_ahead(
    batches: Iterator[tuple[Indices, Tensor]],
) -> Iterator[tuple[Indices, Tensor]]:
    """Yield batches, each prepared in a thread while its predecessor is used."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch


def _spans(rows: Indices) -> Iterator[tuple[int, int]]:
    """Yield start and stop of each sequence of consecutive rows."""
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    yield from pairwise([0, *breaks.tolist(), len(rows)])


def _shifted(on_progress: Progress, begins_at: int, total: int) -> Progress:
    return lambda done, _total: on_progress(begins_at + done, total)
