"""The Python interface: the values and errors of the command line, and no file changed."""

from __future__ import annotations

import csv
import hashlib
import inspect
import io
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest
from PIL import Image

import vld_tui as vld
from benchmarks.filled_study import fill_study
from engine.protocol import (
    Confusion,
    DomainPredictions,
    Predictions,
    UserError,
    WrongImage,
    resolve_spec,
)
from tests.made_diagnoses import make_diagnosis
from tests.made_evaluations import make_evaluation
from tests.small_runs import MakeRun, run_here
from tests.vld_tui.cli.conftest import Vld
from tests.vld_tui.store.told_runs import SOURCES, TARGET, Teller, evaluated, steps_taken
from vld_tui.api import ApiError, Per
from vld_tui.control.records import write_table
from vld_tui.home import HOME_VARIABLE, Home
from vld_tui.runs.imported import Curve, ImportedError, ImportedRun, save_imported
from vld_tui.store.errors import DatabaseDamaged, DatabaseLocked
from vld_tui.store.store import Store, read_untouched
from vld_tui.study.define.files import find_text, keep_study
from vld_tui.study.results.state import read_state

EARLIER_HOME = Path(__file__).parent / "cli" / "homes" / "home-of-schema-14.tar.xz"
STUDY = """
name = "rates"
data = ["emoji"]
choose = ["lr"]
seeds = 2

[domains]
emoji = ["fluent", "fluent-mono", "noto"]

[fields]
steps = 20

[cross]
target = "all"
dropout_rate = [0.0, 0.9]
lr = [1e-3, 5e-4]
"""
_IMPORT = """
import sys
import vld_tui as vld
print(*sorted({name.partition(".")[0] for name in sys.modules}))
vld.runs(home=sys.argv[1])
vld.run(home=sys.argv[1]).metrics()
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def tell_run(home: Home, name: str = "first", **fields: object) -> str:
    """Make a finished run of two evaluations, and return its id."""
    with Store.open(home) as store:
        run = store.runs.create(resolve_spec({"steps": 20, **fields}), name=name, tags=("best",))
        Teller(home.run_dir(run.run_id)).finishes()
        store.live.refresh()
    return run.run_id


@pytest.fixture
def run_id(home: Home, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a finished run of the home that is used unless another one is named."""
    monkeypatch.setenv(HOME_VARIABLE, str(home.path))
    return tell_run(home)


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """Return a home that an earlier version wrote."""
    with tarfile.open(EARLIER_HOME) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "home"


