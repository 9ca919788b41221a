import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from engine.protocol import encode_predictions
from tests.vld_tui.cli.conftest import Vld
from tests.vld_tui.dashboard.run_facts import make_predictions
from vld_tui.home import Home
from vld_tui.store.saved_views import SavedView
from vld_tui.store.store import Store


def run_id(vld: Vld, reference: str) -> str:
    answer = vld.json("show", reference)["run"]
    assert isinstance(answer, str)
    return answer


class TestLs:
    def test_runs_are_listed_newest_first_with_both_accuracies(self, history: Vld) -> None:
        lines = history("ls").stdout.splitlines()
        assert lines[0].split() == [
            "status", "name", "data", "→", "target", "model", "prediction", "λ", "masks", "seed",
            "step", "ID", "OOD", "ID", "balanced", "OOD", "balanced", "age", "tags", "run",
        ]  # fmt: skip
        assert len(lines) == 4
        failed, collapsed, finished = lines[1:]
        assert failed.startswith("✗ failed")
        assert "50/100  67.2%  47.2%" in failed
        assert "▼ collapsed" in collapsed
        assert "emoji → noto" in collapsed
        assert finished.startswith("✓ finished")
        assert "first" in finished
        assert "best" in finished
        assert "73.3%  53.3%" in finished

    def test_a_saved_view_has_its_filter_order_and_columns(self, history: Vld) -> None:
        view = SavedView(filter="target=noto or name=first", sort="name", columns=("name", "ood"))
        with Store.open(Home(history.home)) as store:
            store.views.save("mine", view)
        heading, *rows = history("ls", "--view", "mine").stdout.splitlines()
        assert heading.split() == ["name", "OOD"]
        assert len(rows) >= 1
        (row,) = history("ls", "--view", "mine", "--where", "name=first").stdout.splitlines()[1:]
        assert row.split() == ["first", "53.3%"]
        with Store.open(Home(history.home)) as store:
            store.views.save("one", SavedView(filter="name=first"))
        (found,) = history.json("ls", "--view", "one", "--where", "name=nowhere | ood>=0")
        assert found["name"] == "first"
        missing = history("ls", "--view", "mien")
        assert "No saved view 'mien'. Did you mean mine?" in missing.stderr
        assert missing.exit_code == 2

    def test_columns_are_aligned(self, history: Vld) -> None:
        lines = history("ls").stdout.splitlines()
        start = lines[0].index("name")
        assert all(line[start - 1] == " " and line[start] != " " for line in lines)

    def test_where_filters_and_sort_orders(self, history: Vld) -> None:
        names = [run["model"] for run in history.json("ls", "--where", "dropout>=0.5 ood>50%")]
        assert names == ["collapse", "finish"]
        rates = [run["dropout_rate"] for run in history.json("ls", "--sort", "-dropout")]
        assert rates == [0.9, 0.5, 0.0]
        assert [run["name"] for run in history.json("ls", "--where", "tag:best")] == ["first"]

    def test_limit(self, history: Vld) -> None:
        assert len(history.json("ls", "--limit", "2")) == 2
        assert len(history.json("ls", "--limit", "0")) == 3
        assert history("ls", "--limit", "-1").exit_code == 2
        assert "'two' is not a whole number" in history("ls", "--limit", "two").stderr

    def test_without_a_database_folders_are_told_of_and_in_the_trash_they_are_not(
        self, history: Vld
    ) -> None:
        for path in history.home.glob("vld.db*"):
            path.unlink()
        told = history("ls")
        assert told.stderr == (
            f"3 run folders in {history.home / 'runs'} not in the database; run: vld rebuild\n"
        )
        assert history("rebuild").exit_code == 0
        history("rm", *(run["run"] for run in history.json("ls")))
        assert history("ls").stderr == f"No runs yet in {history.home}. Start one: vld run\n"

    def test_json_has_the_same_records_as_a_run_ends_with(self, history: Vld) -> None:
        (record,) = history.json("ls", "--where", "tag:best")
        assert record["status"] == "finished"
        assert record["selected_step"] == 100
        assert record["domains"]["fluent-mono"] == pytest.approx(record["ood_accuracy"])

    def test_csv_has_a_column_for_each_domain(self, history: Vld) -> None:
        rows = list(csv.DictReader(io.StringIO(history("ls", "--csv").stdout)))
        assert [row["model"] for row in rows] == ["fail", "collapse", "finish"]
        assert float(rows[2]["domains.noto"]) == pytest.approx(0.7226, abs=1e-4)
        assert rows[2]["tags"] == "best"

    def test_an_empty_history_says_how_to_begin(self, vld: Vld) -> None:
        result = vld("ls")
        assert (result.exit_code, result.stdout) == (0, "")
        assert "vld run" in result.stderr
        assert vld("ls", "--json").stdout.strip() == "[]"

    def test_a_query_that_matches_nothing_says_so(self, history: Vld) -> None:
        result = history("ls", "--where", "dropout>0.95")
        expected = "No run matches 'dropout>0.95': 3 runs searched.\n"
        assert (result.exit_code, result.stderr) == (0, expected)
        assert "Did you mean emoji" in history("ls", "--where", "dataset=emojj").stderr

    @pytest.mark.parametrize("command", ["ls", "compare", "prune", "combine soup"])
    def test_a_word_that_no_run_has_is_an_error_of_every_command(
        self, history: Vld, command: str
    ) -> None:
        result = history(*command.split(), "--where", "colapsed")
        assert result.exit_code == 2
        assert "No run has 'colapsed'" in result.stderr
        assert "Did you mean collapsed" in result.stderr

    def test_the_fields_are_listed(self, history: Vld) -> None:
        lines = history("ls", "--fields").stdout.splitlines()
        assert any(line.startswith("dropout_rate") and " dropout " in line for line in lines)
        known = {field["name"]: field for field in history.json("ls", "--fields")}
        assert "stopped" in known["status"]["choices"]
        assert known["id_accuracy"]["aliases"] == ["id", "id_acc"]

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["--where", "dropuot=1"], "Did you mean dropout"),
            (["--where", "(seed=1"], "Unmatched '('"),
            (["--sort", "odo"], "Did you mean ood"),
            (["--json", "--csv"], "pass only one"),
        ],
    )
    def test_what_is_not_understood(self, history: Vld, words: list[str], told: str) -> None:
        result = history("ls", *words)
        assert result.exit_code == 2
        assert told in result.stderr


