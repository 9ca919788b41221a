"""Secrets among the variables of jobs are passed by name, and stored nowhere."""

from __future__ import annotations

import stat

import pytest

from tests.vld_tui.cli.conftest import Vld
from vld_tui.home import Home
from vld_tui.launch.slurm.commands import SlurmError
from vld_tui.launch.slurm.settings import (
    change_profile,
    export_option,
    is_secret,
    keep_profile,
    read_profile,
    refuse_secrets,
)

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
