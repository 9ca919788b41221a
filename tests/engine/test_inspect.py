import json
import os
import subprocess
import sys
from typing import Any

import pytest
import torch

from engine.errors import InputError
from engine.hardware import available_devices, resolve_device


def ask(*arguments: str) -> Any:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    answer = subprocess.run(
        [sys.executable, "-m", "engine.inspect", *arguments],
        capture_output=True, env=environment, check=True,
    )  # fmt: skip
    return json.loads(answer.stdout)


def test_the_doctor_describes_this_machine() -> None:
    machine = ask("doctor")
    assert machine["versions"]["torch"] == torch.__version__
    assert [device["device"] for device in machine["devices"]] == available_devices()
    assert "fp32" in machine["precisions"]["cpu"]
    assert machine["packaged_weights"] == ["tf_efficientnet_lite0"]


@pytest.mark.slow
def test_models_say_where_their_weights_are() -> None:
    short = {entry["name"]: entry["weights"] for entry in ask("models")}
    assert short["tf_efficientnet_lite0"] == "packaged"
    assert short["resnet50.tv2_in1k"] in ("hub", "cached")
    found = {entry["name"]: entry["weights"] for entry in ask("models", "resnet10")}
    assert found["resnet10t.c3_in1k"] in ("hub", "cached")
    assert "tf_efficientnet_lite0" not in found


def test_an_unknown_device_names_what_is_here() -> None:
    with pytest.raises(InputError, match=r"no device 'cpuu' .*cpu\. Did you mean cpu"):
        resolve_device("cpuu")
    assert resolve_device("cpu").type == "cpu"
    assert str(resolve_device("auto")) == available_devices()[0]
