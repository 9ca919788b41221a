"""``vld sweep``: from a file to runs that are finished, by the stand-in engine."""

from __future__ import annotations

import fcntl
import itertools
import tomllib
from pathlib import Path

import msgspec
import pytest

from engine.protocol.feature_costs import FeatureCost, FeatureCosts, FeatureTiming
from tests.vld_tui.cli.conftest import Vld
from tests.vld_tui.launch.queue_stand_in import start_stand_in
from tests.vld_tui.store.told_runs import Teller, evaluated, finished, started
from tests.vld_tui.study.known_datasets import ask_once
from vld_tui.home import open_home
from vld_tui.launch.local import LaunchError
from vld_tui.launch.queue import Supervisor
from vld_tui.store.store import Store
from vld_tui.study.define.files import find_study

STUDY = """\
name = "rates"
data = ["emoji"]
title = "How much dropout?"
seeds = 2

[fields]
model = "finish"
steps = 20
eval_every = 10
head_steps = 5

[cross]
target = ["fluent", "noto"]
dropout_rate = [0.0, 0.9]
"""


@pytest.fixture(autouse=True)
def networks(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return where the weights of networks are; the engine answers what the test puts in."""
    places = {"tf_efficientnet_lite0": "packaged", "finish": "cached"}

    def answer(subject: str, *_: object, **__: object) -> object:
        if subject == "features":
            timing = FeatureTiming(image_s=0.01, start_s=2.0, step_s=0.1, evaluation_s=1.0)
            missing = 0 if places["finish"] == "with features" else 3
            one = FeatureCost(array_bytes=2**20, arrays=3, missing=missing, timing=timing)
            room = 2**20 if places["finish"] == "without room" else 2**30
            return msgspec.to_builtins(FeatureCosts((one,), room, 2**40))
        if subject == "sizes":
            return {name: 2**20 for name, place in places.items() if place != "none"}
        return [{"name": name, "weights": place} for name, place in places.items()]

    monkeypatch.setattr("vld_tui.study.planner.ask_engine", answer)
    return places


@pytest.fixture(autouse=True)
def _asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the engine describe the embedded images but once."""
    monkeypatch.setattr("vld_tui.study.define.datasets.work_on_datasets", ask_once)


@pytest.fixture(autouse=True)
def _queue_at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing work on the queue but the test."""
    monkeypatch.setattr("vld_tui.launch.queue.POLL_S", 0.05)
    monkeypatch.setattr("vld_tui.control.queue.start_supervisor", lambda *_: None)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "my.toml"
    path.write_text(STUDY)
    return str(path)


def work(vld: Vld) -> None:
    """Have the stand-in engine finish what waits."""
    with Store.open(open_home(vld.home)) as store:
        Supervisor(store, start_stand_in).work()
        store.live.refresh()


def test_a_dry_run_plans_for_a_home_that_a_launch_would_make(file: str, tmp_path: Path) -> None:
    new = tmp_path / "new"
    assert "to launch 8 new" in Vld(new)("sweep", file, "--dry-run").stdout.splitlines()
    assert not new.exists()


def test_a_dry_run_tells_and_does_nothing(vld: Vld, file: str) -> None:
    told = vld("sweep", file, "--dry-run").stdout.splitlines()
    assert told == [
        "study     rates · How much dropout?",
        "runs      8 runs: 2 targets × 2 dropout rates × 2 seeds",
        "so far    0 finished · 0 running · 0 queued · 8 missing",
        "to launch 8 new",
        "time      unknown (no comparable earlier run on this device)",
        "disk      about 8.0 MiB of checkpoints (keep = best)",
        "cost      each target costs about 4 runs",
        "where     this machine",
    ]
    assert not (vld.home / "studies").exists()
    assert vld.json("ls") == []
    record = vld.json("sweep", file, "--dry-run")
    assert (record["runs"], record["missing"], record["seconds"]) == (8, 8, None)
    assert record["largest_cost"] == {"field": "target", "values": 2}


LINEAR_STUDY = STUDY.replace(
    "head_steps = 5", 'head_steps = 0\ntuning = "linear"\nviews = 2'
).replace("rates", "linear")


def test_time_and_disk_of_features_count_once(
    vld: Vld, file: str, networks: dict[str, str]
) -> None:
    Path(file).write_text(LINEAR_STUDY)
    plan = vld("sweep", file, "--dry-run").stdout.splitlines()
    runs_s, passes = 8 * (2 + 20 * 0.1 + 2), 4898 * 3
    time = "time      about 3m 15s (measured on this machine now), of which 2m 27s to compute"
    assert plan[4] == f"{time} features once"
    assert plan[5] == (
        "disk      about 8.0 MiB of checkpoints (keep = best) · 3.0 MiB of cached features "
        "(room for 1.0 GiB)"
    )
    record = vld.json("sweep", file, "--dry-run")
    assert record["seconds"] == pytest.approx(runs_s + 0.01 * passes)
    assert record["features"] == {
        "images_and_views": passes, "seconds": pytest.approx(0.01 * passes),
        "total_bytes": 3 * 2**20, "missing_bytes": 3 * 2**20, "room_bytes": 2**30,
        "limit_bytes": 2**40, "fits": True, "problems": [], "unknown_datasets": [],
    }  # fmt: skip
    networks["finish"] = "with features"
    assert vld.json("sweep", file, "--dry-run")["seconds"] == pytest.approx(runs_s)


def test_time_and_disk_of_features_are_told_before_runs_start(vld: Vld, file: str) -> None:
    Path(file).write_text(LINEAR_STUDY)
    launched = vld("sweep", file)
    assert launched.exit_code == 0, launched.stderr
    time, disk, heading, *_ = launched.stdout.splitlines()
    assert time.startswith("time: about 3m 15s (measured on this machine now), of which 2m 27s")
    assert disk.endswith("3.0 MiB of cached features (room for 1.0 GiB)")
    assert heading == "linear · How much dropout?"


def test_features_that_do_not_fit_ask_before_runs_start(
    vld: Vld, file: str, networks: dict[str, str]
) -> None:
    Path(file).write_text(LINEAR_STUDY)
    networks["finish"] = "without room"
    refused = vld("sweep", file)
    assert refused.exit_code == 2
    assert "caution: features need 3.0 MiB, but the disk of the cache has room for 1.0 MiB" in (
        refused.stdout
    )
    assert vld.json("ls") == []
    assert vld("sweep", file, "--yes").exit_code == 0


def test_final_weights_that_finished_runs_no_longer_have_are_told_of(vld: Vld, file: str) -> None:
    home = open_home(vld.home)
    with Store.open(home) as store:
        for spec in find_study(home, file).specs[:2]:
            teller = Teller(store.runs.run_dir(store.runs.create(spec).run_id))
            teller.says(started(), *evaluated(10, id_accuracy=0.8, ood_accuracy=0.5))
            teller.says(finished(20, selected_step=10, id_accuracy=0.8, ood_accuracy=0.5))
    plan = vld.json("sweep", file, "--dry-run")
    assert (plan["finished"], plan["without_final_weights"]) == (2, 0), "none is to be kept"
    Path(file).write_text('keep = "all"\n' + STUDY)
    assert vld.json("sweep", file, "--dry-run")["without_final_weights"] == 2
    caution = (
        "2 finished runs have no last checkpoint although --keep is all, so vld combine --at last "
        "cannot use them. To get final weights, remove them (vld rm) and launch the study again"
    )
    assert f"caution   {caution}" in vld("sweep", file, "--dry-run").stdout.splitlines()
    assert f"caution: {caution}" in vld("sweep", file).stdout.splitlines()


def test_a_study_is_launched_finished_and_grows(vld: Vld, file: str) -> None:
    launched = vld("sweep", file, "--slots", "4")
    assert launched.exit_code == 0, launched.stderr
    assert launched.stdout.splitlines()[:2] == [
        "rates · How much dropout?",
        "8 new runs (before: 0 finished · 0 running · 0 queued · 8 missing)",
    ]
    runs = vld.json("ls", "--where", "tag:rates status:queued")
    assert {(run["target"], run["dropout_rate"], run["seed"]) for run in runs} == set(
        itertools.product(("fluent", "noto"), (0.0, 0.9), (0, 1))
    )
    assert vld("queue", "slots").stdout == "4 slots\n"
    assert vld.json("sweep", "status", "rates")["queued"] == 8
    told = vld("sweep", "status", "rates").stdout.splitlines()
    assert "8 runs are queued, but the queue is not being processed:" in told
    assert "  vld queue start  # start them as slots become free" in told
    work(vld)
    again = vld("sweep", "rates").stdout.splitlines()
    assert again[1] == "nothing to launch: 8 finished · 0 running · 0 queued · 0 missing"
    Path(file).write_text(STUDY.replace("[0.0, 0.9]", "[0.0, 0.5]"))
    assert vld("sweep", file, "--dry-run").stdout.splitlines()[-1] == (
        "caution   4 runs of the previous launch of rates are no longer in the study"
    )
    assert vld.json("sweep", file, "--dry-run")["left_behind"] == 4
    grown = vld("sweep", file).stdout.splitlines()
    assert grown[1] == "4 new runs (before: 4 finished · 0 running · 0 queued · 4 missing)"
    assert grown[2] == "4 runs of the previous launch of rates are no longer in the study"
    assert len(vld.json("ls", "--where", "tag:rates")) == 12


def test_status_tells_results_failures_and_what_to_type(vld: Vld, file: str) -> None:
    Path(file).write_text(
        STUDY
        + '\n[[exclude]]\nseed = 1\ndropout_rate = 0.9\n\n[[add]]\nfields = { model = "fail" }\n'
    )
    vld("sweep", file)
    with Store.open(open_home(vld.home)) as store:
        store.queue.remove(store.queue.runs()[-1].run_id)
    work(vld)
    told = vld("sweep", "status", "rates").stdout.splitlines()
    assert told[0] == "rates · How much dropout?"
    assert told[1] == (
        "runs      6 finished · 0 running · 0 queued · 5 failed · 1 stopped · 0 missing"
    )
    assert told[2].startswith("ended     ")
    assert told[2].endswith(" and 4 more  failed: The loss is not finite.")
    assert told[3].endswith("  stopped")
    table = told[told.index("emoji: ID/OOD accuracy by target, % ± sd of OOD over seeds") + 1 :]
    assert table[0].split() == ["model", "dropout", "fluent", "noto", "runs"]
    cells = {tuple(line.split()[:2]): line.split()[2:] for line in table[1:5]}
    assert cells["finish", "0"] == ["73.3/53.3±0.0", "73.3/53.3±0.0", "4"]
    assert cells["finish", "0.9"] == ["73.3/53.3", "73.3/53.3", "2"]
    assert cells["fail", "0"] == ["·", "·", "0/4"]
    assert told[-1].startswith("  vld sweep rates  # resume interrupted runs")
    record = vld.json("sweep", "status", "rates")
    assert (record["broken_off"], len(record["failures"])) == (6, 6)
    assert record["results"][0] == {
        "dataset": "emoji", "target": "fluent", "model": "finish", "dropout_rate": 0.0,
        "id_accuracy": pytest.approx(0.733, abs=0.001),
        "ood_accuracy": pytest.approx(0.533, abs=0.001), "deviation": pytest.approx(0, abs=1e-9),
        "seeds": 2, "finished": 2, "expected": 2, "measures": {},
    }  # fmt: skip
    again = vld("sweep", "rates").stdout.splitlines()
    assert again[1].startswith(
        "0 new runs, 5 resume from the last checkpoint, 1 restarts from step 0 (before: 6 finished"
    )
    assert vld.json("sweep", "status", "rates")["queued"] == 6


def test_runs_are_named_by_what_the_study_varies(vld: Vld, file: str) -> None:
    crossed = STUDY.replace("dropout_rate =", 'objective = ["erm", "coral"]\ndropout_rate =')
    Path(file).write_text(crossed.replace('["fluent", "noto"]', '["noto"]'))
    vld("sweep", file)
    names = {run["name"] for run in vld.json("ls")}
    settings = ("noto-d0", "noto-d0.9-m8", "noto-d0-coral", "noto-d0.9-m8-coral")
    assert names == {f"{setting}-s{seed}" for setting in settings for seed in (0, 1)}


def test_studies_are_listed_with_their_progress(vld: Vld, file: str) -> None:
    assert vld("sweep", "status").stdout.startswith("No launched studies yet.")
    vld("sweep", file)
    (vld.home / "studies" / "damaged.toml").write_text("name = ")
    line = "rates    0 finished · 0 running · 8 queued · 0 missing"
    told = vld("sweep", "status").stdout.splitlines()
    assert told[0].startswith("damaged  ")
    assert "not valid TOML" in told[0]
    assert told[1] == line
    listed = vld("sweep", "ls").stdout.splitlines()
    assert line in listed
    presets = listed[listed.index("presets:") + 1 :]
    assert presets[0].startswith("  demo ")
    row = next(n for n, line in enumerate(presets) if line.startswith("  paper-fig3 "))
    assert presets[row].endswith("  Which dropout rate? (figure 3)")
    assert presets[row + 1].startswith("  paper-fig3-small ")
    record = vld.json("sweep", "ls")
    assert record["launched"][1]["queued"] == 8
    assert "problem" in record["launched"][0]
    assert record["presets"]["paper-fig3"] == "Which dropout rate? (figure 3)"
    assert [each["study"] for each in vld.json("sweep", "status")] == ["damaged", "rates"]


def test_a_preset_is_printed_to_start_from(vld: Vld, tmp_path: Path) -> None:
    printed = vld("sweep", "paper-fig3", "--scale", "small", "--print", "--name", "mine").stdout
    assert tomllib.loads(printed)["name"] == "mine"
    (tmp_path / "mine.toml").write_text(printed)
    record = vld.json("sweep", str(tmp_path / "mine.toml"), "--dry-run")
    assert (record["study"], record["runs"]) == ("mine", 32)


def test_data_of_ones_own_takes_the_place_of_a_presets(vld: Vld, tmp_path: Path) -> None:
    record = vld.json(
        "sweep", "paper-fig3", "--data", "emoji", "--data", "PACS", "--dry-run", "--name", "both"
    )  # fmt: skip
    assert (record["study"], record["runs"]) == ("both", 2 * 72 * 4)
    assert record["absent_datasets"] == ["PACS"]
    assert vld.json("ls") == []


def test_much_is_asked_about(vld: Vld, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("sweep", "paper-fig3", "--data", "emoji")
    refused = vld(*words)
    assert refused.exit_code == 2
    assert "Launch 288 new runs of paper-fig3? Time: unknown" in refused.stderr
    assert refused.stderr.startswith("Error: Cannot ask without a terminal: Launch 288 ")
    assert " Disk: " in refused.stderr
    assert "Pass --yes to confirm" in refused.stderr
    monkeypatch.setattr("vld_tui.cli.errors.is_interactive", lambda: True)
    no = vld(*words, typed="n\n")
    assert (no.exit_code, no.stderr) == (1, "Error: Nothing was launched.\n")
    assert vld.json("ls") == []
    assert not (vld.home / "studies").exists()
    assert vld(*words, typed="y\n").exit_code == 0
    assert vld.json("sweep", "status", "paper-fig3")["queued"] == 288


def test_absent_weights_are_told_before_a_launch_and_asked_about(
    vld: Vld, file: str, networks: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    networks["finish"] = "hub"
    line = "finish is not on this machine and will be downloaded; offline, 8 runs will fail"
    assert vld("sweep", file, "--dry-run").stdout.splitlines()[-1] == f"weights   {line}"
    record = vld.json("sweep", file, "--dry-run")
    assert record["absent_weights"] == [{"name": "finish", "where": "hub", "runs": 8}]
    refused = vld("sweep", file)
    assert refused.exit_code == 2
    assert f"Weights: {line}." in refused.stderr
    assert vld.json("ls") == []
    monkeypatch.setattr("vld_tui.cli.errors.is_interactive", lambda: True)
    assert vld("sweep", file, typed="n\n").exit_code == 1
    launched = vld("sweep", file, "--yes")
    assert f"weights: {line}" in launched.stdout.splitlines()
    networks.clear()
    assert vld("sweep", file).exit_code == 0, "nothing is left to launch"


def test_where_only_some_weights_are_absent_it_is_said_and_gone_on(vld: Vld, file: str) -> None:
    text = STUDY.replace(
        "[cross]", '[cross]\nweights = ["pretrained", "none", "./mine.safetensors"]'
    )
    Path(file).write_text(text)
    launched = vld("sweep", file)
    assert launched.exit_code == 0, launched.stderr
    (line,) = (line for line in launched.stdout.splitlines() if line.startswith("weights"))
    assert line.startswith("weights: no such file: /")
    assert line.endswith("/mine.safetensors: 8 runs will fail")


def test_an_engine_that_cannot_answer_keeps_nobody_from_a_launch(
    vld: Vld, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> object:
        raise LaunchError("The engine cannot start.")

    monkeypatch.setattr("vld_tui.study.planner.ask_engine", fail)
    assert vld("sweep", file).exit_code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["paper-fig33"], "No study or preset 'paper-fig33'. Did you mean paper-fig3"),
        (["paper-fig3"], "PACS is not on this machine. Download it with: vld data"),
        (["paper-fig3", "--data", "PACCS"], "no data set named 'PACCS'. Did you mean PACS?"),
        (["mine", "--scale", "small"], "--scale applies to presets, and 'mine' is not a preset."),
        (["paper-fig3", "--scale", "tiny"], "--scale is 'tiny', but must be small or full."),
        (["paper-fig7-small", "--slots", "65"], "The number of slots is 65, but must be from 0"),
        (["paper-fig7-small", "--gpus", "0"], "No GPU '0': this machine has none."),
        (["paper-fig7-small", "--name", "a b"], "name is 'a b', but must be one word"),
        (["status", "nothing"], "No study or preset 'nothing'."),
    ],
)
def test_what_cannot_be_launched_is_refused_and_nothing_is_made(
    vld: Vld, monkeypatch: pytest.MonkeyPatch, words: list[str], told: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    refused = vld("sweep", *words)
    assert refused.exit_code == 2
    assert told in refused.stderr
    assert "Traceback" not in refused.stderr
    assert vld.json("ls") == []
    assert not (vld.home / "studies").exists()


@pytest.mark.parametrize("words", [["--slots", "-1"], ["--slots", "65"], ["--gpus", "cuda"]])
def test_a_dry_run_refuses_slots_that_a_launch_would_refuse(
    vld: Vld, monkeypatch: pytest.MonkeyPatch, file: str, words: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    refused = vld("sweep", file, "--dry-run", *words)
    assert refused.exit_code == 2
    assert "but must be from 0" in refused.stderr or "No GPU" in refused.stderr


def test_of_launches_at_once_one_makes_the_runs(vld: Vld, file: str) -> None:
    home = open_home(vld.home)
    (home.cache / "networks.json").write_text('[{"name": "finish", "weights": "cached"}]')
    with home.supervisor_lock.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # they take the queue for worked on
        started = [vld.start("sweep", file) for _ in range(3)]
        for process in started:
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors
    assert len(vld.json("ls")) == 8


def test_help_shows_the_word_that_may_be_left_out(vld: Vld) -> None:
    for words in (["sweep"], ["sweep", "--help"]):
        shown = vld(*words)
        assert shown.exit_code == 0
        assert "STUDY | COMMAND" in shown.stdout
        assert "--scale small" in shown.stdout
