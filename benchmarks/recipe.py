"""Do half the steps of the default recipe reach the same accuracy? And should it draw balanced?

    python -m benchmarks.recipe HOME --data FOLDER [--csv FILE] [--at-most N] [--only VARIANT …]
    python -m benchmarks.recipe --from benchmarks/recipe.csv

Every run is an ordinary `vld run` kept in HOME; runs that HOME already holds are not repeated.
FOLDER is made by `tuning_set.py`. `--csv` writes the measurements of every evaluation, `--from`
reads them; results are in docs/recipe.md ("Half the steps"). Runs are at 64 px, to save time, with
fixed precision and layout, so that nothing depends on which is fastest on the machine.

**What is compared.** Each domain of the set is left out once, with two seeds. The reference is the
default recipe (200 steps, λ = 0.9, 8 masks). The others are at 100 steps: the default recipe as it
is, with λ rising linearly from 0.5 over the first 50 steps, with 3 or 10 times the learning rate in
the last layer, with twice the learning rate, and with the weights averaged from step 50 on (the
arm `averaged` of the runs as they are). Each uses its step with the highest ID accuracy, as
everywhere. The accuracy on the domain left out is OOD accuracy, on 80 % of its images.

**No result is reported on these images.** The set is used for this decision only, so a setting that
it selects is not tuned on the data of any figure.

**The rule for the steps**, written before the runs were made. A difference is that of a variant to
the reference, in points: for each domain the mean over seeds, then the mean over domains, with its
95% interval (Student's t over domains). A variant at 100 steps may replace the default if

1. the lower end of the interval of left-out accuracy is above −1, and
2. its mean ID accuracy is not lower by more than 1.

If several may, it is the one with the highest mean accuracy on the domains left out. If none may,
200 steps stay. A variant without all its runs is not considered. Runs without dropout (λ = 0, as
they are) are shown in addition and decide nothing.

**The rule for the sampling**, written before as well. The default recipe at 200 steps with
`--sampling balanced` is compared with the reference in the same way. Balanced becomes the default
if the whole interval of left-out *balanced* accuracy is above 0, and the mean left-out accuracy is
not lower by more than 1. Otherwise uniform stays. The set has classes of 7 to 55 images in a
domain, and 123 in one case, so the two differ.

With four domains an interval is wide: mean ± 1.6 standard deviations over domains. It treats
domains as independent, although two runs share the images of two source domains. It covers this
set and this network, no others.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import statistics
from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.kept_runs import make_missing, vld
from benchmarks.tuning_set import DOMAINS
from engine.protocol import ArmEvaluated, Evaluated, decode_event
from engine.protocol.evaluated import BALANCED
from engine.protocol.measures import value_in
from vld_tui.home import Home
from vld_tui.runs.statistics import Estimate, estimate

OWN: Final = "own"
AVERAGED: Final = "averaged"
SEEDS: Final = (0, 1)
MARGIN: Final = 0.01
"""Largest loss of accuracy that a rule accepts."""
DECIMALS: Final = 6
FLAGS: Final = (
    "--image-size", "64", "--threads", "1", "--precision", "fp32",
    "--memory-format", "channels_last",
)  # fmt: skip


class Variant(NamedTuple):
    """A setting of runs. ``is_averaged``: the runs also average their weights from the middle."""

    label: str
    steps: int
    flags: tuple[str, ...] = ("--dropout", "0.9")
    is_averaged: bool = False


RISING: Final = ("--dropout-schedule", "linear", "--dropout-start", "0.5", "--dropout-steps", "50")
VARIANTS: Final[dict[str, Variant]] = {
    "200": Variant("200 steps, as it is", 200, is_averaged=True),
    "100": Variant("100 steps, as it is", 100, is_averaged=True),
    "rising": Variant("100 steps, λ from 0.5", 100, ("--dropout", "0.9", *RISING)),
    "head-3": Variant(
        "100 steps, last layer ×3", 100, ("--dropout", "0.9", "--head-lr-factor", "3")
    ),
    "balanced": Variant("200 steps, balanced", 200, ("--dropout", "0.9", "--sampling", "balanced")),
    "head-10": Variant(
        "100 steps, last layer ×10", 100, ("--dropout", "0.9", "--head-lr-factor", "10")
    ),
    "lr-2": Variant("100 steps, learning rate ×2", 100, ("--dropout", "0.9", "--lr", "6e-4")),
    "erm-200": Variant("λ = 0, 200 steps, as it is", 200, ("--dropout", "0")),
    "erm-100": Variant("λ = 0, 100 steps, as it is", 100, ("--dropout", "0")),
}
"""Variants by the name in tags and files, in the order in which they run."""
FIRST: Final = ("200", "100", "rising", "head-3", "balanced")
"""Variants that run first, with all seeds."""

Predictor = tuple[str, str]
"""A variant and an arm of its runs: ``own`` or ``averaged``."""
REFERENCE: Final[Predictor] = ("200", OWN)
BALANCED_RUNS: Final[Predictor] = ("balanced", OWN)
CANDIDATES: Final[tuple[Predictor, ...]] = (
    ("100", OWN),
    ("100", AVERAGED),
    ("rising", OWN),
    ("head-3", OWN),
    ("head-10", OWN),
    ("lr-2", OWN),
)
SHOWN: Final[tuple[Predictor, ...]] = (
    REFERENCE,
    ("200", AVERAGED),
    *CANDIDATES,
    BALANCED_RUNS,
    ("erm-200", OWN),
    ("erm-100", OWN),
)


class Design(NamedTuple):
    """One run: variant, domain left out, and seed."""

    variant: str
    domain: str
    seed: int

    @property
    def tag(self) -> str:
        """Return the tag of the run."""
        return f"recipe-{'-'.join(map(str, self))}"


class Row(NamedTuple):
    """Accuracies, from 0 to 1, of an arm after ``step`` updates.

    ``left_out`` is the accuracy on the domain left out, ``balanced`` its balanced accuracy.
    """

    arm: str
    step: int
    id_accuracy: float
    left_out: float
    balanced: float


class Reached(NamedTuple):
    """What a predictor reached in one run: at its selected step, and at the last one."""

    selected: Row
    last: Row


Results = Mapping[Design, Sequence[Row]]
Reading = Callable[[Reached], float]


def of_id(reached: Reached) -> float:
    """Return the ID accuracy at the selected step."""
    return reached.selected.id_accuracy


def of_left_out(reached: Reached) -> float:
    """Return the accuracy on the domain left out at the selected step."""
    return reached.selected.left_out


def of_balanced(reached: Reached) -> float:
    """Return the balanced accuracy on the domain left out at the selected step."""
    return reached.selected.balanced


def of_last(reached: Reached) -> float:
    """Return the accuracy on the domain left out at the last step."""
    return reached.last.left_out


def designs() -> list[Design]:
    """Return all runs in the order in which they are made."""
    return [
        Design(variant, domain, seed)
        for is_first in (True, False)
        for seed in SEEDS
        for variant in VARIANTS
        for domain in DOMAINS
        if (variant in FIRST) is is_first
    ]


def train(home: Path, data: Path, design: Design) -> str:
    """Train a run; return its id."""
    variant = VARIANTS[design.variant]
    middle = str(variant.steps // 2)
    averaging = ["--arms", AVERAGED, "--average-from", middle] if variant.is_averaged else []
    run = vld(
        home, "run", *FLAGS, *variant.flags, *averaging, "--data", str(data),
        "--target", design.domain, "--steps", str(variant.steps),
        "--eval-every", str(variant.steps // 4), "--seed", str(design.seed), "--tag", design.tag,
    )  # fmt: skip
    return str(run["run"])


def read_rows(home: Path, run: str) -> list[Row]:
    """Read what a run measured at its evaluations."""
    events = map(decode_event, Home(home).run_dir(run).events.read_bytes().splitlines())
    rows = {}
    for event in events:
        if isinstance(event, Evaluated | ArmEvaluated):
            arm = event.arm if isinstance(event, ArmEvaluated) else OWN
            values = (
                event.id_accuracy,
                event.ood_accuracy or 0.0,
                value_in(event.measures, BALANCED, 1) or 0.0,
            )
            rows[arm, event.step] = Row(arm, event.step, *(round(one, DECIMALS) for one in values))
    return [rows[key] for key in sorted(rows)]


def reached_by(results: Results, predictor: Predictor) -> dict[tuple[str, int], Reached]:
    """Return what a predictor reached, by domain and seed."""
    variant, arm = predictor
    found = {}
    for design, rows in results.items():
        own = sorted((row for row in rows if row.arm == arm), key=lambda row: row.step)
        if design.variant == variant and own:
            best = max(own, key=lambda row: row.id_accuracy)
            found[design.domain, design.seed] = Reached(best, own[-1])
    return found


def differences(results: Results, one: Predictor, other: Predictor, of: Reading) -> list[float]:
    """Return, for each domain, the mean difference of two predictors over their common seeds."""
    first, second = reached_by(results, one), reached_by(results, other)
    by_domain: dict[str, list[float]] = defaultdict(list)
    for domain, seed in first.keys() & second.keys():
        by_domain[domain].append(of(first[domain, seed]) - of(second[domain, seed]))
    return [statistics.fmean(by_domain[domain]) for domain in DOMAINS if by_domain[domain]]


def lower_end(values: Sequence[float]) -> float | None:
    """Return the lower end of the 95% interval of a mean; None if there are too few values."""
    of = estimate(list(values))
    return None if of is None or of.half_interval is None else of.mean - of.half_interval


def is_complete(results: Results, predictor: Predictor) -> bool:
    """Return whether no run of a predictor is missing."""
    return len(reached_by(results, predictor)) == len(DOMAINS) * len(SEEDS)


def may_replace(results: Results, candidate: Predictor) -> bool:
    """Return whether a variant may replace the default by the rule for the steps."""
    if not is_complete(results, candidate):
        return False
    lower = lower_end(differences(results, candidate, REFERENCE, of_left_out))
    in_id = statistics.fmean(differences(results, candidate, REFERENCE, of_id))
    return lower is not None and lower > -MARGIN and in_id >= -MARGIN


def decided_steps(results: Results) -> Predictor:
    """Return what the default recipe becomes by the rule for the steps."""
    able = [each for each in CANDIDATES if may_replace(results, each)]
    return max(able, key=lambda each: mean_of(results, each, of_left_out), default=REFERENCE)


def becomes_balanced(results: Results) -> bool:
    """Return whether the default recipe samples balanced by the rule for the sampling."""
    lower = lower_end(differences(results, BALANCED_RUNS, REFERENCE, of_balanced))
    plain = statistics.fmean(differences(results, BALANCED_RUNS, REFERENCE, of_left_out))
    return lower is not None and lower > 0 and plain >= -MARGIN


def mean_of(results: Results, predictor: Predictor, of: Reading) -> float:
    """Return a predictor's mean over domains and seeds."""
    return statistics.fmean(map(of, reached_by(results, predictor).values()))


