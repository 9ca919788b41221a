"""The predictions that a real run keeps of each of its evaluations."""

from __future__ import annotations

from engine.protocol import Evaluated, as_classes
from engine.protocol.step_predictions import EvaluatedImages, StepPredictions, as_confidences
from engine.rundir import RunDir
from engine.rundir.step_predictions import StepPredictionsFile
from tests.small_runs import MakeRun, read_events, run_here, stop_here


def kept_by(run_dir: RunDir) -> tuple[EvaluatedImages, dict[int, StepPredictions]]:
    stored = StepPredictionsFile.open(run_dir.step_predictions)
    images = stored.read_images()
    return images, {step: stored.read(step, images) for step in stored.blocks}


def test_every_evaluation_is_kept(make_run: MakeRun) -> None:
    run_dir = make_run()
    run_here(run_dir)
    images, kept = kept_by(run_dir)
    evaluated = [each for each in read_events(run_dir) if isinstance(each, Evaluated)]
    assert [*kept] == [each.step for each in evaluated] == [0, 8, 16, 24]
    for event in evaluated:
        told = {(m.split, m.domain, m.name): m.value for m in event.metrics}
        for split, each in zip(images.splits, kept[event.step].splits, strict=True):
            pairs = [*zip(split.labels, each.predicted, strict=True)]
            right = sum(label == predicted for label, predicted in pairs)
            assert right / len(pairs) == told[split.split, split.domain, "accuracy"]
            assert each.loss == told[split.split, split.domain, "loss"]


def test_the_selected_step_agrees_with_its_own_file(make_run: MakeRun) -> None:
    run_dir = make_run()
    run_here(run_dir)
    selected = run_dir.read_predictions()
    assert selected is not None
    images, kept = kept_by(run_dir)
    pairs = zip(images.splits, kept[selected.step].splits, selected.domains, strict=True)
    for split, each, domain in pairs:
        assert (split.domain, split.split, split.is_target) == (
            domain.domain,
            domain.split,
            domain.is_target,
        )
        assert split.with_predicted(each.predicted) == domain.each_image
        numbers = [at for at in range(split.images) if split.members[at >> 3] >> (7 - at % 8) & 1]
        confidences = as_confidences(each.confidences)
        for mistake in domain.mistakes:
            at = numbers.index(mistake.index)
            assert split.names[at] == mistake.name
            assert as_classes(each.predicted, 3)[at] == mistake.predicted
            assert abs(confidences[at] - mistake.confidence) < 1e-5


def test_a_resumed_run_keeps_the_same(make_run: MakeRun) -> None:
    whole, stopped = make_run("whole", head_steps=0), make_run("stopped", head_steps=0)
    run_here(whole)
    stop_here(stopped, looks=12)
    run_here(stopped)
    assert whole.step_predictions.read_bytes() == stopped.step_predictions.read_bytes()
