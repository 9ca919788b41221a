"""``vld rich`` and ``vld shift`` on the network of a real small run."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

from engine.protocol.diagnostics import diagnostics_of
from tests.vld_tui.cli.conftest import Vld


def test_rich_shows_the_measures_and_keeps_them_with_the_run(trained: Vld) -> None:
    result = trained("rich", "trained", "--threads", "1")
    assert result.exit_code == 0, result.stderr
    for each in diagnostics_of("rich"):
        assert each.title in result.stdout
    [found] = trained.json("rich", "@last", "--threads", "1")
    assert found["computed"] == []
    values = found["diagnoses"]["rank"]["values"]["rank_me"]
    shown = trained.json("show", "trained")
    assert [shown["measures"][f"{which}_rank_me"] for which in ("id", "ood")] == values
    assert shown["diagnoses"].keys() == found["diagnoses"].keys()
    assert "Diagnostics" in trained("show", "trained").stdout
    [row] = trained.json("ls", "--where", f"ood_rank_me>{values[1] - 0.01}")
    assert row["measures"]["ood_rank_me"] == values[1]
    rows = list(csv.DictReader(io.StringIO(trained("ls", "--csv").stdout)))
    assert float(rows[0]["ood_rank_me"]) == values[1]


def test_runs_are_measured_by_a_filter(trained: Vld) -> None:
    [named] = trained.json("rich", "trained", "--threads", "1")
    [matched] = trained.json("rich", "--where", "name=trained", "--threads", "1")
    assert (matched["run"], matched["computed"]) == (named["run"], [])
    for words in ((), ("trained", "--where", "name=trained")):
        result = trained("rich", *words)
        assert result.exit_code == 2
        assert "or select them with --where (not both)" in result.stderr
    result = trained("rich", "--where", "name=another")
    assert result.exit_code == 2
    assert "No finished run matches 'name=another'" in result.stderr


def test_shift_begins_with_words(trained: Vld) -> None:
    result = trained("shift", "trained", "--threads", "1")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("The target is ")
    assert "(AUC " in result.stdout
    assert "0 runs from scratch" not in result.stdout.splitlines()[0]
    found = trained.json("shift", "trained", "--threads", "1")
    assert found["summary"][:30] in result.stdout
    measured = {name for each in found["diagnoses"].values() for name in each["values"]}
    assert measured == {
        measure.name for each in diagnostics_of("shift") for measure in each.measures
    }
    rows = found["diagnoses"]["probe"]["tables"]["support"]["rows"]
    assert [row["n in"] + row["n out"] for row in rows] == [39]
    shown = trained.json("show", "trained")["measures"]
    assert "ood_auroc_msp" in shown
    assert "id_auroc_msp" not in shown  # there is no such value


def test_several_runs_are_lines_of_a_table(trained: Vld) -> None:
    [folder] = (trained.home / "runs").iterdir()
    shutil.copytree(folder, folder.with_name("other"))
    shutil.rmtree(folder.with_name("other") / "checkpoints")
    assert trained("rebuild").exit_code == 0
    result = trained("rich", "other", folder.name, "--threads", "1")
    assert result.exit_code == 1
    assert result.stderr.count("Error: Run other has no checkpoints") == 1
    heading, *rows = result.stdout.splitlines()
    assert "RankMe" in heading
    assert len(rows) == 1  # the other run has no value


def test_many_alike_problems_are_one_line(trained: Vld) -> None:
    [folder] = (trained.home / "runs").iterdir()
    shutil.rmtree(folder / "checkpoints")
    for number in range(6):
        shutil.copytree(folder, folder.with_name(f"copy-{number}"))
    assert trained("rebuild").exit_code == 0
    result = trained("rich", *(f"copy-{number}" for number in range(6)), "--threads", "1")
    assert result.exit_code == 1
    assert not result.stdout
    [line] = (each for each in result.stderr.splitlines() if "Error" in each)
    start = "Error: 6 runs failed for the same reason. First: Run copy-0 has no checkpoints:"
    assert line.startswith(start)


def test_a_run_without_a_network_is_refused_in_a_line(trained: Vld) -> None:
    [folder] = (trained.home / "runs").iterdir()
    for path in (folder / "checkpoints").iterdir():
        path.unlink()
    result = trained("rich", "trained")
    assert result.exit_code == 2
    assert "has no checkpoints" in result.stderr
    assert not (folder / "diagnoses").exists()


def test_a_damaged_result_is_computed_again(trained: Vld) -> None:
    [folder] = (trained.home / "runs").iterdir()
    trained("rich", "trained", "--threads", "1")
    path = Path(folder / "diagnoses" / "rank.json")
    before = json.loads(path.read_text())["values"]
    path.write_bytes(b"{")
    [found] = trained.json("rich", "trained", "--threads", "1")
    assert found["computed"] == ["rank"]
    assert json.loads(path.read_text())["values"] == before


def test_a_domain_of_a_data_set_is_compared_before_any_run(vld: Vld, small_emoji: Path) -> None:
    options = ("--model", "test_resnet", "--weights", "none", "--image-size", "32")
    data = str(small_emoji)
    result = vld("shift", data, "--target", "noto", *options)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("The target is ")
    assert "noto compared with fluent, fluent-mono, twemoji" in result.stdout
    assert "accuracy" not in result.stdout  # there is no network to predict
    found = vld.json("shift", data, "--target", "noto", *options)
    assert found["diagnoses"].keys() == {"probe", "distances"}
    rows = found["diagnoses"]["probe"]["tables"]["support"]["rows"]
    assert sum(row["images"] for row in rows) == 48
    result = vld("shift", data, "--target", "nto", *options)
    assert result.exit_code == 2
    assert "has no domain 'nto'. Did you mean noto?" in result.stderr


def test_options_of_a_data_set_are_refused_with_a_run(vld: Vld) -> None:
    assert "--model needs a data set and --target" in vld("shift", "x", "--model", "a").stderr
    assert "--again needs a run" in vld("shift", "x", "--target", "y", "--again").stderr
    assert "For a data set, add --target DOMAIN." in vld("shift", "emoji").stderr


def test_defaults_of_recipes_are_shown_only_where_a_recipe_can_be_chosen(vld: Vld) -> None:
    default, of_paper = "tf_efficientnet_lite0", "resnet50.tv2_in1k"
    chosen, shift = vld("run", "--help").stdout, vld("shift", "--help").stdout
    assert default in chosen
    assert of_paper in chosen
    assert default in shift
    assert of_paper not in shift
