"""The plan, the live view and the closing table, rendered to text."""

import sys

import msgspec
import pytest
from rich.console import Console, RenderableType

from engine.protocol import (
    ArmEvaluated,
    CollapseDetected,
    DataPrepared,
    DomainInfo,
    Evaluated,
    Event,
    FeaturesComputed,
    HeadRefined,
    HeadTrained,
    LoadedWeights,
    Metric,
    ModelPrepared,
    PastTraining,
    PhaseReported,
    RunFailed,
    RunFinished,
    RunStarted,
    RunStopped,
    StepsTaken,
    resolve_spec,
)
from engine.protocol.datasets import LeftOut
from engine.protocol.extras import install_command
from tests.vld_tui.dashboard.fake_history import make_run
from vld_tui.cli.reporters import LineReporter, closing_view, next_commands
from vld_tui.runs.progress import Progress
from vld_tui.views.accuracies import accuracy_rows, domain_results
from vld_tui.views.event_lines import closing_line, event_lines
from vld_tui.views.live import preparing_view, training_view
from vld_tui.views.plan import plan_rows
from vld_tui.words.text import width

SPEC = resolve_spec({"dataset": "emoji", "steps": 300})
DOMAINS = ("fluent", "noto", "[b]evil\x1b[2J", "a-very-long-name-of-a-domain", "fluent-mono")

STARTED = RunStarted(
    protocol_version=1, attempt=1, pid=1, host="h", resumed_step=None, versions={}, commit=None
)
DATA = DataPrepared(
    dataset="emoji",
    target="fluent-mono",
    classes=["x"] * 18,
    domains=[DomainInfo(name, name == "fluent-mono", 1230, 984, 246) for name in DOMAINS],
    skipped=[],
    wall_s=1.0,
)
PAST = PastTraining(
    run="r1", dataset="d", target="t", held_out_source=None, split_seed=0, validation_fraction=0.2
)


def features(done: int, reused: int = 0, notes: tuple[str, ...] = ()) -> FeaturesComputed:
    """Return what a run says of features while they are computed, or when all are."""
    return FeaturesComputed(
        done=done, total=192, wall_s=4.0, reused=reused, size_bytes=2**20, notes=notes
    )


HEAD = HeadTrained(steps=1000, loss=1.0, wall_s=3.0, time=105.0)
COLLAPSE = CollapseDetected(
    step=100,
    predicted_class="face",
    share=0.97,
    loss=2.7,
    class_entropy=2.71,
    advice="Lower --lr.",
)


def model(step_ms: dict[str, float], seconds_left: float | None) -> ModelPrepared:
    return ModelPrepared(
        model="tf_efficientnet_lite0",
        weights="packaged",
        parameters=3_394_066,
        feature_dim=1280,
        feature_rms=1.2,
        device="cpu",
        device_name="AMD EPYC",
        precision="fp32",
        memory_format="channels_last",
        threads=2,
        step_ms=step_ms,
        seconds_left=seconds_left,
        time=100.0,
    )


def steps(step: int) -> StepsTaken:
    return StepsTaken(
        step=step,
        loss=2.0 - step / 300,
        lr=1e-3,
        head_lr=1e-3,
        steps_per_s=1.87,
        images_per_s=89.8,
        elapsed_s=step / 1.87,
        seconds_left=(300 - step) / 1.87,
        time=100.0 + step,
    )


def evaluated(step: int, accuracy: float) -> Evaluated:
    metrics = [
        Metric("in" if name == "fluent-mono" else "out", name, "dropout", "accuracy", accuracy)
        for name in DOMAINS
    ]
    return Evaluated(
        step=step,
        metrics=metrics,
        id_accuracy=accuracy,
        ood_accuracy=accuracy - 0.2,
        is_best=True,
        wall_s=1.0,
    )


PREPARED = (STARTED, DATA, model({"fp32 channels_last": 872.0}, None))
TRAINING = (*PREPARED, HEAD, steps(50), evaluated(50, 0.6), steps(100), evaluated(100, 0.55))


