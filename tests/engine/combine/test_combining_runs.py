"""Runs that combine the networks of others, on real small networks."""

from __future__ import annotations

import json
import signal
import time

import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import Tensor

from engine.combine.bench import Validation, describe_barrier
from engine.data import RunData, evaluation_batches, load_data
from engine.model import build_network
from engine.model.tensor_file import read_metadata
from engine.protocol import (
    TERMINAL_EVENTS,
    ArmEvaluated,
    BarrierMeasured,
    Cautioned,
    CheckpointSaved,
    DataPrepared,
    Evaluated,
    HeadTrained,
    ModelPrepared,
    ParentMeasured,
    ParentTried,
    PhaseReported,
    RunFinished,
    RunStarted,
    RunStopped,
    SystemSampled,
)
from engine.protocol.evaluated import EVALUATED
from engine.rundir import RunDir
from engine.rundir.step_predictions import StepPredictionsFile
from tests.engine.combine.conftest import NETWORK, Family, best_of, do, evaluations
from tests.small_runs import SMALL_CLASSES, read_events, start_engine

NAMES = ("first", "second", "third")


def target_logits(family: Family, weights: dict[str, Tensor], data: RunData) -> Tensor:
    """Return a network's logits of the target's images, by code of its own."""
    assert data.target is not None
    spec = family["first"].read_spec()
    network = build_network(
        spec.model, classes=len(data.classes), weights="none", image_size=spec.image_size, seed=0
    )
    network.module.load_state_dict(weights)
    network.module.eval()
    batches = evaluation_batches(
        data.target, data.target.in_indices, spec.eval_batch_size,
        network.mean, network.std, torch.device("cpu"),
    )  # fmt: skip
    with torch.inference_mode():
        return torch.cat([network.module(images) for images, _ in batches])


def test_a_soup_is_the_mean_of_the_weights_and_an_ordinary_network(family: Family) -> None:
    soup = family.combine("soup", *NAMES)
    found = load_file(soup.best_checkpoint)
    parents = [load_file(family[name].best_checkpoint) for name in NAMES]
    for name, tensor in found.items():
        if tensor.is_floating_point():
            mean = torch.stack([parent[name].double() for parent in parents]).mean(dim=0)
            assert (tensor.double() - mean).abs().max() < 1e-6, name
        else:
            assert torch.equal(tensor, parents[0][name])
    timm.create_model(NETWORK, num_classes=3).load_state_dict(found)
    events = [
        event for event in read_events(soup) if not isinstance(event, PhaseReported | SystemSampled)
    ]
    assert [type(event) for event in events[:3]] == [RunStarted, DataPrepared, ModelPrepared]
    assert [type(event) for event in events[-3:]] == [Evaluated, CheckpointSaved, RunFinished]
    assert soup.read_predictions() is not None
    assert {m.arm for m in evaluations(soup)[3].metrics} == {"soup"}
    about = read_metadata(soup.best_checkpoint)
    assert (json.loads(about["classes"]), about["run"]) == ([*SMALL_CLASSES], soup.run_id)
    further = family.train("further", weights=str(soup.best_checkpoint), steps=1)
    assert best_of(further).id_accuracy > 0
    prepared = next(each for each in read_events(further) if isinstance(each, ModelPrepared))
    assert prepared.loaded is not None
    assert prepared.loaded.last_layer == "kept: same 3 classes"


def test_last_checkpoints_are_averaged_where_they_are_asked_for(family: Family) -> None:
    soup = family.combine("soup", "first", "second", at="last")
    found = load_file(soup.best_checkpoint)
    parents = [load_file(family[name].last_checkpoint) for name in ("first", "second")]
    name = "fc.weight"
    mean = sum(parent["network." + name].double() for parent in parents) / 2
    assert torch.allclose(found[name].double(), torch.as_tensor(mean), atol=1e-6)


def test_parents_and_barriers_are_told(family: Family) -> None:
    events = read_events(family.combine("soup", *NAMES))
    measured = {e.parent: e.id_accuracy for e in events if isinstance(e, ParentMeasured)}
    assert measured == {name: best_of(family[name]).id_accuracy for name in NAMES}
    best = max(NAMES, key=lambda name: measured[name])
    barriers = [event for event in events if isinstance(event, BarrierMeasured)]
    assert {event.first for event in barriers} == {best}
    assert {event.second for event in barriers} == set(NAMES) - {best}
    (few,) = [event for event in events if isinstance(event, Cautioned)]
    assert few.message.startswith("27 validation images: ID accuracy")


