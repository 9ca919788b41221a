import json
import shlex
from pathlib import Path

import pytest
from typer.testing import Result

from engine.protocol import FIELDS, RunSpec, spec_from_mapping
from tests.engine.datasets.image_folders import fill_folder
from tests.vld_tui.cli.conftest import Vld
from tests.vld_tui.study.known_datasets import ask_once


@pytest.fixture(autouse=True)
def _asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the engine describe the same images but once."""
    monkeypatch.setattr(
        "vld_tui.study.planner.work_on_datasets", lambda *asked, **_: ask_once(*asked)
    )


def planned_spec(result: Result) -> RunSpec:
    """Return the spec among the keys of a dry run's JSON."""
    record = json.loads(result.stdout)
    return spec_from_mapping({name: record[name] for name in FIELDS})


SHORT = ("--steps", "100", "--head-steps", "5")


def test_a_run_tells_its_plan_its_course_and_its_end(vld: Vld) -> None:
    result = vld("run", "--dataset", "emoji", "--model", "finish", *SHORT)
    assert result.exit_code == 0, result.output
    for line in (
        "network   finish · weights: packaged · 3.4M parameters · feature RMS 1.14",
        "sources   noto 984+246 · twemoji 984+246 · fluent 984+246",
        "target    fluent-mono 984",
        "method    dropout 0.9 × 8 masks",
        "device    cpu (Virtual CPU) · 2 threads · fp32 channels_last",
        "precision fp32 channels_last, fastest measured here: ",
        "step  50/100  ID 67.2% · OOD 47.2% · noto 66.2%",
        "finished in 12s · selected step 100 · ID 73.3% · OOD 53.3%",
        "95% intervals: ID 70.0–76.3% from 738 images, OOD 50.1–56.4% from 984 images; they cover",
        "vld run --dataset emoji --model finish --head-steps 5 --steps 100 --dropout 0  #",
    ):
        assert line in result.stdout
    assert "\x1b" not in result.stdout
    assert result.stderr == ""


def test_the_run_to_compare_with_has_no_schedule_of_dropout(vld: Vld, tmp_path: Path) -> None:
    config = tmp_path / "run.toml"
    config.write_text('dropout_schedule = "linear"\ndropout_steps = 9\n')
    rising = ["--dropout-schedule", "linear", "--dropout-start", "0.2"]
    for given in (rising, ["--config", str(config)]):
        shown = vld("run", "--model", "finish", *SHORT, *given).stdout
        line = next(line for line in shown.splitlines() if "the same without dropout" in line)
        words = shlex.split(line.partition("#")[0])[1:]
        assert vld(*words).exit_code == 0
        assert "linear" not in words


@pytest.mark.parametrize(
    "masks", [("--mask-basis", "pca", "--mask-basis-every", "50"), ("--mask-at", "blocks.4")]
)
def test_the_run_to_compare_with_has_no_masks(vld: Vld, masks: tuple[str, ...]) -> None:
    shown = vld("run", "--model", "finish", *SHORT, *masks).stdout
    line = next(line for line in shown.splitlines() if "the same without dropout" in line)
    assert "--mask" not in line
    assert vld(*shlex.split(line.partition("#")[0])[1:]).exit_code == 0


def test_json_is_one_object_on_stdout_and_progress_goes_to_stderr(vld: Vld) -> None:
    result = vld("run", "--model", "finish", "--target", "noto", "--json", *SHORT)
    assert result.exit_code == 0
    record = json.loads(result.stdout)
    assert {
        key: record[key]
        for key in ("status", "dataset", "target", "model", "dropout_rate", "masks", "seed",
                    "steps", "selected_step", "collapsed", "error")
    } == {
        "status": "finished", "dataset": "objects-drawn", "target": "noto", "model": "finish",
        "dropout_rate": 0.9, "masks": 8, "seed": 0, "steps": 100, "selected_step": 100,
        "collapsed": False, "error": None,
    }  # fmt: skip
    assert record["id_accuracy"] == pytest.approx(0.7326, abs=1e-4)
    assert record["ood_accuracy"] == pytest.approx(0.5326, abs=1e-4)
    assert record["ood_interval"] == pytest.approx([0.5013, 0.5636], abs=1e-4)
    assert set(record["domains"]) == {"noto", "twemoji", "fluent", "fluent-mono"}
    assert "step 100/100" in result.stderr


