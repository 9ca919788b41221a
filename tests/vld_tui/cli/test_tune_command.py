"""``vld tune``: from the comparison on left-out domains to a network trained on every domain."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.filled_study import fill_study
from tests.vld_tui.cli.conftest import Vld, WorkedOn
from tests.vld_tui.cli.test_notified_runs import KEEP, await_end, sent
from tests.vld_tui.launch.queue_stand_in import start_stand_in
from tests.vld_tui.launch.slurm_programs import Programs
from tests.vld_tui.study.known_datasets import ask_once
from tests.waiting import wait_until
from vld_tui.cli.errors import CommandError
from vld_tui.control import queue
from vld_tui.home import Home, open_home
from vld_tui.launch.local import LaunchError
from vld_tui.store.store import Store
from vld_tui.study.define.definition import Study
from vld_tui.study.define.files import find_study
from vld_tui.study.define.tuning import TuneGrid, TuneRequest, Tuning
from vld_tui.study.standing import standing_of
from vld_tui.views.tuning import RULE

STEPS = {"model": "finish", "steps": 20, "eval_every": 20, "head_steps": 0, "warmup_steps": 0}
SMALL = [word for name, value in STEPS.items()
         for word in (f"--{name.replace('_steps', '-steps').replace('_every', '-every')}",
                      str(value))]  # fmt: skip
TUNE = ("tune", "emoji", *SMALL)
DOMAINS = ["fluent", "fluent-mono", "noto", "twemoji"]
COMPARED = 4 * 3 * 3


@pytest.fixture(autouse=True)
def _asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the engine describe the embedded images but once, and know the stand-in's network."""
    monkeypatch.setattr("vld_tui.study.define.datasets.work_on_datasets", ask_once)

    def answer(subject: str, *_: object, **__: object) -> object:
        return (
            {"finish": 2**20} if subject == "sizes" else [{"name": "finish", "weights": "cached"}]
        )

    monkeypatch.setattr("vld_tui.study.planner.ask_engine", answer)


def study_of(vld: Vld, rates: Sequence[float] = (0.0, 0.5, 0.9), seeds: int = 3) -> Study:
    request = TuneRequest(data="emoji", fields=dict(STEPS), rates=tuple(rates), seeds=seeds)
    tuning = Tuning(name="tune-emoji", request=request)
    grid = TuneGrid(rates=tuple(rates), seeds=seeds)
    return tuning.text(grid).read(open_home(vld.home))


def fill(vld: Vld, runs: int = COMPARED, **grid: Any) -> None:
    """Write the first runs of the comparison as finished."""
    study = study_of(vld, **grid)
    fill_study(open_home(vld.home), study, specs=study.specs[:runs], domains=DOMAINS, arms=())


def test_a_dry_run_shows_runs_time_and_disk_and_does_nothing(vld: Vld) -> None:
    lines = vld(*TUNE, "--dry-run").stdout.splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "study", "compare", "final", "state", "time", "disk", "where",
    ]  # fmt: skip
    assert lines[1].endswith(
        "36 runs: 4 domains left out in turn × 3 settings × 3 seeds (dropout rate 0, 0.5, 0.9)"
    )
    assert lines[2].endswith("3 runs on every domain with the chosen setting, and 2 soups of them")
    assert "0 finished · 0 running · 0 queued · 39 missing" in lines[3]
    assert "about 5.0 MiB of checkpoints (keep = best, none)" in lines[5]  # 3 networks, 2 soups
    record = vld.json(*TUNE, "--dry-run")
    assert (record["stage"], record["runs"], record["chosen"]) == ("compare", 39, None)
    assert (record["seconds"], record["disk_bytes"]) == (None, 5 * 2**20)
    alone = vld.json(*TUNE, "--seeds", "1", "--dry-run")
    assert alone["disk_bytes"] == 2**20  # a single network makes no soup
    assert vld.json("ls") == []
    assert not (vld.home / "studies").exists()


