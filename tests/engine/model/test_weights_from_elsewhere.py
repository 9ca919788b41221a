"""Checkpoints of other training programs: which weights are taken from them, and what is said."""

from __future__ import annotations

import argparse
import json
import pathlib
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.errors import InputError
from engine.model import FineTunedNetwork, build_network
from engine.protocol import LoadedWeights
from engine.train.checkpoint import TrainingState, save_last

State = dict[str, Tensor]
MODEL = "test_resnet"


@pytest.fixture(scope="module")
def raw() -> State:
    torch.manual_seed(7)
    state: State = timm.create_model(MODEL, num_classes=5).state_dict()
    return state


@pytest.fixture(scope="module")
def ema(raw: State) -> State:
    return {
        name: tensor * 2 if tensor.is_floating_point() else tensor for name, tensor in raw.items()
    }


def build(path: Path, key: str | None = None, model: str = MODEL) -> FineTunedNetwork:
    return build_network(
        model, classes=3, weights=str(path), image_size=64, seed=0, weights_key=key,
        class_names=("a", "b", "c"),
    )  # fmt: skip


def loaded(network: FineTunedNetwork) -> LoadedWeights:
    assert network.loaded is not None
    return network.loaded


def holds(network: FineTunedNetwork, state: Mapping[str, Tensor]) -> bool:
    ours = network.module.state_dict()
    return all(torch.equal(ours[name], state[name]) for name in ours if not name.startswith("fc."))


