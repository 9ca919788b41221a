"""``vld profile``, and what ``vld queue hold`` says of a run with a job."""

from __future__ import annotations

import pytest

from tests.vld_tui.cli.conftest import Vld
from tests.vld_tui.launch.slurm_programs import Programs
from vld_tui.runs.run import Run


def test_every_setting_is_replaced_in_the_same_way(vld: Vld) -> None:
    vld("profile", "set", "default", "mem=8G", "setup=module load cuda", "setup=ulimit -n 4096")
    values = vld.json("profile", "show")
    assert values == {"mem": "8G", "setup": ["module load cuda", "ulimit -n 4096"]}
    vld("profile", "set", "default", "mem=9G", "setup=module load cuda/12")
    assert vld.json("profile", "show") == {"mem": "9G", "setup": ["module load cuda/12"]}


@pytest.mark.parametrize("nothing", ["", "none"])
def test_a_setting_without_a_value_is_as_the_cluster_has_it(vld: Vld, nothing: str) -> None:
    vld("profile", "set", "small", "account=me", "cpus=4", "setup=module load cuda", "time=30")
    vld("profile", "set", "small", *(f"{name}={nothing}" for name in ("account", "cpus", "setup")))
    assert vld.json("profile", "show", "small") == {"time": "30"}


def test_an_option_can_take_back_what_a_profile_says(
    vld: Vld, programs: Programs, submitted: Run
) -> None:
    vld("profile", "set", "default", "account=me", "mem=8G", "sbatch=hold")
    took_back = ("--account", "none", "--sbatch", "none")
    assert vld("run", "--on", "slurm", *took_back).exit_code == 0
    (script,) = vld.home.glob("jobs/*/*_submission.sh")
    assert "--mem=8G" in script.read_text()
    assert "--account" not in script.read_text()
    assert "--hold" not in script.read_text()


def test_the_profile_that_goes_unsaid_is_shown_without_a_name(vld: Vld) -> None:
    refused = vld("profile", "show")
    assert refused.exit_code == 2
    assert "No profile 'default'." in refused.stderr
    vld("profile", "set", "default", "mem=8G")
    assert vld("profile", "show").stdout == "default\n  mem  8G\n"


def test_what_was_done_is_said(vld: Vld, programs: Programs, submitted: Run) -> None:
    vld("profile", "set", "small", "time=30")
    assert vld("profile", "rm", "small").stdout == "deleted profile small\n"
    programs.says("squeue", "7_0|PENDING|Priority|\n")
    run = submitted.run_id
    held = f"{run} held; to release: vld queue release {run}\n"
    assert vld("queue", "hold", run).stdout == held
    assert vld("queue", "release", run).stdout == f"{run} released\n"


def test_profiles_that_are_invalid_are_named_on_a_line_each(vld: Vld) -> None:
    vld("profile", "set", "old", "mem=8G")
    (vld.home / "profiles" / "old.toml").write_text("bogus = 1\n")
    (told,) = vld("profile", "ls").stderr.splitlines()
    assert told.startswith("profile old is invalid: ")
    assert "'bogus'. Settings: partition," in told
