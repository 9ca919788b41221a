"""Which curves stand in which chart."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from engine.protocol import MetricKey, resolve_spec
from tests.vld_tui.dashboard.fake_history import make_run
from vld_tui.dashboard.draw.run_series import chart_contents
from vld_tui.dashboard.feed import RunCurves
from vld_tui.views.plot import Plot


def curves(seed: int, values: list[float], *, rate: float = 0.9, last: int = 200) -> RunCurves:
    steps = np.linspace(0, last, len(values))
    run = make_run(
        seed, name=f"trial-s{seed}", spec=resolve_spec({"seed": seed, "dropout_rate": rate})
    )
    known = np.array(values)
    return RunCurves(
        run,
        dict.fromkeys(
            (MetricKey.id(run.arm), MetricKey.ood(run.arm), MetricKey.loss(run.arm)),
            (steps, known),
        ),
    )


def test_several_runs_are_drawn_over_one_another() -> None:
    first, _, third = chart_contents([curves(0, [0.1, 0.2]), curves(1, [0.3, 0.4])])
    assert (first.title, third.title) == ("OOD", "loss")
    assert [each.name for each in first.series] == ["trial-s0", "trial-s1"]


def test_seeds_are_one_curve_between_two_fainter_ones() -> None:
    watched = [
        curves(0, [0.1, 0.2, 0.3]), curves(1, [0.3, 0.4, 0.5]), curves(2, [0.6, 0.6], rate=0.0)
    ]  # fmt: skip
    content, _, _ = chart_contents(watched, over_seeds=True)
    assert content.title == "OOD ± sd over seeds"
    low, high, mean, alone = content.series
    assert (mean.name, alone.name) == ("trial dropout 0.9 ×2", "trial-s2 dropout 0")
    assert mean.y == pytest.approx([0.2, 0.3, 0.4])
    assert high.y - mean.y == pytest.approx([0.02**0.5] * 3)
    assert mean.y - low.y == pytest.approx([0.02**0.5] * 3)
    assert mean.style in low.style
    legend = "".join(segment.text for segment in next(Plot("OOD", content.series).lines(80, 12)))
    assert legend == "OOD  last  ● 0.4 trial dropout 0.9 ×2  ▲ 0.6 trial-s2 dropout 0"


def test_runs_of_one_name_are_told_apart() -> None:
    short, long = curves(0, [0.1]), curves(0, [0.2])
    run = msgspec.structs.replace(long.run, spec=msgspec.structs.replace(long.run.spec, steps=999))
    first, _, _ = chart_contents([short, RunCurves(run, long.curves)])
    assert [each.name for each in first.series] == [
        f"trial-s0 steps {short.run.spec.steps}", "trial-s0 steps 999",
    ]  # fmt: skip


def test_a_mean_takes_the_steps_that_all_have() -> None:
    watched = [curves(0, [0.1, 0.2, 0.3]), curves(1, [0.3, 0.4], last=100)]
    content, _, _ = chart_contents(watched, over_seeds=True)
    mean = content.series[-1]
    assert mean.x.tolist() == [0.0, 100.0]
    assert mean.y == pytest.approx([0.2, 0.3])


def test_runs_that_no_other_is_alike_are_drawn_as_they_are() -> None:
    watched = [curves(0, [0.1]), curves(1, [0.2], rate=0.5)]
    content, _, _ = chart_contents(watched, over_seeds=True)
    assert content.title == "OOD"
    assert len(content.series) == 2


def test_other_arms_are_drawn_beside_the_run_s_own_with_a_selected_step_of_theirs() -> None:
    run = curves(0, [0.1, 0.3, 0.2])
    steps = np.array([0.0, 100.0, 200.0])
    others = {
        MetricKey.id("averaged"): (steps, np.array([0.1, 0.2, 0.3])),
        MetricKey.ood("averaged"): (steps, np.array([0.4, 0.5, 0.6])),
        MetricKey("accuracy", "out", "noto", "averaged"): (steps, np.array([0.4, 0.5, 0.6])),
    }
    run = RunCurves(run.run, {**run.curves, **others})
    accuracies, domains, _ = chart_contents([run])
    assert [each.name for each in accuracies.series] == ["ID", "OOD", "ID averaged", "OOD averaged"]
    assert [each.marked_x for each in accuracies.series[2:]] == [200, 200]
    assert domains.series == ()
    looks = {(each.style, each.dash) for each in accuracies.series}
    assert len(looks) == 4, "the colour stands for ID or OOD, the line pattern for the arm"
    assert len({each.style for each in accuracies.series}) == 2