class TestShow:
    def test_everything_known_is_shown(self, history: Vld) -> None:
        text = history("show", "first").stdout
        for part in (
            "  ✓ finished  100/100  ID 73.3%",
            "100 of 100 in 12s",
            "tags      best",
            "data      emoji · 17 classes",
            "ID                    73.3%      73.3%    70.0–76.3%  ▁█",
            "95% intervals: ID from 738 images, OOD from 984 images; they cover",
            "fluent-mono           53.3%",
            "target: OOD",
            "started · process",
            "checkpoints/best.safetensors",
            "3 B  step 100: network at the selected step",
            "torch 2.0",
            "  dropout              0.9",
        ):
            assert part in text

    def test_a_collapse_is_shown_with_its_advice(self, history: Vld) -> None:
        text = history("show", "noto-d0.5-m8-s0").stdout
        assert "▼ collapsed" in text
        assert "Lower --lr" in text

    def test_a_failure_is_shown_with_its_reason(self, history: Vld) -> None:
        assert "The loss is not finite." in history("show", "@last").stdout

    def test_json_gives_process_status_checkpoints_and_paths(self, history: Vld) -> None:
        record = history.json("show", "first")
        assert record["pid"] > 1
        assert record["status"] == "finished"
        assert [(each["kind"], each["step"]) for each in record["checkpoints"]] == [
            ("best", 100),
            ("last", 100),
        ]
        assert record["checkpoints"][0]["path"].startswith(record["paths"]["folder"])
        assert record["spec"]["steps"] == 100
        assert record["versions"]["torch"] == "2.0"
        assert record["data"]["classes"][0] == "class 0"
        assert record["timeline"][0]["outcome"] == "finished"
        assert {point["step"] for point in record["metrics"]} == {100}
        assert record["id_interval"] == pytest.approx([0.6995, 0.7632], abs=1e-4)
        assert record["ood_interval"] == pytest.approx([0.5013, 0.5636], abs=1e-4)
        assert record["cautions"] == []
        assert record["collapse"] is None
        assert history.json("show", "noto-d0.5-m8-s0")["collapse"]["predicted_class"]

    def test_json_gives_the_accuracy_of_each_class(self, history: Vld) -> None:
        record = history.json("show", "first")
        assert record["class_accuracies"] is None
        path = Path(record["paths"]["predictions"])
        path.write_bytes(encode_predictions(make_predictions()))
        target = history.json("show", "first")["class_accuracies"][2]
        assert (target["domain"], target["split"], target["step"]) == ("fluent-mono", "in", 150)
        assert target["classes"] == {"animal": 0.75, "face": 1.0, "food": 0.25}
        path.write_bytes(b"torn")
        assert history.json("show", "first")["class_accuracies"] is None
        path.unlink()

    def test_a_run_is_named_by_id_prefix_name_or_last(self, history: Vld) -> None:
        whole = run_id(history, "first")
        assert run_id(history, whole) == whole
        assert run_id(history, "@last") == run_id(history, "fluent-mono-d0-s3")
        unique = next(
            whole[:length]
            for length in range(1, len(whole) + 1)
            if sum(run["run"].startswith(whole[:length]) for run in history.json("ls")) == 1
        )
        assert run_id(history, unique) == whole

    def test_an_unknown_run_is_answered_with_the_nearest_name(self, history: Vld) -> None:
        result = history("show", "frist")
        assert result.exit_code == 2
        assert "Did you mean first?" in result.stderr

    def test_an_ambiguous_name_is_answered_with_the_ids(self, history: Vld) -> None:
        history("run", "--model", "finish", "--steps", "10", "--name", "first")
        result = history("show", "first")
        assert result.exit_code == 2
        for run in history.json("ls", "--where", "name=first"):
            assert run["run"] in result.stderr


