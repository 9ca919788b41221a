"""What a dry run says of a cluster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.vld_tui.cli.conftest import Vld
from tests.vld_tui.launch.slurm_programs import Programs


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
    file.write_text('name = "rates"\nseeds = 5\n[cross]\ntarget = ["noto"]\n')
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