def test_what_was_said_wins_over_the_file_which_wins_over_the_recipe(
    vld: Vld, tmp_path: Path
) -> None:
    config = tmp_path / "run.toml"
    config.write_text("lr = 0.5\nmasks = 3\nrecipe = 'paper'\nlr_drops = [1, 2]\n")
    result = vld("run", "--config", str(config), "--masks", "5", "--dry-run", "--json")
    assert result.exit_code == 0, result.stderr
    spec = planned_spec(result)
    assert (spec.lr, spec.masks, spec.lr_drops) == (0.5, 5, (1, 2))
    assert spec.schedule == "step"  # the recipe's
    assert spec.target == "clipart"  # the data set's
    assert vld.json("ls") == []


def test_every_kind_of_option_reaches_the_spec(vld: Vld) -> None:
    result = vld(
        "run", "--dry-run", "--json", "--no-freeze-batchnorm", "--skip-bad-images", "--lr-drops",
        "10,20", "--grad-clip", "none", "--batch", "4", "--dropout", "0.25", "--seed", "7",
        "--schedule", "step", "--weights", "none", "--lr", "1e-2",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    spec = planned_spec(result)
    assert not spec.freeze_batchnorm
    assert spec.skip_bad_images
    assert (spec.lr_drops, spec.grad_clip, spec.batch_size) == ((10, 20), None, 4)
    assert (spec.dropout_rate, spec.seed, spec.lr, spec.weights) == (0.25, 7, 0.01, "none")


def test_an_option_may_be_named_as_its_field(vld: Vld) -> None:
    result = vld(
        "run", "--dry-run", "--json", "--dropout-rate", "0.25", "--batch-size", "4",
        "--micro-batch-size", "2", "--data-dir", "/photos", "--keep-checkpoints", "none",
    )  # fmt: skip
    spec = planned_spec(result)
    assert (spec.dropout_rate, spec.batch_size, spec.micro_batch_size) == (0.25, 4, 2)
    assert (spec.data_dir, spec.keep_checkpoints) == ("/photos", "none")
    assert "--dropout-rate" not in vld("run", "--help").stdout


def test_a_folder_of_images_is_meant_from_where_it_was_typed(
    vld: Vld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = vld("run", "--data", "photos", "--weights", "net.pth", "--dry-run", "--json")
    spec = planned_spec(result)
    assert spec.data_dir == str(tmp_path / "photos")
    assert spec.weights == str(tmp_path / "net.pth")
    assert spec.dataset == "photos"


@pytest.fixture
def _known_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the engine know three networks."""
    places = {"tf_efficientnet_lite0": "packaged", "resnet50.a1_in1k": "hub", "bare": "none"}
    answer = [{"name": name, "weights": place} for name, place in places.items()]
    monkeypatch.setattr("vld_tui.study.planner.ask_engine", lambda *_, **__: answer)


@pytest.mark.usefixtures("_known_networks")
def test_the_plan_can_be_read_without_doing_it(vld: Vld) -> None:
    result = vld("run", "--dropout", "0", "--dry-run")
    assert "method    no dropout (ERM)" in result.stdout
    assert result.stdout.splitlines()[-1] == "not checked: individual images, memory"
    assert "problem" not in result.stdout
    assert vld.json("ls") == []
    last = vld("run", "--mask-at", "blocks.4", "--dry-run").stdout.splitlines()[-1]
    assert last.startswith(
        "not checked: whether the network has a stage or block named blocks.4, indi"
    )


@pytest.mark.usefixtures("_known_networks")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--model", "resnet5"], "problem   timm has no network 'resnet5'. Did you mean"),
        (["--model", "resnet50"], "weights   resnet50 is not on this machine"),
        (["--model", "bare"], "weights   bare has no pre-trained weights: 1 run will fail"),
        (["--weights", "gone.pth"], "gone.pth: 1 run will fail"),
        (["--model", "resnet50.a2_in1k"], "problem   timm has no weights 'a2_in1k' for resnet50."),
        (
            ["--target", "clipert"],
            "problem   objects-drawn has no domain 'clipert'. Did you mean clipart",
        ),
        (
            ["--held-out-source", "clipart"],
            "problem   'clipart' is not a source domain of objects-drawn with target",
        ),
        (["--data", "nowhere"], "problem   "),
        (
            ["--gpus", "9", "--batch", "1", "--device", "cpu"],
            "problem   9 GPUs or processes cannot share a step of 2 images. Give fewer --gpus",
        ),
        (
            ["--tuning", "linear", "--views", "none"],
            "not checked: linear tuning of this network, individual images",
        ),
    ],
)
def test_a_trial_says_what_would_fail_and_what_it_did_not_look_at(
    vld: Vld, words: list[str], told: str
) -> None:
    result = vld("run", *words, "--dry-run")
    fails = "problem" in told or "will fail" in told
    assert result.exit_code == (2 if fails else 0), result.output
    assert told in result.stdout
    record = json.loads(vld("run", *words, "--dry-run", "--json").stdout)
    assert bool(record["problems"]) == fails


@pytest.mark.usefixtures("_known_networks")
def test_a_trial_s_json_is_the_spec_with_what_was_found(vld: Vld) -> None:
    result = vld("run", "--dry-run", "--json", "--dataset", "emoji", "--target", "nope")
    assert result.exit_code == 2
    record = json.loads(result.stdout)
    (problem,) = record["problems"]
    assert problem.startswith("emoji has no domain 'nope'. Choose a --target: fluent, ")
    assert (record["lr"], record["target"]) == (3e-4, "nope")
    assert list(record["images"]) == ["fluent", "fluent-mono", "noto", "twemoji"]
    assert record["images"]["noto"] == 1230
    assert len(record["classes"]) == 18
    assert (record["time_s"], record["peak_lr"]) == (None, 3e-4)
    assert record["unchecked"] == ["individual images", "memory"]
    assert vld.json("run", "--dry-run")["problems"] == []


@pytest.mark.usefixtures("_known_networks")
def test_a_trial_makes_no_home(vld: Vld, tmp_path: Path) -> None:
    result = vld("run", "--dry-run", "--home", str(tmp_path / "new"))
    assert result.exit_code == 0, result.output
    assert "estimate  " in result.stdout
    assert not (tmp_path / "new").exists()


@pytest.mark.usefixtures("_known_networks")
def test_a_trial_of_a_damaged_history_says_what_it_could_not_check(vld: Vld) -> None:
    (vld.home / "vld.db").write_bytes(b"no database " * 400)
    result = vld("run", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "not checked: individual images, memory, the time (" in result.stdout


@pytest.mark.usefixtures("_known_networks")
def test_a_trial_has_images_classes_and_time(vld: Vld) -> None:
    vld("run", "--model", "finish", *SHORT)
    lines = vld("run", "--dry-run", "--model", "finish", *SHORT).stdout.splitlines()
    (images,) = (line for line in lines if line.startswith("images    clipart 997 · "))
    assert images.endswith(" · 8 classes")
    assert any(line.startswith("estimate  about ") for line in lines)


def test_a_trial_checks_the_device(vld: Vld, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        "models": [{"name": "tf_efficientnet_lite0", "weights": "packaged"}],
        "doctor": {"devices": [{"device": "cuda:0"}, {"device": "cpu"}]},
    }
    monkeypatch.setattr("vld_tui.study.planner.ask_engine", lambda what, *_, **__: answers[what])
    for device in ("gpu", "cuda:7", "mps"):
        result = vld("run", "--dry-run", "--device", device)
        assert result.exit_code == 2
        assert f"problem   no device {device!r} on this machine." in result.stdout
        elsewhere = vld("run", "--dry-run", "--device", device, "--on", "slurm").stdout
        assert "no device" not in elsewhere
    for device in ("auto", "cpu", "cuda", "cuda:0"):
        assert vld("run", "--dry-run", "--device", device).exit_code == 0


@pytest.mark.usefixtures("_known_networks")
def test_a_trial_counts_the_images_of_the_validation_part(vld: Vld, tmp_path: Path) -> None:
    few = fill_folder(tmp_path / "few", {"a": "xy", "b": "xy"}, count=1)
    (few / "a" / "x" / "drawing.svg").write_bytes(b"not read")
    words = ("--data", str(tmp_path / "few"), "--target", "a", "--dry-run")
    result = vld("run", *words)
    assert result.exit_code == 2
    assert "left out  1 .svg" in result.stdout
    assert "Domain a of few: 2 images at --validation-fraction 0.2 leave none for" in result.stdout
    enough = vld("run", *words, "--validation-fraction", "0.5")
    assert enough.exit_code == 0
    assert "caution   1 validation image: ID accuracy, and any selection" in enough.stdout
    (caution,) = vld.json("run", *words, "--validation-fraction", "0.5")["cautions"]
    assert caution.startswith("1 validation image")
    assert vld.json("run", "--dry-run")["cautions"] == []


@pytest.mark.usefixtures("_known_networks")
@pytest.mark.parametrize(
    ("domains", "words"),
    [("ab", ["--target", "a"]), ("a", ["--target", "none"]), ("a", [])],
    ids=["one-source", "one-domain-no-target", "one-domain"],
)
def test_a_trial_refuses_to_compare_one_source(
    vld: Vld, tmp_path: Path, domains: str, words: list[str]
) -> None:
    few = fill_folder(tmp_path / "few", dict.fromkeys(domains, "xy"), count=9)
    result = vld("run", "--data", str(few), *words, "--objective", "rpdro+coral", "--dry-run")
    assert result.exit_code == 2
    assert (
        "problem   objective coral compares source domains and needs at least 2, but the run "
        "trains on 1. Add domains, or give another --objective." in result.stdout
    )
    assert (
        vld("run", "--data", str(few), *words, "--objective", "rpdro", "--dry-run").exit_code == 0
    )


@pytest.mark.parametrize("words", [["--name", "@last"], ["--tag", "two words"]])
def test_a_trial_refuses_names_and_tags_as_a_run_does(vld: Vld, words: list[str]) -> None:
    assert vld("run", *words, "--dry-run").exit_code == 2


@pytest.mark.usefixtures("_known_networks")
@pytest.mark.parametrize(
    ("visible", "words", "told"),
    [
        ("0,1", ["--gpus", "2"], None),
        ("0", ["--gpus", "4", "--device", "cpu"], None),
        ("", [], None),
        (
            "0,1",
            ["--gpus", "4"],
            "gpus is 4, but this machine has 2 (CUDA_VISIBLE_DEVICES=0,1). Give --gpus 2 or less.",
        ),
        ("", ["--gpus", "4"], "gpus is 4, but this machine has no GPU. Drop --gpus"),
        ("0,1", ["--nodes", "2"], "nodes is 2, but this process is not inside a 2-node"),
    ],
)
def test_a_trial_says_how_many_gpus_are_missing_here(
    vld: Vld, monkeypatch: pytest.MonkeyPatch, visible: str, words: list[str], told: str | None
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.delenv("SLURM_JOB_NUM_NODES", raising=False)
    result = vld("run", *words, "--dry-run")
    assert result.exit_code == (0 if told is None else 2), result.output
    assert ("problem" in result.stdout) == (told is not None)
    assert told is None or f"problem   {told}" in result.stdout
    elsewhere = vld("run", *words, "--dry-run", "--on", "slurm")
    assert "problem" not in elsewhere.stdout
    assert elsewhere.stdout.splitlines()[-1].endswith(", GPUs of the cluster")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--dropout", "1.0"], "--dropout is 1.0, but must be a number from 0 to below 1"),
        (["--dropout", "-0.1"], "--dropout is -0.1, but must be a number from 0 to below 1"),
        (["--sparsity", "1"], "--sparsity is 1.0, but must be a number from 0 to below 1. It is"),
        (["--sparsity", "-0.5"], "--sparsity is -0.5, but must be a number from 0 to below 1"),
        (["--sparsity", "half"], "--sparsity is 'half', but must be a number from 0 to below 1"),
        (["--refine-steps", "50"], "--refine-steps is 50, but arms is 'none'. Give --arms refined"),
        (["--arms", "refined", "--refine-steps", "0"], "--refine-steps is 0, but must be a whole"),
        (["--arms", "refined", "--refine-on", "easy"], "--refine-on is 'easy', but must be one of"),
        (["--keep-zeros", "--sparsity", "0.5"], "Drop --keep-zeros or --sparsity."),
        (["--masks", "0"], "--masks is 0, but must be a whole number from 1"),
        (["--masks", "many"], "--masks is 'many', but must be a whole number"),
        (["--precision", "bf61"], "Did you mean bf16"),
        (["--recipe", "papr"], "Did you mean paper?"),
        (["--lr-drops", "1;2"], "--lr-drops is '1;2', but must be a list of whole numbers"),
        (["--dropot", "0.5"], "Did you mean --dropout"),
        (["--lr", "inf"], "--lr is inf, but must be a finite number above 0."),
        (["--weight-decay", "1e400"], "--weight-decay is inf, but must be a finite number"),
        (["--grad-clip", "inf"], "--grad-clip is inf, but must be a finite number above 0, or"),
        (
            ["--steps", "9" * 5000],
            "9… (5,002 characters), but must be a whole number of at least",
        ),
        (["--warmup-steps", "500"], "--warmup-steps is 500, but the run has 200 steps"),
        (["--lr-drops", "5"], "--lr-drops is 5, but schedule is 'cosine'. Give --schedule step"),
        (["--swad-ratio", "2"], "--swad-ratio is 2, but arms is 'none'. Give --arms swad, or"),
        (["--dropout", "0", "--masks", "inf"], "--masks is 'inf', but dropout_rate is 0. Give --d"),
        (["--dropout", "0", "--dropout-rate", "0"], "--dropout and --dropout-rate are the same"),
        (["--batch-size", "many"], "--batch is 'many', but must be a whole number"),
        (["--name", "a/b"], "'a/b'"),
        (["--tag", "two words"], "'two words'"),
    ],
)
def test_a_bad_option_is_refused_and_leaves_nothing_behind(
    vld: Vld, words: list[str], told: str
) -> None:
    result = vld("run", *words)
    assert result.exit_code == 2
    assert told in result.stderr
    assert result.stdout == ""
    assert vld.json("ls") == []


def test_a_bad_file_is_refused_with_its_name(vld: Vld, tmp_path: Path) -> None:
    config = tmp_path / "run.toml"
    config.write_text("dropuot_rate = 0.5")
    result = vld("run", "--config", str(config))
    assert result.exit_code == 2
    assert f"{config}: unknown field 'dropuot_rate'. Did you mean dropout_rate" in result.stderr


def test_what_the_engine_refuses_leaves_nothing_behind(vld: Vld) -> None:
    result = vld("run", "--model", "refuse")
    assert result.exit_code == 2
    assert result.stderr == (
        "Error: No domain 'fluent-mon'. Did you mean fluent-mono?\nKnown: noto, fluent-mono.\n"
    )
    assert vld.json("ls") == []
    assert list((vld.home / "runs").iterdir()) == []


def test_a_reason_is_printed_once(vld: Vld) -> None:
    for words in (("run", "--model", "fail", *SHORT), ("resume", "@last")):
        result = vld(*words)
        assert result.exit_code == 1
        assert result.output.count("The loss is not finite.") == 1
        assert "failed after step " in result.stdout


def test_a_refused_run_prints_no_id(vld: Vld, tmp_path: Path) -> None:
    result = vld("run", "--model", "refuse-images")
    assert result.exit_code == 2
    assert "run " not in result.stdout
    assert vld.json("ls") == []


@pytest.mark.parametrize("home", ["other home", "plain"])
def test_hints_name_the_home_that_was_given(
    vld: Vld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.setattr("vld_tui.control.queue.start_supervisor", lambda *_: None)
    monkeypatch.setattr("vld_tui.cli.follow.DETACH_GRACE_S", 30.0)  # leaves no process behind here
    place = str(tmp_path / home)
    named = f"vld --home {shlex.quote(place)} "
    told = vld("run", "--home", place, "--model", "finish", "--name", "one", *SHORT)
    assert f"  {named}curve @last  # " in told.stdout
    assert f"  {named}run --model finish " in told.stdout
    refused = vld("--home", place, "resume", "nobody")
    assert refused.exit_code == 2
    failed = vld("run", "--home", place, "--model", "crash", *SHORT)
    assert f"{named}resume " in failed.stderr
    detached = vld("run", "--home", place, "--model", "finish", "--detach", *SHORT)
    assert f"{named}logs -f " in detached.stdout
    queued = vld("run", "--home", place, "--model", "finish", "--queue", *SHORT)
    assert f"{named}queue ls" in queued.stdout
    assert "--home" not in vld("run", "--model", "finish", *SHORT).stdout


def test_a_failed_run_is_kept_with_its_reason(vld: Vld) -> None:
    result = vld("run", "--model", "fail", "--json", *SHORT)
    assert result.exit_code == 1
    assert "failed: The loss is not finite." in result.stderr
    assert "engine.log" in result.stderr
    record = json.loads(result.stdout)
    assert (record["status"], record["error"]) == ("failed", "The loss is not finite.")


def test_a_run_that_dies_without_a_word_is_crashed_and_can_be_resumed(vld: Vld) -> None:
    result = vld("run", "--model", "crash", "--json", *SHORT)
    assert result.exit_code == 1
    record = json.loads(result.stdout)
    assert record["status"] == "crashed"
    assert "killed (signal 9)" in result.stderr
    assert f"vld resume {record['run']}" in result.stderr


def test_a_collapse_is_told_with_its_advice_and_shown_as_text(vld: Vld) -> None:
    result = vld("run", "--model", "collapse", *SHORT)
    assert result.exit_code == 0
    assert "▼ collapsed at step 50: 97.0% of the validation images" in result.stdout
    assert "'[bold]face␛'" in result.stdout
    assert "Lower --lr" in result.stdout


def test_unreadable_images_that_were_left_out_are_listed(vld: Vld) -> None:
    result = vld("run", "--model", "finish", "--skip-bad-images", *SHORT)
    assert "left out, unreadable: noto/face/␛[2Jbroken.webp" in result.stdout
    assert "1 unreadable image left out" in result.stdout


def test_name_and_tags_are_kept(vld: Vld) -> None:
    vld("run", "--model", "finish", "--name", "mine", "--tag", "a", "--tag", "b", *SHORT)
    record = vld.json("show", "mine")
    assert (record["name"], record["tags"]) == ("mine", ["a", "b"])


def test_every_field_has_an_option_with_its_help_and_default(vld: Vld) -> None:
    shown = " ".join(vld("run", "--help").stdout.split())
    for info in FIELDS.values():
        assert f"{info.flag} " in shown
        assert info.help in shown
    assert "default: 0.9" in shown
    assert "[from 32 to 1024; default: 224; emoji: 96; objects-" in shown
    assert "no OOD accuracy. [required; emoji: fluent-" in shown
    assert "name. [default: objects-drawn]" in shown
    assert "paper: 10001" in shown
    for heading in ("Data:", "Network:", "Method:", "Optimization:", "Measuring:", "Machine:"):
        assert heading in shown


def test_a_dry_run_tells_time_and_disk_of_features(vld: Vld) -> None:
    words = ("run", "--dry-run", "--tuning", "linear", "--weights", "none", "--image-size", "32")
    of_emoji = ("--dataset", "emoji", "--target", "noto")
    found = vld(*words, *of_emoji, "--model", "test_vit", "--views", "2", "--threads", "1")
    assert found.exit_code == 0, found.output
    lines = dict(line.split(maxsplit=1) for line in found.stdout.splitlines())
    assert lines["features"].startswith("10.8 MiB of cached features (")
    assert lines["features"].endswith(" to compute 14,694 images and views, once")
    assert "(measured on this machine now) · memory unknown · " in lines["estimate"]
    assert lines["not"] == "checked: individual images, memory"
    refused = vld(*words, "--model", "test_resnet")
    assert refused.exit_code == 2
    assert "problem   test_resnet has no 3 consecutive blocks of equal width" in refused.stdout


def test_a_dry_run_looks_into_the_file_of_weights(vld: Vld, tmp_path: Path) -> None:
    (tmp_path / "page.pth").write_text("<!DOCTYPE html>")
    told = vld("run", "--dry-run", "--weights", str(tmp_path / "page.pth"))
    assert told.exit_code == 2
    assert "it is an HTML page (starts with '<!DOCTYPE html>')" in told.stdout
    assert "weight file" not in told.stdout.rpartition("not checked")[2]
