"""A linear run with views reads cached features, and runs its backbone no more."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import engine.train.attempt
from engine.data import load_data
from engine.data.transforms import network_input
from engine.errors import InputError
from engine.model import build_network
from engine.model.linear import (
    FrozenNetwork,
    LinearNetwork,
    PenultimateNetwork,
    SideBySide,
)
from engine.protocol import (
    CheckpointSaved,
    Evaluated,
    FeaturesComputed,
    HeadTrained,
    RunFinished,
    RunStopped,
    SpecError,
    resolve_new_spec,
    resolve_spec,
)
from engine.rundir import RunDir
from engine.rundir.event_log import EventLog
from engine.train.setup import prepare
from tests.small_runs import SMALL_CLASSES, MakeRun, read_events, run_here, stop_here

LINEAR = {
    "tuning": "linear", "model": "test_vit", "views": 2, "steps": 6, "eval_every": 2,
    "head_steps": 0, "warmup_steps": 0,
}  # fmt: skip
PENULTIMATE = {"linear_features": "penultimate", "model": "test_resnet"}
FEW = 2
"""Images on which a network is checked when it is built."""
TWO = {"model": "test_resnet+test_vit"}


def events_of(run_dir: RunDir) -> list[FeaturesComputed]:
    """Return the events at the end of the computations, not those of their progress."""
    found = (each for each in read_events(run_dir) if isinstance(each, FeaturesComputed))
    return [each for each in found if each.size_bytes is not None]


def accuracies(run_dir: RunDir) -> list[tuple[float, float | None]]:
    evaluated = [each for each in read_events(run_dir) if isinstance(each, Evaluated)]
    return [(each.id_accuracy, each.ood_accuracy) for each in evaluated]


def last(run_dir: RunDir) -> dict[str, torch.Tensor]:
    return load_file(run_dir.last_checkpoint)


@pytest.mark.parametrize("fields", [{}, PENULTIMATE, TWO, {"augment_validation": True}])
def test_the_backbone_never_runs_once_features_are_cached(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, fields: dict[str, object]
) -> None:
    first, second = (
        make_run(name, **{**LINEAR, **fields}, arms=["averaged"]) for name in ("a", "b")
    )
    run_here(first)

    def refuse(kind: type[FrozenNetwork]) -> None:
        original = kind._features

        def few_only(network: FrozenNetwork, images: torch.Tensor) -> torch.Tensor:
            assert len(images) <= FEW, "the backbone ran"
            return original(network, images)

        monkeypatch.setattr(kind, "_features", few_only)

    for kind in (LinearNetwork, PenultimateNetwork):
        refuse(kind)
    run_here(second)
    (computed,), (reused,) = events_of(first), events_of(second)
    assert (computed.done, computed.reused) == (3 * 192, 0)
    assert (reused.done, reused.reused) == (3 * 192, 3 * 192)
    assert accuracies(first) == accuracies(second)
    ours, theirs = last(first), last(second)
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


@pytest.mark.parametrize("fields", [{}, PENULTIMATE, TWO])
def test_a_resumed_run_is_the_uninterrupted_one(
    make_run: MakeRun, fields: dict[str, object]
) -> None:
    whole, parts = (make_run(name, **{**LINEAR, **fields}) for name in ("whole", "parts"))
    run_here(whole)
    stopped = stop_here(parts, 3 + 3)
    assert isinstance(stopped, RunStopped)
    assert stopped.step == 3
    run_here(parts)
    ours, theirs = last(parts), last(whole)
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    assert isinstance(read_events(parts)[-1], RunFinished)


def saved_steps(run_dir: RunDir) -> list[int]:
    saved = [each for each in read_events(run_dir) if isinstance(each, CheckpointSaved)]
    return [each.step for each in saved if each.kind == "last"]


@pytest.mark.parametrize(("seconds", "expected"), [(1e9, [2, 6]), (0, [2, 4, 6])])
def test_checkpoints_of_fast_steps_are_saved_now_and_then(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, seconds: float, expected: list[int]
) -> None:
    monkeypatch.setattr(engine.train.attempt, "SAVED_EVERY_S", seconds)
    run_dir = make_run(**LINEAR)
    run_here(run_dir)
    assert saved_steps(run_dir) == expected


def test_a_run_killed_after_an_evaluation_without_checkpoint_is_the_uninterrupted_one(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = (make_run(name, **LINEAR) for name in ("whole", "parts"))
    run_here(whole)
    record = EventLog.record

    def dies_after_the_second_evaluation(log: EventLog, event: Any) -> None:
        record(log, event)
        if isinstance(event, Evaluated) and event.step == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(EventLog, "record", dies_after_the_second_evaluation)
        with pytest.raises(KeyboardInterrupt):
            run_here(parts)
    assert saved_steps(parts) == [2]
    run_here(parts)
    ours, theirs = last(parts), last(whole)
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    best, expected = (load_file(each.best_checkpoint) for each in (parts, whole))
    assert all(torch.equal(tensor, expected[name]) for name, tensor in best.items())


def test_the_frozen_network_is_not_folded_for_evaluations_on_its_features(
    make_run: MakeRun,
) -> None:
    run_dir = make_run(**{**LINEAR, **PENULTIMATE})
    spec = run_dir.read_spec()
    training = prepare(spec, load_data(spec, run_dir.cache), run_dir, None)
    assert not training.execution.folds_inference


def test_evaluation_on_features_is_evaluation_on_images(make_run: MakeRun) -> None:
    run_dir = make_run(**LINEAR)
    run_here(run_dir)
    spec = run_dir.read_spec()
    training = prepare(spec, load_data(spec, run_dir.cache), run_dir, None)
    (domain, *_) = training.data.domains
    frozen = domain.frozen
    assert frozen is not None
    network = training.network
    images = network_input(domain.images(domain.in_indices), network.mean, network.std)
    with torch.inference_mode():
        expected = network.module(images)
        found = network.module(frozen.take(domain.rows[domain.in_indices]))
    assert torch.allclose(found, expected, atol=1e-5)


def test_a_stored_run_without_views_augments_every_batch(make_run: MakeRun) -> None:
    run_dir = make_run(**{**LINEAR, "views": None, "steps": 2})
    run_here(run_dir)
    assert events_of(run_dir) == []


@pytest.mark.parametrize("fields", [{}, {"tuning": "full", "model": "test_resnet"}])
def test_the_last_layer_trains_first_on_views(make_run: MakeRun, fields: dict[str, object]) -> None:
    runs = [
        make_run(name, **{**LINEAR, "steps": 1, "head_steps": 4, "views": views, **fields})
        for name, views in (("one", 1), ("again", 1), ("two", 2), ("none", None))
    ]
    losses = []
    for run_dir in runs:
        run_here(run_dir)
        (trained,) = [each for each in read_events(run_dir) if isinstance(each, HeadTrained)]
        losses.append(trained.loss)
    assert losses[0] == losses[1]
    assert len(set(losses)) == 3
    assert [len(events_of(run_dir)) for run_dir in runs] == [1, 1, 1, 0]
    assert events_of(runs[2])[0].reused == 2 * 192


def test_a_trained_network_is_a_start_for_others(make_run: MakeRun) -> None:
    run_dir = make_run(**{**LINEAR, **TWO})
    run_here(run_dir)
    saved = load_file(run_dir.best_checkpoint)
    loaded = build_network(
        "test_resnet+test_vit", classes=3, weights=str(run_dir.best_checkpoint), image_size=32,
        seed=9, tuning="linear", linear_features="penultimate", class_names=SMALL_CLASSES,
    )  # fmt: skip
    assert loaded.is_head_trained
    assert all(torch.equal(each, saved[name]) for name, each in loaded.module.state_dict().items())


def test_a_probe_is_a_start_of_full_fine_tuning(make_run: MakeRun) -> None:
    run_dir = make_run(**{**LINEAR, **PENULTIMATE})
    run_here(run_dir)
    network = build_network(
        "test_resnet", classes=3, weights=str(run_dir.best_checkpoint), image_size=32, seed=9,
        class_names=SMALL_CLASSES,
    )  # fmt: skip
    assert network.is_head_trained
    saved = load_file(run_dir.best_checkpoint)
    assert torch.equal(network.head.weight, saved["head.weight"])


def test_networks_side_by_side_give_their_own_features() -> None:
    both = build_network(
        "test_resnet+test_vit", classes=3, weights="none", image_size=32, seed=0,
        tuning="linear", linear_features="penultimate",
    )  # fmt: skip
    several = both.module.get_submodule("backbone")
    assert isinstance(several, SideBySide)
    networks: list[Any] = list(several.networks)
    images = torch.randn(2, 3, 32, 32)
    parts = [each.forward_head(each.forward_features(images), pre_logits=True) for each in networks]
    assert torch.allclose(both.features(images), torch.cat(parts, dim=1), atol=1e-5)
    networks[1].pretrained_cfg["mean"] = (0.1, 0.2, 0.3)
    networks[1].pretrained_cfg["std"] = (0.5, 0.5, 0.5)
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (both.mean, both.std))
    other = (images * std + mean - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)) / 0.5
    second = networks[1]
    expected = second.forward_head(second.forward_features(other), pre_logits=True)
    assert torch.allclose(both.features(images)[:, -expected.shape[1] :], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"model": "a+b"}, "model is 'a\\+b', but tuning is 'full'"),
        ({"model": "a+", "tuning": "linear"}, "a name next to a \\+ is missing"),
        ({"model": "a+b+a", "tuning": "linear"}, "a is named twice, which adds no features"),
        (
            {"model": "a+b", "tuning": "linear", "linear_features": "blocks"},
            "Give --linear-features penultimate",
        ),
        (
            {"tuning": "linear", "views": 0},
            "views is 0, but must be a whole number above 0, or none. Without views ",
        ),
        ({"tuning": "linear", "freeze_batchnorm": False}, "which trains nothing of the network"),
        ({"views": 3, "head_steps": 0}, "tuning is 'full' and head_steps is 0"),
        ({"linear_features": "penultimate"}, "linear_features is .* but tuning is 'full'"),
        ({"linear_start": "authors"}, "linear_start is .* but tuning is 'full'"),
        (
            {"tuning": "linear", "linear_features": "penultimate", "linear_start": "authors"},
            "but linear_features is 'penultimate'. Give --linear-features blocks, or drop",
        ),
    ],
)
def test_settings_without_meaning_are_refused(values: dict[str, object], problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        resolve_new_spec(values)


def test_new_linear_runs_have_views_and_others_none() -> None:
    assert resolve_spec({"tuning": "linear"}).views == 6
    assert resolve_spec({"tuning": "linear", "views": None}).views is None
    assert resolve_spec({}).views is None
    assert resolve_spec({"tuning": "linear", "recipe": "paper"}).views is None
    assert resolve_spec({"tuning": "linear", "model": "a+b"}).linear_features == "penultimate"


def test_a_network_of_several_that_does_not_exist_is_named() -> None:
    with pytest.raises(InputError, match="timm has no network 'test_resne'. Did you mean"):
        build_network(
            "test_vit+test_resne", classes=2, weights="none", image_size=32, seed=0,
            tuning="linear", linear_features="penultimate",
        )  # fmt: skip


def test_a_network_of_several_that_cannot_read_the_images_is_named() -> None:
    with pytest.raises(InputError, match="^test_vit does not accept images of 40 px"):
        build_network(
            "test_resnet+test_vit", classes=2, weights="none", image_size=40, seed=0,
            tuning="linear", linear_features="penultimate",
        )  # fmt: skip
