"""The 95% intervals of one run's accuracies: whose they are, and where they are shown."""

from __future__ import annotations

import msgspec
import pytest
from rich.console import Console, RenderableType

from engine.protocol import (
    AUGMENTED,
    ArmEvaluated,
    Cautioned,
    DataPrepared,
    DomainInfo,
    Evaluated,
    Metric,
    RunSpec,
    resolve_spec,
)
from engine.protocol.intervals import Interval, Sample, accuracy_interval, uncertain_selection
from tests.vld_tui.dashboard.fake_history import make_run
from vld_tui.cli.reporters import closing_view
from vld_tui.runs.progress import Progress
from vld_tui.views.accuracies import (
    accuracy_rows,
    domain_results,
    interval_line,
    interval_record,
    run_certainty,
)
from vld_tui.views.combined import cautions
from vld_tui.views.live import training_view
from vld_tui.views.run_status import run_heading

PHOTO = DomainInfo("photo", False, 500, 400, 100)
ART = DomainInfo("art", False, 250, 200, 50)
SKETCH = DomainInfo("sketch", True, 1000, 800, 200)
NOTHING = {"id_interval": None, "plain_id_interval": None, "ood_interval": None}
MEASURED = {("out", "photo"): 0.9, ("out", "art"): 0.7, ("in", "sketch"): 0.5, ("out", "sketch"): 0}


def prepared(*domains: DomainInfo) -> DataPrepared:
    target = next((domain.name for domain in domains if domain.is_target), None)
    return DataPrepared(
        dataset="d", target=target, classes=["x", "y"], domains=[*domains], skipped=[], wall_s=0.0
    )


def evaluated(
    accuracies: dict[tuple[str, str], float], *, id_accuracy: float = 0.8, ood: float | None = 0.5
) -> Evaluated:
    metrics = [
        Metric(split, domain, "erm", "accuracy", value)
        for (split, domain), value in accuracies.items()
    ]
    return Evaluated(
        step=5, metrics=metrics, id_accuracy=id_accuracy, ood_accuracy=ood, is_best=True, wall_s=0.0
    )


def told(data: DataPrepared | None, *events: Evaluated | ArmEvaluated | Cautioned) -> Progress:
    return Progress.told_by([*([data] if data else []), *events])


def of(*samples: tuple[float, int]) -> Interval | None:
    return accuracy_interval([Sample(*each) for each in samples])


def shown(view: RenderableType, cells: int = 100) -> str:
    console = Console(width=cells, color_system=None)
    with console.capture() as capture:
        console.print(view)
    return capture.get()


WHOLE = told(prepared(ART, PHOTO, SKETCH), evaluated(MEASURED))


def test_id_is_a_mean_over_sources_and_ood_is_the_targets_in_split() -> None:
    found = run_certainty(WHOLE, WHOLE.selected)
    assert (found.id.interval, found.id.images) == (of((0.7, 50), (0.9, 100)), 150)
    assert (found.ood.interval, found.ood.images) == (of((0.5, 800)), 800)
    assert found.plain_id.interval is None


def test_without_a_target_ood_has_none() -> None:
    measured = {("out", "photo"): 0.9, ("out", "art"): 0.7}
    progress = told(prepared(ART, PHOTO), evaluated(measured, ood=None))
    record = interval_record(progress, progress.selected)
    assert record == {**NOTHING, "id_interval": of((0.7, 50), (0.9, 100))}
    assert "OOD" not in interval_line(progress)


def test_a_source_that_is_held_out_is_no_part_of_id() -> None:
    held_out = DomainInfo("cartoon", False, 500, 400, 100, is_held_out=True)
    measured = {**MEASURED, ("out", "cartoon"): 0.1, ("in", "cartoon"): 0.2}
    progress = told(prepared(ART, held_out, PHOTO, SKETCH), evaluated(measured))
    assert run_certainty(progress, progress.selected).id.images == 150
    assert "16.4–24.2%" in str(domain_results(RunSpec(), progress, 100))  # on its 400 images


def test_where_validation_images_are_augmented_both_means_have_their_interval() -> None:
    measured = {**MEASURED, (AUGMENTED, "photo"): 0.6, (AUGMENTED, "art"): 0.4}
    found = msgspec.structs.replace(evaluated(measured, id_accuracy=0.5), plain_id_accuracy=0.8)
    progress = told(prepared(ART, PHOTO, SKETCH), found)
    augmented, plain = of((0.4, 50), (0.6, 100)), of((0.7, 50), (0.9, 100))
    record = interval_record(progress, found)
    assert (record["id_interval"], record["plain_id_interval"]) == (augmented, plain)
    intervals = {row.name: row.interval for row in accuracy_rows(RunSpec(), progress)}
    assert (intervals["ID"], intervals["ID plain"]) == (augmented, plain)
    assert "from 150 augmented images, OOD" in interval_line(progress)
    rows = {
        tuple(line.split()[:2]): line
        for line in str(domain_results(RunSpec(), progress, 78)).splitlines()
    }
    assert rows["art", AUGMENTED].rstrip().endswith("27.6–53.8%     –      50  source: ID")
    assert rows["art", "out"].rstrip().endswith("source")


