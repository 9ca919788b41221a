"""Fit the names in a file of weights to those of a network.

Training programs wrap networks, and each wrapper puts its name before those of the tensors:
``module.`` (DataParallel), ``_orig_mod.`` (torch.compile), ``model.`` (Lightning), ``backbone.``
(OpenMMLab, DINO). What stands before the names may be anything, as long as the rest fits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from torch import Tensor

from engine.model.weight_files import Entry

WRAPPERS: Final = (
    "_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module",
)  # fmt: skip
"""What may stand anywhere in a name: torch.compile, DataParallel, FSDP, DeepSpeed."""
_USUAL: Final = (*WRAPPERS, "model", "backbone", "network")
"""What is known to stand before the names of a whole network."""
_OPTIONAL: Final = (
    "num_batches_tracked", "total_ops", "total_params", "relative_position_index", "attn_mask",
    "relative_coords_table",
)  # fmt: skip
"""Last parts of names of tensors that are computed or counted, not trained."""
_ENTRIES: Final = (
    "state_dict_ema", "model_ema", "state_dict", "model", "model_state_dict", "model_state",
    "net", "network", "weights", "params",
)  # fmt: skip
"""Keys of state dicts: timm's in its order, then others'; one of EMA weights comes first anyway."""
_EMA: Final = re.compile(r"(^|_)(ema|averaged|avg|swa)(_|$)|^ema", re.IGNORECASE)

_COUNT: Final = "n_averaged"
"""Tensor of torch's ``AveragedModel``, beside the ``module`` that is the network."""


@dataclass(frozen=True)
class Wanted:
    """What a network wants of a file: the shapes of its tensors.

    ``last_layers`` stand before the names of its last layers' tensors, which need not fit.
    """

    shapes: Mapping[str, tuple[int, ...]]
    last_layers: tuple[str, ...]

    @property
    def backbone(self) -> set[str]:
        """Return the names that a file must have."""
        return {
            name
            for name in self.shapes
            if not name.startswith(self.last_layers) and not is_optional(name)
        }


@dataclass(frozen=True)
class Fit:
    """Tensors of a file under the network's names.

    Attributes:
        keys: of the entry they come from.
        prefixes: parts of names that were removed.
        tensors: of the file, by what is then their name.
        outside: names in the file that did not stand behind the prefix.
        converted: timm's conversion for the network was applied.
    """

    keys: tuple[str, ...]
    prefixes: tuple[str, ...]
    tensors: Mapping[str, Tensor]
    outside: tuple[str, ...] = ()
    converted: bool = False
    _misfits: dict[str, list[str]] = field(default_factory=dict, compare=False)

    @property
    def address(self) -> tuple[str, ...]:
        """Return what tells it from others in the file: the entry's keys, then the prefixes."""
        return (*self.keys, *self.prefixes)

    @property
    def is_ema(self) -> bool:
        """Say whether these are averages of weights along a training."""
        counted = (
            ".".join((*self.prefixes[:at], _COUNT)) in self.outside
            for at, part in enumerate(self.prefixes)
            if part == "module"
        )
        return any(counted) or any(_EMA.search(part) for part in self.address)

    def misfits(self, wanted: Wanted) -> dict[str, list[str]]:
        """Return why the tensors are not the network's, by kind; empty: they are."""
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
        found = {"missing": missing, "of another shape": misshapen, "unknown": unknown}
        return {kind: names for kind, names in found.items() if names}

    def unexpected(self, wanted: Wanted) -> list[str]:
        """Return the names that the network lacks, counts and its last layer's apart."""
        return [
            name
            for name in self.tensors
            if name not in wanted.shapes
            and not name.startswith(wanted.last_layers)
            and not is_optional(name)
        ]

    def rank(self) -> tuple[bool, int, bool]:
        """Return what sorts the likeliest first; of equals none is likelier."""
        first = self.keys[0] if self.keys else ""
        place = _ENTRIES.index(first) if first in _ENTRIES else len(_ENTRIES)
        is_usual = all(part in _USUAL for part in self.prefixes)
        return not self.is_ema, -1 if not self.keys else place, not is_usual

    def answers_to(self, key: str) -> bool:
        """Say whether a person means this with a key, such as ``teacher`` or ``model.encoder``."""
        wanted = tuple(key.rstrip(".").split("."))
        parts = tuple(part for each in self.address for part in each.split("."))
        places = range(len(parts) - len(wanted) + 1)
        return any(parts[at : at + len(wanted)] == wanted for at in places)


def is_optional(name: str) -> bool:
    """Say whether a tensor is counted or computed, so that files may lack or have it."""
    return name.rpartition(".")[2] in _OPTIONAL


def readings(entry: Entry, wanted: Wanted) -> list[Fit]:
    """Return the ways to read the names of an entry, wrappers removed where they stand between.

    What is written as it is comes first; there is always one.
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
    """Yield what stands behind each prefix behind which a tensor of the network stands."""
    anchor = max(wanted.backbone, key=lambda name: (name.count("."), name))
    prefixes = sorted(
        (name.removesuffix(anchor) for name in tensors if ("." + name).endswith("." + anchor)),
        key=lambda prefix: (prefix.count("."), prefix),
    )
    for prefix in prefixes:
        inside = {
            name.removeprefix(prefix): tensor
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }
        outside = tuple(name for name in tensors if not name.startswith(prefix))
        parts = tuple(part for part in prefix.split(".") if part)
        yield Fit(keys, (*removed, *parts), inside, outside)


def _unwrapped(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return tensors under names without wrappers, and which those were; none where they clash."""
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
    """Return the one that has the most tensors of the network."""
    return max(fits, key=lambda fit: sum(name in fit.tensors for name in wanted.backbone))
