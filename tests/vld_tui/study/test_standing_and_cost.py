"""Where a study stands in a real history, what is launched of it, and what that would take."""

from __future__ import annotations

import dataclasses
import shutil
import sqlite3
import statistics
from contextlib import closing

import msgspec
import pytest

from engine.protocol import RunSpec, resolve_spec, run_identity
from tests.vld_tui.dashboard.fake_history import make_run
from tests.vld_tui.store.told_runs import Teller, evaluated, failed, finished, started, steps_taken
from tests.vld_tui.study.known_datasets import ask_once, read
from tests.vld_tui.study.test_forecast import tell_run
from vld_tui.control.study import launch_missing
from vld_tui.control.tune import planned
from vld_tui.runs.run import Run
from vld_tui.store.query import Query
from vld_tui.store.store import Store
from vld_tui.study.define.datasets import HomeDatasets
from vld_tui.study.define.grid import StudyError
from vld_tui.study.define.tuning import TuneRequest, Tuning
from vld_tui.study.forecast import StudyCost, cost_of, value_counts, with_disk
from vld_tui.study.results.cells import grid_so_far
from vld_tui.study.results.outcomes import ID, OOD
from vld_tui.study.standing import (
    Standing,
    cost_to_launch,
    left_behind,
    refuse_misfits,
    standing_of,
)
from vld_tui.views.study import going_on, result_lines

STUDY = read(
    'name = "rates"\ndata = ["emoji"]\nseeds = 2\n'
    "[fields]\nsteps = 20\neval_every = 10\nhead_steps = 0\n"
    'target = "fluent-mono"\n[cross]\ndropout_rate = [0.0, 0.9]\n'
)


def tell_finished(store: Store, spec: RunSpec, ood_accuracy: float = 0.5) -> Run:
    run = store.runs.create(spec)
    teller = Teller(store.runs.run_dir(run.run_id))
    teller.says(started(), *evaluated(10, id_accuracy=0.8, ood_accuracy=ood_accuracy))
    teller.says(finished(20, selected_step=10, id_accuracy=0.8, ood_accuracy=ood_accuracy))
    return store.runs.get(run.run_id)


def tell_failed(store: Store, spec: RunSpec) -> Run:
    run = store.runs.create(spec)
    teller = Teller(store.runs.run_dir(run.run_id))
    teller.says(started(), steps_taken(5, 1.0), failed("The loss is not finite."))
    return store.runs.get(run.run_id)


def cost(store: Store, standing: Standing) -> StudyCost:
    return cost_of(store, standing.to_launch, lambda *_: None)


@pytest.mark.parametrize(
    ("fields", "networks"),
    [
        # the best network, and of the averages; the last, momentum and sums of twice the bytes
        ({"recipe": "paper", "keep_checkpoints": "all"}, 2 + 4),
        ({"recipe": "paper", "keep_checkpoints": "best"}, 2),
        ({"recipe": "paper", "keep_checkpoints": "all", "arms": []}, 1 + 2),
        ({"keep_checkpoints": "all"}, 1 + 3),  # AdamW keeps two values of each weight
        ({"recipe": "paper", "keep_checkpoints": "all", "arms": [], "tuning": "linear"}, 1 + 1),
        ({"keep_checkpoints": "none"}, 0),
    ],
)
def test_disk_that_no_run_tells_is_told_by_the_size_of_the_network(
    fields: dict[str, object], networks: int
) -> None:
    specs = [resolve_spec({"target": target, **fields}) for target in ("noto", "fluent")]
    unknown = StudyCost(2)
    assert with_disk(unknown, specs, {specs[0].model: 10}).disk_bytes == 2 * 10 * networks
    assert with_disk(unknown, specs, {"another": 10}) == unknown
    told = StudyCost(2, disk_bytes=7)
    assert with_disk(told, specs, {specs[0].model: 10}) == told


def test_what_is_missing_is_queued_and_what_broke_off_goes_on(store: Store) -> None:
    done, broken, other, missing = STUDY.specs
    finished_run = tell_finished(store, done)
    failed_run = tell_failed(store, broken)
    queued = store.runs.create(other, is_queued=True)
    before = standing_of(store, STUDY)
    assert before.runs == (finished_run, failed_run, queued, None)
    assert (before.finished, before.queued, before.live) == ((finished_run,), (queued,), ())
    assert before.broken_off == (failed_run,)
    assert before.missing == (missing,)
    assert before.to_launch == ((missing, 1.0), (broken, 0.75))
    assert before.left == ((other, 1.0),)
    launch_missing(store, before)
    waiting = store.queue.runs()
    assert [run.run_id for run in waiting[:2]] == [queued.run_id, failed_run.run_id]
    assert (waiting[2].spec, waiting[2].tags) == (missing, ("rates",))
    after = standing_of(store, STUDY)
    assert len(after.queued) == 3
    assert not after.missing
    launch_missing(store, after)
    assert len(store.runs.find()) == 4, "nothing is launched twice"


