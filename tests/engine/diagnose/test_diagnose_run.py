"""Diagnostics of real runs: what they read, that results are kept, and what is refused."""

from __future__ import annotations

import copy
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.diagnose.computed import COMPUTED
from engine.diagnose.diagnose_run import diagnose_run, diagnose_runs
from engine.diagnose.run_features import FeatureSource, RunFeatures
from engine.errors import InputError
from engine.model.tensor_file import (
    read_header,
    read_metadata,
    read_tensors,
    write_tensors,
)
from engine.protocol import Evaluated, RunFinished, resolve_spec
from engine.protocol.diagnostics import (
    DIAGNOSTICS,
    Diagnosed,
    DiagnoseRun,
    DiagnoseRuns,
    diagnostics_of,
)
from engine.protocol.work import WorkNote, WorkProgress, WorkReport
from engine.rundir import RunDir, UserData
from tests.small_runs import SMALL_CLASSES, SMALL_RUN, MakeRun, read_events, run_here

EVERY = tuple(DIAGNOSTICS)
MakeRunDir = Callable[..., RunDir]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory, small_emoji: Path) -> RunDir:
    return _trained(tmp_path_factory.mktemp("home"), small_emoji)


def _trained(folder: Path, images: Path, **fields: Any) -> RunDir:
    made = RunDir(folder / "home" / "runs" / "run")
    made.create(resolve_spec({"data_dir": str(images), **SMALL_RUN, **fields}), UserData())
    run_here(made)
    return made


def _diagnose(
    run_dir: RunDir,
    names: tuple[str, ...] = EVERY,
    reports: list[WorkReport] | None = None,
    **fields: Any,
) -> Diagnosed:
    request = DiagnoseRun(
        run_dir=str(run_dir.path), diagnostics=names, device="cpu", threads=1, **fields
    )
    return diagnose_run(request, (reports if reports is not None else []).append)


def _open(run_dir: RunDir) -> FeatureSource:
    request = DiagnoseRun(run_dir=str(run_dir.path), diagnostics=(), device="cpu", threads=1)
    return FeatureSource.open(request, lambda _report: None)


def _read(source: FeatureSource, *, has_stages: bool = False) -> RunFeatures:
    return source.read(source.start_network(), lambda _report: None, has_stages=has_stages)


def _selected(run_dir: RunDir) -> Evaluated:
    found = [event for event in read_events(run_dir) if isinstance(event, Evaluated)]
    return next(event for event in reversed(found) if event.is_best)


def test_every_declared_diagnostic_is_computed() -> None:
    assert list(COMPUTED) == list(DIAGNOSTICS)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"tuning": "linear", "model": "test_vit"},
        {
            "tuning": "linear", "linear_features": "penultimate",
            "model": "test_resnet+test_efficientnet", "views": 2,
        },
    ],
    ids=["full", "blocks", "side by side"],
)  # fmt: skip
def test_logits_are_those_that_the_run_evaluated(make_run: MakeRun, fields: dict[str, Any]) -> None:
    run_dir = make_run(**fields)
    run_here(run_dir)
    source = _open(run_dir)
    run = _read(source)
    accuracies = {
        (each.domain, each.split): float((each.logits.argmax(1) == each.labels).double().mean())
        for each in run.splits
    }
    told = {
        (m.domain, m.split): m.value for m in _selected(run_dir).metrics if m.name == "accuracy"
    }
    assert told.items() <= accuracies.items()
    assert source.step == _selected(run_dir).step
    assert all(each.start is not None and len(each.start) == len(each.rows) for each in run.splits)


def test_results_are_stored_and_computed_once(run_dir: RunDir) -> None:
    reports: list[WorkReport] = []
    first = _diagnose(run_dir, reports=reports)
    assert first.computed == EVERY
    assert first.problems == {}
    assert "computing diagnostics" in {
        each.what for each in reports if isinstance(each, WorkProgress)
    }
    stored = run_dir.read_diagnoses()
    assert tuple(stored.found.values()) == first.diagnoses
    again = _diagnose(run_dir)
    assert (again.computed, again.diagnoses) == ((), first.diagnoses)
    (run_dir.diagnoses / "rank.json").write_bytes(b"{")
    assert _diagnose(run_dir).computed == ("rank",)
    assert _diagnose(run_dir, ("rank",), recomputes=True).computed == ("rank",)


def test_values_are_of_validation_images_and_of_the_target(run_dir: RunDir) -> None:
    found = {each.diagnostic: each for each in _diagnose(run_dir).diagnoses}["units"]
    of_id, of_ood = found.values["few_units_accuracy"]
    assert None not in (of_id, of_ood)
    places = {(each.domain, each.split) for each in found.findings}
    assert ("fluent-mono", "in") in places
    assert {split for domain, split in places if domain != "fluent-mono"} == {"out"}