def test_the_choice_is_shown_with_its_rule_and_what_it_is_worth(vld: Vld) -> None:
    fill(vld)
    record = vld.json(*TUNE, "--dry-run")
    assert record["stage"] == "train"
    assert record["rule"] == RULE
    assert record["domains"] == DOMAINS
    settings = record["settings"]
    assert [each["dropout_rate"] for each in settings] == [0.0, 0.5, 0.9]
    assert {each["seeds"] for each in settings} == {3}
    best = max(settings, key=lambda each: each["left_out_score"])
    assert best["verdict"] == "best"
    for each in settings:
        assert each["left_out_score"] == pytest.approx(sum(each["domains"].values()) / 4)
        if each is not best:
            low, high = each["interval"]
            assert low < each["difference"] < high
            assert each["verdict"] == ("worse" if high < 0 else "tied")
    assert record["chosen"] in [{"dropout_rate": each["dropout_rate"]} for each in settings]
    assert "chosen among 3 by this score" in record["caution"]


def test_the_left_out_score_alone_compares(vld: Vld) -> None:
    """Left-out domains of the filled study gain with the rate; ID accuracy loses."""
    fill(vld)
    first, *_, last = vld.json(*TUNE, "--dry-run")["settings"]
    assert first["id_score"] > last["id_score"]
    assert first["left_out_score"] < last["left_out_score"]
    assert (first["verdict"], last["verdict"]) == ("worse", "best")


def test_finals_and_soups_follow_and_the_same_command_runs_nothing_twice(
    vld: Vld, worked_on: WorkedOn
) -> None:
    fill(vld)
    for name, value in (("command", KEEP), ("on", "study")):
        assert vld("config", "set", f"notify.{name}", value).exit_code == 0
    worked_on(start_stand_in)
    done = vld(*TUNE)
    assert done.exit_code == 0, done.stderr
    wait_until(lambda: sent(Home(vld.home)))
    await_end(Home(vld.home))
    assert [each["text"] for each in sent(Home(vld.home))] == [
        "study tune-emoji is done: 39 runs, 39 finished"
    ]
    runs = vld.json("ls", "--where", "tag:tune-emoji target:none", "--limit", "0")
    assert sorted(run["arm"] for run in runs) == ["dropout"] * 3 + ["greedy_soup", "soup"]
    assert {run["ood_accuracy"] for run in runs} == {None}
    assert {run["seed"] for run in runs if not run["parents"]} == {0, 1, 2}
    finals = {run["run"] for run in runs if not run["parents"]}
    assert all({*run["parents"]} == finals for run in runs if run["parents"])
    (soup,) = (run["run"] for run in runs if run["arm"] == "soup")
    lines = done.stdout.splitlines()
    assert lines.count("trained on every domain; ID validation, %") == 1
    assert RULE in lines
    for command in (
        f"vld predict {soup} FOLDER", f"vld evaluate {soup} FOLDER",
        f"vld export {soup} --to timm DIR", "vld report tune-emoji",
    ):  # fmt: skip
        assert any(line.startswith(f"  {command}  #") for line in lines)
    record = vld.json(*TUNE)
    assert (record["stage"], record["selected_run"]) == ("done", soup)
    assert record["chosen"] == {"dropout_rate": runs[0]["dropout_rate"]}
    assert len(vld.json("ls", "--limit", "0")) == COMPARED + 5
    status = vld("sweep", "status", "tune-emoji").stdout
    assert "39 finished" in status
    assert "so it is not a test result" in status
    assert "  vld tune emoji " in status.splitlines()[-1]