class TestCurve:
    def test_id_ood_and_loss_are_drawn_with_the_selected_step(self, history: Vld) -> None:
        text = history("curve", "first", "--width", "80", "--height", "24").stdout
        assert "accuracy  step 100  ──● 73.3% ID  ╌╌▲ 53.3% OOD" in text
        assert "loss  step 100  0.484 training" in text
        assert "\x1b" not in text
        lines = text.splitlines()
        assert len(lines) <= 24
        assert max(map(len, lines)) <= 80

    def test_metrics_can_be_chosen(self, history: Vld) -> None:
        text = history("curve", "first", "--metric", "noto", "--metric", "ood").stdout
        assert "──● 72.3% noto  ╌╌▲ 53.3% OOD" in text
        assert "loss" not in text
        assert "▲ 53.3% fluent-mono" in history("curve", "first", "--metric", "domains").stdout

    def test_the_use_of_the_machine_is_drawn_and_summarised(self, history: Vld) -> None:
        text = history("curve", "first", "--system").stdout
        assert "processor and GPU  last  ──● 50.0% this run  ╌╌▲ 75.0% machine" in text
        assert "▲ 25.0% waiting" in text
        assert "GPU memory" not in text
        shown = history("show", "first").stdout
        assert "peak memory 2.0 GiB · processor 50.0% · waiting for" in shown
        record = history.json("show", "first")
        assert record["system"]["time"]["waiting"] == 0.25
        assert record["system"]["gpu_share"] is None
        assert all(each["split"] != "system" for each in record["metrics"])
        refused = history("curve", "first", "--system", "--metric", "id")
        assert refused.exit_code == 2

    def test_an_unknown_metric_is_answered_with_the_known_ones(self, history: Vld) -> None:
        result = history("curve", "first", "--metric", "nto")
        assert result.exit_code == 2
        assert "Did you mean noto?" in result.stderr
        assert "id, ood, loss, domains, fluent" in result.stderr


