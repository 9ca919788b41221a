"""When does very large dropout pay? Tables and figures of docs/does-it-pay.md and README.md.

    python benchmarks/pays.py                 # redraw them from benchmarks/pays-*.csv
    python benchmarks/pays.py --from HOME     # first read the runs of HOME's studies

The runs are those of the preset studies `pays-linear`, `pays-short` and `pays-long`, made with `vld
sweep`. `benchmarks/pays-*.csv` are `runs.csv` of each study's `vld report`: a line per run.

**What is compared.** A change is the accuracy of a run with dropout minus that of the run without
it on the same data, target, sampling and seed, in percentage points. Its interval is Student's t
over seeds (95%, at least three seeds): it covers other seeds, not other targets, images or
networks. The intervals are not adjusted for their number, so about one in twenty excludes zero by
chance.

**What is chosen on what.** A run reports the step with the best ID accuracy. Where a study has
several learning rates, that of the highest mean ID accuracy over seeds counts, for each data set,
target, sampling and dropout rate separately. Nothing is chosen on a target.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from vld_tui.report.canvas import COLOURS, FAINT, MARKERS, PAGE_INCHES, new_figure, style
from vld_tui.runs.statistics import Estimate, estimate
from vld_tui.study.results.outcomes import grouped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RESULTS: Final = Path(__file__).parent
PAGE: Final = Path(__file__).parents[1] / "docs/does-it-pay.md"
PAGES: Final = (PAGE, PAGE.parents[1] / "README.md")
"""Pages with tables between marks; figures are written beside the first."""
STUDIES: Final = ("linear", "short", "long")
MEASURES: Final = {
    "id": "id_accuracy",
    "id balanced": "id_balanced_accuracy",
    "ood": "ood_accuracy",
    "ood balanced": "ood_balanced_accuracy",
}
SUMMARY: Final = {"id": "ID", "ood": "OOD", "ood balanced": "OOD, balanced accuracy"}
NONE: Final = 0.0
PAPER: Final = 0.9
"""The paper's rate."""
DOTS_PER_INCH: Final = 160
_BEGIN: Final = "<!-- table: {name} -->\n"
_END: Final = "<!-- end -->"


class Case(NamedTuple):
    """What a change is measured on."""

    data: str
    target: str
    sampling: str


class Run(NamedTuple):
    """A finished run; ``values`` are shares by name of the measure (:data:`MEASURES`)."""

    case: Case
    rate: float
    lr: float | None
    seed: int
    steps: int
    values: dict[str, float]


Runs = Sequence[Run]
Picked = Mapping[tuple[Case, float], Mapping[int, Run]]
"""Runs by seed of each case and rate."""


def read_runs(path: Path) -> list[Run]:
    """Read the runs of a report's `runs.csv`, only each run's own network."""
    with path.open(newline="") as file:
        return [_run(row) for row in csv.DictReader(file) if row["arm"] == "own"]


def _run(row: Mapping[str, str]) -> Run:
    return Run(
        Case(row["dataset"], row["target"], row.get("sampling") or "uniform"),
        float(row["dropout_rate"]),
        float(row["lr"]) if row.get("lr") else None,
        int(row["seed"]),
        int(row["steps"]),
        {name: float(row[column]) for name, column in MEASURES.items()},
    )


def chosen(runs: Runs) -> Picked:
    """Return the runs by seed of each case and rate, at the learning rate with the best mean ID
    accuracy over the seeds that every learning rate has."""
    found = {}
    for key, alike in grouped(runs, lambda run: (run.case, run.rate)).items():
        of_lr = grouped(alike, lambda run: run.lr)
        shared = set.intersection(*({run.seed for run in each} for each in of_lr.values()))
        best = max(of_lr.values(), key=lambda each: _mean_id(each, shared))
        found[key] = {run.seed: run for run in best}
    return found


def _mean_id(runs: Runs, seeds: set[int]) -> float:
    values = [run.values["id"] for run in runs if run.seed in seeds]
    return statistics.fmean(values) if values else 0.0


