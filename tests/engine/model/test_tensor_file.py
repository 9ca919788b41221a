"""Files of tensors, as a network's state dict has them."""

from __future__ import annotations

from pathlib import Path

import torch

from engine.model.tensor_file import read_tensors, write_tensors


def test_layers_that_share_their_weights_are_saved_each_by_its_name(tmp_path: Path) -> None:
    shared = torch.nn.Linear(3, 2)
    tensors = torch.nn.Sequential(shared, shared).state_dict()
    tensors["rows"] = tensors["0.weight"][1:]

    write_tensors(tmp_path / "tied.safetensors", tensors, b"{}")

    read = read_tensors(tmp_path / "tied.safetensors")
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())