def barrier_of(run_dir: RunDir) -> BarrierMeasured:
    (barrier,) = [event for event in read_events(run_dir) if isinstance(event, BarrierMeasured)]
    return barrier


def with_twin(family: Family) -> Family:
    """Add a run with the same network as another."""
    twin = family["twin"]
    twin.create(family["first"].read_spec(), family["first"].read_user())
    twin.checkpoints.mkdir()
    twin.best_checkpoint.write_bytes(family["first"].best_checkpoint.read_bytes())
    return family


def test_there_is_no_barrier_between_a_network_and_itself(family: Family) -> None:
    barrier = barrier_of(with_twin(family).combine("soup", "first", "twin"))
    assert (barrier.loss_barrier, barrier.accuracy_barrier, barrier.is_barrier) == (0, 0, False)


def test_a_barrier_is_half_way_in_a_soup_as_in_an_interpolation(family: Family) -> None:
    in_soup = barrier_of(family.combine("soup", "first", "second"))
    on_the_way = barrier_of(family.combine("interpolation", "first", "second", points=3))
    assert in_soup.loss_barrier == pytest.approx(on_the_way.loss_barrier)
    assert in_soup.loss_barrier != 0
    assert in_soup.accuracy_barrier == pytest.approx(on_the_way.accuracy_barrier)
    assert (in_soup.path_loss_barrier, in_soup.path_accuracy_barrier) == (None, None)


def test_the_barrier_of_a_path_is_the_largest_of_its_points(family: Family) -> None:
    path = family.combine("interpolation", "first", "second", points=5)
    barrier = barrier_of(path)
    accuracies = {step: event.id_accuracy for step, event in evaluations(path).items()}
    below = [
        (1 - step / 100) * accuracies[0] + step / 100 * accuracies[100] - accuracy
        for step, accuracy in accuracies.items()
    ]
    assert barrier.path_accuracy_barrier == pytest.approx(max(below), abs=1e-9)
    assert barrier.path_loss_barrier is not None
    assert barrier.loss_barrier is not None
    assert barrier.path_loss_barrier >= max(0, barrier.loss_barrier)


def test_of_equal_points_of_a_way_the_first_is_selected(family: Family) -> None:
    path = with_twin(family).combine("interpolation", "first", "twin", points=3)
    assert [event.is_best for event in evaluations(path).values()] == [True, False, False]
    mixed = [event for event in read_events(path) if isinstance(event, ArmEvaluated)]
    assert [event.is_best for event in mixed] == [True, False, False]


@pytest.mark.parametrize(
    ("half_way", "is_barrier"), [(0.69, False), (0.675, True), (0.9, False), (0.0, True)]
)
def test_a_barrier_is_more_than_two_points_below_the_mean_of_the_ends(
    half_way: float, is_barrier: bool
) -> None:
    ends = (Validation(0.6, 1.0), Validation(0.8, 2.0))
    told = describe_barrier("a", "b", ends=ends, half_way=Validation(half_way, 1.75))
    assert told.loss_barrier == pytest.approx(0.25)
    assert told.accuracy_barrier == pytest.approx(0.7 - half_way)
    assert told.is_barrier is is_barrier


def test_a_greedy_soup_is_never_worse_on_id_than_its_best_parent(family: Family) -> None:
    stranger = family.train("stranger", weights="none", seed=9, steps=1)
    soup = family.combine("greedy_soup", *NAMES, "stranger")
    tried = [event for event in read_events(soup) if isinstance(event, ParentTried)]
    parents = sorted(best_of(family[name]).id_accuracy for name in (*NAMES, stranger.run_id))
    assert best_of(soup).id_accuracy >= parents[-1]
    accuracy = parents[-1]
    for event in tried:
        assert event.is_kept is (event.soup_accuracy >= accuracy)
        accuracy = event.soup_accuracy if event.is_kept else accuracy
    assert best_of(soup).id_accuracy == pytest.approx(accuracy)
    assert len(tried) == 3
    kept = {event.parent for event in tried if event.is_kept}
    names = {parent.run_id for parent in soup.read_combination().parents}  # type: ignore[union-attr]
    best = (names - {event.parent for event in tried}) | kept
    weights = [load_file(family[name].best_checkpoint)["fc.weight"].double() for name in best]
    mean = torch.stack(weights).mean(dim=0)
    assert (load_file(soup.best_checkpoint)["fc.weight"].double() - mean).abs().max() < 1e-6


