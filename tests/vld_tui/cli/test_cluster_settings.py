"""What commands ask of a cluster: by options, by profile, as last time, and in a dry run."""

from __future__ import annotations

import json
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
    file.write_text('name = "two"\ndata = ["emoji"]\n[fields]\ngpus = 2\ntarget = "noto"\n')
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


def dry(vld: Vld, *words: str) -> list[str]:
    """Return what is said of the cluster by a dry run, and see to it that nothing is made."""
    told = vld(*words, "--on", "slurm", "--dry-run")
    assert list((vld.home / "runs").glob("*")) == []
    labels = ("cluster", "problem", "caution")
    lines = [line for line in told.stdout.splitlines() if line.startswith(labels)]
    has_problem = any(line.startswith("problem") for line in lines)
    assert told.exit_code == (2 if has_problem else 0), told.stderr
    return lines


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            [],
            "5 jobs in 2 arrays · partition main · time 1h 30m · 1 GPU · default cores · "
            "default memory",
        ),
        (
            ["--pack", "2", "--time", "20", "--cpus", "8", "--mem", "32G", "--gpus-per-run", "0"],
            "3 jobs in 1 array of up to 2 runs one after another · partition main · time 20m 00s · "
            "no GPU · 8 cores · memory 32G",
        ),
        (
            ["--runs-per-gpu", "5"],
            "1 job of up to 5 runs concurrently · partition main · time 1h 30m · 1 GPU · "
            "default cores · default memory",
        ),
    ],
)
def test_a_dry_run_says_what_would_be_submitted(
    vld: Vld, programs: Programs, tmp_path: Path, options: list[str], told: str
) -> None:
    file = tmp_path / "rates.toml"
    file.write_text('name = "rates"\ndata = ["emoji"]\nseeds = 5\n[cross]\ntarget = ["noto"]\n')
    assert dry(vld, "sweep", str(file), *options) == [f"cluster   {told}"]
    (tried,) = (command for command in programs.asked if command.startswith("sbatch"))
    assert tried.startswith("sbatch --test-only ")
    record = vld.json("sweep", str(file), "--on", "slurm", "--dry-run", *options)["cluster"]
    assert [jobs["runs"] for jobs in record["jobs"]] == [5]
    assert record["problems"] == []


def test_a_dry_run_says_what_the_cluster_would_refuse(
    vld: Vld, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    (line,) = dry(vld, "run", "--partition", "mian")
    assert line.startswith("problem   No partition 'mian' on this cluster. Did you mean")
    assert dry(vld, "run", "--time", "91")[1] == (
        "problem   time is 91, but the limit of main is 90 minutes; use --time 90 or less."
    )
    monkeypatch.setattr("vld_tui.launch.slurm.commands.most_submitted", lambda: 0)
    programs.complains("sbatch", "allocation failure: Requested node configuration is not ...\n")
    assert dry(vld, "run")[1:] == [
        "problem   the cluster accepts 0 more of your jobs now, not 1 (MaxSubmitJobs).",
        "problem   sbatch: allocation failure: Requested node configuration is not ...",
    ]
    told = vld("run", "--on", "slurm", "--dry-run", "--dropout", "0.9", "--json")
    assert told.exit_code == 2
    record = json.loads(told.stdout)
    assert record["problems"] == record["cluster"]["problems"]
    assert record["spec"]["dropout_rate"] == 0.9
    assert record["cluster"]["jobs"][0]["minutes"] == 90
    assert len(record["cluster"]["problems"]) == 2


def test_a_dry_run_without_a_cluster_to_ask_says_so(
    vld: Vld, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs.complains("scontrol", "", told="Slurmctld(primary) at n1 is DOWN\n")
    (line,) = dry(vld, "run")
    assert line.startswith(
        "caution   the cluster was not checked: Slurm's controller does not answer"
    )
    monkeypatch.setenv("PATH", "/nowhere")
    (line,) = dry(vld, "run")
    assert line.startswith(
        "caution   the cluster was not checked: Slurm is not installed on this machine"
    )
    assert (
        "Slurm is not installed"
        in vld.json("run", "--on", "slurm", "--dry-run")["cluster"]["unchecked"]
    )
