"""``vld sweep status``: show the progress of studies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import typer

from vld_tui.cli.command import JsonOption, proposes
from vld_tui.cli.hints import with_home
from vld_tui.cli.output import print_json, say, suggest, terminal_cells
from vld_tui.cli.session import open_store, refresh
from vld_tui.cli.slurm import place_record
from vld_tui.cli.sweep.ls import launched_record, launched_studies, standing_record, tell_launched
from vld_tui.launch.queue import is_supervised
from vld_tui.launch.slurm.settings import SlurmSettings
from vld_tui.study.define.datasets import HomeDatasets
from vld_tui.study.define.files import find_text
from vld_tui.study.forecast import StudyCost, cost_of, seconds_left
from vld_tui.study.results.cells import StudyCell, grid_so_far
from vld_tui.study.results.outcomes import ID, OOD, known_measures, measured
from vld_tui.study.standing import (
    Standing,
    Strays,
    devices_of,
    find_strays,
    last_place,
    standing_of,
)
from vld_tui.views.queue import at_rest_lines
from vld_tui.views.study import (
    counts_text,
    failure_lines,
    image_cautions,
    left_text,
    precision_cautions,
    result_lines,
    stray_text,
    study_heading,
)

StudyOrNone = Annotated[
    str | None,
    typer.Argument(
        metavar="[STUDY]",
        help="Study; by default, all launched ones.",
        autocompletion=proposes("studies"),
    ),
]


class _Found(NamedTuple):
    """A study's progress; ``place`` is where it last went, None for this machine."""

    standing: Standing
    strays: Strays | None
    cost: StudyCost
    devices: int
    place: SlurmSettings | None

    @property
    def cautions(self) -> list[str]:
        """Return warnings about the results."""
        study, runs = self.standing.study, (*self.standing.finished, *self.standing.live)
        stray = [] if self.strays is None else [stray_text(study, self.strays)]
        return [*image_cautions(study.name, runs), *precision_cautions(study, runs), *stray]


def status(ctx: typer.Context, study: StudyOrNone = None, as_json: JsonOption = False) -> None:
    """Show a study's progress and results so far."""
    with open_store(ctx, to_look=True) as store:
        refresh(store)
        if study is None:
            launched = launched_studies(store)
            if as_json:
                print_json([launched_record(name, found) for name, found in launched.items()])
            else:
                tell_launched(launched)
            return
        datasets = HomeDatasets(store.home)
        standing = standing_of(store, find_text(store.home, study).read(store.home, datasets))
        found = _Found(
            standing,
            find_strays(store, standing),
            cost_of(store, standing.left, datasets.known_counts),
            devices_of(store),
            last_place(store.home, standing.study.name),
        )
        waiting = () if is_supervised(store.home) else store.queue.runs()
    if as_json:
        _print_record(found)
    else:
        _tell(found)
    for line in at_rest_lines(waiting) if standing.queued else ():
        say(with_home(line), to_stderr=as_json)


def _tell(found: _Found) -> None:
    standing = found.standing
    say(study_heading(standing.study))
    say(f"{'runs':<9} {counts_text(standing)}")
    if standing.live or standing.queued or standing.missing:
        say(f"{'time left':<9} {left_text(standing, found.cost, found.devices)}")
    for line in failure_lines(standing.broken_off):
        say(f"{'ended':<9} {line}")
    for line in found.cautions:
        say(f"{'caution':<9} {line}")
    say("")
    for line in result_lines(standing, terminal_cells()):
        say(line)
    if following := list(_following(standing, found.place)):
        say("")
        suggest(following)


def _following(standing: Standing, place: SlurmSettings | None) -> Iterator[tuple[str, str]]:
    """Yield the next commands to suggest."""
    name = standing.study.name
    if standing.broken_off or standing.missing:
        where = "" if place is None else ", on slurm as last time"
        yield f"vld sweep {name}", f"resume interrupted runs and launch missing ones{where}"
    if standing.live or standing.queued:
        yield f"vld sweep stop {name}", "save and stop running runs, dequeue queued ones"


def _print_record(found: _Found) -> None:
    standing, cost = found.standing, found.cost
    compare = standing.study.compare
    print_json(
        standing_record(standing)
        | place_record(found.place)
        | {
            "seconds_left": None
            if cost.unknown
            else seconds_left(standing.live, cost, found.devices),
            "failures": [
                {"run": run.run_id, "status": run.status, "error": run.error}
                for run in standing.broken_off
            ],
            "cautions": found.cautions,
            "compare": compare,
            "results": [
                {
                    "dataset": dataset,
                    "target": target,
                    **dict(zip(compare, values, strict=True)),
                    **_figures(cell),
                }
                for (values, (dataset, target)), cell in grid_so_far(standing).cells.items()
            ],
        }
    )


def _figures(cell: StudyCell) -> dict[str, Any]:
    """Return the means over seeds of a setting on a target; ``deviation`` is that of OOD."""
    ids, oods = ID.estimate(cell.results), OOD.estimate(cell.results)
    return {
        "id_accuracy": ids and ids.mean,
        "ood_accuracy": oods and oods.mean,
        "deviation": oods and oods.deviation,
        "seeds": ids.n if ids else 0,
        "finished": len(cell.finished),
        "expected": len(cell.specs),
        "measures": {
            each.key: (found := each.estimate(cell.results)) and found.mean
            for name in known_measures(cell.results)
            for each in measured(name)
        },
    }
