"""Runs that learn from the network of another run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.data import RunData, load_data
from engine.diagnose.stages import stage_features
from engine.errors import InputError
from engine.execution import Execution
from engine.inference.classifier import load_classifier
from engine.model import build_for
from engine.objectives.confreg import ConfidenceRegularization
from engine.protocol import (
    Combination,
    CombinationSpec,
    Parent,
    PhaseReported,
    RunFinished,
    RunStopped,
)
from engine.protocol.spec import RunSpec
from engine.rundir import RunDir, UserData
from engine.rundir.phases import SILENT
from engine.rundir.teacher import find_teacher
from engine.train.biased_model import first_stage_features, true_class_probabilities
from engine.train.checkpoint import load_last
from engine.train.setup import prepare
from engine.train.teaching import load_teacher
from tests.small_runs import MakeRun, read_events, run_here, stop_here

SHORT = {"steps": 8, "eval_every": 4, "log_every": 1, "head_steps": 0}
LEARNS = {**SHORT, "objective": "confreg", "teacher": "teacher"}
LOOKS = 3 * 2 + 3 * 2 + 6
"""Times that a stop is looked for: after two batches of three sources each, then in fits."""
CPU = Execution(torch.device("cpu"), "fp32", "contiguous")


@pytest.fixture
def teacher(make_run: MakeRun) -> RunDir:
    """Return a finished run without dropout."""
    run_dir = make_run("teacher", **SHORT, dropout_rate=0, lr=3e-3)
    run_here(run_dir)
    return run_dir


def copied(teacher: RunDir, name: str) -> RunDir:
    shutil.copytree(teacher.path, teacher.path.parent / name)
    return RunDir(teacher.path.parent / name)


def training_rows(data: RunData) -> Tensor:
    rows = [torch.from_numpy(each.rows[each.in_indices]) for each in data.sources]
    return torch.cat(rows)


def logits_of(teacher: RunDir, data: RunData) -> Tensor:
    """Return the logits of a run's network on the training images."""
    network = load_classifier(teacher)
    pixels = data.domains[0].cached.take(training_rows(data).numpy())
    with torch.no_grad():
        logits: Tensor = network(network.normalise(torch.from_numpy(pixels)))
    return logits


@pytest.mark.parametrize(
    "fields",
    [{}, {"tuning": "linear", "views": 2, "linear_features": "penultimate"}],
    ids=["full", "linear"],
)
def test_targets_are_the_teachers_probabilities_of_plain_images_made_flatter(
    make_run: MakeRun, teacher: RunDir, fields: dict[str, object]
) -> None:
    run_dir = make_run("run", **LEARNS, **fields)
    spec = run_dir.read_spec()
    data = load_data(spec, run_dir.cache)
    objective = prepare(spec, data, run_dir, None).objective
    assert isinstance(objective.loss, ConfidenceRegularization)
    log_s = objective.loss.targets.double().log()
    log_t = logits_of(teacher, data).double().log_softmax(dim=1)
    log_s, log_t = (each - each.mean(dim=1, keepdim=True) for each in (log_s, log_t))
    slope = (log_s * log_t).sum(dim=1) / log_t.square().sum(dim=1)
    assert torch.allclose(log_s, slope[:, None] * log_t, atol=1e-4)
    network = build_for(spec, data.classes, seed=1)
    bias = true_class_probabilities(spec, data, network, CPU, lambda: None, SILENT)
    assert 0 < float(slope.min()) < float(slope.max()) < 1
    assert bias.shape == slope.shape