def test_an_ensemble_predicts_by_the_mean_of_the_logits_exactly(family: Family) -> None:
    ensemble = family.combine("ensemble", *NAMES)
    data = load_data(family["first"].read_spec(), family["first"].cache)
    logits = [
        target_logits(family, load_file(family[name].best_checkpoint), data) for name in NAMES
    ]
    mean = (logits[0] + logits[1] + logits[2]) / 3
    assert data.target is not None
    labels = data.target.labels[data.target.in_indices]
    found = best_of(ensemble)
    assert found.ood_accuracy == float((mean.argmax(dim=1) == labels).double().mean())
    told = {(m.domain, m.split, m.name): m.value for m in found.metrics}
    loss = torch.nn.functional.cross_entropy(mean, labels, reduction="sum").double() / len(labels)
    # The order of summation, and so the last digits, depend on the processor.
    assert told["fluent-mono", "in", "loss"] == pytest.approx(float(loss), rel=1e-6)
    assert not ensemble.checkpoints.exists()
    predictions = ensemble.read_predictions()
    assert predictions is not None
    assert predictions.step == 3


@pytest.mark.parametrize(("points", "steps"), [(3, [0, 50, 100]), (4, [0, 33, 67, 100])])
def test_an_interpolation_ends_at_the_runs_themselves(
    family: Family, points: int, steps: list[int]
) -> None:
    path = family.combine("interpolation", "first", "second", points=points)
    events = read_events(path)
    on_the_way = evaluations(path)
    assert list(on_the_way) == steps
    for step, name in ((0, "first"), (100, "second")):
        theirs, ours = best_of(family[name]), on_the_way[step]
        assert (ours.id_accuracy, ours.ood_accuracy) == (theirs.id_accuracy, theirs.ood_accuracy)
        assert [m.value for m in ours.metrics] == [m.value for m in theirs.metrics]
    mixed = {event.step: event for event in events if isinstance(event, ArmEvaluated)}
    assert list(mixed) == steps
    for step in (0, 100):
        assert mixed[step].id_accuracy == on_the_way[step].id_accuracy
        assert mixed[step].ood_accuracy == on_the_way[step].ood_accuracy
    barrier = barrier_of(path)
    assert (barrier.first, barrier.second) == ("first", "second")
    finished = events[-1]
    assert isinstance(finished, RunFinished)
    best = max(on_the_way.values(), key=lambda event: (event.id_accuracy, -event.step))
    assert finished.selected_step == best.step
    assert [event.step for event in on_the_way.values() if event.is_best][-1] == best.step
    predictions = path.read_predictions()
    assert predictions is not None
    assert predictions.step == best.step
    stored = StepPredictionsFile.open(path.step_predictions)
    assert [*stored.blocks] == [*on_the_way]


def test_representations_half_way_are_the_ensemble_of_both(family: Family) -> None:
    path = family.combine("interpolation", "first", "second", points=3)
    both = best_of(family.combine("ensemble", "first", "second"))
    (half,) = [e for e in read_events(path) if isinstance(e, ArmEvaluated) and e.step == 50]
    assert (half.id_accuracy, half.ood_accuracy) == (both.id_accuracy, both.ood_accuracy)


def test_from_the_pretrained_network_the_way_begins_at_a_linear_probe(family: Family) -> None:
    path = family.combine("interpolation", "probe", "first", points=3)
    (probe,) = [event for event in read_events(path) if isinstance(event, HeadTrained)]
    assert probe.loss is not None
    ends = evaluations(path)
    assert ends[100].ood_accuracy == best_of(family["first"]).ood_accuracy
    assert ends[0].id_accuracy > 1 / 3
    barrier = barrier_of(path)
    assert (barrier.first, barrier.second) == ("pretrained", "first")