@pytest.mark.parametrize("part", ["bn1.weight", "fc.weight"])
def test_a_network_that_is_not_finite_is_refused(
    run_dir: RunDir, tmp_path: Path, part: str
) -> None:
    spoilt = _copy(run_dir, tmp_path)
    _spoil(spoilt, part)
    with pytest.raises(InputError, match=r"of the run's network are NaN or infinite in 192 of 192"):
        _diagnose(spoilt)
    assert not spoilt.read_diagnoses().found, "nor are its predictions counted"


@pytest.mark.parametrize("part", ["bn1.weight", "fc.weight"])
def test_another_seed_that_is_not_finite_is_left_out(
    run_dir: RunDir, tmp_path: Path, part: str
) -> None:
    run, spoilt = _copy(run_dir, tmp_path / "run"), _copy(run_dir, tmp_path / "other")
    _spoil(spoilt, part)
    reports: list[WorkReport] = []
    done = _diagnose(run, ("connectivity",), reports, other_seed=str(spoilt.path))
    assert done.diagnoses[0].values == {"barrier": (None, None)}
    assert done.diagnoses[0].other_seed == ""
    notes = [each.text for each in reports if isinstance(each, WorkNote)]
    assert any("another seed is left out: The " in each for each in notes)


def _copy(run_dir: RunDir, folder: Path) -> RunDir:
    """Copy a run into a home that shares the cache."""
    copied = RunDir(folder / "home" / "runs" / "copy")
    shutil.copytree(run_dir.path, copied.path)
    shutil.rmtree(copied.diagnoses, ignore_errors=True)
    return copied


def _spoil(run_dir: RunDir, part: str) -> None:
    """Set some weights of the selected network to NaN."""
    path = run_dir.best_checkpoint
    (state, _), tensors = read_header(path), read_tensors(path)
    tensors[part][0] = float("nan")
    about = {
        name: text for name, text in read_metadata(path).items() if not name.startswith("vld_")
    }
    write_tensors(path, tensors, state, about)


def test_missing_images_are_to_be_restored(tmp_path: Path, small_emoji: Path) -> None:
    images = tmp_path / "images"
    shutil.copytree(small_emoji, images)
    run_dir = _trained(tmp_path, images)
    shutil.rmtree(images / "fluent-mono")
    reason = r"images of run run cannot be read: .* has no domain 'fluent-mono'\. Restore them"
    with pytest.raises(InputError, match=reason) as raised:
        _diagnose(run_dir)
    assert "--target" not in str(raised.value)
    shutil.rmtree(images)
    with pytest.raises(InputError, match=r"cannot be read: no folder .*images\. Restore them"):
        _diagnose(run_dir)


def test_groups_of_one_name_in_two_domains_stay_apart(run_dir: RunDir) -> None:
    source = _open(run_dir)
    images = copy.copy(source.data.image_set)
    images.files = tuple(replace(each, group=f"g{at % 2}") for at, each in enumerate(images.files))
    data = replace(source.data, image_set=images)
    groups: dict[str, set[int]] = {}
    for each in _read(replace(source, data=data)).splits:
        assert each.groups is not None
        groups.setdefault(each.domain, set()).update(each.groups.tolist())
    assert [len(each) for each in groups.values()] == [2] * 4
    assert len(set.union(*groups.values())) == 8


def test_the_last_stage_is_the_penultimate_one_of_both_networks(run_dir: RunDir) -> None:
    run = _read(_open(run_dir), has_stages=True)
    assert list(run.stages) == [each.domain for each in run.equally_many()]
    for each in run.equally_many():
        assert list(run.stages[each.domain]) == ["layer1", "layer2", "layer3", "layer4"]
        now, before = run.stages[each.domain]["layer4"]
        assert torch.allclose(now, each.features, atol=1e-5)
        assert torch.allclose(before, each.before, atol=1e-5)
    found = COMPUTED["alignment"](run, {})
    last = found.tables["stages"].rows[-1]
    expected = {each.domain: each.value for each in found.findings}
    assert last[2:] == pytest.approx([expected[domain] for domain in run.stages], abs=1e-5)


def test_a_run_without_a_target_has_no_ood_values(tmp_path: Path, small_emoji: Path) -> None:
    run_dir = _trained(tmp_path, small_emoji, target="none")
    done = _diagnose(run_dir)
    assert all(ood is None for each in done.diagnoses for _, ood in each.values.values())


def test_a_shift_without_a_target_is_refused_once(tmp_path: Path, small_emoji: Path) -> None:
    run_dir = _trained(tmp_path, small_emoji, target="none")
    names = tuple(each.name for each in diagnostics_of("shift"))
    with pytest.raises(InputError, match="Run run has no target domain"):
        _diagnose(run_dir, names)


