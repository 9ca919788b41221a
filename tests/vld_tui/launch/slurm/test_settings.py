from __future__ import annotations

import stat
from typing import Any

import pytest

from tests.vld_tui.cli.conftest import Vld
from vld_tui.home import Home
from vld_tui.launch.slurm.commands import SlurmError, minutes_of
from vld_tui.launch.slurm.settings import (
    change_profile,
    export_option,
    keep_profile,
    make_settings,
    profile_names,
    read_profile,
    refuse_secrets,
    remove_profile,
    settings_as_values,
)
from vld_tui.words.secrets import is_secret


@pytest.mark.parametrize(
    ("time", "minutes"),
    [("90", 90), ("90:01", 91), ("4:00:00", 240), ("1-12", 2160), ("1-0:30", 1470), ("0:0:1", 1)],
)
def test_times_are_read_as_slurm_writes_them(time: str, minutes: int) -> None:
    assert minutes_of(time) == minutes


@pytest.mark.parametrize("time", ["", "4h", "-1", "1-", "UNLIMITED", "1:2:3:4"])
def test_other_words_are_no_times(time: str) -> None:
    assert minutes_of(time) is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"partiton": "x"}, "No such setting: 'partiton'. Did you mean partition?"),
        ({"time": "4h"}, "time is '4h', but must be minutes"),
        ({"time": "0"}, "time is '0', but must be minutes"),
        ({"cpus": "many"}, "cpus is 'many', but must be a whole number of at least 1, or none."),
        ({"cpus": "0"}, "cpus is '0', but must be a whole number of at least 1, or none."),
        ({"pack": "-3"}, "pack is '-3', but must be a whole number of at least 1."),
        ({"gpus_per_run": -1}, "gpus_per_run is -1, but must be a whole number of at least 0."),
        ({"partition": ["a"]}, "partition is ['a'], but must be text, or none."),
        ({"setup": 3}, "setup is 3, but must be a list of texts."),
        ({"mem": "16 GB"}, "mem is '16 GB', but must be a size"),
        ({"partition": "a b"}, "partition is 'a b', but must be one word"),
        ({"env": ["2X"]}, "env is '2X', but must be NAME=VALUE"),
        ({"sbatch": ["--exclusive"]}, "long option without leading dashes"),
        ({"sbatch": ["parsable"]}, "parsable is set by vld"),
        ({"sbatch": ["array=0-3"]}, "array is set by vld"),
        ({"setup": ["a\nb"]}, "single lines"),
        ({"gpus_per_run": 2, "runs_per_gpu": 2}, "runs_per_gpu must be 1"),
    ],
)
def test_settings_that_make_no_sense_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SlurmError) as refused:
        make_settings(values)
    assert message in str(refused.value)


def test_runs_that_share_a_gpu_go_on_in_one_job() -> None:
    assert make_settings({}).runs_per_job == 1
    assert make_settings({"pack": "4"}).runs_per_job == 4
    assert make_settings({"runs_per_gpu": "3"}).runs_per_job == 3
    assert make_settings({"runs_per_gpu": "3", "pack": "6"}).runs_per_job == 6


def test_a_profile_is_kept_as_it_was_typed(home: Home) -> None:
    values = {"partition": "gpu", "time": "4:00:00", "env": ["A=b c", 'Q="quoted"'], "cpus": "4"}
    settings = keep_profile(home, "a100", values)
    assert profile_names(home) == ["a100"]
    assert read_profile(home, "a100") == values
    assert make_settings(read_profile(home, "a100")) == settings
    assert make_settings(settings_as_values(settings)) == settings
    assert not stat.S_IMODE((home.profiles / "a100.toml").stat().st_mode) & 0o111
    remove_profile(home, "a100")
    assert profile_names(home) == []


def test_a_changed_profile_keeps_its_comments(home: Home) -> None:
    keep_profile(home, "gpu", {"partition": "gpu", "time": "1:00:00"})
    file = home.profiles / "gpu.toml"
    env = 'env = [\n  "A=1", # first\n]\n'
    file.write_text(f"# big\n{file.read_text()}{env}".replace('"gpu"', '"gpu" # 8 GPUs'))
    change_profile(home, "gpu", {"partition": "a100", "time": None, "cpus": "4"})
    assert file.read_text() == f'# big\npartition = "a100" # 8 GPUs\n{env}cpus = "4"\n'


def test_the_default_profile_goes_unsaid(home: Home) -> None:
    assert read_profile(home, None) == {}
    keep_profile(home, "default", {"partition": "gpu"})
    assert read_profile(home, None) == {"partition": "gpu"}


