"""Matching of tensor names in a weight file to those of a network.

Training programs wrap networks, and wrappers add prefixes to tensor names: ``module.``
(DataParallel), ``_orig_mod.`` (torch.compile), ``model.`` (Lightning), ``backbone.`` (OpenMMLab,
DINO). Any prefix is accepted as long as the rest matches.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from torch import Tensor

from engine.model.tensor_file import under_prefix
from engine.model.weight_files import Entry

WRAPPERS: Final = (
    "_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module",
)  # fmt: skip
"""Wrapper names that may occur anywhere: torch.compile, DataParallel, FSDP, DeepSpeed."""
_USUAL: Final = (*WRAPPERS, "model", "backbone", "network")
"""Common prefixes of a whole network."""
_OPTIONAL: Final = (
    "num_batches_tracked", "total_ops", "total_params", "relative_position_index", "attn_mask",
    "relative_coords_table",
)  # fmt: skip
"""Last parts of the names of tensors that are computed or counted rather than trained."""
_ENTRIES: Final = (
    "state_dict_ema", "model_ema", "state_dict", "model", "model_state_dict", "model_state",
    "net", "network", "weights", "params",
)  # fmt: skip
"""Keys of state dicts by preference: timm's in its order, then others. EMA weights come first."""
_EMA: Final = re.compile(r"(^|_)(ema|averaged|avg|swa)(_|$)|^ema", re.IGNORECASE)

_COUNT: Final = "n_averaged"
"""Tensor of torch's ``AveragedModel``, next to its network ``module``."""


@dataclass(frozen=True)
class Wanted:
    """The tensor shapes of a network.

    ``last_layers`` are the prefixes of its last layers' tensors, which need not match.
    """

    shapes: Mapping[str, tuple[int, ...]]
    last_layers: tuple[str, ...]

    @property
    def backbone(self) -> set[str]:
        """Return the names that a file must contain."""
        return {
            name
            for name in self.shapes
            if not name.startswith(self.last_layers) and not is_optional(name)
        }


@dataclass(frozen=True)
class Fit:
    """Tensors of a file under the network's names.

    Attributes:
        keys: keys of the state dict.
        prefixes: removed parts of names.
        tensors: tensors by their names without the prefixes.
        outside: names in the file without the prefix.
        converted: whether timm's conversion for the network was applied.
    """

    keys: tuple[str, ...]
    prefixes: tuple[str, ...]
    tensors: Mapping[str, Tensor]
    outside: tuple[str, ...] = ()
    converted: bool = False
    _misfits: dict[str, list[str]] = field(default_factory=dict, compare=False)

    @property
    def address(self) -> tuple[str, ...]:
        """Return what identifies it in the file: the state dict's keys, then the prefixes."""
        return (*self.keys, *self.prefixes)

    @property
    def is_ema(self) -> bool:
        """Return whether these are averaged weights (EMA or SWA)."""
        counted = (
            ".".join((*self.prefixes[:at], _COUNT)) in self.outside
            for at, part in enumerate(self.prefixes)
            if part == "module"
        )
        return any(counted) or any(_EMA.search(part) for part in self.address)

    def misfits(self, wanted: Wanted) -> dict[str, list[str]]:
        """Return the mismatches with the network by kind; empty if the tensors match."""
        backbone = wanted.backbone
        missing = sorted(backbone - self.tensors.keys())
        misshapen = sorted(
            f"{name} {tuple(self.tensors[name].shape)}, not {wanted.shapes[name]}"
            for name in backbone & self.tensors.keys()
            if tuple(self.tensors[name].shape) != wanted.shapes[name]
        )
        parts = {name.partition(".")[0] for name in backbone}
        unknown = sorted(
            name for name in self.unexpected(wanted) if name.partition(".")[0] in parts
        )
        found = {"missing": missing, "wrong shape": misshapen, "unknown": unknown}
        return {kind: names for kind, names in found.items() if names}

    def unexpected(self, wanted: Wanted) -> list[str]:
        """Return the names that the network lacks, except counters and last layers."""
        return [
            name
            for name in self.tensors
            if name not in wanted.shapes
            and not name.startswith(wanted.last_layers)
            and not is_optional(name)
        ]

    def rank(self) -> tuple[bool, int, bool]:
        """Return a sort key, most likely first; equal keys are equally likely."""
        first = self.keys[0] if self.keys else ""
        place = _ENTRIES.index(first) if first in _ENTRIES else len(_ENTRIES)
        is_usual = all(part in _USUAL for part in self.prefixes)
        return not self.is_ema, -1 if not self.keys else place, not is_usual

    def matches_key(self, key: str) -> bool:
        """Return whether a user's key, such as ``teacher`` or ``model.encoder``, refers to this."""
        wanted = tuple(key.rstrip(".").split("."))
        parts = tuple(part for each in self.address for part in each.split("."))
        places = range(len(parts) - len(wanted) + 1)
        return any(parts[at : at + len(wanted)] == wanted for at in places)


def is_optional(name: str) -> bool:
    """Return whether a tensor is counted or computed, so that it may be missing or extra."""
    return name.rpartition(".")[2] in _OPTIONAL


def readings(entry: Entry, wanted: Wanted) -> list[Fit]:
    """Return the possible matches of a state dict, at least one.

    Unchanged names come first; wrappers inside names are removed only if nothing else matches.
    """
    found = [*_behind_prefixes(entry.keys, entry.tensors, (), wanted)]
    if not any(not each.misfits(wanted) for each in found):
        bare, removed = _unwrapped(entry.tensors)
        if removed:
            found += _behind_prefixes(entry.keys, bare, removed, wanted)
    return found or [Fit(entry.keys, (), entry.tensors)]


def _behind_prefixes(
    keys: tuple[str, ...], tensors: Mapping[str, Tensor], removed: tuple[str, ...], wanted: Wanted
) -> Iterator[Fit]:
    """Yield a match for each prefix of a tensor of the network."""
    anchor = max(wanted.backbone, key=lambda name: (name.count("."), name))
    prefixes = sorted(
        (name.removesuffix(anchor) for name in tensors if ("." + name).endswith("." + anchor)),
        key=lambda prefix: (prefix.count("."), prefix),
    )
    for prefix in prefixes:
        inside = under_prefix(prefix, tensors)
        outside = tuple(name for name in tensors if not name.startswith(prefix))
        parts = tuple(part for part in prefix.split(".") if part)
        yield Fit(keys, (*removed, *parts), inside, outside)


def _unwrapped(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return tensors by names without wrappers, and the wrappers; empty if names would collide."""
    bare: dict[str, Tensor] = {}
    removed: set[str] = set()
    for name, tensor in tensors.items():
        parts = name.split(".")
        removed.update(part for part in parts if part in WRAPPERS)
        bare[".".join(part for part in parts if part not in WRAPPERS)] = tensor
    if len(bare) < len(tensors):
        return {}, ()
    return bare, tuple(part for part in WRAPPERS if part in removed)


def closest(fits: Sequence[Fit], wanted: Wanted) -> Fit:
    """Return the match with the most tensors of the network."""
    return max(fits, key=lambda fit: sum(name in fit.tensors for name in wanted.backbone))