class TestLabels:
    def test_tags_are_set_added_and_removed(self, history: Vld) -> None:
        assert history("tag", "first", "a", "b").exit_code == 0
        assert history.json("show", "first")["tags"] == ["a", "b"]
        changed = history("tag", "first", "+c", "-a", "-z")
        assert (changed.exit_code, changed.stdout.split()[1:]) == (0, ["tags:", "b", "c"])
        assert "has no tag 'z'" in changed.stderr
        assert history("tag", "first").stdout.split()[1:] == ["tags:", "b", "c"]
        assert "tags: none" in history("tag", "first", "-b", "-c").stdout

    def test_tags_may_be_separated_by_commas(self, history: Vld) -> None:
        assert history("tag", "first", "a,b,", "c").exit_code == 0
        assert history.json("show", "first")["tags"] == ["a", "b", "c"]
        history("tag", "first", "-a,c")
        assert history.json("show", "first")["tags"] == ["b"]

    def test_a_run_is_renamed(self, history: Vld) -> None:
        known = history.json("show", "first")["run"]
        assert history("rename", "first", "best one").stdout == (
            f"{known}  first renamed to best one\n"
        )
        assert history.json("show", "best one")["run"] == known
        assert history("rename", "best one", "best one").stdout == (
            f"{known}  name unchanged: best one\n"
        )
        assert "must not contain '/'" in history("rename", "best one", "a/b").stderr

    def test_all_runs_that_match_are_tagged(self, history: Vld) -> None:
        tagged = history("tag", "--where", "not status:failed", "+kept")
        assert tagged.stderr == "2 runs matched\n"
        names = {run["name"] for run in history.json("ls", "--where", "tag:kept")}
        assert names == {"first", "noto-d0.5-m8-s0"}
        assert history.json("show", "first")["tags"] == ["best", "kept"]

    @pytest.mark.parametrize("words", [["first", "-h"], ["first", "--help"], ["-h"], ["--help"]])
    def test_help_is_no_tag(self, history: Vld, words: list[str]) -> None:
        result = history("tag", *words)
        assert (result.exit_code, result.stdout.split()[0]) == (0, "Usage:")
        assert history.json("show", "first")["tags"] == ["best"]

    def test_a_tag_that_looks_like_help_is_removed_after_two_dashes(self, history: Vld) -> None:
        history("tag", "first", "+h")
        assert history("tag", "first", "--", "-h").exit_code == 0
        assert history.json("show", "first")["tags"] == ["best"]

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["a", "+b"], "not both"),
            (["two words"], "must be one word"),
            ([""], "is not a tag"),
            (["-"], "is not a tag"),
            (["++a"], "must not start with"),
            ([","], "is not a tag"),
            (["a,+b"], "not both"),
            (["--hepl"], "No such option: --hepl. Did you mean --help"),
            (["--all"], "No such option: --all"),
        ],
    )
    def test_what_is_no_tag_is_refused(self, history: Vld, words: list[str], told: str) -> None:
        refused = history("tag", "first", *words)
        assert refused.exit_code == 2
        assert told in refused.stderr
        assert history.json("show", "first")["tags"] == ["best"]

    def test_runs_that_match_are_removed(self, history: Vld) -> None:
        told = history("rm", "--where", "status:failed", "--dry-run").stdout
        assert "would move to the trash" in told
        assert len(history.json("ls")) == 3
        assert history("rm", "--where", "status:failed").exit_code == 2  # nobody can be asked
        assert history("rm", "--where", "status:failed", "--yes").exit_code == 0
        assert len(history.json("ls")) == 2
        assert history("rm", "first", "--where", "status:failed").exit_code == 2

    def test_a_note_is_text_and_nothing_else(self, history: Vld) -> None:
        history("note", "first", "[red]try \x1b[2J again[/red]\nlater")
        text = history("show", "first").stdout
        assert "note      [red]try ␛[2J again[/red]\n            later" in text
        assert history("note", "first").stdout == "[red]try ␛[2J again[/red]\nlater\n"
        history("note", "first", "")
        assert history.json("show", "first")["note"] == ""


