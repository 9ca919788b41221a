"""Links, pipes and text that somebody planted in a run's folder lead nowhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.__main__ import EXIT_FAILED, EXIT_REFUSED, main
from engine.model.tensor_file import write_tensors
from engine.rundir.event_log import EventLog
from engine.rundir.lock import held
from tests.hostile.planted import OBEYED
from tests.small_runs import MakeRun
from tests.vld_tui.cli.conftest import Vld
from vld_tui.launch.local import LaunchError, launch
from vld_tui.runs.run_folder import read_log

SECRET = b"somebody's own\n"
WRITTEN = ("engine.log", "engine.lock", "events.jsonl", "heartbeat", "writer.lock")
READ = (
    "spec.json", "events.jsonl", "process.json", "exit.json", "job.json", "stop.json", "user.json",
    "predictions.json", "predictions.bin", "combination.json", "engine.log",
)  # fmt: skip


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    file = tmp_path / "victim"
    file.write_bytes(SECRET)
    os.utime(file, (0, 0))
    return file


def plant(path: Path, target: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


@pytest.mark.parametrize("is_there", [True, False], ids=["file", "dangling"])
@pytest.mark.parametrize("name", [each for each in WRITTEN if each != "engine.log"])
def test_the_engine_writes_and_locks_nothing_through_a_link(
    make_run: MakeRun, victim: Path, capsys: pytest.CaptureFixture[str], name: str, is_there: bool
) -> None:
    run_dir = make_run()
    target = victim if is_there else victim.with_name("new")
    plant(run_dir.path / name, target)
    assert main([str(run_dir.path)]) == EXIT_FAILED
    assert f"{name} is a symbolic link" in capsys.readouterr().err
    assert (victim.read_bytes(), victim.stat().st_mtime) == (SECRET, 0)
    assert target.exists() == is_there


def test_no_run_is_started_whose_log_is_a_link(make_run: MakeRun, victim: Path) -> None:
    run_dir = make_run()
    plant(run_dir.log, victim)
    with pytest.raises(LaunchError, match=r"Cannot start run .*: .*engine\.log is a symbolic link"):
        launch(run_dir, ["/bin/echo", "touch pwned"])
    assert victim.read_bytes() == SECRET


def test_what_is_kept_for_a_full_disk_and_temporary_files_replace_links(
    make_run: MakeRun, victim: Path
) -> None:
    run_dir = make_run()
    plant(run_dir.path / ".events.jsonl.reserve.tmp", victim)
    log = EventLog(run_dir.events)
    log.reserve_space()
    log.close()
    run_dir.checkpoints.mkdir()
    plant(run_dir.checkpoints / f".last.safetensors.{os.getpid()}.tmp", victim)
    write_tensors(run_dir.last_checkpoint, {}, b"{}")
    assert victim.read_bytes() == SECRET
    assert not run_dir.last_checkpoint.is_symlink()


@pytest.mark.parametrize("name", READ)
def test_nothing_is_read_through_a_link(make_run: MakeRun, tmp_path: Path, name: str) -> None:
    run_dir = make_run()
    target = tmp_path / "elsewhere"
    target.write_bytes(b'{"secret": "of somebody"}\n')
    plant(run_dir.path / name, target)
    home = run_dir.path.parents[1]
    for command in (["rebuild"], ["ls"], ["show", run_dir.run_id], ["logs", run_dir.run_id]):
        result = Vld(home)(*command)
        assert "of somebody" not in result.stdout + result.stderr
        assert "Traceback" not in result.stderr


@pytest.mark.parametrize("name", READ)
@pytest.mark.timeout(60)
def test_a_pipe_makes_nobody_wait(make_run: MakeRun, name: str) -> None:
    run_dir = make_run()
    (run_dir.path / name).unlink(missing_ok=True)
    os.mkfifo(run_dir.path / name)
    home = run_dir.path.parents[1]
    for command in (["rebuild"], ["ls"], ["logs", run_dir.run_id]):
        assert "Traceback" not in Vld(home)(*command).stderr


def test_a_log_shown_in_the_dashboard_is_no_link(make_run: MakeRun, victim: Path) -> None:
    run_dir = make_run()
    plant(run_dir.log, victim)
    assert read_log(run_dir.log, 1000) == ((), False)


def test_a_lock_is_held_on_no_link(tmp_path: Path, victim: Path) -> None:
    plant(tmp_path / "lock", victim)
    with pytest.raises(OSError, match="symbolic link"), held(tmp_path / "lock"):
        pass


@pytest.mark.parametrize(
    "fields",
    [
        {"data_dir": "/nowhere\ntouch pwned\n#\x1b]0;x\x07\x9b2J\u202e"},
        {"weights": "/nowhere\ntouch pwned\n#\x1b[2J.safetensors"},
        {"model": "no\ntouch pwned\n#\x1b[2J"},
        {"target": "no\ntouch pwned\n#\x1b[2J"},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_no_value_brings_a_line_or_an_escape_into_the_log(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str], fields: dict[str, object]
) -> None:
    assert main([str(make_run(**fields).path)]) == EXIT_REFUSED
    told = capsys.readouterr().err
    assert "touch pwned" in told
    assert not any(line.lstrip().startswith("touch") for line in told.splitlines())
    assert not OBEYED & set(told)