def test_the_biased_model_reads_the_first_stage_and_judges_images_it_does_not_know(
    make_run: MakeRun,
) -> None:
    run_dir = make_run("run", **SHORT)
    spec = run_dir.read_spec()
    data = load_data(spec, run_dir.cache)
    network = build_for(spec, data.classes, seed=0)
    features = first_stage_features(spec, data, network, CPU, lambda: None, SILENT)
    expected = stage_features(network, data, training_rows(data), CPU, 16, lambda *_: None)
    assert torch.allclose(features, next(iter(expected.values())), atol=1e-5)
    bias = true_class_probabilities(spec, data, network, CPU, lambda: None, SILENT)
    again = true_class_probabilities(spec, data, network, CPU, lambda: None, SILENT)
    assert torch.equal(bias, again)
    generator = torch.Generator().manual_seed(3)
    for domain in data.sources:  # labels that images do not show cannot be known
        order = torch.randperm(len(domain.labels), generator=generator)
        domain.labels.copy_(domain.labels[order])
    guessed = true_class_probabilities(spec, data, network, CPU, lambda: None, SILENT)
    assert float(bias.mean()) > float(guessed.mean()) + 0.05
    assert float(guessed.mean()) < 0.45


def test_a_run_that_is_resumed_without_its_teacher_is_the_undisturbed_one(
    make_run: MakeRun, teacher: RunDir
) -> None:
    whole, parts = (make_run(name, **LEARNS) for name in ("whole", "parts"))
    run_here(whole)
    stop_here(parts, LOOKS + 6)
    stopped = read_events(parts)[-1]
    assert isinstance(stopped, RunStopped)
    assert stopped.step == 6
    shutil.rmtree(teacher.path)
    run_here(parts)
    assert isinstance(read_events(parts)[-1], RunFinished)
    ours, theirs = (load_last(each.last_checkpoint) for each in (parts, whole))
    assert ours is not None
    assert theirs is not None
    assert "objective.loss.targets" in ours.tensors
    assert ours.tensors.keys() == theirs.tensors.keys()
    assert [n for n in ours.tensors if not torch.equal(ours.tensors[n], theirs.tensors[n])] == []
    phases = {each.phase for each in read_events(whole) if isinstance(each, PhaseReported)}
    assert {"asking_teacher", "fitting_biased_model"} <= phases


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"target": "noto"}, r"has target fluent-mono, not noto: it was trained on images that "
         r"this run holds out\. Give --target fluent-mono, or give another --teacher\."),
        ({"target": "none"}, "has target fluent-mono, not none"),
        ({"held_out_source": "noto"}, "has held-out-source none, not noto: it was trained on"),
        ({"seed": 1}, r"has the split seed 0, not 1: it was trained on .*\. Give --trial-seed 0,"),
        ({"validation_fraction": 0.3}, r"has validation-fraction 0\.2, not 0\.3: it was trained"),
        ({"image_size": 64}, "has image-size 32, not 64: it reads images of its own size"),
        ({"dataset": "pictures"}, "has dataset .*, not pictures: it learned other classes"),
        ({"teacher": "taecher"}, "Run taecher, the teacher, is missing: it was deleted, or is in"),
        ({"teacher": "run"}, r"^Run run cannot be its own teacher\."),
    ],
)  # fmt: skip
def test_a_teacher_that_does_not_fit_is_refused_before_images_are_read(
    make_run: MakeRun, teacher: RunDir, fields: dict[str, object], problem: str
) -> None:
    run_dir = make_run("run", **{**LEARNS, **fields})
    shutil.rmtree(run_dir.cache, ignore_errors=True)
    with pytest.raises(InputError, match=problem):
        run_here(run_dir)
    assert not run_dir.cache.exists()


def test_the_split_of_another_seed_can_be_taught(make_run: MakeRun, teacher: RunDir) -> None:
    spec = make_run("run", **LEARNS, seed=1, trial_seed=0).read_spec()
    assert find_teacher(spec, teacher.path.parent) == teacher


