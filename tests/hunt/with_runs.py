"""Situations with training: stopped, resumed, killed, repeated, diverged."""

from __future__ import annotations

import json
import os
import signal
import subprocess

from engine.protocol import (
    Combination,
    CombinationSpec,
    Evaluated,
    Parent,
    RunFailed,
    StepsTaken,
)
from engine.rundir import RunDir
from tests.hunt.workplace import Workplace, results
from tests.small_runs import LONGER_RUN, read_events, run_here, start_engine
from tests.waiting import wait_until
from vld_tui.home import open_home
from vld_tui.store.store import Store

SCHEDULED = {"steps": 12, "eval_every": 4, "schedule": "cosine", "warmup_steps": 3}


def _rates(run: RunDir) -> dict[int, float]:
    return {event.step: event.lr for event in read_events(run) if isinstance(event, StepsTaken)}


def the_rate_begins_again_on_resume(place: Workplace) -> None:
    folder = place.images()
    whole, broken = place.train(folder, **SCHEDULED), place.make(folder, **SCHEDULED)
    place.stop_and_resume(broken, 9)
    assert _rates(broken) == _rates(whole)


def a_resumed_run_differs(place: Workplace) -> None:
    folder = place.images()
    whole, broken = place.train(folder, **SCHEDULED), place.make(folder, **SCHEDULED)
    place.stop_and_resume(broken, 8, 9)
    assert results(broken) == results(whole)
    assert broken.best_checkpoint.read_bytes() == whole.best_checkpoint.read_bytes() or (
        _tensors(broken) == _tensors(whole)
    )


def _tensors(run: RunDir) -> dict[str, list[float]]:
    from safetensors.torch import load_file

    tensors = load_file(run.best_checkpoint)
    return {name: tensor.flatten().tolist() for name, tensor in tensors.items()}


def ctrl_c_is_pressed_again_and_again(place: Workplace) -> None:
    folder = place.images()
    whole = place.train(folder, **SCHEDULED)
    for presses in (1, 2, 3):
        run = place.make(folder, **SCHEDULED)
        process = start_engine(run)
        wait_until(lambda run=run: _rates(run))  # type: ignore[misc]
        for _ in range(presses):
            process.send_signal(signal.SIGINT)
        assert process.wait(60) in (0, 130, -signal.SIGINT)
        if not _is_over(run):
            run_here(run)
        assert results(run) == results(whole)


def _is_over(run: RunDir) -> bool:
    return type(read_events(run)[-1]).__name__ == "RunFinished"


def a_checkpoint_is_half_written(place: Workplace) -> None:
    folder = place.images()
    whole, broken = place.train(folder, **SCHEDULED), place.make(folder, **SCHEDULED)
    process = start_engine(broken)
    wait_until(broken.last_checkpoint.exists)
    process.kill()
    process.wait(60)
    half = broken.last_checkpoint.read_bytes()[:1000]
    broken.last_checkpoint.with_name(".last.safetensors.0.tmp").write_bytes(half)
    with broken.events.open("ab") as log:
        log.write(b'{"type":"steps_taken","seq":9')
    if not _is_over(broken):
        run_here(broken)
    assert results(broken) == results(whole)


def a_run_stopped_between_evaluations_goes_on_there(place: Workplace) -> None:
    run = place.make(place.images(), **SCHEDULED)
    place.stop_and_resume(run, 10)
    steps = [event.step for event in read_events(run) if isinstance(event, StepsTaken)]
    assert steps == sorted(set(steps))


def results_depend_on_the_number_of_threads(place: Workplace) -> None:
    folder = place.images()
    one, two, parts = (
        place.train(folder, **fields)
        for fields in ({"threads": 1}, {"threads": 2}, {"micro_batch_size": 4})
    )
    for other in (two, parts):
        assert _accuracies(other) == _accuracies(one)


def accuracy_depends_on_the_evaluation_batch(place: Workplace) -> None:
    folder = place.images()
    one, many = (place.train(folder, eval_batch_size=size) for size in (1, 32))
    assert _accuracies(one) == _accuracies(many)


