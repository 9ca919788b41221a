"""``vld compare``: compare runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Final

import msgspec
import typer

from engine.protocol import MEASURES, measures_in, value_in
from vld_tui.cli.command import Command, JsonOption, RunsOrNone
from vld_tui.cli.errors import CommandError
from vld_tui.cli.options import MatchingOption
from vld_tui.cli.output import print_json, say, terminal_cells
from vld_tui.cli.session import open_store
from vld_tui.control.flips import read_flips
from vld_tui.control.pull import find_run
from vld_tui.runs.imported import ImportedRun
from vld_tui.runs.run import DAMAGED, MOST_COMPARED, Run
from vld_tui.runs.statistics import Estimate
from vld_tui.study.results.groups import RunGroup, differing_fields, group_by_seed, group_labels
from vld_tui.views.compare import ArmsOfRuns, compare_lines
from vld_tui.views.flips import (
    flips_heading,
    flips_record,
    flips_summary,
    flips_table,
    flips_test,
)
from vld_tui.views.imported import imported_record

WIDE_CELLS: Final = 1_000
"""Width of a table that is not cut."""

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(cls=Command)
def compare(
    ctx: typer.Context,
    runs: RunsOrNone = None,
    where: MatchingOption = None,
    flips: Annotated[
        bool,
        typer.Option("--flips", help="Compare the mistakes of two runs, image by image."),
    ] = False,
    domain: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="With --flips: the domain of the images. [default: the target]"
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the settings that differ and the results, averaged over seeds."""
    if bool(runs) == (where is not None):
        raise CommandError("Name the runs to compare, or select them with --where (not both).")
    if domain is not None and not flips:
        raise CommandError("--domain needs --flips.")
    if flips:
        _compare_mistakes(ctx, runs or (), domain, as_json=as_json)
        return
    with open_store(ctx, to_look=True) as store:
        store.live.refresh()
        if where is None:
            named = {each.run_id: each for each in (find_run(store, run) for run in runs or ())}
            known = [each for each in named.values() if isinstance(each, Run)]
            imported = [each for each in named.values() if isinstance(each, ImportedRun)]
        else:
            imported = []
            known = store.runs.find(store.runs.query(where), limit=MOST_COMPARED + 1)[::-1]
        arms = store.series.arms([run.run_id for run in known])
    damaged = [run for run in known if run.status == DAMAGED]
    for run in damaged:
        say(f"skipped damaged run: {run.run_id}  {run.label}", to_stderr=True)
        say(f"  {run.reason}", to_stderr=True)
    known = [run for run in known if run.status != DAMAGED]
    if (count := len(known) + len(imported)) < 2:
        raise CommandError(_too_few(count, where))
    if len(known) > MOST_COMPARED:
        raise CommandError(f"More than {MOST_COMPARED} runs match. Narrow the filter.")
    groups = group_by_seed(known)
    if as_json:
        print_json(
            {
                "differs": differing_fields(groups),
                "damaged": [{"run": run.run_id, "error": run.error} for run in damaged],
                "groups": [
                    _record(group, label, arms)
                    for group, label in zip(groups, group_labels(groups), strict=True)
                ],
                "imported": [imported_record(each) for each in imported],
            }
        )
        return
    for line in compare_lines(groups, arms, imported, cells=terminal_cells()):
        say(line)


def _compare_mistakes(
    ctx: typer.Context, runs: Sequence[str], domain: str | None, *, as_json: bool
) -> None:
    """Print where two runs are wrong."""
    if len(runs) != 2:
        raise CommandError(f"--flips needs exactly two runs, not {len(runs)}.")
    with open_store(ctx, to_look=True) as store:
        found = [store.runs.get(run) for run in runs]
        flips = read_flips(store, found[0], found[1], domain)
    if as_json:
        print_json(flips_record(flips, [run.run_id for run in found]))
        return
    say(flips_heading(flips, [run.label for run in found]))
    say(flips_summary(flips))
    say(flips_test(flips))
    say("")
    for line in flips_table(flips, terminal_cells() or WIDE_CELLS).plain.splitlines():
        say(line)


def _too_few(count: int, where: str | None) -> str:
    found = ("none", "only one")[count]
    which = f"{found} given" if where is None else f"{found} matches {where!r}"
    return f"Comparing needs at least two runs, but {which}."


def _record(group: RunGroup, label: str, arms: ArmsOfRuns) -> dict[str, Any]:
    measured = {"id_accuracy": group.estimate(lambda run: run.id_accuracy),
                "ood_accuracy": group.estimate(lambda run: run.ood_accuracy)}  # fmt: skip
    return {
        "label": label,
        "runs": [run.run_id for run in group.runs],
        "spec": msgspec.to_builtins(group.runs[0].spec),
        "seeds": [run.seed for run in group.runs],
        **{name: _estimate_record(found) for name, found in measured.items()},
        "measures": _measures(group),
        "arms": {run.run_id: arms[run.run_id] for run in group.runs if run.run_id in arms},
    }


def _value(run: Run, name: str, place: int) -> float | None:
    return value_in(run.measures, name, place)


def _measures(group: RunGroup) -> dict[str, Any]:
    """Return the mean over seeds of each measure of which there are values."""
    estimates = {
        f"{which}_{name}": group.estimate(partial(_value, name=name, place=at))
        for name in measures_in(run.measures for run in group.runs)
        for at, which in MEASURES[name].places
    }
    return {name: _estimate_record(found) for name, found in estimates.items()}


def _estimate_record(found: Estimate | None) -> dict[str, float | None] | None:
    if found is None:
        return None
    values = found._asdict()
    return values | {"interval": values.pop("half_interval")}