class TestTrash:
    def test_a_run_goes_to_the_trash_and_comes_back(self, history: Vld) -> None:
        whole = run_id(history, "first")
        removed = history("rm", "first")
        assert f"vld restore {whole}" in removed.stdout
        assert [run["run"] for run in history.json("ls", "--trashed")] == [whole]
        assert whole not in [run["run"] for run in history.json("ls")]
        assert history("resume", whole).exit_code == 2
        assert history("restore", whole).exit_code == 0
        assert len(history.json("ls")) == 3

    def test_the_last_one_trashed_comes_back_first(self, history: Vld) -> None:
        whole = run_id(history, "first")
        history("rm", whole)
        assert f"restored {whole}  first" in history("restore", "@last").stdout
        nothing = history("restore", "@last")
        assert nothing.exit_code == 2
        assert "The trash is empty" in nothing.stderr

    def test_emptying_asks_first(self, history: Vld) -> None:
        history("rm", "first", "@last")
        refused = history("rm", "--empty-trash", typed="n\n")
        assert refused.exit_code == 1
        assert len(history.json("ls", "--trashed")) == 2
        assert "deleted 2 runs" in history("rm", "--empty-trash", typed="y\n").stdout
        assert history.json("ls", "--trashed") == []
        assert "empty" in history("rm", "--empty-trash").stdout
        assert history("restore").stdout == "The trash is empty.\n"

    def test_emptying_can_go_without_asking(self, history: Vld) -> None:
        history("rm", "first")
        assert history("rm", "--empty-trash", "--yes").exit_code == 0
        assert history.json("ls", "--trashed") == []

    def test_the_trash_is_listed_and_one_run_of_it_deleted(self, history: Vld) -> None:
        whole = run_id(history, "first")
        history("rm", whole, "@last")
        heading, last, other, _, _ = history("restore").stdout.splitlines()
        assert heading.split() == ["name", "status", "trashed", "size", "run"]
        assert "first" in other
        assert whole in other
        assert "KiB" in other
        assert whole not in last
        listed = history.json("restore")
        assert [each["run"] for each in listed][1] == whole
        assert all(each["bytes"] > 0 and each["trashed_at"] for each in listed)
        planned = history("rm", "--empty-trash", "first", "--dry-run").stdout
        assert planned.startswith("would delete permanently: first")
        assert len(history.json("restore")) == 2
        assert "deleted 1 run (" in history("rm", "--empty-trash", "first", "--yes").stdout
        assert [each["run"] for each in history.json("restore")] == [listed[0]["run"]]

    def test_a_run_whose_folder_is_gone_is_shown_so_and_forgotten(self, history: Vld) -> None:
        whole = run_id(history, "first")
        shutil.rmtree(history.home / "runs" / whole)
        assert {each["name"]: each["status"] for each in history.json("ls")}["first"] == "gone"
        assert history.json("show", "first")["status"] == "gone"
        assert "was deleted or moved" in history("show", "first").stdout
        for command in (["resume"], ["predict"], ["export"]):
            words = {"predict": ["."], "export": ["out", "--to", "timm"]}.get(command[0], [])
            refused = history(*command, "first", *words)
            assert "was deleted or moved" in refused.stderr, command
            assert refused.exit_code == 2
        assert history("rm", "first").exit_code == 2, "asks"
        assert history("rm", "first", "--yes").stdout.startswith(f"forgotten: {whole}  first\n")
        assert "first" not in [each["name"] for each in history.json("ls")]

    def test_nothing_is_removed_while_the_disk_of_the_runs_is_away(self, history: Vld) -> None:
        (history.home / "runs").rename(history.home / "unmounted")
        for words in (["first"], ["--where", "status:failed"]):
            refused = history("rm", *words, "--yes")
            assert "is its disk mounted?" in refused.stderr
            assert "Error: Nothing was removed" in refused.stderr
            assert (refused.exit_code, refused.stdout) == (2, "")
        if (history.home / "runs").exists():
            (history.home / "runs").rmdir()
        (history.home / "unmounted").rename(history.home / "runs")
        assert len(history.json("ls")) == 3

    def test_runs_after_one_that_is_refused_are_handled_too(self, history: Vld) -> None:
        whole = [each["run"] for each in history.json("ls")]
        obstacle = history.home / "trash" / whole[0]
        obstacle.mkdir()
        removed = history("rm", *whole)
        assert removed.stdout.count("moved to the trash") == 2
        assert f"{obstacle} already exists" in removed.stderr
        assert removed.exit_code == 2
        obstacle.rmdir()
        restored = history("restore", *whole)
        assert restored.stdout.count("restored") == 2
        assert f"Run {whole[0]} is not in the trash." in restored.stderr
        assert restored.exit_code == 2
        shutil.rmtree(history.home / "runs" / whole[0])
        tagged = history("tag", "--where", "step>=0", "+kept")
        assert tagged.stdout.count("kept") == 2
        assert "Cannot change the tags." in tagged.stderr
        assert whole[0] in tagged.stderr
        assert tagged.exit_code == 2

    def test_what_to_remove_must_be_said(self, history: Vld) -> None:
        assert history("rm").exit_code == 2
        assert history("rm", "first", "--empty-trash").exit_code == 2
        assert len(history.json("ls")) == 3