def change(picked: Picked, case: Case, rate: float, measure: str) -> Estimate | None:
    """Return the change of a measure against no dropout, in points, over the seeds of both."""
    before, after = picked.get((case, NONE), {}), picked.get((case, rate), {})
    return estimate(
        [
            100 * (run.values[measure] - before[seed].values[measure])
            for seed, run in sorted(after.items())
            if seed in before
        ]
    )


def level(runs: Mapping[int, Run], measure: str) -> Estimate | None:
    """Return the mean of a measure over seeds, in percent."""
    return estimate([100 * run.values[measure] for run in runs.values()])


def change_table(runs: Runs) -> str:
    """Return a Markdown table: accuracies without dropout, and changes at each rate."""
    picked = chosen(runs)
    cases = sorted({case for case, _ in picked})
    rates = sorted({rate for _, rate in picked} - {NONE})
    has_samplings = len({case.sampling for case in cases}) > 1
    head = ["data", "target", *(["sampling"] if has_samplings else []), "measure", "λ = 0"]
    lines = [head + [f"λ = {rate:g}" for rate in rates]]
    for case in cases:
        for measure in MEASURES:
            named = [f"`{case.data}`", f"`{case.target}`", case.sampling]
            start = level(picked.get((case, NONE), {}), measure)
            cells = [_change_text(change(picked, case, rate, measure)) for rate in rates]
            names = named if has_samplings else named[:2]
            lines.append([*names, measure.replace("id", "ID").replace("ood", "OOD"),
                          "–" if start is None else f"{start.mean:.1f}", *cells])  # fmt: skip
    return _markdown(_sparse(lines, 3 if has_samplings else 2), left=4 if has_samplings else 3)


def summary_table(runs: Runs) -> str:
    """Return a Markdown table of the changes at the paper's rate, with uniform sampling: a column
    for each target."""
    picked = chosen([run for run in runs if run.case.sampling == "uniform"])
    cases = sorted({case for case, _ in picked})
    of_data = grouped(cases, lambda case: case.data)
    heads = [
        f"{data}: {case.target}" if case == alike[0] else case.target
        for data, alike in of_data.items()
        for case in alike
    ]
    lines = [["", *heads]]
    for measure, words in SUMMARY.items():
        changes = [change(picked, case, PAPER, measure) for case in cases]
        lines.append([words, *map(_change_text, changes)])
    return _markdown(lines, left=1)


def _sparse(lines: list[list[str]], names: int) -> list[list[str]]:
    """Leave out names that the row above has too."""
    shown = [lines[0]]
    for above, line in itertools.pairwise(lines):
        is_same = line[:names] == above[:names]
        shown.append([*([""] * names if is_same else line[:names]), *line[names:]])
    return shown


def _markdown(lines: Sequence[Sequence[str]], left: int) -> str:
    rule = [":--" if at < left else "--:" for at in range(len(lines[0]))]
    return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]]) + "\n"


def _change_text(found: Estimate | None) -> str:
    """Write a change with half its interval, in bold when the interval excludes zero."""
    if found is None:
        return "–"
    if found.half_interval is None:
        return f"{_signed(found.mean)} (n = {found.n})"
    text = f"{_signed(found.mean)} ± {found.half_interval:.1f}"
    return f"**{text}**" if abs(found.mean) > found.half_interval else text


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")


