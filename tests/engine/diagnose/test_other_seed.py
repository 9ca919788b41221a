"""Diagnostics that compare a run with one of another seed, against the definitions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from engine.data import RunData, load_data
from engine.data.transforms import network_input
from engine.diagnose.diagnose_run import diagnose_run
from engine.diagnose.run_features import FeatureSource
from engine.protocol import resolve_spec
from engine.protocol.diagnostics import Diagnosed, DiagnoseRun
from engine.rundir import RunDir, UserData
from engine.work import Reporter
from tests.small_runs import SMALL_RUN, run_here

Network = tuple[RunDir, dict[str, Tensor], RunData]


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory, small_emoji: Path) -> list[Network]:
    """Return two runs of one configuration: folders, weights, images with their split."""
    made = []
    for seed in (0, 1):
        run_dir = RunDir(tmp_path_factory.mktemp("home") / "home" / "runs" / f"seed-{seed}")
        fields = {"validation_fraction": 0.5, "seed": seed}  # splits differ, with common images
        spec = resolve_spec({"data_dir": str(small_emoji), **SMALL_RUN, **fields})
        run_dir.create(spec, UserData())
        run_here(run_dir)
        data = load_data(run_dir.read_spec(), run_dir.cache)
        made.append((run_dir, load_file(run_dir.best_checkpoint), data))
    return made


def _diagnose(run_dir: RunDir, *names: str, other: RunDir | None = None) -> Diagnosed:
    request = DiagnoseRun(
        run_dir=str(run_dir.path), diagnostics=names, device="cpu", threads=1,
        other_seed=None if other is None else str(other.path),
    )  # fmt: skip
    return diagnose_run(request, lambda _report: None)


def _forward(weights: dict[str, Tensor], data: RunData, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return features and logits of images, computed with timm alone."""
    network: Any = timm.create_model("test_resnet", num_classes=len(data.classes)).eval()
    network.load_state_dict(weights)
    config = network.pretrained_cfg
    pixels = torch.from_numpy(data.domains[0].cached.take(rows.numpy()))
    with torch.no_grad():
        images = network_input(pixels, config["mean"], config["std"])
        features = network.forward_head(network.forward_features(images), pre_logits=True)
        return features.double(), network.get_classifier()(features).double()


def _labels(data: RunData) -> Tensor:
    labels = torch.zeros(len(data.image_set), dtype=torch.long)
    for domain in data.domains:
        labels[domain.rows] = domain.labels
    return labels


def test_the_barrier_is_that_of_the_mean_of_the_weights(seeds: list[Network]) -> None:
    (run_dir, ours, data), (other_dir, theirs, other_data) = seeds
    [found] = _diagnose(run_dir, "connectivity", other=other_dir).diagnoses
    middle = {
        name: (each.double() + theirs[name].double()).div(2).to(each.dtype)
        for name, each in ours.items()
    }
    labels, of_domain = _labels(data), []
    trained = {
        int(row) for each in other_data.sources for row in each.rows[each.in_indices].tolist()
    }
    for domain in (*data.sources, data.target):
        assert domain is not None
        split = domain.in_indices if domain.is_target else domain.out_indices
        rows = torch.tensor([row for row in domain.rows[split].tolist() if row not in trained])
        ends = [
            float(F.cross_entropy(_forward(weights, data, rows)[1], labels[rows]))
            for weights in (ours, middle, theirs)
        ]
        of_domain.append(ends[1] - (ends[0] + ends[2]) / 2)
    *of_sources, of_target = of_domain
    assert found.values["barrier"] == pytest.approx((np.mean(of_sources), of_target), abs=1e-5)
    assert [each.value for each in found.findings] == pytest.approx(of_domain, abs=1e-5)


def test_a_network_has_no_barrier_to_itself(seeds: list[Network]) -> None:
    [(run_dir, _, _), _] = seeds
    [found] = _diagnose(run_dir, "connectivity", other=run_dir).diagnoses
    assert found.values["barrier"] == pytest.approx((0, 0), abs=1e-6)


