"""Runs of another home, brought by rsync through a stand-in for ssh that stays on this machine."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import msgspec
import pytest

from engine.protocol import resolve_spec
from engine.rundir import JobInfo, ProcessInfo, RunDir, write_atomic
from tests.made_evaluations import make_evaluation
from tests.vld_tui.cli.conftest import Vld
from tests.vld_tui.store.told_runs import Teller
from vld_tui.home import Home, open_home
from vld_tui.launch.sync import SyncError, fetch_runs
from vld_tui.store.errors import StoreError
from vld_tui.store.store import Store
from vld_tui.study.define.tuning import read_tuning

pytestmark = pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")

SSH = """\
#!/bin/sh
while [ "$1" != cluster ]; do
  [ $# = 0 ] && { echo "ssh: Could not resolve hostname" >&2; exit 255; }
  shift
done
shift
exec sh -c "$*"
"""


@pytest.fixture(autouse=True)
def _ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ssh"
    program.write_text(SSH)
    program.chmod(0o755)
    monkeypatch.setenv("RSYNC_RSH", str(program))


@pytest.fixture
def there(tmp_path: Path) -> Home:
    """Return a home elsewhere with one finished run."""
    home = open_home(tmp_path / "there")
    with Store.open(home) as store:
        run = store.runs.create(resolve_spec({"steps": 20}), name="done")
    teller = Teller(home.run_dir(run.run_id))
    teller.starts()
    teller.finishes()
    checkpoints = teller.run_dir.checkpoints
    checkpoints.mkdir(exist_ok=True)
    (checkpoints / "best.safetensors").write_bytes(b"large")
    (home.path / "studies").mkdir()
    (home.path / "studies" / "mine.toml").write_text('name = "mine"\n')
    return home


@pytest.fixture
def vld(tmp_path: Path) -> Vld:
    return Vld(tmp_path / "here")


def source_of(home: Home, host: str = "me@cluster") -> str:
    return f"{host}:{home.path}"


def test_runs_come_without_their_networks_and_once(there: Home, vld: Vld) -> None:
    first = vld("sync", source_of(there))
    assert first.exit_code == 0, first.stderr
    assert first.stdout.startswith("updated 1 run · studies: 1\n")
    (record,) = vld.json("ls")
    assert (record["name"], record["status"]) == ("done", "finished")
    here = Home(vld.home)
    assert not here.run_dir(record["run"]).checkpoints.exists()
    assert (here.studies / "mine.toml").is_file()
    assert vld("sync", source_of(there)).stdout == "Already up to date.\n"
    assert vld("sync", source_of(there), "--checkpoints").exit_code == 0
    assert here.run_dir(record["run"]).best_checkpoint.read_bytes() == b"large"


def test_evaluations_come_with_their_runs_and_those_of_here_stay(there: Home, vld: Vld) -> None:
    [run_dir] = [RunDir(path) for path in there.runs.iterdir()]
    run_dir.write_evaluation(make_evaluation(name="theirs"))
    vld("sync", source_of(there))
    copy = Home(vld.home).run_dir(run_dir.run_id)
    copy.write_evaluation(make_evaluation(name="ours"))
    run_dir.write_evaluation(make_evaluation(name="later"))
    assert vld("sync", source_of(there)).exit_code == 0
    record = vld.json("show", run_dir.run_id)
    assert {each["name"] for each in record["evaluations"]} == {"theirs", "ours", "later"}


def test_what_was_noted_here_is_kept_when_more_comes(there: Home, vld: Vld) -> None:
    past = time.time() - 2  # rsync tells times apart by whole seconds
    for path in there.runs.rglob("*"):
        os.utime(path, (past, past))
    vld("sync", source_of(there))
    (record,) = vld.json("ls")
    assert vld("note", record["run"], "seen").exit_code == 0
    with Store.open(there) as store:
        store.runs.create(resolve_spec({"steps": 20, "seed": 1}), name="new")
    assert "updated 1 run" in vld("sync", source_of(there)).stdout
    by_name = {each["name"]: each for each in vld.json("ls")}
    assert by_name["done"]["note"] == "seen"
    assert set(by_name) == {"done", "new"}


def test_a_run_that_goes_on_there_is_told_as_of_then(there: Home, vld: Vld) -> None:
    with Store.open(there) as store:
        run = store.runs.create(resolve_spec({"steps": 20, "seed": 2}), name="live")
    teller = Teller(there.run_dir(run.run_id))
    teller.starts()
    elsewhere = ProcessInfo(pid=7, started_at=time.time(), host="node3")
    write_atomic(teller.run_dir.process, msgspec.json.encode(elsewhere))
    vld("sync", source_of(there))
    here = Home(vld.home).run_dir(run.run_id)
    long_ago = time.time() - 3600
    for path in (here.events, here.synced):
        os.utime(path, (long_ago, long_ago))
    write_atomic(
        here.process, msgspec.json.encode(msgspec.structs.replace(elsewhere, started_at=long_ago))
    )
    assert vld.json("ls", "--where", "name=live")[0]["status"] == "running"
    assert f"Run {run.run_id} is a read-only copy" in vld("stop", "live").stderr
    teller.finishes()
    vld("sync", source_of(there))
    assert vld.json("ls", "--where", "name=live")[0]["status"] == "finished"


def test_a_run_that_waits_there_for_its_job_waits_here_and_is_not_started(
    there: Home, vld: Vld
) -> None:
    with Store.open(there) as store:
        run = store.runs.create(resolve_spec({"steps": 20, "seed": 3}), name="waits")
        store.jobs.mark_submitted({run.run_id: JobInfo("7", time.time(), "/log")})
    vld("sync", source_of(there))
    with Store.open(Home(vld.home)) as here:
        assert here.runs.get("waits").status == "queued"
        assert here.queue.runs() == []
    assert "is a read-only copy" in vld("stop", "waits").stderr


def test_a_run_that_was_stopped_before_its_job_ran_is_stopped_here_and_waits_for_none(
    there: Home, vld: Vld
) -> None:
    with Store.open(there) as store:
        run = store.runs.create(resolve_spec({"steps": 20, "seed": 3}), name="waits")
        store.jobs.mark_submitted({run.run_id: JobInfo("7", time.time(), "/log")})
        there.run_dir(run.run_id).ask_to_stop("asked from here")
        store.jobs.take_out(run.run_id)
    vld("sync", source_of(there))
    with Store.open(Home(vld.home)) as here:
        assert here.runs.get("waits").status == "stopped"
        assert here.queue.runs() == here.jobs.runs() == []


def test_a_damaged_folder_is_named_and_the_others_come(there: Home, vld: Vld) -> None:
    damaged = there.runs / "damaged"
    damaged.mkdir()
    (damaged / "spec.json").write_text("{")
    result = vld("sync", source_of(there))
    assert result.exit_code == 0
    assert "cannot read damaged" in result.stderr
    assert {each["run"]: each["status"] for each in vld.json("ls")}.pop("damaged") == "damaged"
    assert {each["name"] for each in vld.json("ls")} == {"done", "damaged"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("me@cluster:/nowhere", "me@cluster:/nowhere is not a home: it has no runs/"),
        ("me@other:/home", "rsync could not copy all of me@other:/home/runs/: ssh: Could not"),
        ("me@cluster:", "is not a home"),
        ("", "is not a home"),
        ("-oProxyCommand=touch x:/home", "is not a host"),
        ("me@-oProxyCommand=x:/home", "is not a host"),
        ("-x@cluster:/home", "is not a host"),
        (":/home", "is not a host"),
    ],
)
def test_what_cannot_be_brought_is_said(vld: Vld, source: str, message: str) -> None:
    result = vld("sync", "--", source)
    assert result.exit_code == 2
    assert message in result.stderr
    assert ("No run was copied." in result.stderr) == source.startswith("me@other")


def test_a_home_is_not_brought_to_itself(there: Home) -> None:
    with pytest.raises(SyncError, match="is this home"):
        fetch_runs(there, str(there.path))


def test_an_option_is_no_place(there: Home) -> None:
    with pytest.raises(SyncError, match="is not a home"):
        fetch_runs(there, "--rsh=touch /tmp/x")


def test_without_rsync_it_says_so(there: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SyncError, match="rsync not found"):
        fetch_runs(there, "cluster:/home")


def test_what_is_this_homes_own_stays_so(there: Home, vld: Vld) -> None:
    vld("sync", source_of(there))
    back = Vld(there.path)
    assert back("sync", f"cluster:{vld.home}").stdout == "Already up to date.\n"
    (record,) = back.json("ls")
    assert not there.run_dir(record["run"]).is_copy


def test_what_came_before_it_broke_off_is_there_and_a_copy(there: Home, vld: Vld) -> None:
    with Store.open(there) as store:
        run = store.runs.create(resolve_spec({"steps": 20, "seed": 4}), name="broken")
    log = there.run_dir(run.run_id).path / "engine.log"
    log.symlink_to("/nowhere/at/all")  # no regular file, and no name of a run
    (there.runs / "unreadable").mkdir()
    (there.runs / "unreadable" / "spec.json").symlink_to("loop")
    first = vld("sync", source_of(there))
    assert first.exit_code == 0, first.stderr
    assert {each["name"] for each in vld.json("ls")} == {"done", "broken"}
    assert Home(vld.home).run_dir(run.run_id).is_copy


def test_a_sync_that_fails_keeps_what_came_and_says_why(
    there: Home, vld: Vld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "rsync").write_text(
        f'#!/bin/sh\n{shutil.which("rsync")} "$@"; echo "connection closed" >&2; exit 12\n'
    )
    (programs / "rsync").chmod(0o755)
    with monkeypatch.context() as patched:
        patched.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        broken = vld("sync", source_of(there))
    assert broken.exit_code == 2
    assert "rsync could not copy all" in broken.stderr
    assert "connection closed" in broken.stderr
    assert "Copied runs are kept. To copy the rest, run the command again." in broken.stderr
    (record,) = vld.json("ls")
    assert Home(vld.home).run_dir(record["run"]).is_copy


def test_a_copy_can_be_thrown_away_and_is_never_queued(there: Home, vld: Vld) -> None:
    with Store.open(there) as store:
        run = store.runs.create(resolve_spec({"steps": 20, "seed": 5}), name="waits")
        store.jobs.mark_submitted({run.run_id: JobInfo("7", time.time(), "/log")})
    vld("sync", source_of(there))
    with Store.open(Home(vld.home)) as here:
        here.jobs.close(run.run_id)
        with pytest.raises(StoreError, match="is a read-only copy"):
            here.queue.add(run.run_id)
    assert vld("rm", "waits").exit_code == 0
    assert "Already up to date" in vld("sync", source_of(there)).stdout
    assert [each["name"] for each in vld.json("ls")] == ["done"]
    assert vld("restore", "waits").exit_code == 0


@pytest.fixture
def large(there: Home) -> list[str]:
    """Give the home elsewhere three more runs with long logs, and return the ids of all."""
    with Store.open(there) as store:
        for seed in (11, 12, 13):
            run = store.runs.create(resolve_spec({"steps": 20, "seed": seed}), name=f"large{seed}")
            (there.run_dir(run.run_id).log).write_bytes(os.urandom(400_000))
        return sorted(each.name for each in there.runs.iterdir())


RSYNC_THAT_IS_KILLED = """\
#!/bin/sh
case "$*" in *runs/*) ;; *) exec {rsync} "$@" ;; esac
{rsync} --bwlimit=600 "$@" &
pid=$!
sleep {after}
kill -{signal} $pid
wait $pid
"""


@pytest.mark.parametrize("signal_name", ["TERM", "KILL"])
@pytest.mark.parametrize("after_s", ["0.2", "1.2"])
def test_a_sync_that_was_killed_brings_the_rest_the_next_time(
    there: Home, large: list[str], vld: Vld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    signal_name: str, after_s: str,
) -> None:  # fmt: skip
    programs = tmp_path / "programs"
    programs.mkdir()
    rsync = shutil.which("rsync")
    text = RSYNC_THAT_IS_KILLED.format(rsync=rsync, after=after_s, signal=signal_name)
    (programs / "rsync").write_text(text)
    (programs / "rsync").chmod(0o755)
    with monkeypatch.context() as patched:
        patched.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        broken = vld("sync", source_of(there))
    assert broken.exit_code == 2
    assert broken.stderr.endswith(", run the command again.\n")
    here = Home(vld.home)
    names = [each.name for each in here.runs.iterdir() if not each.name.startswith(".")]
    assert len(names) < len(large)
    assert all(here.run_dir(name).is_copy and here.run_dir(name).spec.is_file() for name in names)
    assert "cannot be read" not in vld("rebuild").stderr

    assert vld("sync", source_of(there)).exit_code == 0
    assert sorted(each.name for each in here.runs.iterdir()) == large
    for name in large:
        assert here.run_dir(name).is_copy
        brought = {each.name for each in here.run_dir(name).path.iterdir()}
        assert brought - {"synced"} == {
            each.name for each in there.run_dir(name).path.iterdir()
        } - {"checkpoints"}
    assert len(vld.json("ls")) == len(large)
    assert vld("sync", source_of(there)).stdout == "Already up to date.\n"


def test_what_is_not_whole_there_either_does_not_come(there: Home, vld: Vld) -> None:
    partial = there.runs / ".incoming" / "half"
    partial.mkdir(parents=True)
    (partial / "events.jsonl").write_text("{}")
    assert vld("sync", source_of(there)).exit_code == 0
    assert [each.name for each in Home(vld.home).runs.iterdir()] == [vld.json("ls")[0]["run"]]


def test_empty_folders_of_an_earlier_broken_sync_are_filled(there: Home, vld: Vld) -> None:
    (name,) = [each.name for each in there.runs.iterdir()]
    (vld.home / "runs" / name / "checkpoints").mkdir(parents=True)
    assert vld("sync", source_of(there)).exit_code == 0
    assert [each["name"] for each in vld.json("ls")] == ["done"]
    assert Home(vld.home).run_dir(name).is_copy


def test_a_study_of_ones_own_is_kept_and_theirs_written_next_to_it(there: Home, vld: Vld) -> None:
    mine = vld.home / "studies" / "mine.toml"
    mine.parent.mkdir(parents=True)
    mine.write_text('name = "mine"\nseeds = 1\n')
    os.utime(mine, (1, 1))  # older than theirs
    first = vld("sync", source_of(there))
    assert "kept your study mine.toml" in first.stdout
    assert "--overwrite" in first.stdout
    assert mine.read_text() == 'name = "mine"\nseeds = 1\n'
    theirs = mine.with_name("mine.toml.theirs")
    assert theirs.read_text() == 'name = "mine"\n'
    assert vld("sync", source_of(there)).stdout == "Already up to date.\n"
    assert "overwrote study mine.toml" in vld("sync", source_of(there), "--overwrite").stdout
    assert mine.read_text() == 'name = "mine"\n'
    assert not theirs.exists()


def test_a_study_that_was_brought_follows_theirs_until_it_is_changed_here(
    there: Home, vld: Vld
) -> None:
    mine, theirs = (home / "studies" / "mine.toml" for home in (vld.home, there.path))
    vld("sync", source_of(there))
    theirs.write_text('name = "mine"\nseeds = 3\n')
    assert "studies: 1" in vld("sync", source_of(there)).stdout
    assert mine.read_text() == theirs.read_text()
    mine.write_text('name = "mine"\nseeds = 4\n')
    theirs.write_text('name = "mine"\nseeds = 5\n')
    assert vld.json("sync", source_of(there))["studies_kept"] == ["mine.toml"]
    assert mine.read_text() == 'name = "mine"\nseeds = 4\n'


def test_a_tuning_study_arrives_with_what_was_settled(there: Home, vld: Vld) -> None:
    (there.studies / "tune-pets.toml").write_text('name = "tune-pets"\n')
    settled = there.studies / "tune-pets.tune.json"
    settled.write_text('{"name":"tune-pets","request":{"data":"pets"}}')
    (there.studies / "tune-pets.slurm.json").write_text("{}")
    assert "studies: 2" in vld("sync", source_of(there)).stdout
    tuning = read_tuning(Home(vld.home), "tune-pets")
    assert tuning is not None
    assert tuning.request.data == "pets"
    assert not (vld.home / "studies" / "tune-pets.slurm.json").exists()  # where it ran there
    settled.write_text('{"name":"tune-pets","request":{"data":"pets","seeds":5}}')
    assert "studies: 1" in vld("sync", source_of(there)).stdout


def test_a_note_of_ones_own_outlives_a_later_one_there(there: Home, vld: Vld) -> None:
    vld("sync", source_of(there))
    (record,) = vld.json("ls")
    assert vld("note", record["run"], "mine").exit_code == 0
    back = Vld(there.path)
    assert back("note", record["run"], "theirs").exit_code == 0
    later = time.time() + 60
    os.utime(there.run_dir(record["run"]).user, (later, later))
    vld("sync", source_of(there))
    assert vld.json("ls")[0]["note"] == "mine"
    vld("sync", source_of(there), "--overwrite")
    assert vld.json("ls")[0]["note"] == "theirs"