def test_runs_from_scratch_make_a_line(run_dir: RunDir) -> None:
    scratch = ((0.4, 0.3), (0.5, 0.35), (0.6, 0.45), (0.65, 0.44), (0.7, 0.5))
    first = _diagnose(run_dir, ("robustness",), scratch=scratch)
    [found] = first.diagnoses
    assert found.scratch == scratch
    assert found.values["effective_robustness"][1] is not None
    assert _diagnose(run_dir, ("robustness",), scratch=scratch).computed == ()
    [fewer] = _diagnose(run_dir, ("robustness",), scratch=scratch[:2]).diagnoses
    assert fewer.values["effective_robustness"] == (None, None)
    assert "at least 5 finished runs from scratch" in fewer.notes[0]


def test_one_source_domain_is_enough(tmp_path: Path, small_emoji: Path) -> None:
    for name in ("noto", "fluent-mono"):
        shutil.copytree(small_emoji / name, tmp_path / "two" / name)
    done = _diagnose(_trained(tmp_path, tmp_path / "two"))
    assert {each.diagnostic for each in done.diagnoses} | done.problems.keys() == set(EVERY)


def test_changed_images_are_named(tmp_path: Path, small_emoji: Path) -> None:
    shutil.copytree(small_emoji, tmp_path / "images")
    run_dir = _trained(tmp_path, tmp_path / "images")
    next((tmp_path / "images" / "noto" / "food").iterdir()).unlink()
    with pytest.raises(InputError, match=r"images in .* have changed since run run .*version"):
        _diagnose(run_dir)


def test_a_run_without_a_network_is_refused(tmp_path: Path, small_emoji: Path) -> None:
    run_dir = _trained(tmp_path, small_emoji)
    for path in run_dir.checkpoints.iterdir():
        path.unlink()
    with pytest.raises(InputError, match="has no checkpoints"):
        _diagnose(run_dir)


def test_several_runs_are_diagnosed_without_the_one_that_cannot_be(
    run_dir: RunDir, tmp_path: Path
) -> None:
    broken = RunDir(tmp_path / "broken")
    shutil.copytree(run_dir.path, broken.path)
    for path in broken.checkpoints.iterdir():
        path.unlink()
    wanted = [
        DiagnoseRun(run_dir=str(each.path), diagnostics=("rank",), device="cpu", threads=1)
        for each in (broken, run_dir)
    ]
    refused, done = diagnose_runs(DiagnoseRuns(tuple(wanted)), lambda _report: None)
    assert "has no checkpoints" in refused.refused
    assert (done.refused, [each.diagnostic for each in done.diagnoses]) == ("", ["rank"])
    with pytest.raises(InputError, match="has no checkpoints"):
        diagnose_runs(DiagnoseRuns((wanted[0],)), lambda _report: None)


def test_a_batch_that_does_not_fit_is_refused_in_words(
    run_dir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_memory(*_arguments: object, **_options: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("engine.diagnose.run_features.cached_features", fill_memory)
    with pytest.raises(InputError, match="Out of memory on cpu with 64 images.* smaller --batch"):
        _diagnose(run_dir, ("calibration",), recomputes=True)


def test_target_labels_choose_nothing(tmp_path: Path, small_emoji: Path) -> None:
    """With the target's labels exchanged at random, everything but OOD values stays as it is."""
    shutil.copytree(small_emoji, tmp_path / "images")
    runs = [_trained(tmp_path / "true", tmp_path / "images")]
    first, networks = _diagnose(runs[0]), [_read(_open(runs[0]))]
    target = tmp_path / "images" / "fluent-mono"
    names = {each: sorted((target / each).iterdir()) for each in SMALL_CLASSES}
    contents = [path.read_bytes() for paths in names.values() for path in paths]
    random.Random(0).shuffle(contents)
    for path, content in zip((p for paths in names.values() for p in paths), contents, strict=True):
        path.write_bytes(content)
    runs.append(_trained(tmp_path / "random", tmp_path / "images"))
    second = _diagnose(runs[1])
    assert _selected(runs[0]).step == _selected(runs[1]).step
    chosen = [next(e for e in read_events(run) if isinstance(e, RunFinished)) for run in runs]
    assert chosen[0].id_accuracy == chosen[1].id_accuracy
    networks.append(_read(_open(runs[1])))
    for before, after in zip(*(each.sources("out") for each in networks), strict=True):
        assert torch.equal(before.features, after.features)
    for one, other in zip(first.diagnoses, second.diagnoses, strict=True):
        assert (one.step, one.settings) == (other.step, other.settings)
        assert {name: ids for name, (ids, _) in one.values.items()} == {
            name: ids for name, (ids, _) in other.values.items()
        }
