"""``vld push``: what the local stores of other trackers have afterwards, read by their clients."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from engine.protocol import SystemSampled, resolve_spec
from engine.protocol.extras import install_command
from engine.rundir.lock import held
from tests.vld_tui.cli.conftest import Vld
from tests.vld_tui.store.told_runs import (
    Teller,
    arm_evaluated,
    evaluation,
    failed,
    finished,
    started,
    steps_taken,
    stopped,
)
from vld_tui.runs.run import Run
from vld_tui.store.store import Store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

Point = tuple[str, int]
AT_10 = {
    "loss": 1.5,
    "lr": 1e-3,
    "head_lr": 1e-4,
    "images_per_s": 96.0,
    "id/accuracy": 0.8,
    "ood/accuracy": 0.5,
    "out/noto/accuracy": 0.8,
    "out/twemoji/accuracy": 0.8,
    "out/fluent-mono/accuracy": 0.25,
    "in/fluent-mono/accuracy": 0.5,
}
"""What a told run measured at step 10; the loss on a domain was not finite."""


def told(store: Store, name: str = "mine", **values: object) -> tuple[Run, Teller]:
    """Return a new run, and its teller."""
    spec = resolve_spec({"dataset": "emoji", "target": "fluent-mono", "steps": 20, **values})
    run = store.runs.create(spec, name=name, tags=("best", "late"))
    store.labels.set_note(run.run_id, "from the *notes*")
    return run, Teller(store.runs.run_dir(run.run_id))


def sample(step: int, cpu_share: float) -> SystemSampled:
    """Return a sample of a machine without GPUs."""
    return SystemSampled(step=step, interval_s=20.0, cpu_share=cpu_share)


@pytest.fixture
def run(store: Store) -> Run:
    """Return a finished run: evaluated at steps 10 and 20, the first of them selected."""
    run, teller = told(store)
    teller.finishes()
    return store.runs.get(run.run_id)


class TensorBoard:
    """A folder that ``vld push`` writes to."""

    def __init__(self, vld: Vld, folder: Path) -> None:
        self._vld, self.folder = vld, folder

    def push(self, *runs: str) -> list[dict[str, Any]]:
        options = ("--to", "tensorboard", "--dir", str(self.folder))
        records: list[dict[str, Any]] = self._vld.json("push", *runs, *options)["runs"]
        return records

    @property
    def files(self) -> list[Path]:
        return sorted(self.folder.rglob("events.out.tfevents.*"))

    def values(self) -> list[tuple[str, int, float]]:
        """Return every stored scalar, as often as it is stored."""
        return [
            (value.tag, event.step, value.tensor.float_val[0])
            for event in self.events()
            for value in event.summary.value
            if value.metadata.plugin_data.plugin_name == "scalars"
        ]

    def events(self) -> list[Any]:
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

        return [event for path in self.files for event in EventFileLoader(str(path)).Load()]

    def about(self) -> list[str]:
        """Return the descriptions, oldest first."""
        return [
            value.tensor.string_val[0].decode()
            for event in self.events()
            for value in event.summary.value
            if value.tag == "about"
        ]

    def twice(self) -> list[Point]:
        """Return the points that are stored more than once."""
        counts = Counter((tag, step) for tag, step, _ in self.values())
        return [point for point, count in counts.items() if count > 1]


@pytest.fixture
def board(vld: Vld, tmp_path: Path) -> TensorBoard:
    return TensorBoard(vld, tmp_path / "board")


class TestTensorBoard:
    def test_curves_settings_and_results_can_be_read_back(
        self, board: TensorBoard, run: Run
    ) -> None:
        (record,) = board.push("mine")
        at_10 = {tag: value for tag, step, value in board.values() if step == 10}
        at_selected = {
            "selected/step": 10.0,
            "selected/id/accuracy": 0.8,
            "selected/ood/accuracy": 0.5,
            "selected/noto/accuracy": 0.8,
            "selected/twemoji/accuracy": 0.8,
            "selected/fluent-mono/accuracy": 0.5,
        }
        assert math.isnan(at_10.pop("out/noto/loss"))
        assert at_10 == pytest.approx(AT_10 | at_selected)
        assert {step for tag, step, _ in board.values() if tag == "id/accuracy"} == {10, 20}
        assert record == {
            "run": run.run_id,
            "name": "mine",
            "status": "finished",
            "values": 22,
            "place": str(board.folder / f"mine-{run.run_id}"),
        }
        assert board.about() == [
            f"- run: {run.run_id}\n- name: mine\n- status: finished\n- tags: best, late\n"
            "\nfrom the *notes*"
        ]

    def test_samples_of_the_machine_are_sent_with_the_values_of_training(
        self, board: TensorBoard, store: Store
    ) -> None:
        run, teller = told(store)
        teller.says(started())
        teller.says(sample(0, 0.1))
        (record,) = board.push("mine")
        assert record["place"] is None, "there is no curve yet"
        teller.says(steps_taken(10, 1.5))
        teller.says(sample(10, 0.25))
        teller.says(sample(10, 0.5))
        board.push("mine")
        sent = [each for each in board.values() if each[0].startswith("system/")]
        assert ("system/cpu_share", 10, 0.5) in sent
        assert ("system/interval_s", 10, 20.0) in sent
        assert {step for _, step, _ in sent} == {0, 10}
        assert not any(tag == "system/gpu_share" for tag, _, _ in sent)
        teller.says(sample(15, 0.75))
        board.push("mine")
        assert ("system/cpu_share", 15, 0.75) in board.values()
        assert board.twice() == []
        board.push(run.run_id)
        assert board.twice() == []

    def test_settings_are_hyper_parameters(self, board: TensorBoard, run: Run) -> None:
        from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

        board.push(run.run_id)
        stored = [
            HParamsPluginData.FromString(value.metadata.plugin_data.content)
            for event in board.events()
            for value in event.summary.value
            if value.metadata.plugin_data.plugin_name == "hparams"
        ]
        settings = stored[0].session_start_info.hparams
        assert settings["dropout_rate"].number_value == run.dropout_rate
        assert settings["target"].string_value == "fluent-mono"
        assert stored[1].session_end_info.status == 1  # success

    @pytest.mark.usefixtures("run")
    def test_pushing_again_adds_nothing(self, board: TensorBoard) -> None:
        board.push("mine")
        before = {path: path.read_bytes() for path in board.files}
        (record,) = board.push("mine")
        assert record["values"] == 0
        assert {path: path.read_bytes() for path in board.files} == before

    @pytest.mark.usefixtures("run")
    def test_a_deleted_folder_is_written_again(self, board: TensorBoard) -> None:
        board.push("mine")
        (file,) = board.files
        file.unlink()
        assert board.push("mine")[0]["values"] == 22

    @pytest.mark.usefixtures("run")
    @pytest.mark.parametrize("kept", [0.3, 0.7, 0.9])
    def test_a_push_that_was_killed_is_completed(self, board: TensorBoard, kept: float) -> None:
        board.push("mine")
        everything = board.values()
        (file,) = board.files
        os.truncate(file, int(file.stat().st_size * kept))
        assert board.values() != everything
        board.push("mine")
        assert sorted(point[:2] for point in board.values()) == sorted(
            point[:2] for point in everything
        )

    def test_only_what_is_new_is_added(self, board: TensorBoard, store: Store) -> None:
        _, teller = told(store)
        teller.starts()
        teller.says(steps_taken(10, 1.5), evaluation(10, id_accuracy=0.8, ood_accuracy=0.5))
        board.push("mine")
        assert "selected/step" not in {tag for tag, _, _ in board.values()}
        teller.says(
            steps_taken(20, 1.2), finished(20, selected_step=10, id_accuracy=0.8, ood_accuracy=0.5)
        )
        (record,) = board.push("mine")
        assert record["values"] == 4
        assert len(board.files) == 2
        assert board.twice() == []
        assert "selected/step" in {tag for tag, _, _ in board.values()}

    def test_steps_that_a_resumed_run_repeats_are_stored_once(
        self, board: TensorBoard, store: Store
    ) -> None:
        _, teller = told(store)
        teller.starts()
        teller.says(*(steps_taken(step, 9.0) for step in (5, 10, 15)), stopped(15))
        board.push("mine")
        teller.says(started(2, resumed_step=5), steps_taken(10, 7.0), steps_taken(15, 7.0))
        teller.says(steps_taken(20, 7.0), stopped(20))
        board.push("mine")
        assert [step for tag, step, _ in board.values() if tag == "loss"] == [5, 10, 15, 20]

    def test_repeated_steps_that_were_not_pushed_have_their_last_values(
        self, board: TensorBoard, store: Store
    ) -> None:
        _, teller = told(store)
        teller.starts()
        teller.says(steps_taken(5, 9.0), steps_taken(10, 9.0), stopped(10))
        teller.says(started(2, resumed_step=5), steps_taken(10, 7.0), stopped(10))
        board.push("mine")
        losses = [(step, value) for tag, step, value in board.values() if tag == "loss"]
        assert losses == [(5, 9.0), (10, 7.0)]

    def test_arms_have_names_of_their_own(self, board: TensorBoard, store: Store) -> None:
        _, teller = told(store, arms=("averaged",))
        teller.starts()
        teller.says(evaluation(10, id_accuracy=0.8, ood_accuracy=None))
        teller.says(arm_evaluated(10, "averaged", id_accuracy=0.9, ood_accuracy=None))
        teller.says(finished(20, selected_step=10, id_accuracy=0.8, ood_accuracy=None))
        board.push("mine")
        values = {tag: value for tag, _, value in board.values()}
        assert values["averaged/id/accuracy"] == pytest.approx(0.9)
        assert values["averaged/out/noto/accuracy"] == pytest.approx(0.9)
        assert values["selected/averaged/id/accuracy"] == pytest.approx(0.9)
        assert "ood/accuracy" not in values

    def test_a_new_name_or_note_changes_the_description_only(
        self, board: TensorBoard, store: Store, run: Run
    ) -> None:
        board.push("mine")
        store.labels.rename(run.run_id, "yours")
        (record,) = board.push("yours")
        assert record["values"] == 0
        assert record["place"].endswith(f"/mine-{run.run_id}")
        assert [text.splitlines()[1] for text in board.about()] == ["- name: mine", "- name: yours"]

    def test_runs_of_a_study_are_in_its_folder(
        self, board: TensorBoard, store: Store, tmp_path: Path
    ) -> None:
        path = tmp_path / "rates.toml"
        path.write_text('name = "rates"\ndata = ["emoji"]\nseeds = 2\n[cross]\ntarget = ["noto"]\n')
        from vld_tui.study.define.files import find_study

        first, second = find_study(store.home, str(path)).specs
        run = store.runs.create(first, name="first")
        store.runs.create(second, name="second")
        Teller(store.runs.run_dir(run.run_id)).finishes()
        records = {record["name"]: record for record in board.push(str(path))}
        assert records["first"]["place"] == str(board.folder / "rates" / f"first-{run.run_id}")
        assert (records["second"]["values"], records["second"]["place"]) == (0, None)

    def test_a_run_is_followed_to_its_end(
        self, board: TensorBoard, vld: Vld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("vld_tui.control.push.POLL_INTERVAL_S", 0.05)
        options = ("--dataset", "emoji", "--model", "finish", "--steps", "100", "--name", "live")
        with vld.start("run", *options, "--detach", STAND_IN_PAUSE_S="0.05") as process:
            process.communicate(timeout=60)
        (record,) = board.push("live", "--follow")
        assert record["status"] == "finished"
        assert len(board.files) == 1
        assert board.twice() == []
        assert "selected/step" in {tag for tag, _, _ in board.values()}
        assert board.push("live")[0]["values"] == 0


class TestMlflow:
    @pytest.fixture
    def uri(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/mlflow.db"

    def test_a_database_has_everything_once(self, vld: Vld, store: Store, uri: str) -> None:
        from mlflow import MlflowClient

        run, teller = told(store)
        teller.starts()
        teller.says(steps_taken(10, 1.5), evaluation(10, id_accuracy=0.8, ood_accuracy=0.5))
        push = ("push", "mine", "--to", "mlflow", "--uri", uri, "--project", "faces")
        assert vld.json(*push)["runs"][0]["values"] == 11
        client = MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name("faces")
        assert experiment is not None
        (kept,) = client.search_runs([experiment.experiment_id])
        assert kept.info.status == "RUNNING"
        assert kept.data.params["dropout_rate"] == str(run.dropout_rate)
        assert kept.data.tags["vld.tags"] == "best, late"
        assert kept.data.tags["mlflow.note.content"] == "from the *notes*"

        teller.says(evaluation(20, id_accuracy=0.7, ood_accuracy=0.6, is_best=False))
        teller.says(failed("The loss is not finite."))
        assert vld.json(*push)["runs"][0]["values"] == 7
        assert vld.json(*push)["runs"][0]["values"] == 0
        client.delete_tag(kept.info.run_id, "vld.seq")  # as if it had been killed before
        assert vld.json(*push)["runs"][0]["values"] == 18
        (kept,) = client.search_runs([experiment.experiment_id])
        points = {
            name: [(each.step, each.value) for each in client.get_metric_history(key, name)]
            for key in [kept.info.run_id]
            for name in kept.data.metrics
        }
        assert points["id/accuracy"] == [(10, 0.8), (20, 0.7)]
        assert points["in/fluent-mono/accuracy"] == [(10, 0.5), (20, 0.6)]
        assert points["loss"] == [(10, 1.5)]
        assert points["selected/id/accuracy"] == [(10, 0.8)]
        assert [step for step, value in points["out/noto/loss"] if math.isnan(value)] == [10, 20]
        assert (kept.info.status, kept.info.run_name) == ("FAILED", "mine")

    @pytest.mark.parametrize("scheme", ["", "file:"])
    def test_a_folder_has_everything_once(
        self,
        vld: Vld,
        run: Run,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        scheme: str,
    ) -> None:
        from mlflow import MlflowClient

        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        uri = f"{scheme}{tmp_path}/mlruns"
        push = ("push", run.run_id, "--to", "mlflow", "--uri", uri)
        client = MlflowClient(tracking_uri=uri)

        def points() -> dict[str, list[int]]:
            experiment = client.get_experiment_by_name("vld")
            assert experiment is not None
            (kept,) = client.search_runs([experiment.experiment_id])
            key = kept.info.run_id
            return {
                name: [each.step for each in client.get_metric_history(key, name)]
                for name in kept.data.metrics
            }

        vld.json(*push)
        first = points()
        assert (first["id/accuracy"], first["selected/id/accuracy"]) == ([10, 20], [10])
        vld.json(*push)
        assert points() == first
        (folder,) = tmp_path.glob("mlruns/*/*/tags")
        for tag in ("vld.seq", "vld.selected"):  # as if it had been killed before
            (folder / tag).unlink()
        vld.json(*push)
        assert points() == first

    def test_a_server_that_does_not_answer_is_reported(
        self, vld: Vld, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        result = vld("push", run.run_id, "--to", "mlflow", "--uri", "http://127.0.0.1:9")
        assert result.exit_code == 2
        assert result.stderr.startswith("Error: MLflow (http://127.0.0.1:9) reports: ")
        assert "the same command pushes the rest" in result.stderr


class TestWandb:
    @pytest.fixture
    def push(self, tmp_path: Path) -> tuple[str, ...]:
        return "push", "mine", "--to", "wandb", "--offline", "--dir", str(tmp_path / "files")

    @staticmethod
    def records(tmp_path: Path) -> list[Any]:
        """Return the records of all offline files, oldest file first."""
        from vld_tui.trackers.wandb_files import read_records

        files = sorted((tmp_path / "files").rglob("*.wandb"))
        return [record for path in files for record in read_records(path)]

    def rows(self, tmp_path: Path) -> list[dict[str, Any]]:
        return [
            {
                "/".join(item.nested_key) or item.key: json.loads(item.value_json)
                for item in record.history.item
            }
            for record in self.records(tmp_path)
            if record.HasField("history")
        ]

    def test_offline_files_have_everything_once(
        self, vld: Vld, store: Store, tmp_path: Path, push: tuple[str, ...]
    ) -> None:
        run, teller = told(store)
        teller.starts()
        teller.says(steps_taken(10, 1.5), evaluation(10, id_accuracy=0.8, ood_accuracy=0.5))
        assert vld.json(*push)["runs"][0]["values"] == 11
        assert vld.json(*push)["runs"][0]["values"] == 0
        teller.says(steps_taken(20, 1.2), failed("The loss is not finite."))
        assert vld.json(*push)["runs"][0]["values"] == 4
        assert len(list((tmp_path / "files").rglob("*.wandb"))) == 2
        rows = self.rows(tmp_path)
        assert [(row["step"], row.get("loss")) for row in rows] == [
            (10, 1.5),
            (10, None),
            (20, 1.2),
        ]
        assert rows[1]["out/fluent-mono/accuracy"] == 0.25
        begun = [record.run for record in self.records(tmp_path) if record.HasField("run")]
        assert {(each.run_id, each.project) for each in begun} == {(run.run_id, "vld")}
        assert begun[-1].display_name == "mine"
        assert list(begun[-1].tags) == ["best", "late"]
        assert begun[-1].notes == "from the *notes*"
        settings = {each.key: json.loads(each.value_json) for each in begun[0].config.update}
        assert settings["dropout_rate"] == run.dropout_rate
        summary = {
            "/".join(each.nested_key) or each.key: json.loads(each.value_json)
            for record in self.records(tmp_path)
            if record.HasField("summary")
            for each in record.summary.update
        }
        assert (summary["status"], summary["selected/ood/accuracy"]) == ("failed", 0.5)
        ends = [each.exit.exit_code for each in self.records(tmp_path) if each.HasField("exit")]
        assert ends == [0, 1]

    @pytest.mark.usefixtures("run")
    def test_what_was_uploaded_and_deleted_is_not_written_again(
        self, vld: Vld, tmp_path: Path, push: tuple[str, ...]
    ) -> None:
        vld.json(*push)
        (file,) = (tmp_path / "files").rglob("*.wandb")
        memory = tmp_path / "files" / "wandb" / "vld-pushed.json"
        memory.rename(tmp_path / "aside.json")  # as if the push had been killed before
        assert vld.json(*push)["runs"][0]["values"] == 0
        file.unlink()
        assert vld.json(*push)["runs"][0]["values"] == 0
        assert len(self.rows(tmp_path)) == 0

    def test_without_a_login_it_says_what_to_do(
        self, vld: Vld, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_IDENTITY_TOKEN_FILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        monkeypatch.setenv("HOME", str(tmp_path))
        result = vld("push", run.run_id, "--to", "wandb")
        assert (result.exit_code, result.stderr.splitlines()) == (
            2,
            [
                "Error: W&B needs an API key: run wandb login, or set WANDB_API_KEY.",
                "To write files and upload them later, use --offline.",
            ],
        )


def test_trackio_has_everything_once(vld: Vld, run: Run, tmp_path: Path) -> None:
    pytest.importorskip("trackio")
    folder = tmp_path / "trackio"
    push = ("push", "mine", "--to", "trackio", "--dir", str(folder), "--json")
    command = [sys.executable, "-m", "vld_tui.cli", *push]  # it reads its folder when imported
    records = []
    for _ in range(2):
        done = subprocess.run(
            command, env=vld.environment(), capture_output=True, text=True, check=True, timeout=60
        )
        records.append(json.loads(done.stdout)["runs"][0])
    assert [each["values"] for each in records] == [22, 0]
    script = (
        "import json, sys; from trackio.sqlite_storage import SQLiteStorage as s; "
        "print(json.dumps([s.get_logs('vld', sys.argv[1]), s.get_run_config('vld', sys.argv[1])]))"
    )
    read = subprocess.run(
        [sys.executable, "-c", script, f"mine {run.run_id}"],
        env=vld.environment(TRACKIO_DIR=str(folder)),
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    logs, settings = json.loads(read.stdout)
    assert [(row["step"], row["loss"]) for row in logs if "loss" in row] == [(10, 1.5), (20, 1.0)]
    (selected,) = (row for row in logs if "selected/step" in row)
    assert (selected["step"], selected["selected/ood/accuracy"]) == (10, 0.5)
    assert (settings["dropout_rate"], settings["status"]) == (run.dropout_rate, "finished")


class TestRefusals:
    @pytest.mark.parametrize("tracker", ["mlflow", "tensorboard", "trackio", "wandb"])
    def test_a_missing_client_names_its_extra(
        self, vld: Vld, run: Run, tracker: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in [each for each in sys.modules if each.partition(".")[0] == tracker]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.delitem(sys.modules, f"vld_tui.trackers.{tracker}", raising=False)
        monkeypatch.setitem(sys.modules, tracker, None)
        result = vld("push", run.run_id, "--to", tracker)
        assert result.exit_code == 2
        assert f"needs the package {tracker}, which is not installed.\n" in result.stderr
        assert f"Install it with: {install_command(tracker)}" in result.stderr

    def test_options_of_another_tracker_and_unknown_names(self, vld: Vld, run: Run) -> None:
        def told(*words: str) -> str:
            result = vld("push", *words)
            assert result.exit_code == 2
            return result.stderr

        assert "trackio. Did you mean wandb?" in told(run.run_id, "--to", "wand")
        assert "TensorBoard has no --uri. Its options: --dir." in told(
            run.run_id, "--to", "tensorboard", "--uri", "x"
        )
        assert "No run 'nothing'" in told("nothing", "--to", "tensorboard")
        assert "no-such.toml" in told("no-such.toml", "--to", "tensorboard")

    def test_a_study_without_runs_is_refused(self, vld: Vld, tmp_path: Path) -> None:
        path = tmp_path / "rates.toml"
        path.write_text('name = "rates"\ndata = ["emoji"]\n[cross]\ntarget = ["noto"]\n')
        result = vld("push", str(path), "--to", "tensorboard")
        assert result.exit_code == 2
        assert result.stderr.startswith("Error: Study rates has no runs yet. Launch it: vld sweep ")

    def test_a_folder_that_cannot_be_written_is_reported(
        self, vld: Vld, run: Run, tmp_path: Path
    ) -> None:
        (tmp_path / "file").touch()
        result = vld("push", run.run_id, "--to", "tensorboard", "--dir", str(tmp_path / "file"))
        assert result.exit_code == 2
        assert result.stderr.startswith(f"Error: Cannot write to {tmp_path}/file/")

    def test_two_pushes_of_a_run_at_once_are_refused(
        self, vld: Vld, run: Run, tmp_path: Path
    ) -> None:
        locks = vld.home / "cache" / "push"
        locks.mkdir(parents=True)
        with held(locks / f"{run.run_id}.lock"):
            result = vld("push", "mine", "--to", "tensorboard", "--dir", str(tmp_path / "board"))
        assert result.exit_code == 2
        assert "is being pushed by another process" in result.stderr
        assert not (tmp_path / "board").exists()
