"""What ``vld resume`` and others ask of a cluster, by options, by profile, and as the last time."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.protocol import Event, resolve_spec, spec_of
from tests.vld_tui.cli.conftest import Vld
from tests.vld_tui.launch.slurm_programs import Programs
from tests.vld_tui.store.told_runs import Teller, dead_process, model_prepared, started, stopped
from vld_tui.cli.reporters import LineReporter
from vld_tui.runs.progress import Progress
from vld_tui.runs.run import Run
from vld_tui.store.store import Store


def leave(store: Store, run: str) -> None:
    """Have the job of a run be over, if it has one, after some steps."""
    Teller(store.runs.run_dir(run)).starts()
    Teller(store.runs.run_dir(run)).says(stopped(4))
    store.runs.get(run)
    store.jobs.close(run)


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ((), {"time": "60"}),
        (("--mem", "8G"), {"time": "60", "mem": "8G"}),
        (("--on", "slurm", "--mem", "8G"), {"time": "60", "mem": "8G"}),
        (("--profile", "default", "--mem", "8G"), {"account": "me", "mem": "8G"}),
    ],
)
def test_a_run_is_submitted_again_as_it_was_but_for_what_is_named(
    vld: Vld,
    store: Store,
    programs: Programs,
    submitted: Run,
    options: Sequence[str],
    asked: dict[str, str],
) -> None:
    vld("profile", "set", "default", "account=me")
    leave(store, submitted.run_id)
    again = vld("resume", submitted.run_id, *options)
    assert again.exit_code == 0, again.stderr
    job = store.runs.run_dir(submitted.run_id).read_job()
    assert job is not None
    assert job.settings == asked


def test_a_run_that_was_on_no_cluster_goes_to_one_as_the_profile_says(
    vld: Vld, store: Store, programs: Programs
) -> None:
    vld("profile", "set", "default", "account=me")
    run = store.runs.create(resolve_spec({"steps": 20}))
    leave(store, run.run_id)
    refused = vld("resume", run.run_id, "--mem", "8G")
    assert refused.exit_code == 2
    assert "--mem applies only to cluster runs; add --on slurm." in refused.stderr
    assert vld("resume", run.run_id, "--on", "slurm", "--mem", "8G").exit_code == 0
    job = store.runs.run_dir(run.run_id).read_job()
    assert job is not None
    assert job.settings == {"account": "me", "mem": "8G"}


@pytest.mark.parametrize("given", ["0", "4"])
def test_other_gpus_than_share_each_batch_are_refused(
    vld: Vld, store: Store, programs: Programs, tmp_path: Path, given: str
) -> None:
    told = f"--gpus-per-run is {given}, but the run uses 2 GPUs (gpus = 2)"
    cluster = ("--on", "slurm", "--gpus-per-run", given)
    assert told in vld("run", "--gpus", "2", *cluster).stderr
    file = tmp_path / "two.toml"
    file.write_text('name = "two"\n[fields]\ngpus = 2\ntarget = "noto"\n')
    assert told in vld("sweep", str(file), *cluster).stderr
    run = store.runs.create(resolve_spec({"steps": 20, "gpus": 2}))
    leave(store, run.run_id)
    assert told in vld("resume", run.run_id, *cluster).stderr
    assert not store.home.jobs.exists()


def test_gpus_of_each_run_may_be_those_that_share_a_batch_or_a_profiles(
    vld: Vld, programs: Programs
) -> None:
    vld("profile", "set", "default", "gpus_per_run=4")
    for options in ((), ("--gpus-per-run", "2")):
        done = vld("run", "--gpus", "2", "--on", "slurm", *options)
        assert done.exit_code == 0, done.stderr


@pytest.mark.parametrize("gpus", ["0", "65"])
def test_gpus_to_go_on_on_are_checked_as_those_of_a_new_run(
    vld: Vld, store: Store, gpus: str
) -> None:
    run = store.runs.create(resolve_spec({"steps": 20}))
    leave(store, run.run_id)
    told = vld("resume", run.run_id, "--gpus", gpus)
    assert told.exit_code == 2
    assert told.stderr == vld("run", "--gpus", gpus).stderr
    assert f"gpus is {gpus}, but must be" in told.stderr


def test_a_run_that_goes_on_on_fewer_gpus_is_shown_on_those(
    vld: Vld, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = store.runs.create(resolve_spec({"model": "finish", "steps": 20, "gpus": 2}))
    Teller(store.runs.run_dir(run.run_id)).says(started(), model_prepared(), stopped(0))
    dead_process(store.runs.run_dir(run.run_id), exit_code=130)
    shown: list[tuple[int, bool]] = []

    class Watched(LineReporter):
        def show(self, progress: Progress, events: Sequence[Event]) -> None:
            shown.append((spec_of(self._task).ranks, progress.model is None))
            super().show(progress, events)

    def make_reporter(run: Run, **_: object) -> Watched:
        return Watched(run, stream=sys.stdout)

    monkeypatch.setattr("vld_tui.cli.follow.make_reporter", make_reporter)
    assert vld("resume", run.run_id, "--gpus", "1").exit_code == 0
    assert shown[0] == (1, True), "nothing of the attempt before"
    assert shown[-1] == (1, False)