def after(*events: Event) -> Progress:
    return Progress.told_by(events)


def text_of(view: RenderableType, cells: int = 80) -> str:
    console = Console(width=cells, color_system=None, force_terminal=False, highlight=False)
    with console.capture() as capture:
        console.print(view)
    return capture.get()


def plan_of(*events: Event) -> dict[str, str]:
    return dict(plan_rows(SPEC, after(*events)))


def test_the_plan_fills_up_as_the_run_prepares() -> None:
    assert "sources" not in plan_of()
    assert plan_of()["target"] == "fluent-mono"
    assert plan_of(STARTED, DATA)["data"] == "emoji · 18 classes · 96 px"
    assert "984+246" in plan_of(STARTED, DATA)["sources"]
    assert plan_of(STARTED, DATA)["training"].startswith("300 steps of 16 × 4 = 64 images")
    assert "precision" not in plan_of(STARTED, DATA, model({}, None))
    assert plan_of(*PREPARED)["precision"] == (
        "fp32 channels_last, fastest measured here: 872 ms a step; to change: "
        "--precision, --memory-format, --fold-batchnorm"
    )
    tried = model({"fp32 channels_last": 872.0, "bf16 contiguous": 40_600.0}, None)
    loaded = msgspec.structs.replace(tried, under_load=True)
    assert "(bf16 contiguous 41 s); other programs were running" in plan_of(loaded)["precision"]
    sparse = msgspec.structs.replace(model({}, None), sparsity=0.4996)
    assert plan_of(STARTED, DATA, sparse)["network"].endswith(" · sparsity 50.0%")
    assert "sparsity" not in plan_of(*PREPARED)["network"]
    on_gpus = msgspec.structs.replace(model({}, None), device="cuda:0", device_name="H", ranks=4)
    assert plan_of(STARTED, DATA, on_gpus)["device"].startswith("4 × cuda (H) · ")


def test_the_plan_says_how_folders_were_read_and_what_was_left_out() -> None:
    assert {"layout", "left out"}.isdisjoint(plan_of(STARTED, DATA))
    left_out = (LeftOut(".heic", 60, "a/b/1.heic"),)
    read = msgspec.structs.replace(DATA, reading="reading a/\x1b[2J", left_out=left_out)
    plan = plan_of(STARTED, read)
    assert plan["layout"].startswith("reading a/")
    assert "\x1b" not in plan["layout"]
    assert plan["left out"] == f"60 .heic (to read HEIC: {install_command('heic')})"


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({}, "learning rate peak 0.0003, end 2.3e-08 · weight decay 0.0001 · cosine schedule, 20 "
         "steps of warm-up"),
        ({"steps": 10}, "learning rate peak 0.0003, end 9e-06 · weight decay 0.0001 · cosine "
         "schedule, 1 step of warm-up"),
        ({"steps": 10, "warmup_steps": 20}, "rate at most 0.00015 at step 10, never 0.0003 · "),
        ({"schedule": "constant", "warmup_steps": 0}, "learning rate 0.0003 · "),
        ({"recipe": "paper"}, "rate peak 0.001, end 1e-05 · weight decay 0.0001 · "
         "step schedule"),
    ],
)  # fmt: skip
def test_the_plan_has_the_rates_that_the_run_really_has(
    values: dict[str, object], shown: str
) -> None:
    assert shown in dict(plan_rows(resolve_spec(values), Progress()))["optimizer"]


def test_a_collapse_that_is_over_is_no_alarm() -> None:
    before = after(*TRAINING, COLLAPSE)
    sound = msgspec.structs.replace(evaluated(150, 0.7), collapsed=False)
    progress = before.after(sound)
    assert (before.recovered_step, progress.recovered_step) == (None, 150)
    over = f"collapsed at step {COLLAPSE.step}, recovered by step 150"
    assert over in event_lines(SPEC, progress, sound)
    view = text_of(training_view(SPEC, progress, now=250.0, cells=80, notice=""))
    assert over in view
    assert COLLAPSE.advice not in view
    assert COLLAPSE.advice in text_of(training_view(SPEC, before, now=250.0, cells=80, notice=""))


