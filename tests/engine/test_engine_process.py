"""The engine as a process: it ends with one terminal event, and resumes bit for bit."""

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from engine.errors import InputError, TrainingError
from engine.protocol import (
    TERMINAL_EVENTS,
    AnyEvent,
    ArmEvaluated,
    Cautioned,
    CheckpointSaved,
    DataPrepared,
    Evaluated,
    HeadTrained,
    ModelPrepared,
    PhaseReported,
    RunFailed,
    RunFinished,
    RunStarted,
    RunStopped,
    StepsTaken,
    SystemSampled,
)
from engine.protocol.datasets import LeftOut
from engine.rundir import ExitInfo, RunDir
from engine.rundir.event_log import EventLog
from engine.train.checkpoint import load_last
from tests.small_runs import MakeRun, read_events, run_here, start_engine
from tests.waiting import wait_until

DEADLINE_S = 120.0

Moment = Callable[[list[AnyEvent]], bool]


def run_to_its_end(run_dir: RunDir) -> int:
    return start_engine(run_dir).wait(timeout=DEADLINE_S)


def signal_when(run_dir: RunDir, number: int, reached: Moment) -> tuple[int, bool]:
    """Start the engine and signal it as soon as its events say so; return its exit code."""
    process = start_engine(run_dir)
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        if reached(read_events(run_dir)):
            process.send_signal(number)
            return process.wait(timeout=DEADLINE_S), True
        time.sleep(0.002)
    return process.wait(timeout=1), False


def measured(run_dir: RunDir) -> dict[tuple[object, ...], object]:
    """Return every deterministic value of a run's events, the last one told winning, and what
    is kept of its predictions."""
    values: dict[tuple[object, ...], object] = {}
    values["predictions",] = run_dir.read_predictions()
    for event in read_events(run_dir):
        if isinstance(event, StepsTaken):
            values["loss", event.step] = (event.loss, event.lr, event.head_lr)
        elif isinstance(event, HeadTrained):
            values["head",] = event.loss
        elif isinstance(event, Evaluated | ArmEvaluated):
            arm = event.arm if isinstance(event, ArmEvaluated) else "own"
            values["best", arm, event.step] = (
                event.is_best, event.id_accuracy, event.ood_accuracy
            )  # fmt: skip
            for metric in event.metrics:
                key = (event.step, metric.split, metric.domain, metric.arm, metric.name)
                values[key] = metric.value
        elif isinstance(event, RunFinished):
            values["finished",] = (
                event.step, event.selected_step, event.id_accuracy, event.ood_accuracy
            )  # fmt: skip
    return values


def step_of(events: list[AnyEvent]) -> int:
    return max((event.step for event in events if isinstance(event, StepsTaken)), default=0)


@pytest.mark.usefixtures("cold_starts")
def test_a_run_tells_its_story_and_finishes(make_run: MakeRun) -> None:
    run_dir = make_run()
    assert run_to_its_end(run_dir) == 0
    events = read_events(run_dir)
    assert [event.seq for event in events] == list(range(len(events)))
    kinds = [
        type(event) for event in events if not isinstance(event, PhaseReported | SystemSampled)
    ]
    assert kinds[:5] == [RunStarted, DataPrepared, ModelPrepared, Cautioned, HeadTrained]
    phases = dict.fromkeys(event.phase for event in events if isinstance(event, PhaseReported))
    assert [*phases][:3] == ["finding_images", "decoding_images", "building_network"]
    assert {"measuring_features", "caching_features", "training_last_layer"} <= phases.keys()
    assert {"evaluating", "saving_checkpoint", "training"} <= phases.keys()
    assert len(kinds) < len(events) < 2 * len(kinds), "few phases of a short run are reported"
    assert kinds[-1] is RunFinished
    assert sum(kind in TERMINAL_EVENTS for kind in kinds) == 1
    evaluated = [event for event in events if isinstance(event, Evaluated)]
    assert [event.step for event in evaluated] == [0, 8, 16, 24]
    prepared = next(event for event in events if isinstance(event, DataPrepared))
    assert prepared.target == "fluent-mono"
    assert len(prepared.digest) == 32
    assert (prepared.layout, prepared.reading, prepared.left_out) == ("plain", "", ())
    assert {(domain.in_images, domain.out_images) for domain in prepared.domains} == {(39, 9)}

    finished = events[-1]
    assert isinstance(finished, RunFinished)
    best = max(evaluated, key=lambda event: (event.id_accuracy, -event.step))
    assert finished.selected_step == best.step
    assert (finished.id_accuracy, finished.ood_accuracy) == (best.id_accuracy, best.ood_accuracy)
    saved_best = [e.step for e in events if isinstance(e, CheckpointSaved) and e.kind == "best"]
    assert saved_best == [event.step for event in evaluated if event.is_best]