def rates_picture(runs: Runs, path: Path) -> None:
    """Draw the changes of OOD accuracy and balanced accuracy over the rates, a panel a target."""
    picked = chosen(runs)
    cases = sorted({case for case, _ in picked})
    samplings = sorted({case.sampling for case in cases}, reverse=True)
    places = list(dict.fromkeys((case.data, case.target) for case in cases))
    series = [(sampling, measure) for sampling in samplings for measure in ("ood", "ood balanced")]
    across = 4
    down = -(-len(places) // across)
    with style():
        figure = new_figure(PAGE_INCHES, 1.75 * down + 0.35)
        panels = figure.subplots(down, across, sharey=True, squeeze=False).ravel()
        for at, ((data, target), axes) in enumerate(zip(places, panels, strict=False)):
            axes.axhline(0, color=FAINT, linewidth=0.6)
            axes.set_title(f"{data}: {target}")
            for number, (sampling, measure) in enumerate(series):
                case = Case(data, target, sampling)
                _draw_rates(axes, picked, case, measure, number, len(series))
            if at % across == 0:
                axes.set_ylabel("change (points)")
            if at // across == down - 1:
                axes.set_xlabel("dropout rate λ")
        labels = [_series_label(each, len(samplings) > 1) for each in series]
        figure.legend(panels[0].get_lines()[1:], labels, loc="outside lower center", ncols=2)
        figure.savefig(path, dpi=DOTS_PER_INCH)


def _draw_rates(
    axes: Axes, picked: Picked, case: Case, measure: str, number: int, series: int
) -> None:
    """Draw one line of changes with its intervals, moved aside a little from the others."""
    rates = sorted({rate for one, rate in picked if one == case} - {NONE})
    points = [(rate, found) for rate in rates if (found := change(picked, case, rate, measure))]
    aside = 0.012 * (number - (series - 1) / 2)
    axes.errorbar(
        [rate + aside for rate, _ in points],
        [found.mean for _, found in points],
        yerr=[found.half_interval or 0.0 for _, found in points],
        color=COLOURS[number],
        marker=MARKERS[number],
        markersize=3,
        linewidth=0.8,
        elinewidth=0.6,
    )


def _series_label(series: tuple[str, str], has_samplings: bool) -> str:
    sampling, measure = series
    name = "balanced accuracy" if "balanced" in measure else "accuracy"
    return f"{name}, {sampling} sampling" if has_samplings else name


def plane_picture(runs: Runs, path: Path) -> None:
    """Draw ID and OOD accuracy, means over seeds, along the rates, a line a target.

    The mark of λ = 0 is hollow, and that of the paper's rate is large.
    """
    picked = chosen([run for run in runs if run.case.sampling == "uniform"])
    cases = sorted({case for case, _ in picked})
    of_data = grouped(cases, lambda case: case.data)
    with style():
        figure = new_figure(PAGE_INCHES, 2.7 * len(of_data) + 0.3)
        panels = figure.subplots(len(of_data), 2, squeeze=False)
        for (data, alike), row in zip(of_data.items(), panels, strict=True):
            for axes, kind in zip(row, ("", " balanced"), strict=True):
                axes.set_title(f"{data}, {kind.strip() or 'plain'} accuracy (%)")
                axes.set_xlabel("ID")
                axes.set_ylabel("OOD")
                for number, case in enumerate(alike):
                    _draw_path(axes, picked, case, kind, number)
        figure.savefig(path, dpi=DOTS_PER_INCH)


def _draw_path(axes: Axes, picked: Picked, case: Case, kind: str, number: int) -> None:
    """Draw the means of a target from λ = 0 to the highest rate."""
    look: dict[str, Any] = {"color": COLOURS[number], "marker": MARKERS[number]}
    points = []
    for rate in sorted({rate for one, rate in picked if one == case}):
        at = [level(picked[case, rate], f"{which}{kind}") for which in ("id", "ood")]
        x, y = (found.mean for found in at if found is not None)
        points.append((x, y))
        filling = "white" if rate == NONE else look["color"]
        size = 6 if rate == PAPER else 3
        axes.plot([x], [y], **look, markersize=size, markerfacecolor=filling, zorder=3)
    axes.plot(*zip(*points, strict=True), color=look["color"], linewidth=0.7)
    axes.annotate(case.target, points[0], (4, 4), textcoords="offset points",
                  color=look["color"], fontsize=7)  # fmt: skip


def shift_picture(runs: Runs, path: Path) -> None:
    """Draw the change at the paper's rate over the size of the shift, a mark a target.

    The size is ID minus OOD accuracy without dropout, both balanced.
    """
    picked = chosen(runs)
    cases = sorted({case for case, _ in picked})
    with style():
        figure = new_figure(0.65 * PAGE_INCHES, 3.2)
        axes = figure.add_subplot()
        axes.axhline(0, color=FAINT, linewidth=0.6)
        looks = {each: number for number, each in enumerate(grouped(cases, _kind))}
        for case in cases:
            _draw_shift(axes, picked, case, looks[_kind(case)])
        for (data, sampling), number in looks.items():
            has_others = len({kind[1] for kind in looks}) > 1
            axes.plot([], [], color=COLOURS[number], marker=MARKERS[number], linestyle="none",
                      label=f"{data}, {sampling} sampling" if has_others else data)  # fmt: skip
        axes.set_xlabel("ID − OOD balanced accuracy at λ = 0 (points)")
        axes.set_ylabel(f"change of OOD balanced accuracy\nat λ = {PAPER} (points)")
        figure.legend(loc="outside lower center", ncols=2)
        figure.savefig(path, dpi=DOTS_PER_INCH)


def _kind(case: Case) -> tuple[str, str]:
    return case.data, case.sampling


def _draw_shift(axes: Axes, picked: Picked, case: Case, number: int) -> None:
    found = change(picked, case, PAPER, "ood balanced")
    before = picked.get((case, NONE), {}).values()
    if found is None or not before:
        return
    gaps = [100 * (run.values["id balanced"] - run.values["ood balanced"]) for run in before]
    size = statistics.fmean(gaps)
    axes.errorbar([size], [found.mean], yerr=[found.half_interval or 0.0], color=COLOURS[number],
                  marker=MARKERS[number], markersize=3.5, elinewidth=0.6)  # fmt: skip
    axes.annotate(case.target, (size, found.mean), (4, 3), textcoords="offset points", fontsize=6)


def read_home(home: Path) -> None:
    """Replace the results with those of the studies that a home has."""
    for name in STUDIES:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "vld_tui.cli", "--home", str(home), "report",
                       f"pays-{name}", "--out", folder]  # fmt: skip
            done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
            if done.returncode == 0:
                _keep(Path(folder) / "runs.csv", RESULTS / f"pays-{name}.csv")