def test_a_run_shorter_than_its_interval_is_evaluated_at_the_end() -> None:
    plan = dict(plan_rows(resolve_spec({"steps": 10}), Progress()))
    assert "evaluated at the end" in plan["training"]


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (10_001, "evaluated every 300 from step 1 ·"),
        (200, "evaluated at step 1 and at the end ·"),
        (1, "evaluated at the end ·"),
    ],
)
def test_the_first_evaluation_is_named(steps: int, words: str) -> None:
    plan = dict(plan_rows(resolve_spec({"recipe": "paper", "steps": steps}), Progress()))
    assert words in plan["training"]


@pytest.mark.parametrize(
    ("step_ms", "seconds_left", "shown"),
    [
        ({}, 163.0, "about 2m 43s"),
        ({"fp32 channels_last": 872.0}, None, "about 4m 22s of training"),
        ({}, None, "known once training starts"),
    ],
)
def test_the_time_is_the_engines_estimate_or_follows_from_its_measurement(
    step_ms: dict[str, float], seconds_left: float | None, shown: str
) -> None:
    assert plan_of(STARTED, DATA, model(step_ms, seconds_left))["time"].startswith(shown)


def test_no_estimate_is_announced_once_the_run_trained() -> None:
    prepared = (STARTED, DATA, model({}, None))
    assert "time" in plan_of(*prepared)
    assert "time" not in plan_of(*prepared, steps(10))


@pytest.mark.parametrize(
    ("event", "lines"),
    [
        (features(64), ["computing features of 192 images and views: 33%"]),
        (features(192), ["features of 192 images and views: computed · 1.0 MiB · 4s"]),
        (features(192, reused=192), ["features of 192 images and views: cached · 1.0 MiB · 4s"]),
        (
            features(192, reused=64, notes=("Damaged.",)),
            ["features of 192 images and views: 64 of them cached · 1.0 MiB · 4s", "Damaged."],
        ),
    ],
)
def test_computing_features_is_reported(event: Event, lines: list[str]) -> None:
    assert event_lines(SPEC, after(STARTED, DATA, event), event) == lines


DECODING = PhaseReported(
    phase="decoding_images", done=2100, total=4898, elapsed_s=3.0, seconds_left=4.0
)


@pytest.mark.parametrize(
    ("events", "phase"),
    [
        ((), "starting the engine"),
        ((STARTED,), "reading the images"),
        ((STARTED, DATA), "preparing the network"),
        ((STARTED, DATA, features(64)), "computing features of 64 of 192 images and views"),
        ((STARTED, DATA, features(192)), "preparing the network"),
        ((STARTED, DECODING), "decoding images 2,100/4,898 · 4s left"),
    ],
)
def test_what_is_being_prepared_is_told(events: tuple[Event, ...], phase: str) -> None:
    text = text_of(preparing_view(SPEC, after(*events), seconds=3.0, notice="stopping soon"))
    assert text.rstrip().endswith("stopping soon")
    assert phase in text
    assert "… 3s" in text


@pytest.mark.parametrize(
    ("events", "phase"),
    [
        (PREPARED, "training the last layer on cached features … 10s"),
        ((*PREPARED, HEAD), "evaluating the last layer … 5s"),
    ],
)
def test_what_happens_before_the_first_step_is_told_with_its_time(
    events: tuple[Event, ...], phase: str
) -> None:
    assert phase in text_of(training_view(SPEC, after(*events), now=110.0, cells=80))


@pytest.mark.parametrize("cells", [80, 100, 200])
def test_the_live_view_fits_its_width_with_any_names(cells: int) -> None:
    view = training_view(
        SPEC, after(*TRAINING, COLLAPSE), now=250.0, cells=cells, notice="stopping"
    )
    text = text_of(view, cells)
    assert max(width(line) for line in text.splitlines()) <= cells
    assert len(text.splitlines()) <= 20
    assert "\x1b" not in text
    assert "[b]evil␛[2J" in text