def _accuracies(run: RunDir) -> list[tuple[int, float | None, float | None]]:
    return [
        (event.step, event.id_accuracy, event.ood_accuracy)
        for event in read_events(run)
        if isinstance(event, Evaluated)
    ]


def a_dead_run_is_running_for_weeks(place: Workplace) -> None:
    run, process = _at_work(place)
    process.kill()
    process.wait(60)
    shown = place.vld.json("show", run.run_id)
    assert shown["status"] == "crashed"


def _at_work(place: Workplace) -> tuple[RunDir, subprocess.Popen[bytes]]:
    """Return a long run and the process that is at it."""
    run = place.make(place.images(), **{**LONGER_RUN, "target": "red", "steps": 10_000})
    process = start_engine(run)
    wait_until(lambda: _rates(run))
    return run, process


def a_failed_run_is_finished(place: Workplace) -> None:
    run = place.make(place.images(), lr=1000.0, steps=40, grad_clip=None)
    assert start_engine(run).wait(60) == 1
    assert place.vld.json("show", run.run_id)["status"] == "failed"
    refused = place.make(place.images("other"), target="nowhere")
    assert start_engine(refused).wait(60) == 2


def a_run_killed_on_purpose_has_crashed(place: Workplace) -> None:
    run, process = _at_work(place)
    killed = place.vld("stop", "--kill", run.run_id)
    assert killed.exit_code == 0, killed.output
    process.wait(60)
    assert place.vld.json("show", run.run_id)["status"] == "stopped"


def one_odd_number_stops_every_list(place: Workplace) -> None:
    folder = place.images()
    good = place.train(folder)
    refused = place.vld("run", "--data", str(folder), "--target", "red", "--lr", "inf")
    assert refused.exit_code == 2
    assert "--lr is inf" in refused.stderr
    bad = place.make(folder)
    spec = json.loads(bad.spec.read_text())
    bad.spec.write_text(json.dumps({**spec, "lr": None}))
    for file in place.vld.home.glob("vld.db*"):
        file.unlink()
    place.vld("rebuild")
    listed = {run["run"]: run["status"] for run in place.vld.json("ls")}
    assert listed == {good.run_id: "finished", bad.run_id: "damaged"}
    diverged = place.make(folder, lr=1000.0, steps=40)
    assert start_engine(diverged).wait(60) == 1
    assert isinstance(read_events(diverged)[-1], RunFailed)
    assert place.vld("show", diverged.run_id).exit_code == 0


def many_write_at_once(place: Workplace) -> None:
    run = place.train(place.images())
    writers = [place.vld.start("tag", run.run_id, f"+t{number}") for number in range(6)]
    for writer in writers:
        _, complaint = writer.communicate(timeout=60)
        assert writer.returncode == 0, complaint
    assert set(place.vld.json("show", run.run_id)["tags"]) >= {f"t{n}" for n in range(6)}


def the_home_is_moved(place: Workplace) -> None:
    folder = place.images()
    runs = [place.train(folder, seed=seed, trial_seed=0) for seed in (0, 1)]
    place.vld("ls")
    moved = place.path / "moved"
    os.replace(place.vld.home, moved)
    there = type(place.vld)(moved)
    assert there.json("show", runs[0].run_id)["status"] == "finished"
    home = open_home(moved)
    networks = [home.run_dir(run.run_id) for run in runs]
    parents = tuple(Parent(run.run_id, str(run.best_checkpoint)) for run in networks)
    combination = Combination(method="soup", parents=parents)
    with Store.open(home) as store:
        task = CombinationSpec.of(networks[0].read_spec(), combination)
        soup = store.runs.run_dir(store.runs.create(task).run_id)
    run_here(soup)
    assert _is_over(soup)


def warm_up_and_cosine_do_not_fit_the_run(place: Workplace) -> None:
    folder = str(place.images())
    words = ("run", "--data", folder, "--target", "red", "--steps", "10", "--dry-run")
    made = place.vld(*words, "--json")
    spec = json.loads(made.stdout)
    assert spec["warmup_steps"] < 10
    refused = place.vld(*words, "--warmup-steps", "500")
    assert refused.exit_code == 2
    assert "--warmup-steps" in refused.output