@pytest.mark.parametrize("name", ["", "a/b", "../x", ".hidden", "a b", "x" * 61])
def test_a_profile_cannot_lie_elsewhere(home: Home, name: str) -> None:
    with pytest.raises(SlurmError, match="must be one word"):
        keep_profile(home, name, {})


def test_a_profile_that_is_not_there_or_damaged_is_named(home: Home) -> None:
    keep_profile(home, "gpu", {})
    with pytest.raises(SlurmError, match=r"No profile 'gpus'\. Did you mean gpu\?"):
        read_profile(home, "gpus")
    (home.profiles / "gpu.toml").write_text("time = [")
    with pytest.raises(SlurmError, match=r"gpu\.toml"):
        read_profile(home, "gpu")


def test_a_damaged_profile_can_be_removed_and_a_number_is_a_time(home: Home) -> None:
    home.profiles.mkdir()
    (home.profiles / "bad.toml").write_text("time = [")
    remove_profile(home, "bad")
    assert profile_names(home) == []
    (home.profiles / "gpu.toml").write_text("time = 90\n")
    assert make_settings(read_profile(home, "gpu")).time == "90"


TOKEN = "hf_" + "a1B2" * 8
OF_OTHERS = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    "setting",
    [
        {"env": [f"HF_TOKEN={TOKEN}"]},
        {"env": f"HF_TOKEN={TOKEN}"},
        {"env": ["A=b", f"WANDB_API_KEY={OF_OTHERS}"]},
        {"env": [f"HARMLESS={TOKEN}"]},
        {"env": ["DB_PASSWORD=correct horse"]},
        {"env": ["https_proxy=http://me:hidden@proxy:3128"]},
        {"setup": [f"export HF_TOKEN={TOKEN}"]},
        {"setup": [f"huggingface-cli login --token {TOKEN}"]},
        {"setup": [f"module load cuda; export AWS_SECRET_ACCESS_KEY='{OF_OTHERS}'"]},
        {"sbatch": [f"export=ALL,HF_TOKEN={TOKEN}"]},
    ],
    ids=repr,
)
def test_a_secret_by_value_is_refused(home: Home, setting: dict[str, object]) -> None:
    with pytest.raises(SlurmError, match="seems to contain a secret") as refused:
        change_profile(home, "default", setting)
    assert "by name" in str(refused.value)
    assert TOKEN not in str(refused.value)
    assert not list(home.profiles.glob("*.toml"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOKENIZERS_PARALLELISM", "false-or-true"), ("HF_TOKEN", "none"), ("KEYBOARD", "x" * 20),
        ("SSH_KEY", "/home/me/.ssh/id_ed25519"), ("HF_TOKEN", "$(cat ~/.token)"),
        ("HF_HOME", "/scratch/hf_cache"), ("PATH", "/usr/bin"), ("MONKEY", "chimpanzee"),
    ],
)  # fmt: skip
def test_what_is_no_secret_is_let_through(name: str, value: str) -> None:
    assert not is_secret(name, value)
    refuse_secrets({"env": [f"{name}={value}"]})


def test_a_profile_from_before_works_is_private_once_changed_and_shows_no_secret(
    home: Home,
) -> None:
    keep_profile(home, "old", {"env": [f"HF_TOKEN={TOKEN}"]})
    change_profile(home, "old", {"partition": "gpu"})
    assert read_profile(home, "old")["env"] == [f"HF_TOKEN={TOKEN}"]
    assert stat.S_IMODE((home.profiles / "old.toml").stat().st_mode) == 0o600
    shown = Vld(home.path)("profile", "show", "old").stdout
    assert "HF_TOKEN" in shown
    assert TOKEN not in shown


def test_a_name_alone_is_a_setting(home: Home) -> None:
    change_profile(home, "default", {"env": ["HF_TOKEN"]})
    assert read_profile(home, "default") == {"env": ["HF_TOKEN"]}
    with pytest.raises(SlurmError, match="must be NAME=VALUE, or NAME"):
        change_profile(home, "default", {"env": ["2x"]})


@pytest.mark.parametrize(
    ("base", "export"),
    [(None, "ALL,A,B"), ("ALL", "ALL,A,B"), ("NONE", "A,B"), ("PATH,X=1", "PATH,X=1,A,B")],
)
def test_what_sbatch_exports(base: str | None, export: str) -> None:
    assert export_option(["A", "B"], base) == export