def test_runs_that_were_there_get_the_tag_and_keep_what_they_had(store: Store) -> None:
    done, broken, *_ = STUDY.specs
    adopted, failed_run = tell_finished(store, done), tell_failed(store, broken)
    store.labels.change_tags(adopted.run_id, lambda _: ("mine",))
    store.labels.set_note(adopted.run_id, "the best so far")
    trashed = tell_finished(store, STUDY.specs[2])
    standing = standing_of(store, STUDY)
    store.trash.move(trashed.run_id)
    launch_missing(store, standing)
    assert store.runs.get(adopted.run_id).tags == ("mine", "rates")
    assert store.runs.get(failed_run.run_id).tags == ("rates",)
    assert store.runs.get(trashed.run_id).tags == ()
    assert len(store.runs.find(Query.parse("tag:rates"))) == 3
    before = store.database.version()
    launch_missing(store, standing_of(store, STUDY))
    assert store.database.version() != before, "the run in the trash is made anew"
    again = store.database.version()
    launch_missing(store, standing_of(store, STUDY))
    assert store.database.version() == again, "what has the tag is left alone"
    store.folders.rebuild()
    kept = store.runs.get(adopted.run_id)
    assert (kept.tags, kept.note) == (("mine", "rates"), "the best so far")


def test_a_run_whose_folder_is_gone_keeps_nobody_from_a_launch(store: Store) -> None:
    run = tell_finished(store, STUDY.specs[0])
    standing = standing_of(store, STUDY)
    shutil.rmtree(store.runs.run_dir(run.run_id).path)
    launch_missing(store, standing)
    assert len(store.queue.runs()) == 3


def test_what_decides_no_result_makes_no_other_run(store: Store) -> None:
    spec = msgspec.structs.replace(STUDY.specs[0], threads=1, keep_checkpoints="all")
    run = tell_finished(store, spec)
    assert standing_of(store, STUDY).runs[0] == run


def test_the_run_that_is_furthest_counts(store: Store) -> None:
    spec = STUDY.specs[0]
    run = tell_finished(store, spec)
    tell_failed(store, spec)
    store.runs.create(spec, is_queued=True)
    trashed = tell_finished(store, STUDY.specs[1])
    store.trash.move(trashed.run_id)
    assert standing_of(store, STUDY).runs == (run, None, None, None)


def test_a_run_broken_off_that_somebody_took_up_is_left_alone(store: Store) -> None:
    run = tell_failed(store, STUDY.specs[0])
    standing = standing_of(store, STUDY)
    store.queue.add(run.run_id)
    launch_missing(store, standing)
    assert [each.run_id for each in store.queue.runs()].count(run.run_id) == 1


def test_a_study_that_lost_runs_tells_how_many() -> None:
    less = read(STUDY.text.replace("[0.0, 0.9]", "[0.9]"))
    more = read(STUDY.text.replace("[0.0, 0.9]", "[0.0, 0.5, 0.9]"))
    assert (left_behind(STUDY, less), left_behind(STUDY, more), left_behind(None, less)) == (
        2,
        0,
        0,
    )


def test_results_are_means_over_seeds_by_what_is_compared(store: Store) -> None:
    first, _, second, _ = STUDY.specs  # both at rate 0
    tell_finished(store, first, 0.4)
    tell_finished(store, second, 0.6)
    grid = grid_so_far(standing_of(store, STUDY))
    low, high = grid.at(0, 0), grid.at(1, 0)
    assert grid.rows == ((0.0,), (0.9,))
    assert low is not None
    assert (len(low.finished), len(low.specs)) == (2, 2)
    accuracy = low.estimate(OOD)
    assert accuracy is not None
    assert accuracy.n == 2
    assert accuracy.mean == pytest.approx(0.5)
    assert high is not None
    assert (high.estimate(OOD), high.finished) == (None, ())


