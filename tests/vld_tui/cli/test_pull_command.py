"""``vld pull``: runs of other trackers next to those of the history, and never among them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from engine.protocol import resolve_spec
from tests.vld_tui.cli.conftest import Vld
from tests.vld_tui.store.told_runs import Teller
from vld_tui.runs.run import Run
from vld_tui.store.store import Store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def run(store: Store) -> Run:
    """Return a finished run: evaluated at steps 10 and 20, the first of them selected."""
    spec = resolve_spec({"dataset": "emoji", "target": "fluent-mono", "steps": 20})
    run = store.runs.create(spec, name="mine", tags=("best",))
    Teller(store.runs.run_dir(run.run_id)).finishes()
    return store.runs.get(run.run_id)


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """Return a folder as TensorFlow 2 writes it: kinds of values in the first event only."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.summary.writer.event_file_writer import EventFileWriter
    from tensorboard.util.tensor_util import make_tensor_proto

    folder = tmp_path / "board"
    writer = EventFileWriter(str(folder / "sweep" / "resnet"))
    scalars = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="scalars"))
    for step, (loss, in_domain, out) in enumerate(
        [(1.0, 60.0, 50.0), (0.5, 80.0, 40.0), (math.nan, 80.0, 45.0)]
    ):
        for tag, value in (("train/loss", loss), ("val acc", in_domain), ("test acc", out)):
            kind = scalars if step == 0 else None
            stored = Summary.Value(tag=tag, tensor=make_tensor_proto(value), metadata=kind)
            writer.add_event(
                Event(wall_time=step, step=step * 100, summary=Summary(value=[stored]))
            )
    writer.close()
    return folder


def pull(vld: Vld, folder: Path, *words: str) -> list[str]:
    """Import from TensorBoard; return the ids."""
    return [each["run"] for each in vld.json("pull", str(folder), "--from", "tensorboard", *words)]


MAPPED = ("--id", "val acc", "--ood", "test acc", "--percent")


def test_a_run_is_shown_with_its_last_values_and_selected_on_id(vld: Vld, board: Path) -> None:
    (run_id,) = pull(vld, board, *MAPPED)
    record = vld.json("show", "sweep/resnet")
    assert record == vld.json("show", run_id)
    assert (record["tracker"], record["source"]) == ("tensorboard", str(board))
    assert record["values"] == {"test acc": 45.0, "train/loss": None, "val acc": 80.0}
    assert (record["step"], record["selected_step"]) == (200, 100)
    assert (record["id_accuracy"], record["ood_accuracy"]) == (0.8, 0.4)
    text = vld("show", "sweep/resnet").stdout
    assert "OOD            40.0% (test acc)" in text
    assert "selected step  100 (best ID accuracy)" in text


def test_pulling_again_updates_it(vld: Vld, board: Path) -> None:
    assert pull(vld, board) == pull(vld, board, *MAPPED)
    (listed,) = vld.json("ls", "--imported")
    assert listed["ood_accuracy"] == 0.4
    assert "80.0%  40.0%" in vld("ls", "--imported").stdout


def test_it_is_no_run_of_the_history(vld: Vld, board: Path, run: Run) -> None:
    (run_id,) = pull(vld, board, *MAPPED)
    assert [each["run"] for each in vld.json("ls")] == [run.run_id]
    assert vld("rebuild").exit_code == 0
    assert [each["run"] for each in vld.json("ls")] == [run.run_id]
    for command in (["resume"], ["stop"], ["tag", run_id, "x"], ["combine", "soup", "mine"]):
        words = command if run_id in command else [*command, run_id]
        result = vld(*words)
        assert (result.exit_code, f"No run {run_id!r}" in result.stderr) == (2, True), words


def test_its_curves_are_plotted(vld: Vld, board: Path) -> None:
    (run_id,) = pull(vld, board, *MAPPED)
    text = vld("curve", run_id).stdout
    assert "imported from tensorboard" in text
    assert "step 100  ──● 80.0% ID  ╌╌▲ 40.0% OOD" in text
    assert "train/loss" in vld("curve", run_id, "--metric", "train/loss").stdout
    refused = vld("curve", run_id, "--system")
    assert (refused.exit_code, refused.stderr) == (
        2, f"Error: Imported run {run_id} has no measurements of the machine.\n",
    )  # fmt: skip
    refused = vld("curve", run_id, "--metric", "train/los")
    assert refused.exit_code == 2
    assert "no curve 'train/los'. Did you mean train/loss?" in refused.stderr