@pytest.mark.parametrize(
    ("data", "measured", "ood"),
    [
        (None, MEASURED, 0.5),
        (prepared(ART, PHOTO), {("out", "photo"): 0.9}, None),
        (prepared(ART, PHOTO), {}, None),
        (prepared(msgspec.structs.replace(ART, out_images=0), PHOTO), MEASURED, None),
        (prepared(), MEASURED, None),
    ],
)
def test_what_is_not_known_has_none_and_nothing_is_shown(
    data: DataPrepared | None, measured: dict[tuple[str, str], float], ood: float | None
) -> None:
    progress = told(data, evaluated(measured, ood=ood))
    assert interval_record(progress, progress.selected) == NOTHING
    assert interval_line(progress) == ""
    assert "95% intervals" not in closing(progress)


def test_nothing_was_evaluated_yet() -> None:
    assert interval_record(told(prepared(ART)), None) == NOTHING


def closing(progress: Progress, cells: int = 100) -> str:
    view = closing_view(
        resolve_spec({}), progress, run_id="r", name="n", status="finished", cells=cells
    )
    return shown(view, cells)


def test_the_closing_table_says_what_its_intervals_are_of() -> None:
    text = closing(WHOLE)
    rows = {line.split()[0]: line for line in text.splitlines() if line.startswith("  ")}
    assert "95% interval" in text
    assert "72.4–86.1%" in rows["ID"]
    assert "46.5–53.5%" in rows["OOD"]
    assert "82.6–94.5%" in rows["photo"]
    assert (
        "95% intervals: ID from 150 images, OOD from 800 images; they cover the sampling of "
        "images, not seeds or training"
    ) in " ".join(text.split())
    assert max(map(len, closing(WHOLE, 80).splitlines())) <= 80


def test_the_live_view_is_without_intervals() -> None:
    assert "–" not in shown(training_view(resolve_spec({}), WHOLE, now=0.0, cells=100))


def test_every_split_of_a_domain_has_its_interval_in_the_dashboard() -> None:
    lines = str(domain_results(RunSpec(), WHOLE, 110)).splitlines()
    assert "95% interval" in lines[1]
    said = "95% intervals: ID 72.4–86.1% from 150 images, OOD 46.5–53.5% from 800 images; they"
    assert said in " ".join(lines[6:])
    rows = {tuple(line.split()[:2]): line for line in lines[2:]}
    assert "46.5–53.5%" in rows["sketch", "in"]
    assert "0.0–1.9%" in rows["sketch", "out"]


def test_an_arm_has_the_interval_of_its_own_step() -> None:
    arm = ArmEvaluated(
        step=5, arm="averaged", id_accuracy=0.5, ood_accuracy=0.25, is_best=True, wall_s=0.0,
        metrics=[Metric("out", name, "averaged", "accuracy", 0.5) for name in ("art", "photo")],
    )  # fmt: skip
    rows = {row.name: row for row in accuracy_rows(RunSpec(), WHOLE.after(arm))}
    assert rows["averaged ID"].interval == of((0.5, 50), (0.5, 100))
    assert rows["averaged OOD"].interval == of((0.25, 800))


def test_that_few_images_select_is_said_once_whoever_says_it() -> None:
    few = uncertain_selection({"art": 50})
    assert few != ""
    for events in ((), (Cautioned(message=few),)):
        progress = told(prepared(ART), *events)
        assert cautions(RunSpec(), progress) == [few]
        assert closing(progress).count("50 validation images") == 1
    assert cautions(RunSpec(), WHOLE) == [uncertain_selection({"art": 50, "photo": 100})]


def test_the_heading_of_a_run_has_intervals_where_there_is_room() -> None:
    run = make_run(0, name="x")  # ID 70.0%, OOD 50.0%
    progress = told(prepared(PHOTO, SKETCH), evaluated({("out", "photo"): 0.7}, id_accuracy=0.7))
    whole = str(run_heading(run, 150, progress))
    assert whole.endswith(
        "ID 70.0% (95%: 60.4–78.1%) · OOD 50.0% (95%: 46.5–53.5%) at step 150 (best ID)"
    )
    assert str(run_heading(run, len(whole), progress)) == whole
    assert str(run_heading(run, len(whole) - 1, progress)) == str(run_heading(run, 150))


def test_the_heading_has_no_interval_of_another_evaluation() -> None:
    run = make_run(0, name="x")
    assert str(run_heading(run, 120, WHOLE)) == str(run_heading(run, 120))  # ID 80.0%