def test_a_seed_without_every_cell_says_nothing_of_chance(store: Store) -> None:
    study = read(
        STUDY.text.replace("seeds = 2", 'seeds = 3\nchoose = ["lr"]').replace(
            "dropout_rate = [0.0, 0.9]", "lr = [1e-3, 1e-4]"
        )
    )
    accuracies = {(0, 1e-3): 0.5, (0, 1e-4): 0.3, (1, 1e-3): 0.7, (1, 1e-4): 0.3, (2, 1e-3): 0.9}
    for spec in study.specs:
        if (accuracy := accuracies.get((spec.seed, spec.lr))) is not None:
            tell_finished(store, spec, accuracy)
    (found,) = grid_so_far(standing_of(store, study)).cells.values()
    assert (found.estimate(ID), found.estimate(OOD)) == (None, None), "a run is missing"
    ids, oods = ID.estimate(found.results), OOD.estimate(found.results)
    assert oods is not None
    assert oods.mean == pytest.approx((0.7 + 0.3) / 2)
    assert oods.deviation == pytest.approx(statistics.stdev((0.4, 0.5)))
    assert (oods.n, len(found.finished), len(found.specs)) == (2, 5, 6)
    assert ids is not None
    assert ids.mean == pytest.approx(0.8)


@pytest.mark.parametrize("count", [4, 6])
def test_results_tell_id_and_ood_and_fit_the_terminal(store: Store, count: int) -> None:
    targets = ["art_painting", "cartoon", "photo", "sketch", "quickdraw", "infograph"][:count]
    study = read(STUDY.text)
    specs = [
        msgspec.structs.replace(spec, target=target) for target in targets for spec in study.specs
    ]
    study = dataclasses.replace(
        study, specs=tuple(specs), identities=tuple(map(run_identity, specs))
    )
    for spec in specs[:-1]:
        tell_finished(store, spec, 0.568)
    lines = list(result_lines(standing_of(store, study), 80))
    assert max(map(len, lines)) <= 80
    assert [line.split()[1:-1] for line in lines if line.startswith("dropout ")] == (
        [targets] if count == 4 else [targets[:4], targets[4:]]
    )
    assert lines[2].split() == ["0", *["80.0/56.8±0.0"] * 4, "8"]
    assert lines[-1].split()[-2:] == ["1/2", "7/8" if count == 4 else "3/4"]


def test_only_what_got_somewhere_goes_on_from_a_checkpoint() -> None:
    broken_off = [make_run(at, step=step, status="failed") for at, step in enumerate([0, 7, 9])]
    assert list(going_on(broken_off)) == [
        "2 resume from the last checkpoint",
        "1 restarts from step 0",
    ]
    assert list(going_on(broken_off[:1])) == ["1 restarts from step 0"]
    assert list(going_on([])) == []


def test_a_study_that_compares_nothing_has_one_named_row(store: Store) -> None:
    study = dataclasses.replace(read(STUDY.text), compare=())
    lines = list(result_lines(standing_of(store, study), 80))
    assert lines[2].split()[:2] == ["all", "runs"]


def test_time_and_disk_are_as_of_earlier_runs(store: Store) -> None:
    assert cost(store, standing_of(store, STUDY)) == StudyCost(
        runs=4, unknown=4, largest=cost(store, standing_of(store, STUDY)).largest
    )
    run = tell_run(store)  # 4 s of preparing, 10 s of steps, 2 evaluations of 1 s
    found = cost(store, standing_of(store, STUDY))
    told = [spec for spec, _ in standing_of(store, STUDY).to_launch]
    assert (found.runs, found.unknown) == (len(told), 0)
    assert found.wall_s == pytest.approx(16 * len(told))
    assert found.wall_from is not None
    assert found.wall_from.run_id == run.run_id
    assert found.disk_bytes == 1000 * len(told), "the last checkpoint is not kept"
    assert found.largest is not None
    assert (found.largest.name, found.largest.values) == ("dropout_rate", 2)