def test_balanced_accuracy_has_rows_of_its_own_and_the_table_fits() -> None:
    pairs = {50: (0.5, 0.3), 100: (0.4, None)}
    events = [
        msgspec.structs.replace(
            each, measures={"balanced_accuracy": pairs[each.step]},
            selection_score=pairs[each.step][0],
        )
        if isinstance(each, Evaluated)
        else each
        for each in TRAINING
    ]  # fmt: skip
    spec = msgspec.structs.replace(SPEC, select_on="balanced")
    text = text_of(training_view(spec, after(*events), now=220.0, cells=80))
    assert "← best ID balanced" in text
    assert "ID balanced           40.0%      50.0%  █▁" in text
    assert "OOD balanced              –      30.0%" in text
    assert max(width(line) for line in text.splitlines()) <= 80
    arm = ArmEvaluated(
        step=100, arm="averaged", metrics=[], id_accuracy=0.5, ood_accuracy=0.4, is_best=True,
        wall_s=0.0, measures={"balanced_accuracy": (0.45, 0.35)},
    )  # fmt: skip
    text = text_of(training_view(spec, after(*events, arm), now=220.0, cells=80))
    assert "averaged ID bal.      45.0%      45.0%" in text
    assert "averaged OOD bal.     35.0%      35.0%" in text


def test_the_live_view_shows_speed_time_left_and_the_selected_step() -> None:
    text = text_of(training_view(SPEC, after(*TRAINING), now=220.0, cells=80))
    assert "100/300 steps 33% · 1.87 steps/s · 89.8 images/s · 1m 27s left" in text
    assert "latest    step 50  ← best ID accuracy" in text
    assert "ID                    55.0%      60.0%  █▁" in text
    assert "OOD                   35.0%      40.0%  █▁" in text
    assert "loss                  1.667" in text


@pytest.mark.parametrize(
    ("end", "status", "line"),
    [
        (
            RunFinished(
                step=300,
                selected_step=50,
                id_accuracy=0.6,
                ood_accuracy=0.4,
                wall_s=161.0,
                peak_memory_bytes=2**30,
            ),
            "finished",
            "✓ finished in 2m 41s · selected step 50 · ID 60.0% · OOD 40.0%",
        ),
        (
            RunStopped(step=100, reason="SIGTERM", wall_s=9.0),
            "stopped",
            "■ stopped at step 100 of 300 · selected step 50",
        ),
        (
            RunFailed(error="E", message="It broke.", traceback="", step=None, refused=False),
            "failed",
            "✗ failed after step 100: It broke.",
        ),
        (
            RunFailed(error="E", message="It broke.", traceback="", step=104, refused=False),
            "failed",
            "✗ failed at step 104: It broke.",
        ),
        (None, "crashed", "✗ crashed after step 100 of 300"),
    ],
)
def test_the_closing_table_says_how_it_ended(end: Event | None, status: str, line: str) -> None:
    progress = after(*TRAINING, *([end] if end else []))
    view = closing_view(
        SPEC, progress, run_id="251123-231205-k3f9", name="[u]mine", status=status, cells=80
    )
    text = text_of(view)
    assert line in text.splitlines()[0]
    assert "run 251123-231205-k3f9  [u]mine" in text
    assert ("peak memory 1.0 GiB" in text) == (status == "finished")


def test_a_long_command_keeps_a_line_of_its_own() -> None:
    long = "vld run --data /somewhere/with/pictures --dropout 0"
    lines = text_of(
        next_commands([("vld show @last", "all of it"), (long, "compare")])
    ).splitlines()
    assert [line.rstrip() for line in lines] == [
        "  vld show @last   all of it",
        f"  {long}",
        "     compare",
    ]


