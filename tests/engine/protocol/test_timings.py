"""Whether a run will time precisions first."""

import json
from pathlib import Path

import pytest

from engine.protocol import resolve_spec
from engine.protocol.timings import is_timed_first

NETWORK = {"model": "resnet18.tv_in1k", "image_size": 64}
KEY = "2.8.0|cpu|2|resnet18.tv_in1k 64px 96 images|auto|auto"


@pytest.mark.parametrize(
    ("fields", "key", "is_first"),
    [
        ({}, KEY, False),
        ({}, f"{KEY}|under load", True),
        ({}, KEY.replace(" images", " images forward"), True),
        ({"image_size": 224}, KEY, True),
        ({"model": "resnet50.tv_in1k"}, KEY, True),
        ({"image_size": 224, "precision": "fp32", "memory_format": "contiguous"}, KEY, False),
    ],
)
def test_only_the_first_run_of_a_network_times_precisions(
    tmp_path: Path, fields: dict[str, object], key: str, is_first: bool
) -> None:
    file = tmp_path / "execution.json"
    spec = resolve_spec({**NETWORK, **fields})
    file.write_text(json.dumps({key: {"fp32 contiguous": 5.0}}))
    assert is_timed_first(spec, file) is is_first
    file.unlink()
    assert is_timed_first(spec, file) is (spec.precision == "auto")