def contents(folder: Path) -> dict[str, tuple[int, str]]:
    """Return the time and the contents of every file and folder."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in [folder, *folder.rglob("*")]
    }


def use_everything(home: Path) -> None:
    for row in vld.runs(home=home, settings=True) + vld.runs(home=home, trashed=True):
        run = vld.run(row["run"], home=home)
        run.metrics()
        if (run.folder / "predictions.json").exists():
            run.predictions()
    for per in get_args(Per):
        vld.study("paper-fig3-small", per=per, home=home)


def test_importing_loads_nothing_and_reading_nothing_slow(run_id: str, home: Home) -> None:
    command = [sys.executable, "-c", _IMPORT, str(home.path)]
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    at_import, after_reading = (set(line.split()) for line in ran.stdout.splitlines())
    assert "vld_tui" in at_import
    assert not at_import & {"engine", "msgspec", "sqlite3", "typing", "textual", "torch"}
    assert "sqlite3" in after_reading
    slow = {"torch", "timm", "textual", "typer", "numpy", "pandas", "sqlite_utils"}
    assert not after_reading & slow


def test_the_package_offers_the_interface() -> None:
    assert vld.__version__.count(".") == 2
    assert {"imported", "load", "run", "runs", "study"} <= set(dir(vld))
    with pytest.raises(AttributeError, match="no attribute 'rnus'"):
        vld.rnus  # type: ignore[attr-defined]  # noqa: B018


def test_functions_named_like_subpackages_are_both(run_id: str) -> None:
    run, forecast = map(import_module, ("vld_tui.runs.run", "vld_tui.study.forecast"))
    assert (vld.runs.run, vld.study.forecast) == (run, forecast)  # type: ignore[attr-defined]
    assert len(vld.runs()) == 1
    for function in (vld.runs, vld.study):
        assert "home" in inspect.signature(function).parameters


def test_a_row_is_a_line_of_the_list(run_id: str, home: Home) -> None:
    command = Vld(home.path)
    (row,) = vld.runs("first", sort="-ood_accuracy", limit=3)
    (listed,) = csv.DictReader(io.StringIO(command("ls", "--csv").stdout))
    assert list(row) == list(listed)
    assert (row["run"], row["tags"], listed["tags"]) == (run_id, ("best",), "best")
    assert row["ood_accuracy"] == float(listed["ood_accuracy"]) == row[f"domains.{TARGET}"] == 0.5
    assert vld.runs("status:failed") == []
    assert vld.runs(trashed=True) == []
    assert vld.runs(limit=0) == vld.runs()


def test_rows_have_equal_keys_and_settings_on_request(run_id: str, home: Home) -> None:
    with Store.open(home) as store:
        store.runs.create(resolve_spec({"weight_decay": 0.5}), is_queued=True)
    rows = vld.runs(settings=True)
    assert [list(row) for row in rows] == [rows.columns] * 2
    assert [row["weight_decay"] for row in rows] == [0.5, vld.run(run_id).settings["weight_decay"]]
    assert [row[f"domains.{TARGET}"] for row in rows] == [None, 0.5]
    assert [row["status"] for row in rows] == ["queued", "finished"]
    assert vld.runs(settings=True, sort="created")[0]["device"] == "cpu"  # used, not asked for


def test_a_run_has_its_facts_settings_and_files(run_id: str, home: Home) -> None:
    run_dir = home.run_dir(run_id)
    run_dir.checkpoints.mkdir()
    run_dir.best_checkpoint.write_bytes(b"")
    run = vld.run()
    for reference in (run_id, run_id[:-1], "first", "@last"):
        assert vld.run(reference, home=str(home.path)) == run
    assert (run.id, run.name, run.status, run.tags, run.note) == (
        run_id, "first", "finished", ("best",), "",
    )  # fmt: skip
    assert run.record == vld.runs()[0]
    assert run.spec.steps == run.settings["steps"] == 20
    assert run.folder == run_dir.path
    assert run.checkpoints == [
        {
            "kind": "best",
            "step": 10,
            "file": "checkpoints/best.safetensors",
            "bytes": 1010,
            "path": str(run_dir.best_checkpoint),
        }
    ]
    assert repr(run) == f"<RunHandle {run_id} 'first' finished>"


def test_metrics_are_rows_by_evaluation(run_id: str) -> None:
    rows = vld.run().metrics()
    assert rows.columns == ["step", "split", "domain", "arm", "name", "value"]
    oods = vld.run().metrics(name="accuracy", domain="ood")
    assert [(row["step"], row["split"], row["value"]) for row in oods] == [
        (10, "in", 0.5), (20, "in", 0.6),
    ]  # fmt: skip
    losses = vld.run().metrics(name="loss", split="train")
    assert [(row["domain"], row["value"]) for row in losses] == [("sources", 1.5), ("sources", 1.0)]
    none = vld.run().metrics(arm="averaged")
    assert (none, none.columns) == ([], rows.columns)


def test_a_live_run_is_read_from_its_folder(home: Home, run_id: str) -> None:
    with Store.open(home) as store:
        run = store.runs.create(resolve_spec({"steps": 20}), name="live")
        teller = Teller(home.run_dir(run.run_id))
        teller.starts()
        store.live.refresh()
    teller.says(steps_taken(10, 1.5), *evaluated(10, id_accuracy=0.8, ood_accuracy=0.4))
    before = contents(home.path)
    assert vld.run("live").metrics(domain="ood")[0]["value"] == 0.4
    assert vld.runs("live")[0]["step"] == 10
    assert contents(home.path) == before


def test_a_run_that_another_machine_resumed_is_read_again(home: Home, run_id: str) -> None:
    teller = Teller(home.run_dir(run_id))
    with Store.open(home) as store:
        run = store.runs.create(resolve_spec({"steps": 40}), name="resumed")
        teller = Teller(home.run_dir(run.run_id))
        teller.starts()
        teller.says(*evaluated(10, id_accuracy=0.8, ood_accuracy=0.4))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("engine.rundir.life.is_alive", lambda *_: False)
            patch.setattr("vld_tui.store.ingest.is_alive", lambda *_: False)
            store.live.refresh()
        assert store.runs.find()[0].status == "crashed"
    teller.says(steps_taken(20, 1.0))
    assert vld.run("resumed").status == "running"


def predictions() -> Predictions:
    confusions = (Confusion(0, 0, 3), Confusion(0, 1, 1))
    return Predictions(
        step=10,
        classes=("face", "food"),
        domains=(
            DomainPredictions(TARGET, "in", is_target=True, loss=None, confusions=confusions),
            DomainPredictions(SOURCES[0], "out", is_target=False, loss=0.5, confusions=()),
        ),
        wrong=(WrongImage(0, 1, 0.9, b"webp"),),
    )


def test_predictions_name_classes(run_id: str, home: Home) -> None:
    home.run_dir(run_id).write_predictions(predictions())
    found = vld.run().predictions()
    assert (found.step, found.classes) == (10, ("face", "food"))
    assert found.domains[0] == {
        "domain": TARGET, "split": "in", "is_target": True, "images": 4, "accuracy": 0.75,
        "loss": None,
    }  # fmt: skip
    assert (found.domains[1]["images"], found.domains[1]["accuracy"]) == (0, None)
    assert found.confusions[1] == {
        "domain": TARGET, "split": "in", "is_target": True, "label": "face", "predicted": "food",
        "images": 1,
    }  # fmt: skip
    assert found.mistakes == [
        {"label": "face", "predicted": "food", "confidence": 0.9, "picture": b"webp"}
    ]


def test_missing_and_damaged_predictions_are_errors_with_their_path(
    run_id: str, home: Home
) -> None:
    path = home.run_dir(run_id).predictions
    with pytest.raises(ApiError, match=f"has no predictions: {path} is missing"):
        vld.run().predictions()
    path.write_text("{")
    with pytest.raises(UserError, match=f"Cannot read {path}: "):
        vld.run().predictions()


def test_a_study_has_a_row_per_setting_or_per_run(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(home.path))
    file = tmp_path / "rates.toml"
    file.write_text(STUDY)
    text = find_text(home, str(file))
    known = text.read(home)
    keep_study(home, known, text)
    fill_study(home, known, specs=known.specs[1:], arms=("averaged",))
    per_run = vld.study("rates", per="run")
    assert Vld(home.path)("report", "rates", "--out", str(tmp_path / "out")).exit_code == 0
    with (tmp_path / "out" / "runs.csv").open() as written:
        lines = list(csv.DictReader(written))
    assert [[*row] for row in per_run] == [[*line] for line in lines]
    assert [str(row["ood_accuracy"]) for row in per_run] == [row["ood_accuracy"] for row in lines]
    per_setting = vld.study(file)
    table = io.StringIO()
    with Store.open(home) as store:
        write_table(read_state(store, known), table)
    table.seek(0)
    shown = [
        {name: "" if value is None else str(value) for name, value in row.items()}
        for row in per_setting
    ]
    assert shown == list(csv.DictReader(table))
    assert {row["dropout_rate"] for row in per_setting} == {0.0, 0.9}
    assert sum(row["finished"] for row in per_setting) == len(known.specs) - 1


def test_a_study_without_runs_has_rows_without_results(run_id: str) -> None:
    rows = vld.study("paper-fig3-small")
    assert rows
    assert {row["finished"] for row in rows} == {0}
    assert vld.study("paper-fig3-small", per="run") == []


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: vld.runs("dropuot=1"), ["ls", "--where", "dropuot=1"]),
        (lambda: vld.runs("frist"), ["ls", "--where", "frist"]),
        (lambda: vld.runs(sort="ods"), ["ls", "--sort", "ods"]),
        (lambda: vld.run("frist"), ["show", "frist"]),
        (lambda: vld.run("@first"), ["show", "@first"]),
        (lambda: vld.run(""), ["show", ""]),
        (lambda: vld.study("ratse"), ["report", "ratse"]),
        (lambda: vld.runs(home="/no/such"), ["ls", "--home", "/no/such"]),
        (lambda: vld.runs(home=__file__), ["ls", "--home", __file__]),
        (lambda: vld.run(home=__file__), ["show", "@last", "--home", __file__]),
        (lambda: vld.load("frist"), ["show", "frist"]),
    ],
)
def test_errors_are_those_of_the_command_line(
    run_id: str, home: Home, call: Callable[[], object], words: list[str]
) -> None:
    with pytest.raises(vld.UserError) as raised:
        call()
    shown = Vld(home.path)(*words)
    assert shown.exit_code == raised.value.exit_code
    assert shown.stderr.replace("vld --home /no/such ", "vld ") == f"Error: {raised.value}\n"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: vld.runs(limit=-1), "limit is -1, but must be at least 0"),
        (lambda: vld.runs(home=""), "home must be a path"),
        (lambda: vld.study("x", per="rnu"), "per is 'rnu', but must be 'setting' or 'run'"),  # type: ignore[arg-type]
        (lambda: vld.load(at="bset"), "at is 'bset'.* Did you mean best?"),  # type: ignore[arg-type]
    ],
)
def test_arguments_are_checked(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ApiError, match=message):
        call()


def test_a_home_that_nobody_named_need_not_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(HOME_VARIABLE, raising=False)
    monkeypatch.setattr("platformdirs.user_data_path", lambda _: tmp_path / "usual")
    assert vld.runs() == []
    with pytest.raises(UserError, match="No runs yet"):
        vld.run()
    assert not (tmp_path / "usual").exists()


def test_a_home_of_an_earlier_version_is_read_and_left_as_it_is(earlier: Path) -> None:
    before = contents(earlier)
    use_everything(earlier)
    assert contents(earlier) == before
    rows = vld.runs(home=earlier)
    assert sorted(row["run"] for row in rows) == sorted(
        record["run"] for record in Vld(earlier).json("ls")
    )


def test_a_home_without_its_database_is_read_from_its_folders(earlier: Path) -> None:
    known = {row["run"] for row in vld.runs(home=earlier)}
    (earlier / "vld.db").unlink()
    before = contents(earlier)
    use_everything(earlier)
    assert {row["run"] for row in vld.runs(home=earlier)} == known
    assert contents(earlier) == before


def test_a_home_that_is_open_elsewhere_is_read_as_it_is_now(run_id: str, home: Home) -> None:
    with Store.open(home) as store:
        store.labels.rename(run_id, "renamed")
        before = contents(home.path)
        assert vld.run("renamed").id == run_id
        assert vld.runs("renamed")[0]["run"] == run_id
        del before["vld.db-shm"]  # whose locks readers take
        after = contents(home.path)
        del after["vld.db-shm"]
        assert after == before


def test_what_is_read_while_the_database_changes_is_read_again(home: Home) -> None:
    tell_run(home)
    asked: list[None] = []

    def question(store: Store) -> int:
        if not asked:
            tell_run(home, "second")
        asked.append(None)
        return len(store.runs.find())

    assert read_untouched(home, question) == 2
    assert len(asked) == 2
    with pytest.raises(DatabaseLocked, match="is being written by another program. Try again"):
        read_untouched(home, lambda _: tell_run(home))


def test_runs_are_read_from_their_folders_if_the_database_is_damaged(
    run_id: str, home: Home
) -> None:
    known = vld.run()
    home.database.write_bytes(b"not a database" * 100)
    with pytest.raises(DatabaseDamaged, match="vld rebuild"):
        vld.runs()
    with pytest.warns(UserWarning, match="read from the run folder only: .* is damaged") as warned:
        run = vld.run("first")
    assert warned[0].filename == __file__
    assert (run.id, run.record) == (run_id, known.record)
    with pytest.warns(UserWarning, match="read from the run folder only: "):
        assert len(run.metrics(domain="ood")) == 2


def test_a_database_too_large_to_be_copied_is_read_as_it_is(
    home: Home, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(home) as store:
        store.runs.create(resolve_spec({"steps": 20}), name="live")
    monkeypatch.setattr("vld_tui.store.database.MOST_COPIED_BYTES", 1000)
    with pytest.warns(UserWarning, match="showing older data: .* is too large to copy") as warned:
        assert len(vld.runs()) == 2
    assert warned[0].filename == __file__


def test_runs_that_another_machine_made_in_a_shared_home_are_read(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLD_DATABASES", str(tmp_path / "databases"))
    own, other = tell_run(home), "260101-000000-zzzz"
    shutil.copytree(home.run_dir(own).path, home.run_dir(other).path)
    before = contents(tmp_path)
    assert {row["run"] for row in vld.runs(home=home.path)} == {own, other}
    assert vld.run(other, home=home.path).metrics() != []
    assert contents(tmp_path) == before


def test_threads_may_read_at_once(run_id: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: vld.run("first").metrics(), range(16)))
    assert found == [found[0]] * 16


def test_unread_folders_are_reported(run_id: str, home: Home) -> None:
    for path in home.path.glob("vld.db*"):
        path.unlink()
    Store.open(home).close()
    with pytest.warns(
        UserWarning, match="1 run folder in .* not in the database; run: vld rebuild"
    ):
        assert vld.runs() == []


def test_a_data_frame_has_a_column_per_key(run_id: str, home: Home) -> None:
    frame = vld.runs().to_pandas()
    assert list(frame.columns) == vld.runs().columns
    assert frame.ood_accuracy.tolist() == [0.5]
    metrics = vld.run().metrics().to_pandas()
    assert metrics.value.isna().sum() == 2  # losses that are not finite
    assert metrics[metrics.domain == "ood"].value.max() == 0.6
    assert list(vld.run().metrics(arm="none").to_pandas().columns) == list(metrics.columns)


def test_without_pandas_the_extra_is_named(run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ApiError, match="to_pandas needs pandas. Install it with: pip install"):
        vld.runs().to_pandas()


def test_rows_are_shown_as_a_table() -> None:
    rows = vld.Rows([{"name": "<a>\x1b[2J", "empty": None, "value": 1 / 3, "tags": ()}] * 30)
    text = repr(rows).splitlines()
    assert text[0] == "name      value"
    assert text[1] == "<a>␛[2J  0.3333"
    assert text[-1] == "[30 rows × 4 columns; shown: 20 × 2]"
    assert len(text) == 22
    page = rows._repr_html_()
    assert page.count("<tr>") == 21
    assert "<td>&lt;a&gt;␛[2J</td><td>0.3333</td>" in page
    assert text[-1] in page


def test_some_of_the_rows_are_rows() -> None:
    rows = vld.Rows([{"step": 1}, {"step": 2, "value": 0.5}])
    assert rows[-1] == {"step": 2, "value": 0.5}
    assert rows[:1].columns == ["step", "value"]
    assert len(rows[:1].to_pandas()) == 1


@pytest.mark.parametrize("rows", [vld.Rows([]), vld.Rows([], ["step"]), vld.Rows([{}, {}])])
def test_rows_without_values_show_their_number(rows: vld.Rows) -> None:
    count = f"[{len(rows)} rows × {len(rows.columns)} column"
    assert repr(rows).startswith(count)
    assert count in rows._repr_html_()


def test_wide_rows_show_accuracies_and_what_differs() -> None:
    rows = vld.Rows(
        {f"same-{at}": "x" * 20 for at in range(9)} | {"seed": seed, "ood_accuracy": 0.5}
        for seed in range(3)
    )
    text = repr(rows).splitlines()
    assert text[0].split() == ["same-0", "same-1", "same-2", "seed", "ood_accuracy"]
    assert max(map(len, text)) <= 100
    assert text[-1] == "[3 rows × 11 columns; shown: 3 × 5]"


def test_a_network_is_loaded_to_classify_images(make_run: MakeRun, small_emoji: Path) -> None:
    import torch

    from engine.inference.calibration import calibrate

    run_dir = make_run()
    run_here(run_dir)
    home = run_dir.path.parents[1]
    before = contents(home)
    network = vld.load("run", home=home)
    assert not network.training
    assert network.classes == ("animal", "face", "food")
    assert network.temperature == 1
    with torch.no_grad():
        right = images = 0
        for path in sorted((small_emoji / "fluent-mono").glob("*/*")):
            with Image.open(path) as image:
                made = network.transform(image)
            assert (made.shape, made.dtype) == ((3, 32, 32), torch.float32)
            right += network.classes[int(network(made[None]).argmax())] == path.parent.name
            images += 1
    found = vld.run("run", home=home).predictions()
    counts = [row for row in found.domains if row["is_target"]]
    assert images == sum(row["images"] for row in counts)
    assert right == round(sum(row["images"] * row["accuracy"] for row in counts))
    with pytest.raises(UserError, match="has no arm averaged"):
        vld.load("run", arm="averaged", home=home)
    with pytest.raises(ApiError, match="device is 'nonsense', which cannot be used: "):
        vld.load("run", device="nonsense", home=home)
    assert contents(home) == before
    calibration = calibrate(run_dir, network)
    assert vld.load("run", home=home).temperature == calibration.temperature != 1


def test_a_run_without_checkpoints_cannot_be_loaded(run_id: str) -> None:
    with pytest.raises(UserError, match="has no checkpoints"):
        vld.load()


def test_evaluations_are_rows_by_domain_or_by_class(home: Home) -> None:
    run_id = tell_run(home)
    assert vld.run(run_id, home=home.path).evaluations() == []
    home.run_dir(run_id).write_evaluation(make_evaluation({"art": 0.75, "photo": 0.5}))
    rows = vld.run(run_id, home=home.path).evaluations()
    assert [row["domain"] for row in rows] == ["art", "photo", "mean", "all images"]
    assert rows.columns[:3] == ["evaluation", "dataset", "domain"]
    assert (rows[0]["evaluation"], rows[0]["accuracy"], rows[0]["is_test"]) == (
        "photos", 0.75, True,
    )  # fmt: skip
    assert "class" not in rows.columns
    by_class = vld.run(run_id, home=home.path).evaluations(classes=True)
    assert len(by_class) == 3 * 3
    assert (by_class[0]["domain"], by_class[0]["class"], by_class[0]["recall"]) == (
        "art", "bird", 0.75,
    )  # fmt: skip


def test_diagnoses_are_rows_by_domain(home: Home) -> None:
    run_id = tell_run(home)
    assert vld.run(run_id, home=home.path).diagnoses() == []
    home.run_dir(run_id).write_diagnosis(make_diagnosis(of_ood=484.0))
    rows = vld.run(run_id, home=home.path).diagnoses()
    assert rows.columns[:4] == ["diagnostic", "measure", "domain", "split"]
    assert [(row["measure"], row["domain"], row["value"]) for row in rows][:2] == [
        ("rank_me", "noto", 69.14), ("rank_me_start", "noto", 74.9),
    ]  # fmt: skip
    assert (rows[-1]["low"], rows[-1]["high"], rows[0]["low"]) == (0.4, 0.6, None)


def test_imported_runs_are_rows_of_their_own(home: Home) -> None:
    tell_run(home)
    assert vld.imported(home=home.path) == []
    curve = Curve([0, 10], [0.5, None])
    theirs = ImportedRun(
        run_id="imported-1", name="theirs", tracker="wandb", source="/w", imported_at=1.0,
        settings={"lr": 0.1}, curves={"val/acc": curve}, id_curve="val/acc",
    )  # fmt: skip
    save_imported(home.imported, [theirs])
    (row,) = vld.imported(home=home.path)
    assert (row["run"], row["id_accuracy"], row["settings.lr"]) == ("imported-1", 0.5, 0.1)
    assert [run["name"] for run in vld.runs(home=home.path)] == ["first"]
    values = vld.imported_curves("theirs", home=home.path)
    assert [(each["curve"], each["step"], each["value"]) for each in values] == [
        ("val/acc", 0, 0.5), ("val/acc", 10, None),
    ]  # fmt: skip
    assert vld.imported_curves(home=home.path) == values
    with pytest.raises(ImportedError, match="No imported run 'their'"):
        vld.imported_curves("their", home=home.path)