def _keep(source: Path, result: Path) -> None:
    """Copy the columns that say something, with accuracies to five digits."""
    with source.open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = [name for name in rows[0] if any(row[name] for row in rows)]
    with result.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _short(row[name]) for name in columns} for row in rows)


def _short(text: str) -> str:
    return f"{float(text):.5f}" if re.fullmatch(r"[01]\.\d{6,}", text) else text


def fill_tables(page: str, tables: Mapping[str, str]) -> str:
    """Return the page with each table between its marks replaced."""
    for name, table in tables.items():
        before, begin, after = page.partition(_BEGIN.format(name=name))
        _, end, after = after.partition(_END)
        page = "".join([before, begin, table, end, after] if begin else [before])
    return page


def tables() -> dict[str, str]:
    """Return the tables of each regime that has results, by the names of their marks."""
    found: dict[str, str] = {}
    for name, path in results().items():
        runs = read_runs(path)
        found |= {name: change_table(runs), f"{name} summary": summary_table(runs)}
    return found


def results() -> dict[str, Path]:
    """Return the file of each regime that has results."""
    return {name: path for name in STUDIES if (path := RESULTS / f"pays-{name}.csv").is_file()}


PICTURES: Final = {"": rates_picture, "-plane": plane_picture, "-shift": shift_picture}
"""What draws each kind of picture, by the end of its name. Those that the page shows are drawn."""


def main() -> None:
    """Write the tables into the page, and the figures beside it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--from", dest="home", type=Path, metavar="HOME")
    options = parser.parse_args()
    if options.home is not None:
        read_home(options.home)
    for page in PAGES:
        page.write_text(fill_tables(page.read_text(), tables()))
    for name, path in results().items():
        for kind, draw in PICTURES.items():
            picture = PAGE.with_name(f"does-it-pay-{name}{kind}.png")
            if picture.name in PAGE.read_text():
                draw(read_runs(path), picture)


if __name__ == "__main__":
    main()