def test_soups_of_a_tuning_study_count_for_time_and_disk(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A soup takes as many evaluations as it makes, and keeps a network."""
    monkeypatch.setattr("vld_tui.study.define.datasets.work_on_datasets", ask_once)
    datasets = HomeDatasets(store.home)
    fields = {"steps": 20, "eval_every": 10, "head_steps": 0}
    request = TuneRequest(data="emoji", fields=fields, rates=(0.9,))
    tuning, grid = Tuning(name="tune", request=request), request.grid(3e-4, 1e-4)
    standing = planned(store, tuning, grid, datasets)
    tell_run(store, msgspec.structs.replace(standing.study.specs[0], seed=9))
    with_soups = cost_to_launch(store, standing, datasets)
    without = cost_to_launch(store, dataclasses.replace(standing, further=()), datasets)
    assert (with_soups.runs, without.runs) == (15 + 2, 15)
    assert with_soups.disk_bytes == (without.disk_bytes or 0) + 2 * 1000
    # 4 s of preparing each, 6 and 8 evaluations of 1 s, and hardly any steps
    assert without.wall_s + 2 * 4 + 6 + 8 < with_soups.wall_s < without.wall_s + 2 * 4 + 14 + 20
    assert with_soups.largest == without.largest


def test_targets_are_counted_within_a_data_set() -> None:
    study = read('name = "x"\ndata = ["one", "two"]\n[cross]\ntarget = "all"\n')
    counts = value_counts(study.specs)
    assert (counts["dataset"], counts["target"], counts["seed"]) == (2, 3, 1)


def test_runs_that_cannot_honour_a_setting_are_refused_and_old_ones_still_shown(
    store: Store,
) -> None:
    long = read('name = "long"\n[fields]\nwarmup_steps = 500\ntarget = "lineart"\n')
    with pytest.raises(StudyError, match="long: warmup_steps is 500, but the run has 200 steps"):
        refuse_misfits(store.home, standing_of(store, long))
    store.runs.create(long.specs[0])
    refuse_misfits(store.home, standing_of(store, long))


def test_drops_are_for_the_cells_that_have_the_step_schedule(store: Store) -> None:
    drops = 'name = "d"\n[fields]\nlr_drops = [100]\ntarget = "lineart"\n'
    refuse_misfits(
        store.home, standing_of(store, read(drops + '[cross]\nschedule = ["step", "cosine"]\n'))
    )
    with pytest.raises(StudyError, match="lr_drops is 100, but schedule is 'cosine'"):
        refuse_misfits(store.home, standing_of(store, read(drops)))


def test_a_rising_dropout_rate_is_for_the_cells_with_a_high_one(store: Store) -> None:
    rising = 'name = "r"\n[fields]\ndropout_schedule = "linear"\ntarget = "emoji"\n'
    refuse_misfits(
        store.home, standing_of(store, read(rising + "[cross]\ndropout_rate = [0, 0.5, 0.9]\n"))
    )
    with pytest.raises(StudyError, match="dropout_schedule is 'linear', but dropout_rate is 0"):
        refuse_misfits(
            store.home, standing_of(store, read(rising + "[cross]\ndropout_rate = [0]\n"))
        )


@pytest.mark.parametrize(
    ("setting", "without", "with_effect"),
    [
        ("masks = 4", "dropout_rate = [0]", "dropout_rate = [0, 0.9]"),
        ("average_from = 50", 'arms = [["swad"]]', 'arms = [["swad"], ["ensemble"]]'),
        ("swad_ratio = 2", "arms = [[]]", 'arms = [[], ["swad"]]'),
        ("outlier_batch_size = 8", 'outliers = ["none"]', 'outliers = ["none", "emoji"]'),
        ("linear_start = 'authors'", 'tuning = ["full"]', 'tuning = ["full", "linear"]'),
        (
            "mask_basis = 'pca'\nmask_basis_every = 9",
            "dropout_rate = [0]",
            "dropout_rate = [0, 1e-1]",
        ),
        ("teacher = 'study'", 'objective = ["erm"]', 'objective = ["erm", "confreg"]'),
        ("vrex_weight = 5", 'objective = ["erm", "coral"]', 'objective = ["erm", "vrex+coral"]'),
    ],
)
def test_a_setting_may_have_no_effect_in_some_runs_but_not_in_all(
    setting: str, without: str, with_effect: str, store: Store
) -> None:
    text = f'name = "s"\n[fields]\ntarget = "emoji"\n{setting}\n[cross]\n'
    refuse_misfits(store.home, standing_of(store, read(text + with_effect)))
    with pytest.raises(StudyError, match=f"{setting.partition(' ')[0]} is .*, or drop --"):
        refuse_misfits(store.home, standing_of(store, read(text + without)))


def test_a_run_that_cannot_be_read_is_made_again(store: Store) -> None:
    done = tell_finished(store, STUDY.specs[0])
    assert standing_of(store, STUDY).finished == (done,)
    with closing(sqlite3.connect(store.home.database)) as connection, connection:
        connection.execute("UPDATE runs SET spec = 'garbage'")
    assert store.runs.get(done.run_id).status == "damaged"
    assert standing_of(store, STUDY).missing == STUDY.specs
