import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from engine.errors import InputError
from engine.inspect import main
from engine.machine.devices import available_devices, resolve_device
from engine.protocol import encode_spec, resolve_spec
from tests.small_runs import SMALL_RUN

Ask = Callable[..., Any]


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    """Return a function that asks in this process, where torch is imported already."""

    def answer(*arguments: str) -> Any:
        assert main([*arguments]) == 0
        return json.loads(capsys.readouterr().out)

    return answer


def test_the_doctor_describes_this_machine(ask: Ask) -> None:
    machine = ask("doctor")
    assert machine["versions"]["torch"] == torch.__version__
    assert [device["device"] for device in machine["devices"]] == available_devices()
    assert "fp32" in machine["precisions"]["cpu"]
    assert machine["packaged_weights"][0] == "tf_efficientnet_lite0"


def test_models_say_where_their_weights_are(ask: Ask) -> None:
    short = {entry["name"]: entry["weights"] for entry in ask("models")}
    assert short["tf_efficientnet_lite0"] == "packaged"
    assert short["resnet50.tv2_in1k"] in ("hub", "cached")
    found = {entry["name"]: entry["weights"] for entry in ask("models", "resnet10")}
    assert found["resnet10t.c3_in1k"] in ("hub", "cached")
    assert "tf_efficientnet_lite0" not in found


def test_the_size_of_a_network_is_that_of_its_weights_without_the_last_layer(ask: Ask) -> None:
    sizes = ask("sizes", "test_resnet,resnet50.tv2_in1k,no_such_network")
    state = timm.create_model("test_resnet", num_classes=0).state_dict()
    assert sizes.keys() == {"test_resnet", "resnet50.tv2_in1k"}
    assert sizes["test_resnet"] == sum(each.nbytes for each in state.values())
    assert sizes["resnet50.tv2_in1k"] == 4 * (23_508_032 + 2 * 26_560) + 8 * 53, "BatchNorm's too"


def test_an_unknown_device_names_what_is_here() -> None:
    with pytest.raises(InputError, match=r"no device 'cpuu' .*Did you mean cpu.* Available: .*cpu"):
        resolve_device("cpuu")
    assert resolve_device("cpu").type == "cpu"
    assert str(resolve_device("auto")) == available_devices()[0]


def test_weights_are_inspected_as_a_run_would_load_them(
    ask: Ask, tmp_path: Path, small_emoji: Path
) -> None:
    state = timm.create_model("test_resnet").state_dict()
    path = tmp_path / "w.pth"
    torch.save({"state_dict": state, "state_dict_ema": state}, path)
    spec = {**SMALL_RUN, "data_dir": str(small_emoji), "weights": str(path)}
    found = ask("weights", encode_spec(resolve_spec(spec)).decode())
    assert found["problem"] is None
    assert (found["loaded"]["entry"], found["loaded"]["is_ema"]) == ("state_dict_ema", True)
    chosen = resolve_spec({**spec, "weights_key": "teacher", "data_dir": "/nowhere"})
    assert "no entry 'teacher'" in ask("weights", encode_spec(chosen).decode())["problem"]