def test_agreement_is_density_times_shared_neighbours(seeds: list[Network]) -> None:
    (run_dir, ours, data), (other_dir, theirs, other_data) = seeds
    [found] = _diagnose(run_dir, "detection", other=other_dir).diagnoses
    assert data.target is not None
    training = torch.cat([torch.from_numpy(each.rows[each.in_indices]) for each in data.sources])
    held_out = torch.cat([torch.from_numpy(each.rows[each.out_indices]) for each in data.sources])
    target = torch.from_numpy(data.target.rows[data.target.in_indices])
    rows = torch.cat([held_out, target])
    distances, nearest = [], []
    for weights in (ours, theirs):
        known = _forward(weights, data, training)[0].numpy()
        finder = NearestNeighbors(n_neighbors=50, metric="cosine", algorithm="brute").fit(known)
        far, near = finder.kneighbors(_forward(weights, data, rows)[0].numpy())
        distances.append(far)
        nearest.append(near)
    density = np.mean([(1 - far).mean(axis=1).clip(min=0) for far in distances], axis=0)
    shared = [len({*one} & {*other}) / 50 for one, other in zip(*nearest, strict=True)]
    is_target = np.arange(len(rows)) >= len(held_out)
    expected = roc_auc_score(is_target, 1 - density * shared)
    assert found.values["auroc_agreement"][1] == pytest.approx(expected, abs=1e-3)
    assert "agreement" in {row[0] for row in found.tables["scores"].rows}
    trained = [row for each in other_data.sources for row in each.rows[each.in_indices].tolist()]
    both = {*trained} & {*held_out.tolist()}
    assert both
    words = f"was trained on {len(both)} of the {len(held_out)} validation images"
    assert any(words in note for note in found.notes)


def test_without_another_seed_the_rest_is_computed(seeds: list[Network]) -> None:
    [(run_dir, _, _), _] = seeds
    path, detection = _diagnose(run_dir, "connectivity", "detection").diagnoses
    assert path.values == {"barrier": (None, None)}
    assert "no finished run of the same images and settings" in path.notes[0]
    assert "agreement" not in {row[0] for row in detection.tables["scores"].rows}
    assert detection.values["auroc_msp"][1] is not None


def test_results_are_computed_again_for_another_seed(seeds: list[Network]) -> None:
    (run_dir, _, _), (other_dir, _, _) = seeds
    _diagnose(run_dir, "connectivity", other=other_dir)
    assert _diagnose(run_dir, "connectivity", other=other_dir).computed == ()
    assert _diagnose(run_dir, "connectivity").computed == ("connectivity",)


def test_another_seed_without_a_network_is_left_out(seeds: list[Network], tmp_path: Path) -> None:
    [(run_dir, _, _), _] = seeds
    missing = RunDir(tmp_path / "runs" / "gone")
    [found] = _diagnose(run_dir, "connectivity", other=missing).diagnoses
    assert found.values == {"barrier": (None, None)}


def test_another_seed_is_opened_only_to_compute_something(
    seeds: list[Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    (run_dir, _, _), (other_dir, _, _) = seeds
    _diagnose(run_dir, "connectivity", other=other_dir)
    opened, open_run = [], FeatureSource.open

    def remembering(request: DiagnoseRun, report: Reporter) -> FeatureSource:
        opened.append(RunDir(Path(request.run_dir)).run_id)
        return open_run(request, report)

    monkeypatch.setattr(FeatureSource, "open", remembering)
    assert _diagnose(run_dir, "connectivity", other=other_dir).computed == ()
    assert opened == [run_dir.run_id]
    _diagnose(run_dir, "collapse", other=other_dir)
    assert other_dir.run_id not in opened


def test_another_seed_whose_images_are_gone_is_left_out(
    seeds: list[Network], tmp_path: Path
) -> None:
    (run_dir, _, _), (other_dir, _, _) = seeds
    broken = RunDir(Path(shutil.copytree(other_dir.path, tmp_path / "runs" / "broken")))
    spec = json.loads(broken.spec.read_bytes())
    broken.spec.write_text(json.dumps(spec | {"data_dir": str(tmp_path / "gone")}))
    (run_dir.diagnoses / "connectivity.json").unlink(missing_ok=True)
    [found] = _diagnose(run_dir, "connectivity", other=broken).diagnoses
    assert found.values == {"barrier": (None, None)}
    assert found.other_seed == ""
