"""The training images nearest to each mistake of a run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.diagnose.diagnose_run import diagnose_run
from engine.diagnose.nearest import nearest_rows
from engine.errors import InputError
from engine.protocol.diagnostics import DiagnoseRun, Diagnosis, FindingTable
from engine.protocol.neighbours import NEIGHBOUR_COLUMNS, NEIGHBOURS, Neighbour, neighbours_in
from engine.rundir import RunDir
from tests.small_runs import MakeRun, run_here


def test_the_nearest_rows_agree_with_all_distances() -> None:
    features, others = torch.randn(30, 8), torch.randn(2_000, 8)
    found = nearest_rows(features, others, 3)
    similar = torch.nn.functional.cosine_similarity(
        features[:, None].double(), others[None].double(), dim=2
    )
    expected = (1 - similar).sort(dim=1)
    torch.testing.assert_close(found.values, expected.values[:, :3], atol=1e-9, rtol=0)
    assert torch.equal(found.rows, expected.indices[:, :3])


def test_few_images_are_all_near_and_broken_features_are_refused() -> None:
    assert nearest_rows(torch.ones(2, 3), torch.eye(3)[:2], 5).rows.shape == (2, 2)
    with pytest.raises(InputError, match="zero, NaN or infinite"):
        nearest_rows(torch.tensor([[float("nan"), 1.0]]), torch.ones(1, 2), 1)


def diagnosed(run_dir: RunDir) -> Diagnosis:
    request = DiagnoseRun(
        run_dir=str(run_dir.path), diagnostics=(NEIGHBOURS,), device="cpu", threads=1
    )
    [found] = diagnose_run(request, lambda _report: None).diagnoses
    return found


@pytest.mark.parametrize("target", ["fluent-mono", "none"])
def test_every_stored_mistake_of_a_run_has_three(make_run: MakeRun, target: str) -> None:
    run_dir = make_run(steps=2, head_steps=0, target=target)
    run_here(run_dir)
    found = diagnosed(run_dir)
    predictions = run_dir.read_predictions()
    assert predictions is not None
    wrong = {each.name for domain in predictions.domains for each in domain.mistakes}
    nearest = neighbours_in(found)
    assert nearest.keys() == wrong
    held_out = {each.domain for each in predictions.domains if each.is_target}
    for images in nearest.values():
        assert len(images) == 3
        assert [each.distance for each in images] == sorted(each.distance for each in images)
        for each in images:
            domain, class_name, _ = Path(each.path).parts
            assert class_name == each.class_name
            assert domain not in held_out
    mistakes = [each.value for each in found.findings if each.name == "mistakes"]
    assert sum(filter(None, mistakes)) == len(wrong)
    shares = [each.value for each in found.findings if each.name != "mistakes"]
    assert all(value is not None and 0 <= value <= 1 for value in shares)
    assert run_dir.read_diagnoses().found[NEIGHBOURS] == found


def test_rows_of_another_form_are_left_out() -> None:
    rows = (("a.png", "b.png", "cat", 0.5), ("a.png", 3, "cat", 0.5), ("a.png",), ())
    table = FindingTable("", NEIGHBOUR_COLUMNS, rows)
    diagnosis = Diagnosis(
        diagnostic=NEIGHBOURS, arm="erm", step=1, checkpoint="", data_digest="",
        tables={NEIGHBOURS: table},
    )  # fmt: skip
    assert neighbours_in(diagnosis) == {"a.png": (Neighbour("b.png", "cat", 0.5),)}
