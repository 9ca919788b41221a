"""What runs that combine others say, in lines and views."""

from __future__ import annotations

import msgspec
import pytest
from rich.console import Console

from engine.protocol import (
    AnglesMeasured,
    ArmEvaluated,
    BarrierMeasured,
    Cautioned,
    Combination,
    CombinationSpec,
    Evaluated,
    Parent,
    ParentMeasured,
    ParentTried,
    RunFinished,
    RunStarted,
    resolve_spec,
)
from tests.vld_tui.dashboard.fake_history import make_run
from tests.vld_tui.dashboard.run_facts import make_attempts
from vld_tui.cli.reporters import closing_view
from vld_tui.runs.progress import Progress
from vld_tui.views.combined import findings, networks, notices, position_label, step_label
from vld_tui.views.event_lines import closing_line, event_lines
from vld_tui.views.run_status import timeline

PARENTS = tuple(Parent(f"run-{index}\x1b[2J", f"/{index}") for index in range(9))
SOUP = Combination(method="greedy_soup", parents=PARENTS)
PATH = Combination(method="interpolation", parents=PARENTS[:2], points=5)
SPEC = resolve_spec({"steps": 300})

HIGH = BarrierMeasured(
    first="a", second="b\x1b", loss_barrier=0.5, accuracy_barrier=0.123, is_barrier=True
)
LOW = BarrierMeasured(
    first="a", second="c", loss_barrier=None, accuracy_barrier=-0.01, is_barrier=False
)
ANGLES = AnglesMeasured(tensors=47, mean_angle_deg=60.5, mean_share=0.66)
NO_ANGLES = AnglesMeasured(tensors=0, mean_angle_deg=None, mean_share=None)
CAUTION = Cautioned(message="ID accuracy is too high\x1b[2J.")
OF_SOUP, OF_PATH = CombinationSpec.of(SPEC, SOUP), CombinationSpec.of(SPEC, PATH)


def evaluated(step: int, accuracy: float) -> Evaluated:
    return Evaluated(
        step=step, metrics=[], id_accuracy=accuracy, ood_accuracy=accuracy / 2, is_best=True,
        wall_s=1.0,
    )  # fmt: skip


def finished(step: int) -> RunFinished:
    return RunFinished(
        step=step, selected_step=step, id_accuracy=0.5, ood_accuracy=0.4, wall_s=2.0,
        peak_memory_bytes=2**20,
    )  # fmt: skip


def test_a_step_is_a_network_or_a_percent_of_the_second() -> None:
    assert step_label(1200, SPEC) == "step 1,200"
    assert step_label(9, OF_SOUP) == "9 networks tried"
    assert step_label(50, OF_PATH) == "50% of B"


def test_a_place_is_a_step_or_a_count_of_networks_or_a_percentage() -> None:
    assert position_label(1200, SPEC) == "step 1,200"
    assert position_label(120, SPEC, of_all=True) == "step 120 of 300"
    assert position_label(9, OF_SOUP) == "9 of 9 networks tried"
    assert position_label(50, OF_PATH) == "50% of the way from A to B"


def test_history_of_a_combination_names_no_step() -> None:
    ended = make_attempts()[-1]
    ended = msgspec.structs.replace(ended, resumed_step=None, outcome="finished", step=9)
    run = make_run(0, spec=OF_SOUP.spec, combination=SOUP, status="finished")
    told = str(timeline(run, [ended], Progress.told_by([evaluated(9, 0.5), finished(9)])))
    assert "finished at 9 of 9 networks tried" in told
    assert "★ evaluated · ID 50.0%" in told
    assert "step" not in told


