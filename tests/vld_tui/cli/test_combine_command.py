"""``vld combine``: which runs, what is made of them, and what is refused beforehand."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import msgspec
import pytest

from engine.protocol import Combination, CombinationError, Parent
from tests.vld_tui.cli.conftest import Vld
from vld_tui.control.combine import plan_combination
from vld_tui.home import open_home
from vld_tui.store.store import Store

SHORT = ("--model", "finish", "--steps", "100", "--dataset", "emoji", "--head-steps", "5")


@pytest.fixture(scope="session")
def family_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with two runs to combine, one of another target, and one that failed."""
    vld = Vld(tmp_path_factory.mktemp("family") / "home")
    for name, words in (
        ("one", ("--seed", "1", "--trial-seed", "0", *SHORT)),
        ("two", ("--seed", "2", "--trial-seed", "0", *SHORT)),
        ("elsewhere", ("--target", "noto", *SHORT)),
        ("broken", ("--model", "fail", *SHORT[2:])),
    ):
        with vld.start("run", "--name", name, "--tag", "fam", *words) as run:
            run.communicate(timeout=60)
    return vld.home


@pytest.fixture
def family(family_template: Path, vld: Vld) -> Vld:
    shutil.copytree(family_template, vld.home, dirs_exist_ok=True)
    return vld


def names_of(vld: Vld) -> set[str]:
    return {run["name"] for run in vld.json("ls")}


def combination_of(vld: Vld, run_id: str) -> Combination:
    with Store.open(open_home(vld.home)) as store:
        combination = store.runs.run_dir(run_id).read_combination()
        assert combination is not None
        assert store.runs.get(run_id).combination == combination
        return combination


def ids(vld: Vld, *names: str) -> list[str]:
    of_name = {run["name"]: run["run"] for run in vld.json("ls")}
    return [of_name[name] for name in names]


def test_a_soup_is_a_run_in_history_that_names_its_parents(family: Vld) -> None:
    ran = family("combine", "soup", "one", "two", "--tag", "best")
    assert ran.exit_code == 0, ran.output
    one, two = ids(family, "one", "two")
    assert "method    soup: average of the weights" in ran.stdout
    assert "weights   of the selected steps (--at best)" in ran.stdout
    assert f"networks  2 · {one} · {two}" in ran.stdout
    assert f"vld compare {one} {two} @last" in ran.stdout
    record = family.json("show", "@last")
    assert (record["name"], record["status"]) == ("fluent-mono-soup-of-2", "finished")
    assert (record["arm"], record["parents"]) == ("soup", [one, two])
    assert (record["steps"], record["seed"], record["tags"]) == (2, None, ["best"])
    assert record["spec"]["arms"] == []
    combination = combination_of(family, record["run"])
    file = family.home / "runs" / one / "checkpoints" / "best.safetensors"
    assert combination.parents[0] == Parent(one, str(file))
    listed = family("ls", "--where", "arm=soup").stdout
    assert "soup" in listed.splitlines()[1]
    shown = family("show", "@last").stdout
    assert "progress  2 of 2 networks" in shown
    assert f"networks  2 · {one} · {two}" in shown


@pytest.mark.parametrize(
    ("words", "method", "files"),
    [
        (("soup", "one", "two", "--greedy", "--at", "last"), "greedy_soup", "last"),
        (("stock", "one", "two"), "stock", "best"),
        (("ensemble", "one", "two"), "ensemble", "best"),
        (("interpolate", "one", "two", "--points", "5"), "interpolation", "best"),
    ],
)
def test_each_way_of_combining_is_an_arm(
    family: Vld, words: tuple[str, ...], method: str, files: str
) -> None:
    ran = family("combine", *words, "--device", "cpu", "--json")
    assert ran.exit_code == 0, ran.stderr
    record = json.loads(ran.stdout)
    assert record["arm"] == method
    combination = combination_of(family, record["run"])
    assert combination.method == method
    assert all(
        (parent.file or "").endswith(f"{files}.safetensors") for parent in combination.parents
    )
    taken = {"best": "selected steps", "last": "last steps"}[files]
    assert f"{taken} (--at {files})" in family("show", record["run"]).stdout
    assert combination.points == (5 if method == "interpolation" else 11)
    assert family.json("show", record["run"])["spec"]["device"] == "cpu"