def test_the_same_seed_gives_the_same_run_and_another_does_not(make_run: MakeRun) -> None:
    first, second = make_run("first"), make_run("second")
    other = make_run("other", seed=1, trial_seed=0)
    assert run_to_its_end(first) == 0
    run_here(second)
    run_here(other)
    assert measured(first) == measured(second)
    assert measured(first) != measured(other)


def the_data_is_prepared(events: list[AnyEvent]) -> bool:
    return any(isinstance(event, DataPrepared) for event in events)


def the_evaluation_of_step_16_is_told(events: list[AnyEvent]) -> bool:
    return any(isinstance(event, Evaluated) and event.step == 16 for event in events)


def steps_are_taken(step: int) -> Moment:
    return lambda events: step_of(events) >= step


@pytest.mark.parametrize(
    ("fields", "moments"),
    [
        (
            {"arms": ["averaged", "ensemble"], "average_from": 3, "average_every": 2},
            [
                the_data_is_prepared,
                steps_are_taken(4),
                the_evaluation_of_step_16_is_told,
                steps_are_taken(20),
            ],
        ),
        (
            {
                "optimizer": "sgd",
                "transforms": "pil",
                "schedule": "step",
                "lr_drops": [12],
                "objective": "groupdro",
            },
            [steps_are_taken(12)],
        ),
        (
            {"target": "none", "arms": ["averaged", "swad", "ensemble"], "average_from": 3},
            [steps_are_taken(4), the_evaluation_of_step_16_is_told],
        ),
    ],
    ids=["arms", "sgd-pil-groupdro", "no-target"],
)
def test_killed_at_any_moment_and_resumed_it_is_the_run_never_interrupted(
    make_run: MakeRun, fields: dict[str, object], moments: list[Moment]
) -> None:
    whole = make_run("whole", **fields)
    run_here(whole)
    broken = make_run("broken", **fields)
    kills = 0
    for moment in moments:
        code, killed = signal_when(broken, signal.SIGKILL, moment)
        kills += killed and code == -signal.SIGKILL
    assert kills >= max(1, len(moments) - 1)  # the last may find the run at its end
    assert not any(isinstance(event, TERMINAL_EVENTS) for event in read_events(broken)[:-1])
    if not isinstance(read_events(broken)[-1], RunFinished):
        assert run_to_its_end(broken) == 0
    assert measured(broken) == measured(whole)
    files = sorted(path.name for path in whole.checkpoints.iterdir())
    assert files == sorted(path.name for path in broken.checkpoints.iterdir())
    for file in files:
        theirs = load_file(whole.checkpoints / file)
        ours = load_file(broken.checkpoints / file)
        assert theirs.keys() == ours.keys()
        assert all(bool((theirs[name] == ours[name]).all()) for name in theirs)


def test_asked_to_stop_it_saves_says_so_and_goes_on_where_it_was(make_run: MakeRun) -> None:
    whole = make_run("whole")
    run_here(whole)
    run_dir = make_run("stopped", steps=24)
    code, signalled = signal_when(run_dir, signal.SIGTERM, steps_are_taken(4))
    assert signalled
    assert code == 130
    stopped = read_events(run_dir)[-1]
    assert isinstance(stopped, RunStopped)
    assert stopped.reason == "SIGTERM"
    assert 4 <= stopped.step < 24
    run_here(run_dir)
    started = [event for event in read_events(run_dir) if isinstance(event, RunStarted)]
    assert [event.attempt for event in started] == [1, 2]
    assert started[1].resumed_step == stopped.step
    assert measured(run_dir) == measured(whole)


