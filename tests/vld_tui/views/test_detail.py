"""Estimated cost, configuration, files, status and history of a run as text."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import msgspec
import pytest
from rich.style import Style

from engine.protocol import FIELDS, NETWORK_ARMS, RunSpec, resolve_spec
from engine.rundir import RunDir
from tests.vld_tui.cli.conftest import Vld
from tests.vld_tui.dashboard.fake_history import NOW, make_run
from tests.vld_tui.dashboard.run_facts import FULL, make_attempts, make_progress
from tests.vld_tui.store.told_runs import Teller, finished, started, steps_taken
from tests.waiting import wait_until
from vld_tui.dashboard.draw.log import log_line, log_state, log_tail
from vld_tui.dashboard.feed import HistorySource, Interest
from vld_tui.home import Home
from vld_tui.runs.metrics import CheckpointInfo
from vld_tui.runs.progress import Progress
from vld_tui.runs.run_folder import RunFile, suspended_pid
from vld_tui.store.store import Store
from vld_tui.study.forecast import Forecast
from vld_tui.views.detail import (
    UNKNOWN_PURPOSE,
    configuration,
    configuration_difference,
    run_files,
)
from vld_tui.views.plan import forecast_text
from vld_tui.views.run_status import run_heading, timeline, trouble_line

HIT = Style(reverse=True)
LAST = (CheckpointInfo("last", 150, "checkpoints/last.safetensors", 9),)


def lines(text: object) -> list[str]:
    return [line.rstrip() for line in str(text).splitlines()]


def test_every_field_is_shown_and_those_unlike_the_recipe_stand_out() -> None:
    spec = resolve_spec(
        {"recipe": "paper", "steps": 1000, "lr_drops": [400], "data_dir": "/d/PACS"}
    )
    text = lines(configuration(make_run(0, spec=spec), 100))
    marked = [line.split()[1] for line in text[1:] if line.startswith("●")]
    assert marked == ["dataset", "data", "steps", "lr-drops"]
    assert text[0] == "● 4 fields changed from recipe paper"
    assert any(line.split()[1:] == ["steps", "1000", "recipe:", "10001"] for line in text)
    fitted = configuration(make_run(0, spec=resolve_spec({"steps": 10})), 100)
    assert [line.split()[1] for line in lines(fitted)[1:] if line.startswith("●")] == ["steps"]
    for info in FIELDS.values():
        assert any(info.flag.removeprefix("--") in line.split()[:2] for line in text)
    assert {info.group for info in FIELDS.values()} <= set(text)


def test_a_recipe_of_another_version_is_shown() -> None:
    spec = msgspec.structs.replace(resolve_spec({}), recipe="[b]novel\x1b")
    assert "changed from recipe [b]novel␛" in lines(configuration(make_run(0, spec=spec), 80))[0]


def test_only_fields_that_differ_are_compared() -> None:
    def run(**fields: object) -> RunSpec:
        return resolve_spec(fields)

    one = make_run(0, spec=run(dropout_rate=0.5, lr_drops=[5, 7]), name="[b]one")
    other = make_run(1, spec=run(seed=3), name="other")
    text = lines(configuration_difference(one, other, 80))
    assert text[0] == f"3 fields of {len(FIELDS)} differ"
    assert text[2].split() == ["[b]one", "other"]
    assert [line.split() for line in text[3:]] == [
        ["dropout", "0.5", "0.9"], ["lr-drops", "5,7", "none"], ["seed", "0", "3"],
    ]  # fmt: skip


def test_files_have_sizes_and_purposes() -> None:
    checkpoints = [CheckpointInfo("best", 150, "checkpoints/best.safetensors", 3)]
    text = lines(run_files(FULL.files, checkpoints, 120))
    assert text[1].startswith("checkpoints/best.safetensors  3.0 MiB  step 150: network at")
    assert any(line.startswith("[red]own␛") and "unknown" in line for line in text)
    found = [RunFile(f"diagnoses/{name}.json", 9) for name in ("rank", "suspects")]
    of_rank, of_suspects = lines(run_files(found, (), 120))[1:3]
    assert of_rank.endswith("result of a diagnostic")
    assert of_suspects.endswith("training images whose label may be wrong")
    assert "missing" in str(run_files((), (), 80))


@pytest.mark.parametrize("arm", sorted(NETWORK_ARMS))
def test_the_checkpoint_of_each_arm_has_a_purpose(arm: str) -> None:
    [_, line, *_] = lines(run_files([RunFile(f"checkpoints/{arm}.safetensors", 9)], (), 120))
    assert UNKNOWN_PURPOSE not in line


def test_history_is_told_in_order_with_reasons() -> None:
    run = make_run(0, created_at=NOW - 2000, status="crashed")
    text = lines(timeline(run, make_attempts(), make_progress()))
    told = [line[33:] for line in text]
    assert told == [
        "created",
        "started · process 41 on here",
        "stopped at step 80: SIGINT",
        "resumed at step 80 · process 42 on [b]there␛",
        "selected step 150 was evaluated · ID 75.0% · OOD 50.0%",
        "crashed at step 160: out of memory",
    ]
    assert text[1][21:29].strip() == "+16m 40s"


def test_the_warning_that_clusters_send_is_told_by_what_it_means() -> None:
    stopped, *_ = make_attempts()
    stopped = msgspec.structs.replace(stopped, reason="SIGUSR2")
    run = make_run(0, created_at=NOW - 2000, status="stopped")
    said = "SIGUSR2: the job timed out or was preempted"
    assert f"stopped at step 80: {said}" in "\n".join(lines(timeline(run, [stopped], Progress())))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"status": "queued"}, "◌ queued"),
        ({"status": "queued", "is_held": True}, "held in the queue"),
        ({"status": "starting"}, "starting"),
        ({"status": "failed", "error": "no such\x1b file\nmore"}, "no such␛ file"),
    ],
)
def test_a_run_that_never_started_says_why(changes: dict[str, object], said: str) -> None:
    run = make_run(0, **changes)
    assert said in lines(timeline(run, (), Progress()))[-1]


@pytest.mark.parametrize("status", ["failed", "crashed", "stopped"])
def test_what_went_wrong_and_how_it_goes_on(status: str) -> None:
    run = make_run(0, status=status, error="\n[b]why\x07\nmore", step=160)
    said = trouble_line(run, LAST)
    assert str(said) == f"{status} at step 160  r resumes from step 150  [b]why␇"
    assert "r starts it again" in str(trouble_line(run, ()))


def test_nothing_went_wrong() -> None:
    assert trouble_line(make_run(0), LAST) is None
    assert trouble_line(make_run(0, status="running"), LAST) is None
    assert "r resumes" in str(trouble_line(make_run(0, status="crashed", error=" \n"), LAST))


def test_the_heading_names_the_run_and_how_it_stands() -> None:
    run = make_run(0, name="[b]x\x1b", tags=("best",))
    assert str(run_heading(run, 100)) == (
        f" [b]x␛  {run.run_id}  ✓ finished  200/200  "
        "ID 70.0% · OOD 50.0% at step 150 (best ID)  best"
    )


NAMED = " a long name indeed"
STANDING = "  ✓ finished  200/200  ID 70.0% · OOD 50.0%"


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (105, f"{NAMED}  250101-000000-aaaa{STANDING} at step 150 (best ID)"),
        (103, f"{NAMED}{STANDING} at step 150 (best ID)  best"),
        (75, f"{NAMED}{STANDING} at step 150"),
        (63, f"{NAMED}{STANDING}"),
        (54, f" a long na…{STANDING}"),
    ],
)
def test_the_heading_keeps_the_accuracies_where_there_is_little_room(cells: int, said: str) -> None:
    run = make_run(0, name="a long name indeed", tags=("best",))
    assert str(run_heading(run, cells)) == said


@pytest.mark.parametrize(
    ("line", "searched", "hits"),
    [
        ("loss NaN, nan", "nan", ["NaN", "nan"]),
        ("a\x1b[31mred", "\x1b[31", ["␛[31"]),
        ("[b]x[/b]", "[/b]", ["[/b]"]),
        ("nothing", "else", []),
        ("anything", "", []),
        ("Maße", "MASSE", ["Maße"]),  # folding changes its length: all of it is marked
    ],
)
def test_what_is_searched_is_marked_and_nothing_is_read(
    line: str, searched: str, hits: list[str]
) -> None:
    segments = log_line(line, searched, HIT)
    assert [each.text for each in segments if each.style == HIT] == hits
    assert "\x1b" not in "".join(each.text for each in segments)


def test_the_state_of_the_log_in_words() -> None:
    def state(**changes: object) -> str:
        known = {
            "is_cut": False, "is_followed": True, "searched": "", "hits": 0, "place": None,
            **changes,
        }  # fmt: skip
        return str(log_state(3, **known))  # type: ignore[arg-type]

    assert state() == "3 lines · following (F) · / to search"
    assert "earlier lines" in state(is_cut=True)
    assert "not following" in state(is_followed=False)
    assert "“x␛” not found" in state(searched="x\x1b")
    assert "2 of 5" in state(searched="x", hits=5, place=2)


@pytest.mark.parametrize(
    ("told", "written", "shown"),
    [
        ("abcd", "", "bcd"),
        ("abcd", "xyz", "cd┆ z"),
        ("a", "xyz", "a┆ y┆ z"),
        ("", "wxyz", "┆ x┆ y┆ z"),
        ("ab", "x", "ab┆ x"),
        ("", "", ""),
    ],
)
def test_the_tail_of_a_log_has_room_for_both(told: str, written: str, shown: str) -> None:
    assert "".join(log_tail(told, written, 3)) == shown


DEADLINE_S = 10.0


@pytest.fixture
def process(home: Home) -> Iterator[subprocess.Popen[bytes]]:
    """Start the process of a run that is named ``waits``, which is told to wait."""
    with (
        Store.open(home) as store,
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process,
    ):
        run_dir = store.runs.run_dir(store.runs.create(resolve_spec({}), name="waits").run_id)
        run_dir.write_process(process.pid)
        Teller(run_dir).says(
            msgspec.structs.replace(started(), pid=process.pid), steps_taken(5, 1.0)
        )
        process.send_signal(signal.SIGSTOP)
        wait_for(run_dir, process.pid)
        yield process
        process.kill()


def wait_for(run_dir: RunDir, pid: int | None) -> None:
    """Wait until the system has done with the process what the signal asks."""
    wait_until(lambda: suspended_pid(run_dir) == pid, DEADLINE_S)


def test_a_person_is_told_that_it_is_suspended_until_it_goes_on(
    home: Home, process: subprocess.Popen[bytes]
) -> None:
    said = f"suspended; to continue: kill -CONT {process.pid}"
    vld, source = Vld(home.path), HistorySource(home)
    run_id = vld.json("show", "waits")["run"]
    interest = Interest(watched=(run_id,), opened=run_id)

    def heading() -> str:
        opened = source.take(interest).opened
        assert opened is not None
        assert opened.curves.run.status == "running"
        return str(trouble_line(opened.curves.run, (), opened.contents.suspended_pid))

    assert heading() == said
    assert said in " ".join(vld("show", "waits").stdout.split())
    assert vld.json("show", "waits")["suspended"] is True
    process.send_signal(signal.SIGCONT)
    wait_for(home.run_dir(run_id), None)
    assert heading() == "None"
    assert said not in " ".join(vld("show", "waits").stdout.split())
    assert vld.json("show", "waits")["suspended"] is False
    source.close()


def test_a_run_that_is_over_is_not_suspended(home: Home, process: subprocess.Popen[bytes]) -> None:
    (run,) = Vld(home.path).json("ls")
    Teller(home.run_dir(run["run"])).says(
        finished(5, selected_step=5, id_accuracy=0.5, ood_accuracy=0.5)
    )
    assert Vld(home.path).json("show", "waits")["suspended"] is False
    assert "kill -CONT" not in Vld(home.path)("show", "waits").stdout


def test_what_no_run_tells_is_unknown() -> None:
    told = forecast_text(Forecast()).plain
    assert told.startswith(
        "time, memory and disk unknown: no earlier run with this network, tuning"
    )
    assert told.endswith("on this device")


def test_disk_is_told_by_another_machines_run_too() -> None:
    run = make_run(0, name="far away")
    told = forecast_text(Forecast(disk_bytes=2048, disk_from=run)).plain
    assert told.endswith(" · 2.0 KiB of checkpoints, as for far away")


def test_what_was_not_measured_is_named() -> None:
    run = make_run(0, name="run\x1b[31m", device="cuda:0")
    known = Forecast(60, run, ("reading the images", "training the last layer first"), 2**30)
    assert forecast_text(known).plain == (
        "about 1m 00s, not counting reading the images, training the last layer first"
        " · 1.0 GiB of main memory"
        "  from run␛[31m on this machine, same network and image size · disk unknown"
    )
    assert "memory unknown" in forecast_text(Forecast(60, run)).plain
