"""The line of runs from scratch, and the distance of a run from it, agree with SciPy."""

from __future__ import annotations

import pytest
from scipy.stats import linregress, norm, t

from engine.diagnose.effective_robustness import Accuracies, RobustnessLine, probit
from engine.errors import InputError

SCRATCH = [
    Accuracies(id_accuracy, ood)
    for id_accuracy, ood in ((0.4, 0.2), (0.5, 0.28), (0.55, 0.29), (0.6, 0.35), (0.7, 0.42))
]


def test_the_line_is_that_of_scipy() -> None:
    line = RobustnessLine.fit(SCRATCH)
    x, y = norm.ppf([run.id for run in SCRATCH]), norm.ppf([run.ood for run in SCRATCH])
    expected = linregress(x, y)
    assert line.slope == pytest.approx(expected.slope, abs=1e-9)
    assert line.intercept == pytest.approx(expected.intercept, abs=1e-9)
    assert line.r_squared == pytest.approx(expected.rvalue**2, abs=1e-9)
    # The standard error of the intercept is that of the line at 0.
    found = line.judge(Accuracies(0.5, 0.5))
    error = (expected.intercept_stderr**2 + line.residual**2) ** 0.5
    low, high = norm.cdf(expected.intercept + t(3).ppf([0.025, 0.975]) * error)
    assert found.interval == pytest.approx((low, high), abs=1e-9)
    assert found.expected == pytest.approx(norm.cdf(expected.intercept), abs=1e-9)
    assert found.points == pytest.approx(100 * (0.5 - norm.cdf(expected.intercept)), abs=1e-7)


def test_repeated_runs_count_once() -> None:
    assert RobustnessLine.fit([*SCRATCH, *SCRATCH[:3]]) == RobustnessLine.fit(SCRATCH)
    with pytest.raises(InputError, match="different accuracies; there are 2"):
        RobustnessLine.fit([*SCRATCH[:2]] * 4)


def test_a_run_on_the_line_has_no_robustness() -> None:
    exact = [
        Accuracies(accuracy, norm.cdf(0.8 * norm.ppf(accuracy) - 0.3))
        for accuracy in (0.3, 0.4, 0.5, 0.6, 0.7)
    ]
    line = RobustnessLine.fit(exact)
    assert line.r_squared == pytest.approx(1)
    on_line = line.judge(Accuracies(0.65, norm.cdf(0.8 * norm.ppf(0.65) - 0.3)))
    assert on_line.points == pytest.approx(0, abs=1e-9)
    above = line.judge(Accuracies(0.65, on_line.expected + 0.12))
    assert above.points == pytest.approx(12)
    assert above.is_beyond_chance
    assert not above.is_extrapolated


def test_a_run_beyond_those_of_the_line_is_marked() -> None:
    line = RobustnessLine.fit(SCRATCH)
    assert line.judge(Accuracies(0.9, 0.7)).is_extrapolated
    assert not line.judge(Accuracies(0.7, 0.7)).is_extrapolated
    near, far = line.judge(Accuracies(0.55, 0.3)), line.judge(Accuracies(0.9, 0.7))
    assert far.interval.high - far.interval.low > near.interval.high - near.interval.low
    assert not near.is_beyond_chance


def test_accuracies_of_0_and_1_stay_finite() -> None:
    assert probit(1.0) == -probit(0.0) == pytest.approx(norm.ppf(0.999))
    line = RobustnessLine.fit([*SCRATCH, Accuracies(1.0, 0.0)])
    assert abs(line.judge(Accuracies(1.0, 1.0)).points) <= 100


def test_what_is_needed_is_stated() -> None:
    with pytest.raises(InputError, match="at least 5 finished runs from scratch .* there are 2"):
        RobustnessLine.fit(SCRATCH[:2])
    same = [Accuracies(0.5 + at / 1000, 0.2 + at / 100) for at in range(6)]
    with pytest.raises(InputError, match="differ by less than 3 points"):
        RobustnessLine.fit(same)