@pytest.mark.usefixtures("run")
def test_it_is_compared_with_a_run(vld: Vld, board: Path) -> None:
    (run_id,) = pull(vld, board, *MAPPED)
    lines = vld("compare", "mine", run_id).stdout.splitlines()
    assert "sweep/resnet (imported)" in lines[0]
    rows = {line.split("  ")[0].strip(): line.split()[-2:] for line in lines[1:]}
    assert rows["ID"] == ["80.0%", "80.0%"]
    assert rows["OOD"] == ["50.0%", "40.0%"]
    assert rows["OOD − ID"] == ["−30.0", "−40.0"]
    assert rows["loss"] == ["1.000", "–"]
    assert vld.json("compare", "mine", run_id)["imported"] == [vld.json("show", run_id)]
    assert vld("compare", run_id).exit_code == 2


def test_a_pushed_run_comes_back_with_its_results_and_settings(
    vld: Vld, run: Run, tmp_path: Path
) -> None:
    for tracker, words in (("tensorboard", ()), ("wandb", ("--offline",))):
        folder = str(tmp_path / tracker)
        vld.json("push", "mine", "--to", tracker, "--dir", folder, *words)
        (record,) = vld.json("pull", folder, "--from", tracker)
        assert (record["id_accuracy"], record["ood_accuracy"]) == pytest.approx((0.8, 0.5))
        assert (record["status"], record["step"], record["selected_step"]) == ("finished", 20, 10)
        assert record["settings"]["batch_size"] == run.spec.batch_size
        lines = vld("compare", "mine", record["run"]).stdout.splitlines()
        assert [line.split()[0] for line in lines[1:4]] == ["status", "ID", "OOD"]  # none differs
    assert (record["name"], record["tags"]) == ("mine", ["best"])


def test_a_foreign_wandb_run_has_its_own_steps_and_settings(vld: Vld, tmp_path: Path) -> None:
    import wandb

    settings = wandb.Settings(silent=True, console="off", x_disable_stats=True)
    options = {"lr": 0.01, "model": "vit", "sizes": [1, 2]}
    run = wandb.init(
        project="other", name="baseline", group="g", mode="offline", dir=str(tmp_path),
        config=options, settings=settings, reinit="create_new",
    )  # fmt: skip
    for epoch in range(3):
        run.log({"acc": 0.5 + epoch / 10, "word": "x"}, step=epoch * 7)
    run.finish(exit_code=3)
    (record,) = vld.json("pull", str(tmp_path), "--from", "wandb", "--id", "acc")
    assert (record["name"], record["group"], record["status"]) == ("baseline", "g", "failed")
    assert record["settings"] == {"lr": 0.01, "model": "vit", "sizes": "[1, 2]"}
    assert record["values"] == {"acc": 0.7}
    assert (record["selected_step"], record["ood_accuracy"]) == (14, None)


def test_an_imported_run_can_be_removed(vld: Vld, board: Path) -> None:
    (run_id,) = pull(vld, board)
    assert vld("rm", run_id).stdout.startswith(f"deleted: {run_id}  sweep/resnet")
    assert vld("show", run_id).exit_code == 2
    assert vld.json("ls", "--imported") == []
    assert pull(vld, board) == [run_id]


class TestRefusals:
    @staticmethod
    def told(vld: Vld, *words: str) -> str:
        result = vld("pull", *words)
        assert result.exit_code == 2
        return result.stderr

    def test_values_that_are_no_accuracies(self, vld: Vld, board: Path) -> None:
        words = (str(board), "--from", "tensorboard", "--id", "val acc")
        assert self.told(vld, *words) == (
            "Error: --id: val acc has the value 60; an accuracy is from 0 to 1. "
            "Pass --percent if it is in percent.\n"
        )
        assert "no run has a curve 'val'. " in self.told(vld, *words[:3], "--id", "val")
        assert vld.json("ls", "--imported") == []

    def test_folders_without_runs_and_other_trackers(self, vld: Vld, tmp_path: Path) -> None:
        assert f"{tmp_path}/no is not a folder." in self.told(
            vld, str(tmp_path / "no"), "--from", "wandb"
        )
        assert "No run of wandb with curves" in self.told(vld, str(tmp_path), "--from", "wandb")
        assert "--from is 'mlflow', but must be" in self.told(
            vld, str(tmp_path), "--from", "mlflow"
        )

    def test_damaged_files_are_named(self, vld: Vld, board: Path, tmp_path: Path) -> None:
        (file,) = board.rglob("events.out.tfevents.*")
        file.write_bytes(b"garbage" * 100)
        assert f"The event files in {file.parent} are damaged." in self.told(
            vld, str(board), "--from", "tensorboard"
        )
        other = tmp_path / "run-abc.wandb"
        other.write_bytes(b"garbage" * 100)
        assert f"{other} is not a file of W&B" in self.told(vld, str(tmp_path), "--from", "wandb")

    def test_a_damaged_import_is_named(self, vld: Vld, board: Path) -> None:
        (run_id,) = pull(vld, board)
        path = vld.home / "imported" / f"{run_id}.json"
        path.write_text("{")
        result = vld("show", run_id)
        assert result.exit_code == 2
        assert result.stderr.startswith(f"Error: Cannot read {path}: ")
        assert pull(vld, board) == [run_id]
