"""``doctor``, ``models`` and ``data`` with the engine's answers given."""

import re
import shutil
import sys
from typing import Any

import pytest

from tests.vld_tui.cli.conftest import Vld
from tests.vld_tui.launch.slurm_programs import Programs
from tests.waiting import wait_until
from vld_tui.launch.local import LaunchError, ask_engine

MACHINE: dict[str, Any] = {
    "python": "3.11.7",
    "platform": "Linux",
    "versions": {"torch": "2.14", "timm": "1.0"},
    "devices": [{"device": "cpu", "name": "AMD EPYC", "memory_gib": 23.5}],
    "cpu_threads": 2,
    "precisions": {"cpu": ["fp32", "bf16"]},
    "packaged_weights": ["tf_efficientnet_lite0"],
}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what the engine says of this machine, to be changed by a test."""
    answer = dict(MACHINE)
    monkeypatch.setattr("vld_tui.cli.doctor.ask_engine", lambda _subject: answer)
    monkeypatch.setenv("PATH", "/nowhere")  # and no Slurm
    return answer


def test_a_sound_installation(vld: Vld, machine: dict[str, Any]) -> None:
    result = vld("doctor")
    assert result.exit_code == 0, result.output
    for part in (
        "✓ engine     torch 2.14, timm 1.0",
        "✓ cpu        AMD EPYC, 23.5 GiB: fp32, bf16",
        "✓ weights    tf_efficientnet_lite0",
        "✓ database   integrity ok",
        f"✓ home       {vld.home}",
        "✓ slurm      not installed",
    ):
        assert part in result.stdout
    assert "✗" not in result.stdout


def test_notifications_that_cannot_be_sent_are_no_failure(
    vld: Vld, machine: dict[str, Any]
) -> None:
    assert "✓ notify     off" in vld("doctor").stdout
    vld("config", "set", "notify.webhook", "$VLD_MISSING")
    result = vld("doctor")
    assert result.exit_code == 0
    assert "! notify     notifications are on hold: VLD_MISSING" in result.stdout
    vld("config", "set", "notify.webhook", "https://example.org")
    assert "✓ notify     webhook, on finished, failed" in vld("doctor").stdout


@pytest.mark.parametrize(
    ("found", "told"),
    [({"packaged_weights": []}, "✗ weights"), ({"precisions": {"cpu": []}}, "✗ cpu")],
)
def test_what_is_missing_is_marked_and_fails(
    vld: Vld, machine: dict[str, Any], found: dict[str, Any], told: str
) -> None:
    machine.update(found)
    result = vld("doctor")
    assert result.exit_code == 1
    assert told in result.stdout


def test_slurm_is_asked_where_it_is(
    vld: Vld, machine: dict[str, Any], programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "✓ slurm      reachable; submitit 1." in vld("doctor").stdout
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert "! slurm      Submitting to Slurm needs the package submitit" in vld("doctor").stdout
    programs.complains("scontrol", "", told="Slurmctld(primary) at n1 is DOWN\n")
    result = vld("doctor")
    assert result.exit_code == 0, "nothing is broken here"
    assert "! slurm      Slurm's controller does not answer: it is down on n1" in result.stdout


def test_a_damaged_database_is_found(vld: Vld, machine: dict[str, Any]) -> None:
    (vld.home / "vld.db").write_bytes(b"this is no database at all" * 100)
    result = vld("doctor")
    assert result.exit_code == 1
    assert "✗ database" in result.stdout
    assert "✓ engine" in result.stdout


def test_an_engine_that_cannot_answer_leaves_the_other_checks(
    vld: Vld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_subject: str) -> None:
        raise LaunchError("The engine failed: No module named 'torch'")

    monkeypatch.setattr("vld_tui.cli.doctor.ask_engine", fail)
    result = vld("doctor")
    assert result.exit_code == 1
    assert "✗ engine     The engine failed: No module named 'torch'" in result.stdout
    assert "✓ database" in result.stdout


def test_too_little_disk_is_marked(
    vld: Vld, machine: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vld_tui.cli.doctor.LEAST_FREE_BYTES", 2**70)
    result = vld("doctor")
    assert result.exit_code == 1
    assert "✗ disk" in result.stdout


def test_an_engine_that_fails_is_told_by_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(LaunchError, match="The engine failed: no reason given"):
        ask_engine("doctor")


def test_networks_can_be_searched(vld: Vld, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def answer(*words: str) -> list[dict[str, str]]:
        asked.append(words)
        return [{"name": "vit_tiny", "weights": "hub"}] if "vit" in words else []

    monkeypatch.setattr("vld_tui.cli.models.ask_engine", answer)
    assert "vit_tiny  timm's hub: needs a network" in vld("models", "ls", "vit").stdout
    assert vld.json("models", "ls", "vit") == [{"name": "vit_tiny", "weights": "hub"}]
    missing = vld("models", "ls", "nothing")
    assert (missing.exit_code, asked[-1]) == (2, ("models", "nothing"))


def test_the_machine_is_printed_once_without_a_terminal(history: Vld) -> None:
    for result in (history("top"), history("top", "--once")):
        assert result.exit_code == 0, result.output
        assert re.search(r"^processor  +\d+% of \d+ · load \d", result.stdout, re.MULTILINE)
        assert re.search(r"^memory  +[\d.]+/\d+ GiB$", result.stdout, re.MULTILINE)
        assert "No running runs." in result.stdout
        assert "\x1b" not in result.stdout
    record = history.json("top")
    assert record["runs"] == []
    assert 0 <= record["cpu_share"] <= 1
    assert record["memory_gib"] <= record["memory_total_gib"]
    assert history("top", "--every", "0").exit_code == 2


def test_running_runs_are_listed_with_what_they_use(history: Vld) -> None:
    with history.start("run", "--model", "wait", "--steps", "100", "--name", "busy") as run:
        try:
            wait_until(lambda: [each["name"] for each in history.json("top")["runs"]] == ["busy"])
            (busy,) = history.json("top")["runs"]
            assert busy["memory_gib"] > 0
            assert 0 <= busy["cpu_share"] <= 1
            assert "1 running run\n" in history("top", "--once").stdout
        finally:
            assert history("stop", "busy").exit_code == 0
            run.communicate(timeout=60)