@pytest.mark.parametrize(
    ("words", "last_layer", "name", "method", "end"),
    [
        (("two",), "start_of_run", "wise-ft", "WiSE-FT", "B before its first step"),
        (("two", "--probe"), "linear_probe", "interpolation-from-probe",
         "interpolation from a linear probe", "linear probe"),
        (("random-head",), "linear_probe", "interpolation-from-probe",
         "interpolation from a linear probe", "linear probe"),
    ],
)  # fmt: skip
def test_from_the_pretrained_network_a_run_is_interpolated_alone(
    family: Vld, words: tuple[str, ...], last_layer: str, name: str, method: str, end: str
) -> None:
    if words == ("random-head",):
        ran = family("run", "--name", "random-head", "--seed", "2", *SHORT[:-1], "0")
        assert ran.exit_code == 0, ran.output
    record = family.json("combine", "interpolate", "pretrained", *words)
    (fine_tuned,) = ids(family, words[0])
    assert record["parents"] == ["pretrained", fine_tuned]
    assert record["steps"] == 100
    assert record["seed"] == 2
    assert record["name"] == f"fluent-mono-{name}"
    (start, _) = combination_of(family, record["run"]).parents
    assert start == Parent("", None, last_layer)  # type: ignore[arg-type]
    (told, _) = family.json("show", "@last")["combination"]["parents"]
    assert told["last_layer"] == last_layer
    shown = " ".join(family("show", "@last").stdout.split())
    assert f"method {method}: " in shown
    assert f"A pretrained ({end}) → B {fine_tuned}" in shown


def test_a_run_that_selected_its_start_is_interpolated_to_its_last_network(family: Vld) -> None:
    with Store.open(open_home(family.home)) as store:
        run = msgspec.structs.replace(store.runs.get("two"), selected_step=0)
        way = partial(plan_combination, store, "interpolation", [run], from_pretrained=True)
        with pytest.raises(CombinationError, match=r"selected step 0, .* Use --at last\."):
            way(at="best")
        assert way(at="last").combination.starts_at == "start_of_run"
        assert way(at="best", probe=True).combination.starts_at == "linear_probe"


def test_a_stock_of_a_run_that_selected_its_start_needs_its_last_network(family: Vld) -> None:
    with Store.open(open_home(family.home)) as store:
        one, two = store.runs.get("one"), store.runs.get("two")
        still = msgspec.structs.replace(two, selected_step=0)
        with pytest.raises(CombinationError, match=r"two selected step 0, .* Use --at last\."):
            plan_combination(store, "stock", [one, still], at="best")
        task = plan_combination(store, "stock", [one, still], at="last")
        assert task.combination.method == "stock"
        plan_combination(store, "soup", [one, still], at="best")


def test_runs_are_chosen_by_a_filter_without_those_that_cannot_be_meant(family: Vld) -> None:
    family.json("combine", "soup", "one", "two", "--tag", "fam")
    ran = family("combine", "ensemble", "--where", "tag:fam target:fluent-mono", "--json")
    assert ran.exit_code == 0, ran.stderr
    assert "Left out: 1 unfinished run and 1 combining run." in ran.stderr
    assert json.loads(ran.stdout)["parents"] == ids(family, "one", "two")


def test_a_stock_needs_runs_from_the_same_weights(family: Vld) -> None:
    ran = family("run", "--name", "random", "--weights", "none", *SHORT)
    assert ran.exit_code == 0, ran.output
    refused = family("combine", "stock", "one", "random")
    assert refused.exit_code == 2
    one, random = ids(family, "one", "random")
    told = f"weights is pretrained in run {one} but none in run {random}: they started from"
    assert told in " ".join(refused.stderr.split())
    assert family("combine", "soup", "one", "random").exit_code == 0


def test_a_soup_of_several_objectives_names_what_its_runs_share(family: Vld) -> None:
    ran = family("run", "--name", "worst", "--objective", "groupdro", "--dropout", "0", *SHORT)
    assert ran.exit_code == 0, ran.output
    record = family.json("combine", "soup", "one", "worst")
    assert (record["name"], record["arm"]) == ("fluent-mono-soup-of-2", "soup")
    assert record["dropout_rate"] is None
    shown = " ".join(family("show", "@last").stdout.replace("●", " ").split())
    assert "objective mixed" in shown, shown
    assert "dropout mixed" in shown
    compared = family("compare", "one", "worst", "@last").stdout.splitlines()
    assert ["objective", "erm", "groupdro", "–"] in [line.split() for line in compared]