def test_many_networks_are_counted() -> None:
    assert networks(SOUP).startswith("9 · run-0")
    assert networks(SOUP).endswith(" and 3 more")
    assert networks(PATH).endswith("· 5 points")
    assert "\x1b" not in networks(SOUP) + networks(PATH)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (HIGH, "loss barrier between a and b"),
        (LOW, "halfway between a and c: ID +1.0 points, loss – against the mean of the two"),
        (CAUTION, "ID accuracy is too high"),
        (ParentMeasured(parent="a", id_accuracy=0.5), "parent a  ID 50.0%"),
        (ParentTried(parent="a", soup_accuracy=0.5, is_kept=False), "with a  ID 50.0% · left out"),
        (ANGLES, "angle 60.5° between the runs' changes · t 0.660 (means over 47 tensors)"),
        (NO_ANGLES, "angle none: no tensor moved in two runs"),
        (evaluated(25, 0.6), "25% of B  ID 60.0% · OOD 30.0% · best ID accuracy so far"),
        (
            ArmEvaluated(
                step=75, arm="representations", metrics=[], id_accuracy=0.5, ood_accuracy=0.4,
                is_best=False, wall_s=0.0,
            ),
            "75% of B  representations: ID 50.0% · OOD 40.0%",
        ),
    ],
)  # fmt: skip
def test_events_are_told_in_a_line(event: object, said: str) -> None:
    (line,) = event_lines(OF_PATH, Progress(), event)  # type: ignore[arg-type]
    assert said in line
    assert "\x1b" not in line


def test_accuracies_on_augmented_images_are_marked() -> None:
    task = CombinationSpec.of(resolve_spec({"steps": 300, "augment_validation": True}), SOUP)
    parent = ParentMeasured(parent="a", id_accuracy=0.5)
    tried = ParentTried(parent="a", soup_accuracy=0.5, is_kept=True)
    assert event_lines(task, Progress(), parent) == ["parent a  ID 50.0% augmented"]
    assert event_lines(task, Progress(), tried) == ["with a  ID 50.0% augmented · kept"]
    assert findings(task, Progress.told_by([parent])) == [("parent", "a  ID 50.0% augmented")]


def test_barriers_and_cautions_are_said_at_the_end() -> None:
    told = Progress.told_by(
        [CAUTION, ParentMeasured(parent="a", id_accuracy=0.5), HIGH, LOW, evaluated(9, 0.5),
         finished(9)]
    )  # fmt: skip
    assert len(notices(OF_SOUP, told)) == 2
    assert [label for label, _ in findings(OF_SOUP, told)] == ["parent", "halfway", "halfway"]
    line = closing_line(OF_SOUP, told, status="finished")
    assert line == "finished in 2s · ID 50.0% · OOD 25.0% · loss barrier"
    view = closing_view(OF_SOUP, told, run_id="r", name="n", status="finished", cells=80)
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(view)
    assert "loss barrier between a and b" in capture.get()
    assert "ID accuracy is too high" in capture.get()
    assert "combined" in capture.get()
    assert "\n  loss" not in capture.get()


def test_a_way_that_is_taken_up_again_forgets_what_it_found() -> None:
    again = RunStarted(
        protocol_version=2, attempt=2, pid=1, host="h", resumed_step=None, versions={}, commit=None
    )
    told = Progress.told_by([CAUTION, HIGH, again])
    assert notices(OF_SOUP, told) == []
    assert "selected 25% of B" in closing_line(
        OF_PATH,
        Progress.told_by([evaluated(25, 0.6), finished(100)]),
        status="finished",
    )


def test_many_barriers_are_told_in_one_line() -> None:
    barriers = [
        BarrierMeasured(
            first="a", second=f"b{index}", loss_barrier=0.5, accuracy_barrier=0.01 * index,
            is_barrier=index > 2,
        )
        for index in range(15)
    ]  # fmt: skip
    told = Progress.told_by(barriers)
    (notice,) = notices(OF_SOUP, told)
    assert "loss barriers between a and 12 of the 15 others" in notice
    assert "up to 14.0 points" in notice
    assert [line for _, line in findings(OF_SOUP, told)][-1] == "and 5 more"


@pytest.mark.parametrize(("loss", "said"), [(0.5, "loss 0.500 above"), (None, "loss not finite")])
def test_the_barrier_of_a_whole_path_is_a_finding(loss: float | None, said: str) -> None:
    whole = msgspec.structs.replace(HIGH, path_loss_barrier=loss, path_accuracy_barrier=0.25)
    found = dict(findings(OF_PATH, Progress.told_by([whole])))
    assert found["path"].startswith("a and b")
    assert "\x1b" not in found["path"]
    assert found["path"].endswith(
        f"at most 25.0 points of ID below the line between the two, {said}"
    )
    assert "path" not in dict(findings(OF_PATH, Progress.told_by([HIGH])))