def test_two_engines_on_one_run_the_second_gives_way(make_run: MakeRun) -> None:
    run_dir = make_run(steps=100_000)
    first = start_engine(run_dir)
    try:
        wait_until(lambda: read_events(run_dir))
        second = start_engine(run_dir)
        assert second.wait(timeout=DEADLINE_S) == 3
        assert f"already running as process {first.pid}" in run_dir.log.read_text()
        assert sum(isinstance(event, RunStarted) for event in read_events(run_dir)) == 1
    finally:
        first.kill()
        first.wait()


def test_unusable_input_is_refused_before_anything_ran(make_run: MakeRun) -> None:
    run_dir = make_run(model="resnt18")
    assert run_to_its_end(run_dir) == 2
    failed = read_events(run_dir)[-1]
    assert isinstance(failed, RunFailed)
    assert failed.refused
    assert "Did you mean resnet18" in failed.message
    assert not run_dir.checkpoints.exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"target": "fluent-monk"}, "Did you mean fluent-mono"),
        ({"device": "cuda:77"}, "no device 'cuda:77'"),
        ({"weights": "/nowhere.pth"}, "no weight file /nowhere.pth"),
        ({"data_dir": None, "dataset": "emojy"}, "Did you mean emoji"),
        ({"data_dir": "/nowhere"}, "/nowhere"),
    ],
)
def test_what_is_unusable_is_named(
    make_run: MakeRun, fields: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run_here(make_run(**fields))


def test_a_damaged_checkpoint_stops_the_run_and_is_left_alone(make_run: MakeRun) -> None:
    run_dir = make_run()
    run_here(run_dir)
    damaged = run_dir.last_checkpoint.read_bytes()[:-1000]
    run_dir.last_checkpoint.write_bytes(damaged)
    assert run_to_its_end(run_dir) == 1
    failed = read_events(run_dir)[-1]
    assert isinstance(failed, RunFailed)
    assert "is damaged" in failed.message
    assert run_dir.last_checkpoint.read_bytes() == damaged


def test_a_loss_that_is_not_finite_fails_the_run_and_keeps_the_checkpoint(
    make_run: MakeRun,
) -> None:
    run_dir = make_run(lr=1e3, head_lr_factor=1e6, optimizer="sgd")
    assert run_to_its_end(run_dir) == 1
    failed = read_events(run_dir)[-1]
    assert isinstance(failed, RunFailed)
    assert not failed.refused
    assert f"The loss of step {failed.step} is" in failed.message
    assert "lower --lr" in failed.message
    assert run_dir.last_checkpoint.exists()


def test_asked_through_its_folder_it_stops_and_does_not_go_on_before_it_is_let(
    make_run: MakeRun,
) -> None:
    run_dir = make_run(steps=100_000)
    process = start_engine(run_dir)
    try:
        wait_until(lambda: steps_are_taken(2)(read_events(run_dir)))
        run_dir.ask_to_stop("asked from elsewhere")
        assert process.wait(timeout=DEADLINE_S) == 130
    finally:
        process.kill()
        process.wait()
    stopped = read_events(run_dir)[-1]
    assert isinstance(stopped, RunStopped)
    assert stopped.reason == "asked from elsewhere"
    assert stopped.step >= 2
    told = len(read_events(run_dir))
    assert run_to_its_end(run_dir) == 130
    again = read_events(run_dir)[told:]
    assert not any(isinstance(event, StepsTaken) for event in again)


def test_the_process_describes_itself_and_beats(make_run: MakeRun) -> None:
    run_dir = make_run(steps=100_000)
    process = start_engine(run_dir)
    try:
        wait_until(lambda: read_events(run_dir))
        described = run_dir.read_process()
        assert described is not None
        assert described.pid == process.pid
        assert described.is_alive()
        assert time.time() - run_dir.heartbeat.stat().st_mtime < 60
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert described.is_alive() is False
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(("birth", "exit_code"), [("boot 1", None), ("boot 2", -11), (None, -11)])
def test_the_end_of_the_attempt_before_is_that_of_its_process(
    make_run: MakeRun, birth: str | None, exit_code: int | None
) -> None:
    run_dir = make_run(steps=100_000)
    log = EventLog(run_dir.events)
    log.record(
        RunStarted(
            protocol_version=1, attempt=1, pid=7, host="node", resumed_step=None, versions={},
            commit=None, birth="boot 2",
        )
    )  # fmt: skip
    log.close()
    run_dir.write_exit(ExitInfo(-11, 1e9, pid=7, birth=birth))
    signal_when(run_dir, signal.SIGKILL, lambda events: len(events) > 1)
    again = read_events(run_dir)[1]
    assert isinstance(again, RunStarted)
    assert again.previous_end is not None
    assert again.previous_end.exit_code == exit_code
    described = run_dir.read_process()
    assert described is not None
    assert again.birth == described.birth


def test_a_folder_that_is_no_run_is_wrong_usage(make_run: MakeRun) -> None:
    run_dir = make_run()
    run_dir.spec.unlink()
    assert run_to_its_end(run_dir) == 2
    assert "is not a run folder" in run_dir.log.read_text()


def test_a_run_does_not_go_on_with_other_images(make_run: MakeRun, tmp_path: Path) -> None:
    images = tmp_path / "images"
    shutil.copytree(make_run("whole").read_spec().data_dir or "", images)
    run_dir = make_run("changed", data_dir=str(images), dataset="mine", steps=8)
    run_here(run_dir)
    next(images.rglob("*.webp")).unlink()
    with pytest.raises(InputError, match="have changed since this run started"):
        run_here(run_dir)


def test_a_run_does_not_resume_with_another_exclude_list(make_run: MakeRun, tmp_path: Path) -> None:
    images = Path(make_run("whole").read_spec().data_dir or "")
    first, *_, last = sorted(path.relative_to(images) for path in images.rglob("*.webp"))
    file = tmp_path / "list.csv"
    file.write_text(f"path,action,class\n{first},exclude,\n{last},keep,\n")
    run_dir = make_run("excluding", exclude=str(file), steps=8)
    run_here(run_dir)
    (prepared,) = [each for each in read_events(run_dir) if isinstance(each, DataPrepared)]
    assert prepared.left_out == (LeftOut("images that --exclude lists", 1, str(first)),)
    run_here(run_dir)
    other = first.parent.name
    for text, words in (
        (f"{last}\n", "have changed since this run started"),
        (f"path,action,class\n{first},exclude,\n{last},relabel,{other}\n", "have changed since"),
        (None, "exclude list .* cannot be read: No such file"),
    ):
        file.unlink() if text is None else file.write_text(text)
        with pytest.raises(InputError, match=words):
            run_here(run_dir)


def test_images_that_vanish_in_mid_run_fail_it_and_refuse_nothing(
    make_run: MakeRun, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    shutil.copytree(make_run("whole").read_spec().data_dir or "", images)
    run_dir = make_run("gone", data_dir=str(images), dataset="mine", transforms="pil", steps=4000)

    def vanish(events: list[AnyEvent]) -> bool:
        if any(isinstance(event, CheckpointSaved) for event in events):
            shutil.rmtree(images, ignore_errors=True)
            return True
        return False

    process = start_engine(run_dir)
    while process.poll() is None and not vanish(read_events(run_dir)):
        time.sleep(0.05)
    assert process.wait(timeout=60) == 1
    (failed,) = [event for event in read_events(run_dir) if isinstance(event, RunFailed)]
    assert not failed.refused
    assert "can no longer be read" in failed.message
    assert run_dir.last_checkpoint.exists()


def test_a_network_that_diverged_is_not_saved_over_a_sound_checkpoint(make_run: MakeRun) -> None:
    run_dir = make_run(
        "diverges",
        lr=1e3,
        head_lr_factor=1e6,
        optimizer="sgd",
        steps=2,
        eval_every=1,
        log_every=10,
        warmup_steps=0,
    )
    with pytest.raises(TrainingError, match="NaN or infinite"):
        run_here(run_dir)
    checkpoint = load_last(run_dir.last_checkpoint)
    assert checkpoint is not None
    assert checkpoint.state.step == 1
    weights = checkpoint.part("network.").values()
    assert all(bool(tensor.isfinite().all()) for tensor in weights if tensor.is_floating_point())