def test_one_seed_has_no_soup(vld: Vld, worked_on: WorkedOn) -> None:
    fill(vld, rates=(0.5,), seeds=1)
    worked_on(start_stand_in)
    record = vld.json(*TUNE, "--rates", "0.5", "--seeds", "1")
    (network,) = record["networks"]
    assert (record["stage"], record["reason"], record["compared"]) == (
        "done", "only", ["dropout_rate"]
    )  # fmt: skip
    assert record["selected_run"] == network["run"]
    assert network["seed"] == 0


def test_an_interrupt_leaves_a_study_that_the_same_command_continues(
    vld: Vld, monkeypatch: pytest.MonkeyPatch, worked_on: WorkedOn
) -> None:
    fill(vld, 33)
    slots = worked_on(start_stand_in)
    start = vars(queue)["start_supervisor"]

    def interrupt(home: Home, slots_: int | None = None) -> None:
        """Start the run that measures the time, and press Ctrl-C before the others."""
        signal.raise_signal(signal.SIGINT) if slots else start(home, slots_)

    with monkeypatch.context() as patch:
        patch.setattr("vld_tui.control.queue.start_supervisor", interrupt)
        stopped = vld(*TUNE)
    assert stopped.exit_code == 130, stopped.stderr
    last = stopped.stderr.splitlines()[-1]
    assert last.startswith("Stopped: 34 of 36 runs finished. Run the others with: vld tune emoji ")
    assert vld.json("ls", "--where", "status:queued") == []
    assert len(vld.json("ls", "--where", "status:stopped")) == 2
    assert vld.json(*last.partition("vld ")[2].split())["stage"] == "done"
    assert len(vld.json("ls", "--limit", "0")) == COMPARED + 5


def test_a_failure_ends_it_with_what_failed(vld: Vld, worked_on: WorkedOn) -> None:
    def refuse(*_: object) -> Any:
        raise LaunchError("no weights for finish")

    fill(vld, 30)
    worked_on(refuse)
    failed = vld(*TUNE)
    assert failed.exit_code == 1
    assert "1 run of tune-emoji failed: " in failed.stderr
    assert "no weights for finish" in failed.stderr
    assert "When that is fixed, run the others with: vld tune emoji " in failed.stderr
    assert len(vld.json("ls", "--where", "status:failed")) == 1