def behind(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def heads(**sizes: int) -> State:
    return {f"{name}.weight": torch.zeros(size, 4) for name, size in sizes.items()}


WRAPPED: dict[str, tuple[Callable[[State], object], str, list[str]]] = {
    "plain": (lambda raw: raw, "", []),
    "ordered": (OrderedDict, "", []),
    "state_dict": (lambda raw: {"state_dict": raw, "epoch": 3}, "state_dict", []),
    "compiled": (lambda raw: behind("_orig_mod.", raw), "", ["_orig_mod."]),
    "compiled, then parallel": (
        lambda raw: behind("module._orig_mod.", raw), "", ["module.", "_orig_mod."]),
    "parallel, then compiled": (
        lambda raw: behind("_orig_mod.module.", raw), "", ["_orig_mod.", "module."]),
    "Lightning": (
        lambda raw: {"state_dict": behind("model.", raw), "hyper_parameters": {"lr": 0.1},
                     "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(2)}}}]},
        "state_dict", ["model."]),
    "Lightning, compiled, of a backbone": (
        lambda raw: {"state_dict": behind("model._orig_mod.backbone.", raw)},
        "state_dict", ["model.", "_orig_mod.", "backbone."]),
    "OpenMMLab": (
        lambda raw: {"meta": {}, "state_dict": behind("backbone.", raw) | heads(**{"head.fc": 5})},
        "state_dict", ["backbone."]),
    "nested": (lambda raw: {"model": {"state_dict": raw}}, "model.state_dict", []),
    "nested, wrapped": (
        lambda raw: {"model": {"state_dict": behind("network.", raw)}},
        "model.state_dict", ["network."]),
    "an encoder": (
        lambda raw: {"net": behind("trunk.encoder.", raw)}, "net", ["trunk.", "encoder."]),
    "a layer compiled by itself": (
        lambda raw: {name.replace("layer1.", "layer1._orig_mod."): t for name, t in raw.items()},
        "", ["_orig_mod."]),
    "torch's averaged model": (
        lambda raw: {"n_averaged": torch.tensor(3), **behind("module.", raw)}, "", ["module."]),
    "other things in it": (
        lambda raw: {"model": raw, "best": np.float64(0.5), "rng": np.zeros(3, np.uint32),
                     "path": pathlib.Path("a"), "args": argparse.Namespace(lr=0.1)},
        "model", []),
    "weights beside numbers": (lambda raw: {**raw, "epoch": 3, "name": "x"}, "", []),
}  # fmt: skip


@pytest.mark.parametrize("case", WRAPPED)
def test_weights_are_found_however_they_are_wrapped(tmp_path: Path, raw: State, case: str) -> None:
    wrap, entry, prefixes = WRAPPED[case]
    torch.save(wrap(raw), tmp_path / "weights.pth.tar")
    network = build(tmp_path / "weights.pth.tar")
    assert holds(network, raw)
    report = loaded(network)
    assert (report.entry, report.prefixes) == (entry, prefixes)
    assert report.matched == len([name for name in raw if not name.startswith("fc.")])
    assert report.missing == report.other_entries == []
    assert report.last_layer == "new"
    assert report.is_ema == (case == "torch's averaged model")


@pytest.mark.parametrize("name", ["w.pt", "w.bin", "w.ckpt", "w", "w.safetensors"])
def test_a_file_is_what_it_holds_whatever_it_is_called(
    tmp_path: Path, raw: State, name: str
) -> None:
    path = tmp_path / name
    torch.save({"state_dict": raw}, path)
    assert holds(build(path), raw)
    save_file(behind("model.", raw), path)
    assert loaded(build(path)).prefixes == ["model."]
    torch.save(raw, path, _use_new_zipfile_serialization=False)
    assert holds(build(path), raw)


@pytest.mark.parametrize(
    "names",
    [("state_dict", "state_dict_ema"), ("model", "model_ema"), ("model", "ema"),
     ("state_dict", "ema_state_dict"), ("params", "params_ema")],
)  # fmt: skip
def test_averaged_weights_come_first_and_the_others_on_request(
    tmp_path: Path, raw: State, ema: State, names: tuple[str, str]
) -> None:
    path = tmp_path / "timm.pth.tar"
    args = argparse.Namespace(lr=0.1, model=MODEL)
    torch.save({"arch": MODEL, names[0]: raw, names[1]: ema, "args": args}, path)
    network = build(path)
    assert holds(network, ema)
    report = loaded(network)
    assert (report.entry, report.is_ema, report.other_entries) == (names[1], True, [names[0]])
    chosen = build(path, key=names[0])
    assert holds(chosen, raw)
    assert not loaded(chosen).is_ema


def test_averaged_weights_behind_a_prefix_come_first_too(
    tmp_path: Path, raw: State, ema: State
) -> None:
    torch.save(
        {"state_dict": behind("model.", raw) | behind("ema_model.", ema)}, tmp_path / "w.ckpt"
    )
    assert holds(build(tmp_path / "w.ckpt"), ema)
    assert holds(build(tmp_path / "w.ckpt", key="model"), raw)


@pytest.mark.parametrize("averages", ["avg_model", "model_average", "target_network"])
def test_a_count_marks_the_averaged_weights_that_it_stands_beside(
    tmp_path: Path, raw: State, ema: State, averages: str
) -> None:
    count = {f"{averages}.n_averaged": torch.tensor(3)}
    state = behind("model.", raw) | behind(f"{averages}.module.", ema) | count
    torch.save({"state_dict": state}, tmp_path / "w.ckpt")
    network = build(tmp_path / "w.ckpt")
    assert holds(network, ema)
    assert loaded(network).is_ema


def test_a_count_that_stands_elsewhere_makes_no_average(tmp_path: Path, raw: State) -> None:
    torch.save(
        {"state_dict": behind("model.", raw) | {"n_averaged": torch.tensor(1)}}, tmp_path / "w"
    )
    assert not loaded(build(tmp_path / "w")).is_ema


def test_averaged_weights_of_something_else_are_named_and_not_taken(
    tmp_path: Path, raw: State
) -> None:
    torch.save({"state_dict": raw, "state_dict_ema": {"x": torch.zeros(1)}}, tmp_path / "w.pth")
    report = loaded(build(tmp_path / "w.pth"))
    assert (report.entry, report.is_ema) == ("state_dict", False)
    assert report.other_entries == ["state_dict_ema"]


def test_of_two_networks_one_must_be_chosen(tmp_path: Path, raw: State, ema: State) -> None:
    path = tmp_path / "dino.pth"
    head = {"head.mlp.weight": torch.zeros(3)}
    student = behind("module.backbone.", raw) | behind("module.", head)
    torch.save({"student": student, "teacher": behind("backbone.", ema) | head}, path)
    with pytest.raises(InputError, match=r"several matching networks.*student\.module\.backbone"):
        build(path)
    assert holds(build(path, key="teacher"), ema)
    report = loaded(build(path, key="student"))
    assert report.prefixes == ["module.", "backbone."]
    assert report.unexpected == ["module.head.mlp.weight"]


def test_momentum_contrast_is_read_by_its_prefix(tmp_path: Path, raw: State, ema: State) -> None:
    path = tmp_path / "moco.pth.tar"
    state = behind("module.encoder_q.", raw) | behind("module.encoder_k.", ema)
    torch.save({"state_dict": state | {"module.queue": torch.zeros(2, 3)}}, path)
    with pytest.raises(InputError, match="encoder_q.*--weights-key"):
        build(path)
    assert holds(build(path, key="encoder_q"), raw)
    assert holds(build(path, key="encoder_k"), ema)


def test_a_key_that_is_not_there_is_answered_with_those_that_are(
    tmp_path: Path, raw: State
) -> None:
    torch.save({"state_dict": raw}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"no entry 'teacher'. Available: state_dict\."):
        build(tmp_path / "w.pth", key="teacher")


def test_the_weights_of_a_deeper_network_are_refused_and_it_is_named(tmp_path: Path) -> None:
    deep = timm.create_model("resnet34").state_dict()
    torch.save(behind("module.", deep), tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"unknown layer1\.2.*They match --model resnet34"):
        build(tmp_path / "w.pth", model="resnet18")


def test_a_network_that_the_file_names_is_advised(tmp_path: Path) -> None:
    state = timm.create_model("test_convnext2").state_dict()
    args = argparse.Namespace(model="test_convnext2.r160_in1k")
    torch.save({"state_dict": state, "args": args}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"missing .* They match --model test_convnext2\.r160"):
        build(tmp_path / "w.pth")


def test_a_file_of_a_network_with_two_last_layers_is_read(tmp_path: Path) -> None:
    distilled = "deit_tiny_distilled_patch16_224"
    network = timm.create_model(distilled, num_classes=7, img_size=64)
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": network.state_dict(), "arch": distilled}, path)
    with pytest.raises(InputError, match="no linear last layer on pooled features"):
        build(path, model=distilled)
    with pytest.raises(InputError, match="do not match"):
        build(path, model="resnet18")
    linear = build_network(
        distilled, classes=3, weights=str(path), image_size=64, seed=0, tuning="linear"
    )
    assert loaded(linear).missing == []


def test_position_embeddings_of_another_image_size_are_fitted_by_timm(tmp_path: Path) -> None:
    torch.save(timm.create_model("test_vit", img_size=160).state_dict(), tmp_path / "w.pth")
    report = loaded(build(tmp_path / "w.pth", model="test_vit"))
    assert report.converted


def test_what_a_run_resumes_from_points_to_its_network(tmp_path: Path, raw: State) -> None:
    module: Any = timm.create_model(MODEL)
    module.reset_classifier(3)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    state = TrainingState(
        feature_rms=1.0, data_digest="", precision="fp32", memory_format="contiguous"
    )
    path = tmp_path / "last.safetensors"
    save_last(path, state, module, optimizer, {"batches": torch.Generator()})
    with pytest.raises(InputError, match=r"for resuming\. Use best\.safetensors"):
        build(path)
    assert holds(build(path, key="network"), module.state_dict())


def test_weights_that_are_not_finite_are_refused_and_named(tmp_path: Path, raw: State) -> None:
    torch.save(raw | {"bn1.weight": raw["bn1.weight"] * float("nan")}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"contain NaN or infinite values: bn1\.weight\."):
        build(tmp_path / "w.pth")


@pytest.mark.parametrize("kind", [torch.int8, torch.uint8, torch.bool])
def test_weights_that_were_quantized_are_refused(
    tmp_path: Path, raw: State, kind: torch.dtype
) -> None:
    torch.save({name: tensor.to(kind) for name, tensor in raw.items()}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"quantized \(not floating-point\): \S+ \("):
        build(tmp_path / "w.pth")


def test_a_part_of_the_right_network_is_called_a_part(tmp_path: Path, raw: State) -> None:
    part = {name: tensor for name, tensor in raw.items() if not name.startswith("layer3")}
    torch.save(part, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"missing layer3.*has only \d+ of \d+"):
        build(tmp_path / "w.pth")


def test_the_report_says_which_file_it_was(tmp_path: Path, raw: State) -> None:
    torch.save(raw, tmp_path / "w.pth")
    report = loaded(build(tmp_path / "w.pth"))
    assert report.file == str(tmp_path / "w.pth")
    assert len(report.sha256) == 64


def zipped(path: Path, *names: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "")


def keras(path: Path) -> None:
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64))


