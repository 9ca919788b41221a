"""What a run would take, by the runs of a real history."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.protocol import CheckpointSaved, FeaturesComputed, HeadTrained, RunSpec, resolve_spec
from tests.vld_tui.store.told_runs import (
    Teller,
    arm_evaluated,
    data_prepared,
    evaluated,
    finished,
    model_prepared,
    numbered,
    started,
    steps_taken,
)
from vld_tui.home import open_home
from vld_tui.runs.run import Run
from vld_tui.store.store import Store
from vld_tui.study.forecast import Forecast, ImageCounts, checkpoint_bytes, forecast

SPEC = resolve_spec({"dataset": "emoji", "steps": 20, "eval_every": 10, "head_steps": 0})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(open_home(tmp_path / "home"))


def tell_run(
    store: Store, spec: RunSpec = SPEC, *, head_s: float | None = None, last_bytes: int = 2_000
) -> Run:
    """Tell of a run: 2 steps a second of 2 sources, 1 s an evaluation, 3,000 bytes saved."""
    run = store.runs.create(spec)
    teller = Teller(store.runs.run_dir(run.run_id))
    begun, data, model = started(), data_prepared(), model_prepared()
    for at, event in enumerate((begun, data, model)):
        teller.writes(numbered(msgspec.structs.replace(event, time=1000.0 + 2 * at), at))
    if head_s is not None:
        teller.says(HeadTrained(steps=spec.head_steps, loss=1.0, wall_s=head_s))
    teller.says(steps_taken(10, 1.5), *evaluated(0, id_accuracy=0.8, ood_accuracy=0.5))
    teller.says(CheckpointSaved(step=20, kind="last", file="last.safetensors", bytes=last_bytes))
    teller.says(finished(20, selected_step=10, id_accuracy=0.8, ood_accuracy=0.5))
    return store.runs.get(run.run_id)


def ask(
    store: Store, counts: ImageCounts | None = None, host: str | None = None, **changes: object
) -> Forecast:
    spec = msgspec.structs.replace(SPEC, **changes)
    return forecast(store, spec, host=host or socket.gethostname(), counts=counts)


def test_without_a_run_of_the_network_nothing_is_known(store: Store) -> None:
    tell_run(store, resolve_spec({"model": "resnet18"}))
    assert ask(store) == Forecast(timing_s=60.0), "the first run of a network times precisions"
    assert ask(store, precision="fp32", memory_format="contiguous") == Forecast()
    assert ask(store, model='no "network" of any name') == Forecast()


def test_the_same_run_takes_as_long_as_it_took(store: Store) -> None:
    run = tell_run(store)
    known = ask(store)
    assert known.wall_s == pytest.approx(4 + 20 / 2 + 2 * 1)  # preparing, steps, evaluations
    assert (known.wall_from, known.apart_from) == (run, ())
    assert (known.memory_bytes, known.disk_bytes) == (900_000_000, 3_000)


def test_the_time_of_timing_precisions_is_not_spent_again(store: Store) -> None:
    run = store.runs.create(SPEC)
    teller = Teller(store.runs.run_dir(run.run_id))
    timed = msgspec.structs.replace(model_prepared(), timing_s=30.0)
    for at, (event, time) in enumerate(((started(), 0.0), (data_prepared(), 2.0), (timed, 34.0))):
        teller.writes(numbered(msgspec.structs.replace(event, time=1000.0 + time), at))
    teller.says(steps_taken(10, 1.5), *evaluated(0, id_accuracy=0.8, ood_accuracy=0.5))
    teller.says(finished(20, selected_step=10, id_accuracy=0.8, ood_accuracy=0.5))
    store.live.refresh()
    assert ask(store).wall_s == pytest.approx(4 + 20 / 2 + 2 * 1)


def test_newer_runs_that_never_started_hide_no_earlier_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vld_tui.study.forecast.MOST_RUNS", 2)
    run = tell_run(store)
    queued = [store.runs.create(SPEC, is_queued=True).run_id for _ in range(3)]
    store.queue.remove(queued[0])
    assert ask(store).wall_from == run


def test_features_that_are_cached_are_not_computed_again(store: Store) -> None:
    linear = resolve_spec({**msgspec.structs.asdict(SPEC), "tuning": "linear", "views": 2})
    run = store.runs.create(linear)
    teller = Teller(store.runs.run_dir(run.run_id))
    computed = FeaturesComputed(done=900, total=900, wall_s=60.0, size_bytes=10)
    times = (started(), 1000.0), (data_prepared(), 1002.0), (computed, 1062.0)
    for at, (event, time) in enumerate((*times, (model_prepared(), 1064.0))):
        teller.writes(numbered(msgspec.structs.replace(event, time=time), at))
    teller.says(steps_taken(10, 1.5), *evaluated(0, id_accuracy=0.8, ood_accuracy=0.5))
    teller.says(finished(20, selected_step=10, id_accuracy=0.8, ood_accuracy=0.5))
    store.live.refresh()
    known = forecast(store, linear, host=socket.gethostname(), counts=None)
    assert known.wall_s == pytest.approx(4 + 20 / 2 + 2 * 1)
    other = msgspec.structs.replace(linear, dataset="other")
    counts = ImageCounts(domains=5, images=600)
    elsewhere = forecast(store, other, host=socket.gethostname(), counts=counts)
    assert elsewhere.apart_from == ("reading the images", "computing features")


def test_steps_batches_and_evaluations_scale(store: Store) -> None:
    tell_run(store)
    known = ask(store, steps=100, batch_size=32, eval_every=50)
    assert known.wall_s == pytest.approx(4 + 2 * 100 / 2 + 2 * 1)
    assert known.memory_bytes is None, "another batch needs another amount of memory"
    assert known.disk_bytes == 3_000
    first_too = ask(store, steps=100, batch_size=32, eval_every=50, eval_from=1)
    assert first_too.wall_s == pytest.approx(4 + 2 * 100 / 2 + 3 * 1)  # after 1, 51 and 100


def test_another_data_set_scales_by_its_domains_and_images(store: Store) -> None:
    tell_run(store)  # 3 domains of 100 images
    assert ask(store, dataset="other").wall_s is None, "its images are not known"
    known = ask(store, ImageCounts(domains=5, images=600), dataset="other")
    assert known.wall_s == pytest.approx(2 + (4 / 2) * 20 / 2 + 2 * 1 * 600 / 300)
    assert known.apart_from == ("reading the images",)
    assert known.memory_bytes is None


def test_every_domain_is_a_source_without_a_target(store: Store) -> None:
    tell_run(store)  # 2 sources of 3 domains
    assert ask(store, target="none").wall_s == pytest.approx(4 + (3 / 2) * 20 / 2 + 2 * 1)
    one = ask(store, ImageCounts(domains=1, images=300), dataset="photos", target=None)
    assert one.wall_s == pytest.approx(2 + (1 / 2) * 20 / 2 + 2 * 1)


def test_arms_add_their_evaluations(store: Store) -> None:
    run = tell_run(store)
    assert ask(store, arms=("averaged", "ensemble")).wall_s == pytest.approx(4 + 20 / 2 + 4 * 1)
    teller = Teller(store.runs.run_dir(run.run_id))
    measured = arm_evaluated(10, "averaged", id_accuracy=0.5, ood_accuracy=0.5)  # half a second
    teller.says(measured)
    assert ask(store, arms=("averaged",)).wall_s == pytest.approx(4 + 20 / 2 + 2 * 1.5)


def test_augmented_validation_images_add_to_an_evaluation(store: Store) -> None:
    tell_run(store)  # 2 sources with 20 validation images each; 2 steps a second of 32 images
    added = 2 * 20 / (2 * 32)
    known = ask(store, augment_validation=True)
    assert known.wall_s == pytest.approx(4 + 20 / 2 + 2 * (1 + added))
    with_average = ask(store, augment_validation=True, arms=("averaged",))
    assert with_average.wall_s == pytest.approx(4 + 20 / 2 + 4 * (1 + added))
    tell_run(store, msgspec.structs.replace(SPEC, augment_validation=True))
    assert ask(store, augment_validation=True).wall_s == pytest.approx(4 + 20 / 2 + 2 * 1)


def test_a_run_without_them_takes_its_part_of_one_with_them(store: Store) -> None:
    tell_run(store, msgspec.structs.replace(SPEC, augment_validation=True))
    share = (2 * 20 + 100) / (2 * 20 + 100 + 2 * 20)
    assert ask(store).wall_s == pytest.approx(4 + 20 / 2 + 2 * share)


def test_the_last_layers_own_steps_count_where_they_were_measured(store: Store) -> None:
    tell_run(store)
    assert ask(store, head_steps=100).apart_from == ("training the last layer first",)
    tell_run(store, msgspec.structs.replace(SPEC, head_steps=100), head_s=7)
    known = ask(store, head_steps=100)
    assert known.wall_s == pytest.approx(4 + 7 + 20 / 2 + 3 * 1)
    assert known.apart_from == ()


@pytest.mark.parametrize("changes", [{"image_size": 64}, {"device": "cuda"}, {"threads": 1}])
def test_another_pace_says_nothing_but_what_is_saved(store: Store, changes: dict[str, Any]) -> None:
    tell_run(store)
    known = ask(store, **changes)
    assert (known.wall_s, known.memory_bytes, known.disk_bytes) == (None, None, 3_000)


def test_another_machine_says_nothing_but_what_is_saved(store: Store) -> None:
    tell_run(store)
    known = ask(store, host="another")
    assert (known.wall_s, known.disk_bytes) == (None, 3_000)


def test_another_optimizer_saves_another_amount(store: Store) -> None:
    tell_run(store)
    assert ask(store, optimizer="sgd").disk_bytes is None


def test_what_is_saved_is_that_of_a_run_with_these_arms_if_there_is_one(store: Store) -> None:
    tell_run(store)
    tell_run(store, msgspec.structs.replace(SPEC, arms=("averaged",)), last_bytes=4_000)
    assert ask(store).disk_bytes == 3_000, "not of the newest, which has sums to save"
    assert ask(store, arms=("averaged",)).disk_bytes == 1_000 + 1_000 + 4_000
    assert ask(store, arms=("averaged", "ensemble")).disk_bytes == 1_000 + 1_000 + 4_000


def test_the_checkpoints_of_arms_that_average_weights_are_counted() -> None:
    networks = {(): 1 + 3, ("averaged",): 2 + 5, ("swad",): 2 + 3 + 2 + 2 + 6}
    for arms, count in networks.items():
        spec = msgspec.structs.replace(SPEC, arms=arms)
        assert checkpoint_bytes(spec, 100) == count * 100, arms
        best = msgspec.structs.replace(spec, keep_checkpoints="best")
        assert checkpoint_bytes(best, 100) == (1 + len(arms)) * 100


def test_a_run_that_only_began_tells_nothing(store: Store) -> None:
    run = store.runs.create(SPEC)
    Teller(store.runs.run_dir(run.run_id)).says(started(), data_prepared(), steps_taken(10, 1.0))
    store.live.refresh()
    assert ask(store).wall_s is None
