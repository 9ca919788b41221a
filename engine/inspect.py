"""Describe networks, weight files or this machine as one JSON document.

For programs that do not import torch.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import timm
import torch
from huggingface_hub import constants as hub

from engine.datasets.catalog import find_image_set
from engine.errors import DataError, InputError
from engine.execution import DTYPES
from engine.machine.devices import available_devices, device_name
from engine.machine.processor import cpu_name, keep_freed_memory, usable_cores
from engine.model import build_for, packaged_file, packaged_networks
from engine.protocol import JOINED_BY, RunSpec, SpecError, decode_spec
from engine.protocol.feature_costs import FeatureQuestion
from engine.run import versions
from engine.train.feature_costs import feature_costs

STUDIED_NETWORKS = (
    "resnet50.tv2_in1k",
    "resnet50.tv_in1k",
    "resnet18.a1_in1k",
    "convnext_tiny.fb_in22k_ft_in1k",
    "vit_base_patch16_224.augreg2_in21k_ft_in1k",
    "swin_tiny_patch4_window7_224.ms_in1k",
)
"""Networks listed by default after the packaged ones: the paper's, and one of each other kind."""


def list_models(pattern: str | None) -> list[dict[str, str]]:
    """List networks and where their weights are: packaged, cached, on the hub, or none.

    Args:
        pattern: shell pattern over all of timm's networks; None for a short list.
    """
    packaged = packaged_networks()
    if pattern is None:
        names = [*packaged, *STUDIED_NETWORKS]
    else:
        wanted = pattern if "*" in pattern else f"*{pattern}*"
        pretrained = timm.list_models(wanted, pretrained=True)
        scratch = [name for name in timm.list_models(wanted) if name not in packaged]
        known = {name.split(".", maxsplit=1)[0] for name in pretrained}
        names = [name for name in packaged if name in timm.list_models(wanted)]
        names += pretrained + [name for name in scratch if name not in known]
    return [{"name": name, "weights": _weights_of(name)} for name in dict.fromkeys(names)]


def _weights_of(model: str) -> str:
    if packaged_file(model) is not None:
        return "packaged"
    config = timm.get_pretrained_cfg(model)
    hub_id = getattr(config, "hf_hub_id", None)
    if not hub_id:
        return "none"
    folder = Path(hub.HF_HUB_CACHE) / f"models--{hub_id.replace('/', '--')}" / "snapshots"
    return "cached" if any(folder.glob("*/*")) else "hub"


def network_sizes(models: Sequence[str]) -> dict[str, int]:
    """Return the bytes of networks' weights without the last layer; unknown networks are omitted.

    The weights are not allocated.
    """
    sizes: dict[str, int] = {}
    for model in models:
        with contextlib.suppress(RuntimeError, ValueError), torch.device("meta"):
            networks = [
                timm.create_model(name, pretrained=False, num_classes=0)
                for name in model.split(JOINED_BY)
            ]
            tensors = [each for network in networks for each in network.state_dict().values()]
            sizes[model] = sum(each.numel() * each.element_size() for each in tensors)
    return sizes


def inspect_weights(spec: RunSpec) -> dict[str, Any]:
    """Describe what a run would load from its weight file, or why it cannot."""
    classes: tuple[str, ...] = ()
    with contextlib.suppress(DataError, SpecError):  # the data set's problems are shown elsewhere
        classes = find_image_set(spec).classes
    try:
        network = build_for(spec, classes, seed=0)
    except InputError as error:
        return {"loaded": None, "problem": str(error)}
    return {"loaded": network.loaded, "problem": None}


def has_weights(spec: RunSpec) -> bool:
    """Return whether the initial weights of a run are on this machine."""
    if spec.weights_file is not None:
        return Path(spec.weights_file).is_file()
    places = {_weights_of(model) for model in spec.models if timm.is_model(model.split(".")[0])}
    return spec.weights == "none" or places <= {"packaged", "cached"}


def describe_machine() -> dict[str, Any]:
    """Describe Python, torch, the devices and their supported precisions."""
    devices = [_describe_device(torch.device(name)) for name in available_devices()]
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions(),
        "devices": devices,
        "cpu": cpu_name(),
        "cpu_threads": usable_cores(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "precisions": {entry["device"]: _precisions(entry["device"]) for entry in devices},
        "packaged_weights": packaged_networks(),
    }


def _describe_device(device: torch.device) -> dict[str, Any]:
    entry: dict[str, Any] = {"device": str(device), "name": device_name(device)}
    if device.type == "cuda":
        entry["memory_gib"] = torch.cuda.get_device_properties(device).total_memory / 2**30
    elif device.type == "cpu" and hasattr(os, "sysconf"):
        entry["memory_gib"] = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return entry


def _precisions(name: str) -> list[str]:
    """Return the precisions in which a convolution runs on the device."""
    device = torch.device(name)
    layer, image = torch.nn.Conv2d(3, 8, 3).to(device), torch.ones(1, 3, 8, 8, device=device)
    working = []
    for precision, dtype in DTYPES.items():
        try:
            with torch.autocast(device.type, dtype=dtype, enabled=precision != "fp32"):
                layer(image).sum().backward()
        except RuntimeError:
            continue
        working.append(precision)
    return working


def main(arguments: list[str] | None = None) -> int:
    """Print the requested document and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m engine.inspect", description=__doc__)
    parser.add_argument("what", choices=["models", "sizes", "doctor", "weights", "features"])
    parser.add_argument(
        "about",
        nargs="?",
        help="models: name or pattern; sizes: names, separated by commas; weights: spec as JSON; "
        "features: question as JSON",
    )
    asked = parser.parse_args(arguments)
    answer: object
    if asked.what == "models":
        answer = list_models(asked.about)
    elif asked.what == "sizes":
        answer = network_sizes(asked.about.split(","))
    elif asked.what == "weights":
        answer = inspect_weights(decode_spec(asked.about.encode()))
    elif asked.what == "features":
        keep_freed_memory()  # as runs do
        question = msgspec.json.decode(asked.about, type=FeatureQuestion)
        answer = feature_costs(question, has_weights)
    else:
        answer = describe_machine()
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
