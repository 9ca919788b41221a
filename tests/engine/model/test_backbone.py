import pickle
import warnings
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from engine.errors import InputError
from engine.model import FineTunedNetwork, build_network


def build(model: str, weights: str = "none", image_size: int = 64) -> FineTunedNetwork:
    return build_network(model, classes=5, weights=weights, image_size=image_size, seed=0)


@pytest.mark.parametrize(
    "model",
    [
        "resnet18",
        "efficientnet_b0",
        "convnext_atto",
        "vit_tiny_patch16_224",
        "swin_tiny_patch4_window7_224",
        "mobilenetv3_small_050",
    ],
)
def test_unmasked_it_is_an_ordinary_network(model: str) -> None:
    network = build(model)
    network.module.eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        features = network.features(images)
        assert features.shape == (2, network.feature_dim)
        assert torch.allclose(network.head(features), network.module(images), atol=1e-5)
    assert network.head.out_features == 5


def test_packaged_weights_recognise_real_features() -> None:
    network = build("tf_efficientnet_lite0", "pretrained")
    reference = timm.create_model("tf_efficientnet_lite0", num_classes=5)
    assert network.module.state_dict().keys() == reference.state_dict().keys()
    # Trained BatchNorm statistics are far from the zeros and ones of an initialised network.
    variances = [
        value for name, value in network.module.state_dict().items() if "running_var" in name
    ]
    assert all(not torch.equal(value, torch.ones_like(value)) for value in variances)


def test_frozen_batchnorm_keeps_statistics_and_trains_weights() -> None:
    network = build("resnet18")
    network.set_training(freeze_batchnorm=True)
    before = {name: value.clone() for name, value in network.module.state_dict().items()}
    loss = network.head(network.features(torch.randn(4, 3, 64, 64))).square().mean()
    loss.backward()
    torch.optim.SGD(network.module.parameters(), lr=0.1).step()
    after = network.module.state_dict()
    assert torch.equal(after["bn1.running_mean"], before["bn1.running_mean"])
    assert not torch.equal(after["bn1.weight"], before["bn1.weight"])

    network.set_training(freeze_batchnorm=False)
    network.features(torch.randn(4, 3, 64, 64))
    assert not torch.equal(
        network.module.state_dict()["bn1.running_mean"], before["bn1.running_mean"]
    )


def test_the_seed_alone_decides_the_new_layer() -> None:
    first, second = build("resnet18"), build("resnet18")
    other = build_network("resnet18", classes=5, weights="none", image_size=64, seed=1)
    assert torch.equal(first.head.weight, second.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_from_a_file(tmp_path: Path, suffix: str) -> None:
    source = build_network("resnet18", classes=9, weights="none", image_size=64, seed=3).module
    path = tmp_path / f"weights{suffix}"
    save_weights(source.state_dict(), path)
    loaded = build("resnet18", str(path))
    assert torch.equal(
        loaded.module.state_dict()["conv1.weight"], source.state_dict()["conv1.weight"]
    )
    assert loaded.head.out_features == 5


def test_names_of_data_parallel_training_are_understood(tmp_path: Path) -> None:
    source = build("resnet18").module.state_dict()
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": {f"module.{name}": value for name, value in source.items()}}, path)
    assert torch.equal(
        build("resnet18", str(path)).module.state_dict()["conv1.weight"], source["conv1.weight"]
    )


def test_weights_of_another_network_name_the_tensors(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(build("resnet18").module.state_dict(), path)
    with pytest.raises(InputError, match=r"missing layer1\.0\.bn3.*wrong shape.*, not "):
        build("resnet50", str(path))


UNUSUAL_PICKLE = pytest.mark.filterwarnings("ignore:Detected pickle protocol")


class Malicious:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.witness,))


@UNUSUAL_PICKLE
def test_a_pickle_that_runs_code_is_refused_and_not_run(tmp_path: Path) -> None:
    witness, path = tmp_path / "executed", tmp_path / "weights.pth"
    with path.open("wb") as file:
        pickle.dump({"conv1.weight": Malicious(witness)}, file)
    torch.save({"conv1.weight": Malicious(witness)}, tmp_path / "zip.pth")
    for name in ("weights.pth", "zip.pth"):
        with pytest.raises(InputError, match="nothing that could execute code"):
            build("resnet18", str(tmp_path / name))
    assert not witness.exists()


@UNUSUAL_PICKLE
@pytest.mark.parametrize("content", [b"", b"not weights at all", b"\x80\x04."])
@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="could not be read|contains no state dict"):
        build("resnet18", str(tmp_path / name))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no weight file .*nowhere"):
        build("resnet18", str(tmp_path / "nowhere.pth"))


def test_an_unknown_network_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match="has no network 'resnt50'.*Did you mean.*resnet50"):
        build("resnt50")


def test_without_a_network_the_offline_choices_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "/nonexistent")
    with pytest.raises(InputError, match="Available offline: tf_efficientnet_lite0.*--weights"):
        build("resnet50.tv2_in1k", "pretrained")


def test_a_network_without_a_linear_last_layer_is_refused() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(InputError, match="no linear last layer"):
            build("deit_tiny_distilled_patch16_224")


def save_weights(state: dict[str, Tensor], path: Path) -> None:
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)


def test_a_network_adds_no_noise_of_its_own_in_training() -> None:
    network = build_network("swin_tiny_patch4_window7_224", classes=3, weights="none",
                            image_size=64, seed=0)  # fmt: skip
    network.set_training(freeze_batchnorm=True)
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(network.features(images), network.features(images))
