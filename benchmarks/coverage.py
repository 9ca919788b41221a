"""Simulate how often the 95% intervals of a report miss the true value.

    python benchmarks/coverage.py [--draws 20000] [--bootstrap-draws 4000]

Draws paired differences of a study with 4 or 6 targets and 3 seeds, and computes the intervals that
``vld report`` computes. An interval that keeps its level misses the true value in 5%. The true
value of the intervals over targets is the mean of all targets that could be drawn; that of the
interval over seeds is the mean of the targets that were drawn.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vld_tui.study.results.inference import Bounds, bootstrap_interval, infer

Values = npt.NDArray[np.float64]
Effects = Callable[[np.random.Generator, tuple[int, int]], Values]
"""Draws (studies, targets) true differences, of mean 0 and variance 1."""

TARGETS: Final = (4, 6)
SEEDS: Final = 3
SEED_DEVIATION: Final = 0.3
"""Standard deviation over seeds, in units of that over targets."""
CORRELATION: Final = 0.5
SHIFTED: Final = 0.25
"""The share of targets that are a real shift."""
SHIFT: Final = 10.0
"""Their distance from the other targets, in standard deviations of those."""


def _normal(noise: np.random.Generator, shape: tuple[int, int]) -> Values:
    return noise.normal(size=shape)


def _exponential(noise: np.random.Generator, shape: tuple[int, int]) -> Values:
    return noise.exponential(size=shape) - 1


def _one_shift_in_four(noise: np.random.Generator, shape: tuple[int, int]) -> Values:
    """Draw similar targets with a few that differ, such as three similar styles of four."""
    effects = SHIFT * (noise.random(shape) < SHIFTED) + noise.normal(size=shape)
    variance = 1 + SHIFT**2 * SHIFTED * (1 - SHIFTED)
    return np.asarray((effects - SHIFT * SHIFTED) / variance**0.5)


def _correlated(noise: np.random.Generator, shape: tuple[int, int]) -> Values:
    """Draw targets that share sources."""
    common, own = noise.normal(size=(shape[0], 1)), noise.normal(size=shape)
    return np.asarray(CORRELATION**0.5 * common + (1 - CORRELATION) ** 0.5 * own)


CASES: Final[dict[str, Effects]] = {
    "normal": _normal,
    "exponential": _exponential,
    "one target in four is a real shift": _one_shift_in_four,
    f"normal, correlation {CORRELATION} between targets": _correlated,
}


class Row(NamedTuple):
    """Shares of intervals that miss the true value, in one case."""

    case: str
    targets: int
    over_seeds: float
    over_targets: float
    bootstrap: float


def simulate(case: str, targets: int, draws: int, bootstrap_draws: int) -> Row:
    """Return how often each interval misses the true value in one case.

    Args:
        case: one of :data:`CASES`.
        targets: number of targets of a study.
        draws: number of studies.
        bootstrap_draws: number of these with a bootstrap interval.
    """
    noise = np.random.default_rng(0)
    effects = CASES[case](noise, (draws, targets))
    of_seeds = CASES[case if case == "exponential" else "normal"]
    errors = of_seeds(noise, (draws * targets, SEEDS)).reshape(draws, targets, SEEDS)
    values = effects[:, :, None] + SEED_DEVIATION * errors
    truths = effects.mean(axis=1)
    return Row(
        case,
        targets,
        _left_out((_by_t(each.mean(axis=0)), t) for each, t in zip(values, truths, strict=True)),
        _left_out((_by_t(each.mean(axis=1)), 0.0) for each in values),
        _left_out((bootstrap_interval([*each]), 0.0) for each in values[:bootstrap_draws]),
    )


def _by_t(values: Values) -> Bounds | None:
    found = infer(values)
    return found and found.interval


def _left_out(cases: Iterator[tuple[Bounds | None, float]]) -> float:
    """Return the share of intervals that miss the true value; a missing interval misses nothing."""
    found = [
        interval is not None and not interval[0] <= truth <= interval[1]
        for interval, truth in cases
    ]
    return sum(found) / max(1, len(found))


def monte_carlo_error(share: float, draws: int) -> float:
    """Return the standard error of a share of independent draws."""
    return float((share * (1 - share) / draws) ** 0.5)


def table_lines(draws: int, bootstrap_draws: int) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield (
        "| differences between targets | targets | over seeds "
        "| over targets | over targets, bootstrap |"
    )
    yield "|---|---|---|---|---|"
    for case in CASES:
        for targets in TARGETS:
            row = simulate(case, targets, draws, bootstrap_draws)
            cells = [
                f"{100 * share:.1f} ± {100 * monte_carlo_error(share, count):.1f}"
                for share, count in (
                    (row.over_seeds, draws),
                    (row.over_targets, draws),
                    (row.bootstrap, bootstrap_draws),
                )
            ]
            yield f"| {case} | {targets} | {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=20_000, help="number of studies in each case")
    parser.add_argument(
        "--bootstrap-draws",
        type=int,
        default=4_000,
        help="number of them with a bootstrap interval",
    )
    arguments = parser.parse_args()
    for line in table_lines(arguments.draws, arguments.bootstrap_draws):
        print(line, flush=True)


if __name__ == "__main__":
    main()