def test_it_may_wait_or_be_left(family: Vld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vld_tui.control.queue.start_supervisor", lambda *_: None)
    queued = family.json("combine", "soup", "one", "two", "--queue", "--name", "later")
    assert (queued["status"], queued["name"]) == ("queued", "later")
    with family.start("combine", "soup", "one", "two", "--detach") as left:
        assert "vld logs -f" in left.communicate(timeout=60)[0]
    resumed = family("resume", "later")
    assert resumed.exit_code == 0, resumed.output
    assert "networks  2 · " in resumed.stdout


def test_what_was_made_outlives_its_parents(family: Vld) -> None:
    made = family.json("combine", "soup", "one", "two")["run"]
    (one,) = ids(family, "one")
    assert family("rm", "one").exit_code == 0
    assert family.json("show", made)["parents"][0] == one
    assert family("rebuild").exit_code == 0
    record = family.json("show", made)
    assert (record["arm"], record["parents"][0]) == ("soup", one)
    assert "networks  2 · " in family("logs", made).stdout
    assert family("rm", made).exit_code == 0
    assert family("restore", made).exit_code == 0


def test_runs_and_what_is_made_of_them_are_compared(family: Vld) -> None:
    family.json("combine", "soup", "one", "two")
    lines = family("compare", "one", "@last").stdout.splitlines()
    assert lines[1].split() == ["method", "–", "soup"]
    assert lines[2].startswith("networks")
    assert not any(line.startswith(("steps", "head-steps")) for line in lines)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("soup",), "Name the runs to combine, or select them with --where"),
        (("soup", "one", "two", "--where", "tag:fam"), "Name the runs to combine, or select"),
        (("soup", "one"), "Combining needs at least two runs."),
        (("soup", "--where", "tag:nobody"), "Combining needs at least two runs."),
        (("ensemble", "one", "one"), "is given twice; each run can be combined only once."),
        (("interpolate", "one", "one"), "is given twice"),
        (("stock", "one"), "Combining needs at least two runs."),
        (("soup", "one", "elsewhere"), "target is fluent-mono in run"),
        (("soup", "one", "broken"), "is failed, not finished. Resume it: vld resume"),
        (("soup", "one", "nobody"), "nobody"),
        (("soup", "one", "two", "--at", "first"), "--at is 'first', but must be best or last."),
        (("interpolate", "one", "two", "--points", "1"), "--points is 1, but must be from 2 to"),
        (("interpolate", "one", "two", "--points", "102"), "--points is 102, but must be from"),
        (("interpolate", "one", "pretrained"), "pretrained"),
        (("interpolate", "one", "two", "--probe"), "--probe needs 'pretrained' as A, not 'one'"),
        (("interpolate", "one", "two", "--name", "a/b"), "must not contain '/'"),
    ],
)
def test_what_cannot_be_combined_is_said_and_leaves_nothing(
    family: Vld, words: tuple[str, ...], said: str
) -> None:
    before = names_of(family)
    refused = family("combine", *words)
    assert refused.exit_code == 2, refused.output
    assert said in refused.stderr.replace("\n", " ")
    assert names_of(family) == before


def test_a_run_whose_checkpoint_was_pruned_is_named_with_what_to_do(family: Vld) -> None:
    (one,) = ids(family, "one")
    (family.home / "runs" / one / "checkpoints" / "last.safetensors").unlink()
    refused = family("combine", "soup", "one", "two", "--at", "last")
    assert refused.exit_code == 2
    assert "Run one no longer has a last checkpoint: it was pruned." in refused.stderr
    assert "--at best" in refused.stderr


def test_final_weights_that_were_never_kept_are_told_from_pruned_ones(family: Vld) -> None:
    with family.start("run", "--name", "kept", "--keep", "best", *SHORT) as run:
        run.communicate(timeout=60)
    kept, one = ids(family, "kept", "one")
    for run_id in (kept, one):
        (family.home / "runs" / run_id / "checkpoints" / "last.safetensors").unlink(missing_ok=True)
    refused = family("combine", "soup", "kept", "two", "--at", "last")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr == (
        "Error: Run kept has no last checkpoint: it was run with --keep best.\n"
        "Use --at best. To combine final weights, rerun with --keep all; in a study: "
        'set keep = "all", vld rm these runs, then run vld sweep again.\n'
    )
    both = family("combine", "ensemble", "kept", "one", "--at", "last").stderr
    assert "Run kept and 1 other no longer have a last checkpoint: they were pruned." in both


@pytest.mark.parametrize("keep", ["best", "none"])
def test_what_waits_to_be_combined_is_not_pruned(
    family: Vld, keep: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vld_tui.control.queue.start_supervisor", lambda *_: None)
    for at in ("last", "best"):
        family.json("combine", "soup", "one", "two", "--at", at, "--queue")
    files = [
        parent.file
        for run in family.json("queue", "ls")["waiting"]
        for parent in combination_of(family, run["run"]).parents
    ]
    needed = files[:2] if keep == "best" else sorted(str(file) for file in files)
    dry = family.json("prune", "--keep", keep, "--dry-run")
    assert sorted(dry["needed"]) == sorted(str(file) for file in needed)
    told = family("prune", "--keep", keep, "--yes").stdout
    assert told.startswith("freed ")
    assert "of 1 finished run\n" in told
    assert "of 2 finished runs: queued or running combinations need them" in told
    assert all(Path(str(file)).is_file() for file in files)
    assert family("prune", "two", "--keep", keep, "--yes").stdout.startswith("Nothing to free")


def test_what_is_combined_since_the_question_is_not_pruned(
    family: Vld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vld_tui.control.queue.start_supervisor", lambda *_: None)

    def answer_late(*_: object, **__: object) -> None:
        family.json("combine", "soup", "one", "two", "--at", "last", "--queue")

    monkeypatch.setattr("vld_tui.cli.prune.ask", answer_late)
    pruned = family.json("prune")
    assert pruned["runs"] == ids(family, "elsewhere")
    assert len(pruned["needed"]) == 2
    assert all(Path(file).is_file() for file in pruned["needed"])


def test_what_combines_others_is_not_combined_again(family: Vld) -> None:
    family.json("combine", "soup", "one", "two")
    refused = family("combine", "soup", "one", "@last")
    assert refused.exit_code == 2
    assert "is itself a combination. Give its parents instead." in refused.stderr