@pytest.mark.parametrize(
    ("target", "domains", "said"),
    [
        ("none", ("a", "b"), "none: every domain is trained on, so there is no OOD accuracy"),
        ("none", ("a",), "none: one domain, no OOD accuracy; to make domains: vld data shift"),
        (None, ("a",), "none: one domain, no OOD accuracy; to make domains: vld data shift"),
    ],
)
def test_the_plan_says_why_there_is_no_ood_accuracy(
    target: str | None, domains: tuple[str, ...], said: str
) -> None:
    data = msgspec.structs.replace(
        DATA, target=None, domains=[DomainInfo(name, False, 10, 8, 2) for name in domains]
    )
    spec = resolve_spec({"data_dir": "/photos", "target": target})
    rows = dict(plan_rows(spec, after(STARTED, data)))
    assert rows["target"] == said
    assert rows["sources"].startswith("a 8+2")
    assert rows["training"].startswith(f"200 steps of 16 × {len(domains)} = ")


def test_no_number_is_told_where_there_is_no_ood_accuracy() -> None:
    found = Evaluated(
        step=300, metrics=[Metric("out", "a", "dropout", "accuracy", 0.75)], id_accuracy=0.75,
        ood_accuracy=None, is_best=True, wall_s=1.0,
    )  # fmt: skip
    data = msgspec.structs.replace(DATA, target=None, domains=[DomainInfo("a", False, 10, 8, 2)])
    progress = after(STARTED, data, model({}, None), steps(300), found)
    ids, oods, domain = accuracy_rows(SPEC, progress)
    assert (ids.latest, oods.latest, oods.at_selected, domain.latest) == (0.75, None, None, 0.75)
    assert " ID 75.0% · OOD – · a 75.0%" in event_lines(SPEC, progress, found)[0]
    closing = closing_line(SPEC, progress, status="stopped")
    assert closing.endswith("ID 75.0% · OOD –")
    assert "OOD –" in str(domain_results(SPEC, progress, 80))
    for view in (
        training_view(SPEC, progress, now=110.0, cells=80),
        closing_view(SPEC, progress, run_id="r", name="n", status="finished", cells=80),
    ):
        (line,) = (line for line in text_of(view).splitlines() if line.startswith("  OOD "))
        assert "–" in line
        assert "%" not in line


def test_the_plan_tells_what_trains_and_what_is_measured_beside_it() -> None:
    spec = resolve_spec(
        {"tuning": "linear", "linear_start": "authors", "objective": "groupdro",
         "arms": ["averaged", "ensemble"], "held_out_source": "lineart"}
    )  # fmt: skip
    rows = dict(plan_rows(spec, Progress()))
    assert "linear tuning from the authors' initial weights" in rows["method"]
    assert "groupdro" in rows["method"]
    assert "also averaged and ensemble" in rows["method"]
    assert rows["target"] == "clipart · lineart left out as well"


@pytest.mark.parametrize(
    ("values", "row", "shown"),
    [
        ({"arms": ["averaged", "swad", "refined"]}, "method", "also averaged, swad and refined"),
        ({"mask_basis": "pca"}, "method", "dropout 0.9 × 8 masks of principal directions"),
        ({"masks": "inf"}, "method", "dropout 0.9, limit of many masks, 64 draws · "),
        (
            {"masks": "inf", "mask_basis": "pca", "mask_draws": 8},
            "method",
            "dropout 0.9, limit of many masks of principal directions, 8 draws",
        ),
        ({"mask_at": "blocks.4"}, "method", "dropout 0.9 × 1 mask of channels at blocks.4"),
        ({"sparsity": 0.5}, "network", "weights: pretrained · sparsity 50.0%"),
        ({"keep_zeros": True, "weights": "w.pth"}, "network", "weights: w.pth · zeros kept"),
        ({"diagnose": ["rich", "shift"]}, "training", "seed 0 · then diagnostics: rich, shift"),
    ],
)
def test_the_plan_shows_arms_and_what_is_masked_pruned_and_diagnosed(
    values: dict[str, object], row: str, shown: str
) -> None:
    assert shown in dict(plan_rows(resolve_spec(values), Progress()))[row]
    assert shown not in dict(plan_rows(resolve_spec({}), Progress()))[row]


