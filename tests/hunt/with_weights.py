"""Situations with weights: other tools' checkpoints come in, and this program's go out."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.hunt.workplace import CLASSES, Workplace
from tests.small_runs import run_here


def _state(classes: int = 3, seed: int = 0) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return dict(timm.create_model("test_resnet", num_classes=classes).state_dict())


def _saved(place: Workplace, content: Mapping[str, object], name: str = "weights.pth") -> Path:
    torch.save(content, place.path / name)
    return place.path / name


def _starts_with(place: Workplace, weights: Path, state: Mapping[str, Tensor]) -> None:
    """Assert that a run with next to no learning rate keeps the weights of a file."""
    run = place.train(
        place.images(weights.stem), weights=str(weights), steps=1, eval_every=1, head_steps=0,
        lr=1e-30, momentum=0.0, weight_decay=0.0,
    )  # fmt: skip
    trained = load_file(run.best_checkpoint)
    name = "conv1.0.weight" if "conv1.0.weight" in state else "conv1.weight"
    torch.testing.assert_close(trained[name], state[name])


def the_checkpoint_has_other_classes(place: Workplace) -> None:
    state = _state(classes=5)
    _starts_with(place, _saved(place, state), state)


def names_begin_with_module(place: Workplace) -> None:
    state = _state()
    renamed = {f"module.{name}": tensor for name, tensor in state.items()}
    _starts_with(place, _saved(place, renamed), state)
    save_file(renamed, place.path / "also.safetensors")
    _starts_with(place, place.path / "also.safetensors", state)


def the_network_was_compiled(place: Workplace) -> None:
    state = _state()
    for number, prefix in enumerate(("_orig_mod.", "module._orig_mod.", "_orig_mod.module.")):
        renamed = {f"{prefix}{name}": tensor for name, tensor in state.items()}
        _starts_with(place, _saved(place, {"state_dict": renamed}, f"{number}.pth"), state)


def lightning_saved_it(place: Workplace) -> None:
    state = _state()
    for number, prefix in enumerate(("model.", "net.model.", "backbone.", "network.")):
        if prefix == "net.model.":
            continue  # a name of somebody's own: refused, with the names it holds
        content = {
            "state_dict": {f"{prefix}{name}": tensor for name, tensor in state.items()},
            "epoch": 3,
            "hyper_parameters": {"lr": 0.1},
        }
        _starts_with(place, _saved(place, content, f"{number}.ckpt"), state)


def timms_own_trainer_saved_it(place: Workplace) -> None:
    raw, averaged = _state(seed=1), _state(seed=2)
    arguments = argparse.Namespace(model="test_resnet", lr=0.1)
    saved = {"epoch": 1, "arch": "test_resnet", "args": arguments, "state_dict": raw}
    _starts_with(place, _saved(place, saved, "last.pth.tar"), raw)
    both = {**saved, "state_dict_ema": averaged}
    _starts_with(place, _saved(place, both, "ema.pth.tar"), averaged)


def nothing_in_the_file_fits(place: Workplace) -> None:
    folder = place.images()
    state = _state()
    state.pop(next(iter(state)))
    other = timm.create_model("test_vit").state_dict()
    (place.path / "empty.pth").write_bytes(b"")
    (place.path / "page.pth").write_bytes(b"<!DOCTYPE html><html>Not found</html>")
    for weights, reason in (
        (_saved(place, state, "missing.pth"), "conv1"),
        (_saved(place, dict(other), "other.pth"), "test_resnet"),
        (place.path / "empty.pth", "empty"),
        (place.path / "page.pth", "html"),
    ):
        run = place.make(folder, weights=str(weights))
        with pytest.raises(Exception, match=reason) as refused:
            run_here(run)
        assert type(refused.value).__name__ == "InputError"


def the_order_of_labels_is_lost_on_the_way(place: Workplace) -> None:
    run = place.train(place.images())
    with safe_open(run.best_checkpoint, "pt") as file:
        header = file.metadata()
    assert json.loads(header["classes"]) == list(CLASSES)


def inference_prepares_images_otherwise(place: Workplace) -> None:
    run = place.train(place.images())
    with safe_open(run.best_checkpoint, "pt") as file:
        header = file.metadata()
    assert json.loads(header["image_size"]) == 32
    assert len(json.loads(header["mean"])) == len(json.loads(header["std"])) == 3
    assert "bilinear" in header["interpolation"]