def jpeg(path: Path) -> None:
    Image.new("RGB", (4, 4)).save(path, "JPEG")


def truncated(path: Path) -> None:
    torch.save({"w": torch.zeros(100)}, path)
    path.write_bytes(path.read_bytes()[:700])


def script(path: Path) -> None:
    with pytest.warns(FutureWarning, match="deprecated"):
        torch.jit.script(nn.Linear(2, 2)).save(str(path))


def folder(path: Path) -> None:
    path.mkdir()
    (path / "model.safetensors").touch()


def sharded(path: Path) -> None:
    path.write_text(json.dumps({"weight_map": {"a": "x-1.safetensors", "b": "x-2.safetensors"}}))


def whole_model(path: Path) -> None:
    torch.save(timm.create_model(MODEL), path)


NOT_WEIGHTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "empty": (Path.touch, r"it is empty \(0 bytes\)"),
    "html": (lambda path: path.write_text("\n<!DOCTYPE html>\n<html>"),
             "HTML page .starts with '<!DOCTYPE html>"),
    "xml": (lambda path: path.write_text("<Error><Code>AccessDenied"), "an XML document"),
    "lfs": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid x"),
            "Git LFS pointer.*git lfs pull"),
    "json": (lambda path: path.write_text('{"a": 1}'), "a JSON document"),
    "sharded": (sharded, "index of a sharded checkpoint .x-1.safetensors, x-2"),
    "text": (lambda path: path.write_text("Not Found"), "a text file .starts with 'Not Found'"),
    "keras": (keras, "an HDF5 file, as Keras"),
    "jpeg": (jpeg, "a JPEG image"),
    "numpy": (lambda path: np.save(path.open("wb"), np.zeros(3)), "a NumPy array"),
    "npz": (lambda path: np.savez(path.open("wb"), w=np.zeros(3)), "a NumPy archive"),
    "onnx": (lambda path: path.write_bytes(b"\x08\x08\x12\x07pytorch" + bytes(9)), "an ONNX model"),
    "zip": (lambda path: zipped(path, "a.png", "b.png"), "PyTorch did not write .contains a.png"),
    "truncated": (truncated, "truncated: it starts like a PyTorch file"),
    "torchscript": (script, "a TorchScript archive"),
    "truncated safetensors": (
        lambda path: path.write_bytes(b"\x90\x01\0\0\0\0\0\0" + b'{"a":'),
        "its beginning is damaged"),
    "gzip": (lambda path: path.write_bytes(b"\x1f\x8b\x08" + bytes(30)), "a gzip archive"),
    "folder": (folder, r"a folder; give a file in it, such as .*model\.safetensors"),
    "pickle": (lambda path: path.write_bytes(pickle.dumps({"a": 1})), "a Python pickle"),
    "noise": (lambda path: path.write_bytes(b"\x00\xff\x01\xfe" * 30), "could not be read: "),
    "whole model": (whole_model, r"whole pickled model \(timm.*torch.save\(model.state_dict"),
    "arrays": (lambda path: torch.save({"w": np.zeros(3)}, path), "contains NumPy arrays"),
    "numbers": (lambda path: torch.save({"epoch": 3}, path), "contains no state dict"),
    "a tensor": (lambda path: torch.save(torch.zeros(3), path), "contains no state dict"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Detected pickle protocol", "ignore::ResourceWarning")
@pytest.mark.parametrize("case", NOT_WEIGHTS)
def test_what_holds_no_weights_is_described(tmp_path: Path, case: str) -> None:
    write, words = NOT_WEIGHTS[case]
    path = tmp_path / "net.pth"
    write(path)
    with pytest.raises(InputError, match=words) as error:
        build(path)
    assert str(path) in str(error.value)
    assert "nothing that could execute code" in str(error.value)
    assert len(str(error.value).splitlines()) == 1