def test_the_plan_and_the_log_tell_how_the_last_layer_is_refined() -> None:
    spec = resolve_spec({"arms": ["refined"], "refine_on": "rare"})
    method = dict(plan_rows(spec, Progress()))["method"]
    assert "also refined · refinement: 100 steps on rare images" in method
    event = HeadRefined(steps=100, images=1234, loss=0.5, wall_s=2.0)
    assert event_lines(spec, Progress(), event) == [
        "last layer refined: 100 steps on 1,234 images · loss 0.500 · 2s"
    ]


def test_the_plan_shows_the_views_that_the_last_layer_trains_on() -> None:
    spec = resolve_spec({"views": 3, "head_steps": 5})
    method = dict(plan_rows(spec, Progress()))["method"]
    assert method.endswith("last layer first, 5 steps on 3 cached views of each image")
    linear = resolve_spec({"tuning": "linear", "views": 3, "head_steps": 5})
    assert dict(plan_rows(linear, Progress()))["method"].count("3 cached views") == 1


@pytest.mark.parametrize(
    ("loaded", "line"),
    [
        (
            LoadedWeights(file="w", sha256="", entry="state_dict_ema", is_ema=True, matched=90,
                          other_entries=["state_dict"], last_layer="new"),
            "EMA weights (state_dict_ema) · 90 tensors loaded · last layer new · also in the file: "
            "state_dict (--weights-key)",
        ),
        (
            LoadedWeights(file="w", sha256="", entry="state_dict", matched=1, missing=["a", "b"],
                          prefixes=["module.", "backbone."], converted=True, last_layer="new",
                          unexpected=["q", "r", "s", "\x1bt"]),
            "entry state_dict · 1 tensor loaded · prefix module.backbone. removed · converted by "
            "timm · 2 missing (a, b) · 4 left out (q, r, s and 1 more) · last layer new",
        ),
        (
            LoadedWeights(file="w", sha256="", matched=92, training=PAST, is_kept=True,
                          last_layer="kept: same 3 classes"),
            "trained by run r1 · 92 tensors loaded · last layer kept: same 3 classes",
        ),
    ],
)  # fmt: skip
def test_the_plan_says_what_was_taken_from_a_file_of_weights(
    loaded: LoadedWeights, line: str
) -> None:
    prepared = msgspec.structs.replace(model({}, None), loaded=loaded)
    assert dict(plan_rows(resolve_spec({}), after(prepared)))["weights"] == line


def test_images_of_the_target_that_are_trained_on_are_a_caution() -> None:
    assert "caution" not in dict(plan_rows(SPEC, after(STARTED, DATA)))
    shared = msgspec.structs.replace(DATA, shared_images=12)
    assert dict(plan_rows(SPEC, after(STARTED, shared)))["caution"] == (
        "12 images of the target are also in a source: OOD accuracy is measured on training "
        "images. See: vld data check"
    )


def test_plain_lines_are_never_silent_for_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(0, spec=SPEC, status="running", step=0)
    reporter = LineReporter(run, stream=sys.stdout)
    reporter.show(after(STARTED, DECODING), ())
    assert capsys.readouterr().out == ""
    monkeypatch.setattr("vld_tui.cli.reporters.SILENT_S", 0.0)
    reporter.show(after(STARTED, DECODING), ())
    assert capsys.readouterr().out.startswith("decoding images 2,100/4,898 · 4s left … ")


def test_the_log_names_the_phases_that_a_run_has_once() -> None:
    begun = msgspec.structs.replace(DECODING, done=0, elapsed_s=0.0, seconds_left=None)
    assert event_lines(SPEC, after(STARTED, begun), begun) == ["decoding images …"]
    assert event_lines(SPEC, after(STARTED, DECODING), DECODING) == []
    again = PhaseReported(phase="evaluating", done=0, total=40, detail="noto")
    assert event_lines(SPEC, after(STARTED, again), again) == []