def test_with_queue_each_call_queues_the_next_runs(
    vld: Vld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vld_tui.control.queue.start_supervisor", lambda *_: None)
    first = vld(*TUNE, "--queue")
    assert first.exit_code == 0, first.stderr
    assert "0 finished · 0 running · 36 queued · 0 missing" in first.stdout.splitlines()
    assert "# choose the setting once these runs have finished" in first.stdout
    again = vld.json(*TUNE, "--queue")
    assert (again["stage"], again["queued"]) == ("compare", 36)
    assert again["continue"].startswith("vld tune emoji ")


def test_on_a_cluster_runs_are_submitted(vld: Vld, programs: Programs) -> None:
    programs.says("sinfo", "")
    submitted = vld(*TUNE, "--on", "slurm", "--seeds", "1", "--rates", "0.9")
    assert submitted.exit_code == 0, submitted.stderr
    lines = submitted.stdout.splitlines()
    assert "0 finished · 0 running · 4 queued · 0 missing" in lines
    assert any(line.startswith("submitted 4 runs as job") for line in lines)
    with Store.open(open_home(vld.home)) as store:
        standing = standing_of(store, find_study(store.home, "tune-emoji"))
        assert all(run.has_job for run in standing.queued)
    for options, message in (
        (["--queue"], "Cluster runs are always queued; drop --queue."),
        (["--budget", "2h"], "--budget needs the time of runs on this machine"),
    ):
        refused = vld(*TUNE, "--on", "slurm", "--seeds", "1", "--rates", "0.9", *options)
        assert refused.exit_code == 2
        assert message in refused.stderr


def test_on_a_cluster_soups_follow_the_final_runs(
    vld: Vld, programs: Programs, store: Store
) -> None:
    request = TuneRequest(data="emoji", fields=dict(STEPS), rates=(0.9,), seeds=2)
    text = Tuning(name="tune-emoji", request=request).text(
        TuneGrid(rates=(0.9,), seeds=2), {"dropout_rate": 0.9}
    )
    fill_study(store.home, text.read(store.home), domains=DOMAINS, arms=())
    for run in store.runs.find():
        checkpoint = store.runs.run_dir(run.run_id).best_checkpoint
        checkpoint.parent.mkdir()
        checkpoint.write_text("weights")
    command = (*TUNE, "--on", "slurm", "--seeds", "2", "--rates", "0.9")
    plan = vld.json(*command, "--dry-run")
    assert (plan["stage"], plan["on"], plan["missing"]) == ("combine", "slurm", 0)
    record = vld.json(*command)
    assert (record["stage"], len(record["submitted"])) == ("combine", 2)
    soups = [run for run in store.runs.find() if run.combination is not None]
    assert sorted(run.arm for run in soups) == ["greedy_soup", "soup"]
    assert all(run.has_job and run.tags == ("tune-emoji",) for run in soups)
    programs.says("squeue", "12_0|PENDING|None|\n12_1|PENDING|None|\n")
    assert vld.json(*command)["submitted"] == []
    assert sum(run.combination is not None for run in store.runs.find()) == 2


def test_a_budget_leaves_out_what_does_not_fit(vld: Vld, worked_on: WorkedOn) -> None:
    """A run of the stand-in says that it took 12.5 seconds."""
    worked_on(start_stand_in)
    command = (*TUNE, "--budget", "75s", "--seeds", "1")
    done = vld(*command)
    assert done.exit_code == 0, done.stderr
    assert "time unknown: one run is started first to measure it" in done.stderr
    lines = done.stdout.splitlines()
    assert "left out  dropout rates 0, 0.5 (budget 1m 15s)" in lines
    assert "Not compared: dropout rates 0, 0.5 (budget 1m 15s)." in lines
    again = vld.json(*command)
    assert (again["stage"], again["left_out"]) == ("done", ["dropout rates 0, 0.5"])
    assert len(vld.json("ls")) == 4 + 1
    too_small = vld(*command, "--budget", "5s", "--name", "other", "--lr", "0.01")
    assert too_small.exit_code == 2
    assert "--budget is 5s, but one setting with one seed takes about 1m" in too_small.stderr


@pytest.mark.parametrize("settings", [("--rates", "0.9"), ("--rates", "0,0.5", "--masks", "4")])
def test_the_run_that_measures_the_time_is_resumed(
    vld: Vld, worked_on: WorkedOn, settings: tuple[str, ...]
) -> None:
    """The stand-in takes steps until it is stopped, so its time is never that of a whole run."""
    worked_on(start_stand_in)
    words = [word.replace("finish", "wait") for word in SMALL]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vld_tui.cli.tune.session.ask_to_launch", stop_before_launch)
        stopped = vld("tune", "emoji", *words, "--seeds", "1", *settings)
    assert isinstance(stopped.exception, SystemExit)
    assert "time unknown: one run is started first to measure it" in stopped.stderr
    assert "time      about " in stopped.stdout
    (run,) = vld.json("ls")
    assert (run["status"], run["tags"]) == ("stopped", ["tune-emoji"])
    assert run["step"] > 0


def stop_before_launch(*_: object) -> None:
    raise CommandError("Nothing was launched.")


def test_images_of_one_domain_have_nothing_to_leave_out(
    vld: Vld, small_emoji: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    shutil.copytree(small_emoji / "noto", folder / "noto")
    refused = vld("tune", str(folder), *SMALL)
    assert refused.exit_code == 2
    assert "has one domain only (noto): OOD accuracy cannot be estimated" in refused.stderr
    assert f"vld data shift {folder}" in refused.stderr
    assert f"vld run --data {folder} --target none" in refused.stderr
    assert len(refused.stderr.splitlines()) == 2


def test_another_study_of_the_name_is_left_alone(vld: Vld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vld_tui.control.queue.start_supervisor", lambda *_: None)
    vld(*TUNE, "--queue", "--seeds", "1")
    refused = vld(*TUNE)
    assert refused.exit_code == 2
    assert "The study tune-emoji was started with other settings." in refused.stderr
    assert "--name WORD" in refused.stderr
    assert "vld tune emoji --seeds 1 " in refused.stderr
    Path(vld.home, "studies", "mine.toml").write_text('name = "mine"\n')
    refused = vld(*TUNE, "--name", "mine")
    assert refused.exit_code == 2
    assert "mine.toml is another study named mine." in refused.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rates", "0,1"], "--rates is 1"),
        (["--rates", "0,much"], "--rates is 'much'"),
        (["--rates", ","], "--rates is empty"),
        (["--seeds", "0"], "--seeds is 0"),
        (["--budget", "soon"], "--budget is 'soon', but must be a duration such as 2h"),
        (["--target", "noto"], "No such option: --target"),
        (["--name", "two words"], "name is 'two words'"),
        (["--momentum", "2"], "--momentum is 2"),
        (["--profile", "x"], "--profile applies only to cluster runs"),
        (
            ["--objective", "confreg+vrex", "--teacher", "abc"],
            "The objective confreg cannot be tuned: the runs leave out different domains, and ",
        ),
    ],
)
def test_a_wrong_option_is_named(vld: Vld, options: list[str], message: str) -> None:
    refused = vld(*TUNE, *options)
    assert refused.exit_code == 2
    assert message in refused.stderr
    assert vld.json("ls") == []


def test_an_empty_name_of_data_is_not_the_current_folder(vld: Vld) -> None:
    refused = vld("tune", "")
    assert refused.exit_code == 2
    assert "DATA is empty" in refused.stderr


def test_a_file_of_settings_cannot_set_what_is_chosen(vld: Vld, tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text("dropout = 0.5\n")
    refused = vld(*TUNE, "--config", str(file))
    assert refused.exit_code == 2
    assert "vld tune sets dropout_rate itself; remove it." in refused.stderr
    file.write_text("lr = 0.01\n")
    assert vld.json(*TUNE, "--config", str(file), "--dry-run")["runs"] == 39


def test_a_large_comparison_asks_first(vld: Vld) -> None:
    refused = vld(*TUNE, "--cells")
    assert refused.exit_code == 2
    assert "Cannot ask without a terminal: Launch 219 new runs of tune-emoji?" in refused.stderr
    assert vld.json("ls") == []


@pytest.mark.slow
def test_from_a_folder_of_images_to_a_network(vld: Vld, small_emoji: Path) -> None:
    words = "--model test_resnet --weights none --precision fp32 --memory-format contiguous " \
        "--threads 1 --image-size 32 --batch 4 --steps 4 --eval-every 4 --head-steps 5"  # fmt: skip
    command = ("tune", str(small_emoji), *words.split(), "--rates", "0,0.9", "--seeds", "2")
    with vld.start(*command, "--json") as process:  # the queue starts the real engine
        printed, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    record = json.loads(printed)
    assert (record["stage"], record["finished"]) == ("done", 4 * 2 * 2 + 2)
    assert record["domains"] == DOMAINS
    assert (record["reason"], record["chosen"]) == ("paper", {"dropout_rate": 0.9})
    best = max(each["id_score"] for each in record["networks"])
    assert record["networks"][0]["id_score"] == best
    shown = vld.json("show", record["selected_run"])
    assert (shown["target"], shown["ood_accuracy"]) == ("none", None)
    runs = vld.json("ls", "--limit", "0")
    assert len(runs) == 4 * 2 * 2 + 2 + 2
    assert {run["dropout_rate"] for run in runs if run["target"] == "none"} == {0.9}