@pytest.mark.parametrize(
    ("method", "words"),
    [("ensemble", "is too high. OOD"), ("greedy_soup", "which biases the selection")],
)
def test_runs_that_hold_out_different_images_are_combined_with_a_caution(
    family: Family, method: str, words: str
) -> None:
    family.train("elsewhere", trial_seed=5, steps=1)
    events = read_events(family.combine(method, "first", "elsewhere"))
    _, caution = [event for event in events if isinstance(event, Cautioned)]
    assert words in caution.message


def told(run_dir: RunDir) -> list[object]:
    return [
        (event.step, event.id_accuracy, event.ood_accuracy, event.is_best)
        for event in read_events(run_dir)
        if isinstance(event, Evaluated)
    ]


def test_stopped_it_says_so_and_begins_anew_when_resumed(family: Family) -> None:
    whole = family.combine("interpolation", "first", "second", points=26)
    run_dir = family.make("interpolation", "first", "second", points=26)
    process = start_engine(run_dir)
    deadline = time.monotonic() + 120
    while not evaluations(run_dir) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=120) == 130
    stopped = read_events(run_dir)[-1]
    assert isinstance(stopped, RunStopped)
    assert stopped.reason == "SIGTERM"
    before = len(told(run_dir))
    assert before < 26
    do(run_dir)
    assert told(run_dir)[before:] == told(whole)
    started = [event for event in read_events(run_dir) if isinstance(event, RunStarted)]
    assert [event.resumed_step for event in started] == [None, None]
    assert sum(isinstance(event, TERMINAL_EVENTS) for event in read_events(run_dir)) == 2


def test_networks_that_left_out_no_domain_combine_without_an_ood_accuracy(family: Family) -> None:
    family.train("one", target="none", seed=1, steps=4, arms=())
    family.train("other", target="none", seed=2, steps=4, arms=())
    for method, settings in (
        ("soup", {}), ("greedy_soup", {}), ("stock", {}), ("ensemble", {}),
        ("interpolation", {"points": 3}),
    ):  # fmt: skip
        told = read_events(family.combine(method, "one", "other", **settings))
        assert isinstance(told[-1], RunFinished)
        measured = [each for each in told if isinstance(each, Evaluated | ArmEvaluated)]
        assert measured
        assert {each.ood_accuracy for each in (told[-1], *measured)} == {None}
        assert all(len(each.metrics) == 4 * (2 + len(EVALUATED)) for each in measured)


def test_augmented_runs_are_combined_on_one_set_of_augmented_images(family: Family) -> None:
    for name, seed in (("one", 4), ("two", 5)):
        family.train(name, seed=seed, augment_validation=True)
    alone, *soups = (family.combine("greedy_soup", *names) for names in
                     (("one", "two"), ("two", "one")))  # fmt: skip
    measured = [
        {each.parent: each.id_accuracy for each in read_events(run) if
         isinstance(each, ParentMeasured)} for run in (alone, *soups)
    ]  # fmt: skip
    assert measured[0].keys() == {"one", "two"}
    path = family.combine("interpolation", "one", "two", points=2)
    ends = evaluations(path)
    assert [ends[0].id_accuracy, ends[100].id_accuracy] == list(measured[0].values())
    mixed = [each for each in read_events(path) if isinstance(each, ArmEvaluated)]
    for first, second in zip(ends.values(), mixed, strict=True):
        assert first.plain_id_accuracy is not None
        assert first.plain_id_accuracy == second.plain_id_accuracy
        assert first.id_accuracy == second.id_accuracy
    end = read_events(alone)[-1]
    assert isinstance(end, RunFinished)
    assert end.plain_id_accuracy is not None
    ensemble = family.combine("ensemble", "one", "two")
    assert best_of(ensemble).plain_id_accuracy is not None


def test_networks_trained_in_bf16_are_combined_in_fp32(family: Family) -> None:
    low = family.train("low", precision="bf16")
    path = family.combine("interpolation", "low", "first", points=2)
    [prepared] = [each for each in read_events(path) if isinstance(each, ModelPrepared)]
    assert (prepared.precision, prepared.evaluation_precision) == ("fp32", "fp32")
    alone, combined = (
        [each.value for each in found.metrics] for found in (best_of(low), evaluations(path)[0])
    )
    assert combined == pytest.approx(alone, rel=1e-5)