class TestLogs:
    def test_control_characters_are_shown_not_obeyed(self, history: Vld) -> None:
        assert history("logs", "first").stdout.endswith("stand-in engine: ␛[31mtraining␛[0m\n")

    def test_a_run_tells_its_story(self, history: Vld) -> None:
        lines = history("logs", "first").stdout.splitlines()
        assert lines[0].startswith("network ")
        assert any(line.startswith("step ") and "ID" in line for line in lines)
        assert any(line.startswith("finished in ") for line in lines)

    def test_only_the_last_lines(self, history: Vld) -> None:
        log = history.json("show", "first")["paths"]["log"]
        with open(log, "a", encoding="utf-8") as file:
            file.write("two\nthree\n")
        assert history("logs", "first", "-n", "2").stdout == "two\nthree\n"
        assert history("logs", "first", "-n", "0").stdout == ""

    def test_following_a_run_that_is_over_ends(self, history: Vld) -> None:
        assert "training" in history("logs", "-f", "first").stdout


class TestRebuild:
    def test_history_is_read_anew_and_damaged_folders_are_listed(self, history: Vld) -> None:
        before = history.json("ls")
        (history.home / "vld.db").unlink()
        (history.home / "runs" / "broken").mkdir()
        (history.home / "runs" / "broken" / "spec.json").write_text('{"lrr": 1}')
        result = history("rebuild")
        assert result.exit_code == 0
        assert "3 runs read" in result.stdout
        assert "runs/broken" in result.stderr
        assert "Did you mean lr" in result.stderr
        listed = history.json("ls", "--where", "status!=damaged")
        assert [run["run"] for run in listed] == [run["run"] for run in before]
        (damaged,) = history.json("ls", "--where", "status=damaged")
        assert damaged["run"] == "broken"
        assert history.json("ls", "--where", "tag:best")[0]["name"] == "first"


class TestResume:
    def test_a_crashed_run_goes_on_from_its_checkpoint(self, vld: Vld) -> None:
        crashed = json.loads(vld("run", "--model", "crash", "--steps", "100", "--json").stdout)
        result = vld("resume", crashed["run"], "--json")
        assert result.exit_code == 0, result.stderr
        assert "resumed at step 50" in result.stderr
        record = json.loads(result.stdout)
        assert (record["status"], record["step"], record["attempts"]) == ("finished", 100, 2)
        steps = [each["outcome"] for each in vld.json("show", "@last")["timeline"]]
        assert steps == ["crashed", "finished"]

    def test_a_finished_run_is_not_resumed(self, history: Vld) -> None:
        result = history("resume", "first")
        assert result.exit_code == 2
        assert "finished" in result.stderr

    def test_a_run_that_is_over_is_not_stopped(self, history: Vld) -> None:
        result = history("stop", "first")
        assert result.exit_code == 2
        assert "is not running: it is finished" in result.stderr


def test_a_run_without_a_target_has_no_ood_accuracy_anywhere(vld: Vld) -> None:
    options = ("--model", "finish", "--steps", "100", "--head-steps", "5")
    done = vld("run", "--target", "none", *options)
    assert "target    none: every domain is trained on, so there is no OOD accuracy" in done.stdout
    assert "finished in 12s · selected step 100 · ID 73.3% · OOD –" in done.stdout
    (record,) = vld.json("ls")
    assert (record["target"], record["ood_accuracy"]) == ("none", None)
    assert vld.json("show", "@last")["ood_accuracy"] is None
    assert vld.json("show", "@last")["data"]["target"] is None
    (line,) = vld("ls", "--where", "target=none").stdout.splitlines()[1:]
    assert "73.3%    –" in line
    shown = vld("show", "@last").stdout
    assert "OOD                       –          –" in shown
    assert "▲ – OOD" in vld("curve", "@last").stdout
    refused = vld("curve", "@last", "--metric", "ood")
    assert refused.exit_code == 2
    assert "has no OOD accuracy: it trained on every domain" in refused.stderr
    vld("run", "--target", "noto", *options)
    assert [each["target"] for each in vld.json("ls", "--sort", "ood")] == ["noto", "none"]
    assert [each["target"] for each in vld.json("ls", "--sort", "-ood")] == ["noto", "none"]
    compared = vld.json("compare", "--where", "model=finish")
    assert {each["spec"]["target"]: each["ood_accuracy"] for each in compared["groups"]}[
        "none"
    ] is None
