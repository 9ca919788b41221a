"""The OOD score of runs with outliers: the probability of abstaining at the selected step."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine.diagnose.run_features import FeatureSource, RunFeatures
from engine.diagnose.target_shift import SHIFT
from engine.errors import InputError
from engine.protocol.diagnostics import DIAGNOSTICS, DiagnoseRun
from engine.rundir import RunDir
from tests.small_runs import MakeRun, make_outliers, run_here

SHORT = {"steps": 8, "eval_every": 4, "head_steps": 0}


def read(run_dir: RunDir) -> RunFeatures:
    request = DiagnoseRun(run_dir=str(run_dir.path), diagnostics=("detection",), device="cpu")
    return FeatureSource.open(request, lambda _: None).read(None, lambda _: None)


def test_the_score_is_the_softmax_over_one_class_more(make_run: MakeRun, tmp_path: Path) -> None:
    run_dir = make_run(**SHORT, outliers=str(make_outliers(tmp_path / "outliers")))
    run_here(run_dir)
    run, row = read(run_dir), load_file(run_dir.abstention)
    assert run.bias is not None
    assert {each.name for each in run_dir.checkpoints.iterdir()} == {
        "best.safetensors", "last.safetensors",
    }  # fmt: skip
    for split in run.splits:
        weight = torch.cat([run.weight, row["weight"]]).double()
        bias = torch.cat([run.bias, row["bias"]]).double()
        expected = (split.features.double() @ weight.T + bias).softmax(dim=1)[:, -1]
        torch.testing.assert_close(split.abstaining, expected, rtol=1e-5, atol=1e-7)
    found = SHIFT["detection"](run, DIAGNOSTICS["detection"].settings)
    assert found.values["auroc_abstain"][1] is not None
    assert "abstain" in [row[0] for row in found.tables["scores"].rows]
    run_dir.abstention.write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"abstention\.safetensors is damaged"):
        read(run_dir)
    run_dir.abstention.unlink()
    found = SHIFT["detection"](read(run_dir), DIAGNOSTICS["detection"].settings)
    assert found.values["auroc_abstain"] == (None, None)