def label_of(predictor: Predictor) -> str:
    """Return the name of a predictor in the table."""
    variant, arm = predictor
    return VARIANTS[variant].label + (", weights averaged" if arm == AVERAGED else "")


def points(of: Estimate | None) -> str:
    """Format a difference in points, with its 95% interval if there is one."""
    if of is None:
        return "–"
    text = f"{100 * of.mean:+.1f}"
    if of.half_interval is not None:
        low, high = 100 * (of.mean - of.half_interval), 100 * (of.mean + of.half_interval)
        text += f" ({low:+.1f} to {high:+.1f})"
    return text.replace("-", "−")


def table(results: Results) -> Iterator[str]:
    """Yield the lines of the table in Markdown: one row for each predictor that was measured."""
    yield (
        "| recipe | runs | ID | left out | balanced | at the last step "
        "| difference in ID | left out | balanced |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for shown in SHOWN:
        runs = len(reached_by(results, shown))
        if runs:
            means = [
                f"{100 * mean_of(results, shown, of):.1f}"
                for of in (of_id, of_left_out, of_balanced, of_last)
            ]
            compared: tuple[str, ...] = ("", "", "")
            if shown != REFERENCE:
                compared = tuple(
                    points(estimate(differences(results, shown, REFERENCE, of)))
                    for of in (of_id, of_left_out, of_balanced)
                )
            yield f"| {' | '.join((label_of(shown), str(runs), *means, *compared))} |"


def decisions(results: Results) -> Iterator[str]:
    """Yield a sentence for each decision that can be made."""
    left = [VARIANTS[name].label for name in VARIANTS if not is_complete(results, (name, OWN))]
    if left:
        yield f"Runs are missing of: {'; '.join(left)}."
    if not is_complete(results, REFERENCE):
        return
    decided = decided_steps(results)
    if decided == REFERENCE:
        yield "By the rule, 200 steps stay."
    else:
        yield f"By the rule, the default recipe becomes: {label_of(decided)}."
    if is_complete(results, BALANCED_RUNS):
        sampling = "balanced" if becomes_balanced(results) else "uniform"
        yield f"By the rule, the default recipe's sampling is {sampling}."


def write_csv(file: Path, results: Results) -> None:
    """Write every evaluation of every run."""
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow([*Design._fields, *Row._fields])
        for design, rows in results.items():
            for row in rows:
                writer.writerow([*design, *row])


def read_csv(file: Path) -> dict[Design, list[Row]]:
    """Read what :func:`write_csv` wrote."""
    results: dict[Design, list[Row]] = defaultdict(list)
    with file.open(newline="") as opened:
        for variant, domain, seed, arm, step, *values in itertools.islice(
            csv.reader(opened), 1, None
        ):
            row = Row(arm, int(step), *map(float, values))
            results[Design(variant, domain, int(seed))].append(row)
    return dict(results)


def measure(home: Path, data: Path, at_most: int, only: Container[str]) -> dict[Design, list[Row]]:
    """Make up to ``at_most`` missing runs of some variants; return all measurements."""
    wanted = [design for design in designs() if design.variant in only]
    finished = make_missing(home, wanted, lambda design: train(home, data, design), at_most)
    return {
        design: read_rows(home, finished[design.tag])
        for design in designs()
        if design.tag in finished
    }


def main() -> None:
    """Make or read the measurements; print the table and the decisions."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("home", type=Path, nargs="?")
    parser.add_argument("--data", type=Path, default=Path("tuning-set"))
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--from", type=Path, dest="measured")
    parser.add_argument(
        "--at-most", type=int, default=1000, metavar="N", help="maximum number of new runs"
    )
    parser.add_argument(
        "--only", nargs="+", choices=VARIANTS, default=tuple(VARIANTS), help="variants to run"
    )
    asked = parser.parse_args()
    if asked.measured:
        results = read_csv(asked.measured)
    elif asked.home:
        results = measure(asked.home, asked.data, asked.at_most, asked.only)
    else:
        parser.error("give HOME or --from FILE")
    if asked.csv:
        write_csv(asked.csv, results)
    print("\n".join(table(results)), end="\n\n")
    print("\n".join(decisions(results)))


if __name__ == "__main__":
    main()
