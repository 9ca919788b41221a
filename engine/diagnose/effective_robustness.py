"""Effective robustness: OOD accuracy above what runs from scratch reach at the same ID accuracy.

Taori et al., "Measuring Robustness to Natural Distribution Shifts in Image Classification", NeurIPS
2020; the probit scale as in Miller et al., "Accuracy on the Line", ICML 2021.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch

from engine.errors import InputError
from engine.protocol.intervals import Interval
from engine.text import counted

FEWEST_RUNS: Final = 5
"""Minimum runs from scratch for a line: with fewer its slope is arbitrary."""
LEAST_SPREAD: Final = 0.03
"""Minimum difference of the highest and lowest ID accuracy of these runs."""
MOST_CERTAIN: Final = 0.999
"""Accuracies are kept from 1 − this to this, as the probit of 0 and 1 is infinite."""


class Accuracies(NamedTuple):
    """ID and OOD accuracy of a run, from 0 to 1."""

    id: float
    ood: float


@dataclass(frozen=True)
class Robustness:
    """A run compared with the line of runs from scratch.

    Attributes:
        points: effective robustness: OOD accuracy minus the expected one, in points (−100 to 100).
        expected: OOD accuracy that the line predicts at the run's ID accuracy, from 0 to 1.
        interval: 95% prediction interval of the OOD accuracy of another run from scratch there.
        is_extrapolated: the ID accuracy is outside of those that the line was fitted on.
    """

    points: float
    expected: float
    interval: Interval
    is_extrapolated: bool

    @property
    def is_beyond_chance(self) -> bool:
        """Return whether a run from scratch would rarely have this OOD accuracy."""
        actual = self.expected + self.points / 100
        return not self.interval.low <= actual <= self.interval.high


@dataclass(frozen=True)
class RobustnessLine:
    """The line Φ⁻¹(OOD accuracy) = slope · Φ⁻¹(ID accuracy) + intercept of runs from scratch.

    Attributes:
        slope: of probits.
        intercept: of probits.
        runs: number of runs it was fitted on, n.
        r_squared: share of the variance of the OOD probits that it explains, from 0 to 1.
        residual: standard deviation around the line, of probits, with n − 2 degrees of freedom.
        id_range: lowest and highest ID accuracy of these runs, from 0 to 1.
        id_mean: mean of their ID probits.
        id_squares: sum of the squared deviations from it.
    """

    slope: float
    intercept: float
    runs: int
    r_squared: float
    residual: float
    id_range: tuple[float, float]
    id_mean: float
    id_squares: float

    @classmethod
    def fit(cls, scratch: Sequence[Accuracies]) -> RobustnessLine:
        """Fit a line by least squares to runs that did not start from pre-trained weights.

        Runs of different sizes, lengths or shares of the images make the line, not seeds alone.
        Runs of equal accuracies count once, because a repeated run is no further evidence.

        Raises:
            InputError: if there are fewer than :data:`FEWEST_RUNS` runs, or their ID accuracies
                differ by less than :data:`LEAST_SPREAD`.
        """
        scratch = [*dict.fromkeys(scratch)]
        if len(scratch) < FEWEST_RUNS:
            raise InputError(
                f"Effective robustness needs at least {FEWEST_RUNS} finished runs from scratch "
                "(--weights none) on the same data and target, with different accuracies; there "
                f"are {len(scratch)}."
            )
        lowest, highest = min(run.id for run in scratch), max(run.id for run in scratch)
        if highest - lowest < LEAST_SPREAD:
            raise InputError(
                f"The ID accuracies of the {counted(len(scratch), 'run')} from scratch differ by "
                f"less than {100 * LEAST_SPREAD:.0f} points, so no line can be fitted. Vary "
                "--steps or --model."
            )
        x, y = [probit(run.id) for run in scratch], [probit(run.ood) for run in scratch]
        count = len(scratch)
        x_mean, y_mean = math.fsum(x) / count, math.fsum(y) / count
        squares = math.fsum((each - x_mean) ** 2 for each in x)
        products = ((a - x_mean) * (b - y_mean) for a, b in zip(x, y, strict=True))
        slope = math.fsum(products) / squares
        intercept = y_mean - slope * x_mean
        total = math.fsum((each - y_mean) ** 2 for each in y)
        left = math.fsum((b - slope * a - intercept) ** 2 for a, b in zip(x, y, strict=True))
        return cls(
            slope=slope,
            intercept=intercept,
            runs=count,
            r_squared=1 - left / total if total > 0 else 0.0,
            residual=math.sqrt(left / (count - 2)),
            id_range=(lowest, highest),
            id_mean=x_mean,
            id_squares=squares,
        )

    def judge(self, run: Accuracies) -> Robustness:
        """Compare a run with the line."""
        from scipy.special import stdtrit

        at = probit(run.id)
        centre = self.slope * at + self.intercept
        variance = 1 + 1 / self.runs + (at - self.id_mean) ** 2 / self.id_squares
        half = float(stdtrit(self.runs - 2, 0.975)) * self.residual * math.sqrt(variance)
        expected = _share(centre)
        return Robustness(
            points=100 * (run.ood - expected),
            expected=expected,
            interval=Interval(_share(centre - half), _share(centre + half)),
            is_extrapolated=not self.id_range[0] <= run.id <= self.id_range[1],
        )


def probit(accuracy: float) -> float:
    """Return Φ⁻¹ of an accuracy, which is kept within ±:data:`MOST_CERTAIN`."""
    kept = min(MOST_CERTAIN, max(1 - MOST_CERTAIN, accuracy))
    return float(torch.special.ndtri(torch.tensor(kept, dtype=torch.float64)))


def _share(value: float) -> float:
    """Return Φ of a probit."""
    return float(torch.special.ndtr(torch.tensor(value, dtype=torch.float64)))
