"""Which validation images should select the step of a run: plain or augmented ones?

    python benchmarks/selection.py HOME --objects FOLDER [--csv FILE] [--at-most N]
    python benchmarks/selection.py --from benchmarks/selection.csv

Every run is an ordinary `vld run` with the default recipe at λ = 0.9 and `--augment-validation`,
kept in HOME; runs that HOME already holds are not repeated. FOLDER is made by `objects_set.py`.
`--csv` writes the measurements of every evaluation, `--from` reads them; results are in
docs/recipe.md ("Selection of the step"). Runs are at 64 px, to save time, with fixed precision and
layout, so that nothing depends on which is fastest on the machine.

**Comparison.** An evaluation records the accuracy on the sources' validation images as they are
(plain ID) and under the training transform (augmented ID). Each selects a step of the same run, the
first with the highest value. The result is the accuracy at that step on a domain that the run did
not train on.

**The target is never used.** For each pair of domains {A, B} one run trains on the others. For a
study with target A it gives the accuracy on B, a source left out; for one with target B that on A,
as `vld report` selects by leave-one-source-out. So no target's accuracy is read for that target's
own decision, and the table "by target" shows each of them. But there is one default for all
targets, and every domain is a source of other targets: in the mean over all pairs, each domain is
read as a source left out. So a number on these data sets is independent of the choice only if the
decision of its own target is the same.

**The rule**, written before the runs were made. A pair's difference is the accuracy at the step
that augmented ID selects minus that at the step that plain ID selects, a mean over the pair's two
domains, then over seeds, then over the two lengths of run. Augmented ID becomes the default if

1. the mean over the pairs of all data sets is above 0, and so is its whole 95% interval (Student's
   t over pairs),
2. at the default number of steps, the mean over the pairs of each data set is not below 0, and
3. no target's own decision (the mean over the domains that are sources of it) is below 0.

Otherwise plain ID stays: it is simpler, and an evaluation takes one pass less.

When the rule was written, 48-step runs on the emoji with the target fluent-mono had been seen, on
which augmented ID selects a far better step. Seed 1 was added when the result of seed 0 was known;
either seed alone gives the same decision as both.

The interval treats pairs as independent, but they share domains. It covers these data sets and this
network, no others.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.kept_runs import make_missing, vld
from engine.protocol import DataPrepared, Evaluated, decode_event
from vld_tui.home import Home
from vld_tui.runs.statistics import estimate

DOMAINS: Final = {
    "emoji": ("fluent", "fluent-mono", "noto", "twemoji"),
    "objects": ("clipart", "mono", "noto", "photo"),
}
DEFAULT_STEPS: Final = 200
DECIMALS: Final = 6
"""Finer than one image, so that equal accuracies are equal in a file too."""


class Regime(NamedTuple):
    """Number of steps, evaluation interval and seeds of runs."""

    steps: int
    eval_every: int
    seeds: tuple[int, ...]


REGIMES: Final = (Regime(DEFAULT_STEPS, 50, (0, 1)), Regime(48, 12, (0, 1)))
FLAGS: Final = (
    "--dropout", "0.9", "--augment-validation", "--image-size", "64", "--threads", "1",
    "--precision", "fp32", "--memory-format", "channels_last",
)  # fmt: skip


class Design(NamedTuple):
    """One run: domains left out, number of steps, and seed."""

    data: str
    first: str
    second: str
    steps: int
    seed: int

    @property
    def tag(self) -> str:
        """Return the tag of the run."""
        return f"selection-{'-'.join(map(str, self))}"

    @property
    def pair(self) -> Pair:
        """Return the data set and the two domains left out."""
        return self.data, self.first, self.second


Pair = tuple[str, str, str]


class Row(NamedTuple):
    """An evaluation: accuracies, from 0 to 1, after ``step`` updates.

    ``first`` and ``second`` are of all images of the two domains left out.
    """

    step: int
    plain_id: float
    augmented_id: float
    first: float
    second: float


class Outcome(NamedTuple):
    """Result of one way of selecting: accuracy on the domains left out, by name, and plain ID."""

    step: int
    left_out: dict[str, float]
    plain_id: float


Results = Mapping[Design, Sequence[Row]]


def designs() -> list[Design]:
    """Return all runs in the order in which they are made."""
    return [
        Design(data, *pair, regime.steps, seed)
        for regime in REGIMES
        for seed in regime.seeds
        for data, domains in DOMAINS.items()
        for pair in itertools.combinations(domains, 2)
    ]


def train(home: Path, objects: Path, design: Design) -> str:
    """Train a run; return its id."""
    every = next(each.eval_every for each in REGIMES if each.steps == design.steps)
    data = ["--data", str(objects)] if design.data == "objects" else ["--dataset", design.data]
    run = vld(
        home, "run", *FLAGS, *data, "--target", design.first, "--held-out-source", design.second,
        "--steps", str(design.steps), "--eval-every", str(every), "--seed", str(design.seed),
        "--tag", design.tag,
    )  # fmt: skip
    return str(run["run"])


def read_rows(home: Path, run: str, design: Design) -> list[Row]:
    """Read what a run measured at its evaluations, in order of steps."""
    rows: dict[int, Row] = {}
    images: dict[tuple[str, str], int] = {}
    for line in Home(home).run_dir(run).events.read_bytes().splitlines():
        event = decode_event(line)
        if isinstance(event, DataPrepared):
            for domain in event.domains:
                images[domain.name, "in"] = domain.in_images
                images[domain.name, "out"] = domain.out_images
        if isinstance(event, Evaluated):
            rows[event.step] = _row(event, images, design)
    return [rows[step] for step in sorted(rows)]


def _row(event: Evaluated, images: Mapping[tuple[str, str], int], design: Design) -> Row:
    accuracy = {
        (each.domain, each.split): each.value or 0.0
        for each in event.metrics
        if each.name == "accuracy"
    }
    sources = [name for name in DOMAINS[design.data] if name not in (design.first, design.second)]

    def of_all_images(name: str) -> float:
        counts = {split: images[name, split] for split in ("in", "out")}
        correct = sum(accuracy[name, split] * count for split, count in counts.items())
        return correct / sum(counts.values())

    values = (
        statistics.fmean(accuracy[name, "out"] for name in sources),
        statistics.fmean(accuracy[name, "out_augmented"] for name in sources),
        of_all_images(design.first),
        of_all_images(design.second),
    )
    return Row(event.step, *(round(value, DECIMALS) for value in values))


def selected(design: Design, rows: Sequence[Row], by: str) -> Outcome:
    """Return the result of the step selected by ``plain_id``, ``augmented_id`` or ``step``."""
    best = max(rows, key=lambda row: float(getattr(row, by)))
    left_out = {design.first: best.first, design.second: best.second}
    return Outcome(best.step, left_out, best.plain_id)


def differences(results: Results) -> dict[Design, dict[str, float]]:
    """Return the gain of augmented ID for each run and domain left out."""
    found = {}
    for design, rows in results.items():
        plain, augmented = (selected(design, rows, by) for by in ("plain_id", "augmented_id"))
        found[design] = {
            name: augmented.left_out[name] - plain.left_out[name] for name in plain.left_out
        }
    return found


def pair_means(values: Mapping[Design, float]) -> dict[Pair, float]:
    """Return the mean of each pair, over seeds and then over lengths of run."""
    by_length: dict[Pair, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for design, value in values.items():
        by_length[design.pair][design.steps].append(value)
    return {
        pair: statistics.fmean(map(statistics.fmean, lengths.values()))
        for pair, lengths in by_length.items()
    }


def points(values: Iterable[float]) -> str:
    """Format the mean of differences in points, with its 95% interval."""
    of = estimate(list(values))
    if of is None:
        return "–"
    mean, half = 100 * of.mean, 100 * (of.half_interval or 0.0)
    return f"{mean:+.2f} ({mean - half:+.1f} to {mean + half:+.1f})".replace("-", "−")


def print_results(results: Results) -> None:
    """Print one row for each data set and length of run."""
    print("| data | steps | runs | different steps | plain ID selects | augmented ID selects "
          "| difference | last step | plain ID lost |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    for regime, data in itertools.product(REGIMES, DOMAINS):
        print_row(
            {
                design: rows
                for design, rows in results.items()
                if (design.data, design.steps) == (data, regime.steps)
            }
        )


def print_row(results: Results) -> None:
    """Print the row of the runs of one data set and length."""
    plain, augmented, last = (
        [selected(design, rows, by) for design, rows in results.items()]
        for by in ("plain_id", "augmented_id", "step")
    )
    design = next(iter(results))
    other = sum(one.step != two.step for one, two in zip(plain, augmented, strict=True))
    lost = plain_id(plain) - plain_id(augmented)
    better = points(pair_means(differences_of_runs(results)).values())
    print(f"| {design.data} | {design.steps} | {len(results)} | {other} | {left_out(plain):.1f} "
          f"| {left_out(augmented):.1f} | {better} "
          f"| {left_out(last):.1f} | {lost:.1f} |")  # fmt: skip


def left_out(outcomes: Iterable[Outcome]) -> float:
    """Return the mean accuracy, in percent, on the domains left out."""
    return 100 * statistics.fmean(value for each in outcomes for value in each.left_out.values())


def plain_id(outcomes: Iterable[Outcome]) -> float:
    """Return the mean plain ID accuracy in percent."""
    return 100 * statistics.fmean(each.plain_id for each in outcomes)


def differences_of_runs(results: Results) -> dict[Design, float]:
    """Return the difference of each run, a mean over the two domains it left out."""
    return {
        design: statistics.fmean(each.values()) for design, each in differences(results).items()
    }


def decide(results: Results) -> bool:
    """Print the quantities of the rule; return whether augmented ID becomes the default."""
    of_runs = differences_of_runs(results)
    pooled = list(pair_means(of_runs).values())
    print(f"\nAll {len(pooled)} pairs: {points(pooled)}\n")
    of = estimate(pooled)
    is_clear = of is not None and of.half_interval is not None and of.mean - of.half_interval > 0
    at_default = [
        statistics.fmean(
            value
            for design, value in of_runs.items()
            if (design.data, design.steps) == (data, DEFAULT_STEPS)
        )
        for data in DOMAINS
    ]
    by_target = decisions_by_target(results)
    print("| target | difference on its sources, left out in turn |\n|---|---|")
    for (data, target), value in by_target.items():
        difference = f"{100 * value:+.2f}".replace("-", "−")
        print(f"| {data}: {target} | {difference} |")
    return is_clear and min(at_default) >= 0 and min(by_target.values()) >= 0


def decisions_by_target(results: Results) -> dict[tuple[str, str], float]:
    """Return, for each data set and target, the mean difference on its sources, left out in turn.

    It contains nothing of the target.
    """
    found = differences(results)
    return {
        (data, target): statistics.fmean(
            pair_means(
                {
                    design: next(value for name, value in each.items() if name != target)
                    for design, each in found.items()
                    if design.data == data and target in (design.first, design.second)
                }
            ).values()
        )
        for data, domains in DOMAINS.items()
        for target in domains
    }


def write_csv(file: Path, results: Results) -> None:
    """Write every evaluation of every run."""
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow(["data", "first", "second", "steps", "seed", "step", "plain_id",
                         "augmented_id", "first_accuracy", "second_accuracy"])  # fmt: skip
        for design, rows in results.items():
            for row in rows:
                writer.writerow([*design, *row])


def read_csv(file: Path) -> dict[Design, list[Row]]:
    """Read what :func:`write_csv` wrote."""
    results: dict[Design, list[Row]] = defaultdict(list)
    with file.open(newline="") as opened:
        for data, first, second, steps, seed, step, *values in itertools.islice(
            csv.reader(opened), 1, None
        ):
            design = Design(data, first, second, int(steps), int(seed))
            results[design].append(Row(int(step), *map(float, values)))
    return dict(results)


def measure(home: Path, objects: Path, at_most: int) -> dict[Design, list[Row]]:
    """Make up to ``at_most`` missing runs; return the measurements of the finished ones."""
    finished = make_missing(home, designs(), lambda design: train(home, objects, design), at_most)
    return {
        design: read_rows(home, finished[design.tag], design)
        for design in designs()
        if design.tag in finished
    }


def main() -> None:
    """Make or read the measurements; print the tables and the decision."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("home", type=Path, nargs="?")
    parser.add_argument("--objects", type=Path, default=Path("objects"))
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--from", type=Path, dest="measured")
    parser.add_argument(
        "--at-most", type=int, default=1000, metavar="N", help="maximum number of new runs"
    )
    asked = parser.parse_args()
    if asked.measured:
        results = read_csv(asked.measured)
    elif asked.home:
        results = measure(asked.home, asked.objects, asked.at_most)
    else:
        parser.error("give HOME or --from FILE")
    if asked.csv:
        write_csv(asked.csv, results)
    missing = len(designs()) - len(results)
    if missing:
        print(f"{missing} of {len(designs())} runs are missing: no decision yet")
        return
    print_results(results)
    becomes = decide(results)
    print(f"\nBy the rule, {'augmented' if becomes else 'plain'} ID selects the step by default.")


if __name__ == "__main__":
    main()