def test_a_run_without_a_network_is_no_teacher(make_run: MakeRun, teacher: RunDir) -> None:
    spec = make_run("run", **LEARNS).read_spec()
    lines = teacher.events.read_bytes().splitlines(keepends=True)
    teacher.events.write_bytes(b"".join(lines[:-1]))
    with pytest.raises(InputError, match="Run teacher, the teacher, has not finished. Wait for it"):
        find_teacher(spec, teacher.path.parent)
    teacher.events.write_bytes(b"".join(lines))
    assert find_teacher(spec, teacher.path.parent) == teacher
    shutil.rmtree(teacher.checkpoints)
    with pytest.raises(InputError, match="Run teacher has no checkpoints: they were deleted"):
        find_teacher(spec, teacher.path.parent)


def test_a_run_that_kept_no_network_is_no_teacher(make_run: MakeRun) -> None:
    run_here(make_run("teacher", **SHORT, keep_checkpoints="none"))
    run_dir = make_run("run", **LEARNS)
    with pytest.raises(InputError, match=r"has no checkpoints: it did not keep them \(--keep none"):
        run_here(run_dir)


def combined(method: str, teacher: RunDir, *others: RunDir) -> RunDir:
    """Return the folder of a run that combines runs."""
    run_dir = RunDir(teacher.path.parent / method)
    parents = tuple(Parent(each.run_id, str(each.best_checkpoint)) for each in (teacher, *others))
    combination = Combination(method=method, parents=parents)  # type: ignore[arg-type]
    run_dir.create(CombinationSpec.of(teacher.read_spec(), combination), UserData())
    return run_dir


def test_a_soup_teaches_and_an_ensemble_does_not(make_run: MakeRun, teacher: RunDir) -> None:
    soup = combined("soup", teacher, copied(teacher, "other"))
    run_here(soup)
    run_dir = make_run("run", **{**LEARNS, "teacher": "soup"})
    spec = run_dir.read_spec()
    data = load_data(spec, run_dir.cache)
    assert load_teacher(spec, data, run_dir).head.out_features == len(data.classes)
    combined("ensemble", teacher, RunDir(teacher.path.parent / "other"))
    run_dir = make_run("another", **{**LEARNS, "teacher": "ensemble"})
    with pytest.raises(InputError, match="ensemble, the teacher, is an ensemble of several net"):
        run_here(run_dir)


def test_a_soup_of_runs_that_know_the_validation_images_is_refused(
    make_run: MakeRun, teacher: RunDir
) -> None:
    other = make_run("other", **SHORT, dropout_rate=0, seed=1)
    shutil.copytree(teacher.checkpoints, other.checkpoints)
    combined("soup", teacher, other)
    shutil.copy(teacher.events, teacher.path.parent / "soup")
    shutil.copytree(teacher.checkpoints, teacher.path.parent / "soup" / "checkpoints")
    spec = make_run("run", **{**LEARNS, "teacher": "soup"}).read_spec()
    with pytest.raises(InputError, match="Run other, a part of the teacher, has the split seed 1"):
        find_teacher(spec, teacher.path.parent)


def test_a_teacher_of_other_images_is_refused(
    make_run: MakeRun, teacher: RunDir, small_emoji: Path, tmp_path: Path
) -> None:
    changed = tmp_path / "changed" / small_emoji.name
    shutil.copytree(small_emoji, changed)
    image, *_ = sorted((changed / "noto" / "face").iterdir())
    image.rename(image.with_name(f"renamed-{image.name}"))
    run_dir = make_run("run", **LEARNS, data_dir=str(changed))
    with pytest.raises(InputError, match="Run teacher, the teacher, was trained on other images"):
        run_here(run_dir)


def test_a_teacher_of_other_classes_is_refused(make_run: MakeRun, teacher: RunDir) -> None:
    run_dir = make_run("run", **LEARNS)
    spec: RunSpec = run_dir.read_spec()
    data = load_data(spec, run_dir.cache)
    object.__setattr__(data, "classes", ("a", "b", "c"))
    with pytest.raises(InputError, match="the teacher, has the classes animal, face, food, not a"):
        load_teacher(spec, data, run_dir)
