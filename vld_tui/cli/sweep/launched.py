"""``vld sweep ls``, ``status`` and ``stop``: launched studies and their progress."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import typer

from engine.protocol import UserError
from vld_tui.cli.command import JsonOption, proposes
from vld_tui.cli.errors import FAILED_EXIT
from vld_tui.cli.output import (
    on_one_line,
    print_json,
    say,
    say_wrapped,
    suggest,
    terminal_cells,
    with_home,
)
from vld_tui.cli.session import open_store, refresh
from vld_tui.cli.slurm import place_record
from vld_tui.control.stop import StoppedStudy, stop_study
from vld_tui.launch.queue import is_supervised
from vld_tui.launch.slurm.settings import SlurmSettings
from vld_tui.store.store import Store
from vld_tui.study.define.datasets import HomeDatasets
from vld_tui.study.define.files import find_study, find_text, kept_names, study_preset_titles
from vld_tui.study.define.tuning import read_tuning
from vld_tui.study.forecast import StudyCost, cost_of, seconds_left
from vld_tui.study.results.cells import StudyCell, complete_results, grid_so_far
from vld_tui.study.results.outcomes import ID, OOD, known_measures, quantities_of
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
    stopped_study_text,
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
LaunchedStudy = Annotated[
    str,
    typer.Argument(
        metavar="STUDY",
        help="Launched study.",
        show_default=False,
        autocompletion=proposes("studies"),
    ),
]


def ls(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """List launched studies and presets."""
    with open_store(ctx, to_look=True) as store:
        refresh(store)
        launched = launched_studies(store)
    presets = study_preset_titles()
    if as_json:
        records = [launched_record(name, found) for name, found in launched.items()]
        print_json({"launched": records, "presets": presets})
        return
    tell_launched(launched)
    say("presets:")
    width = max(map(len, presets))
    for name, title in presets.items():
        say(f"  {name:<{width}}  {title}")


def launched_studies(store: Store) -> dict[str, Standing | str]:
    """Return the launched studies: each one's standing, or why it cannot be read."""
    found: dict[str, Standing | str] = {}
    for name in kept_names(store.home):
        try:
            study = find_study(store.home, name)
        except UserError as error:
            found[name] = str(error)
        else:
            found[name] = standing_of(store, study)
    return found


def tell_launched(launched: dict[str, Standing | str]) -> None:
    """Print each study's progress."""
    if not launched:
        say(with_home("No launched studies yet. Start with a small one: vld demo"))
    width = max(map(len, launched), default=0)
    for name, found in launched.items():
        said = on_one_line(found) if isinstance(found, str) else counts_text(found)
        say(f"{name:<{width}}  {said}")


def launched_record(name: str, found: Standing | str) -> dict[str, Any]:
    """Return a study's progress, for scripts."""
    if isinstance(found, str):
        return {"study": name, "problem": found}
    return standing_record(found)


def standing_record(standing: Standing) -> dict[str, Any]:
    """Return the number of a study's runs in each state."""
    return {
        "study": standing.study.name,
        "title": standing.study.title,
        "runs": len(standing.study.specs),
        "finished": len(standing.finished),
        "running": len(standing.live),
        "queued": len(standing.queued),
        "broken_off": len(standing.broken_off),
        "missing": len(standing.missing),
        "untaught": standing.study.untaught,
    }


class StudyView(NamedTuple):
    """A study's progress; ``place`` is where it last went, None for this machine. ``continues`` is
    the command that continues a study of ``vld tune``."""

    standing: Standing
    strays: Strays | None
    cost: StudyCost
    devices: int
    place: SlurmSettings | None
    continues: str | None = None

    @classmethod
    def look(cls, store: Store, standing: Standing, datasets: HomeDatasets | None) -> StudyView:
        """Look up what is shown of a study; ``datasets``: those that were read, for the cost."""
        counts = (lambda *_: None) if datasets is None else datasets.known_counts
        name = standing.study.name
        tuning = read_tuning(store.home, name)
        return cls(
            standing,
            find_strays(store, standing),
            cost_of(store, standing.left, counts),
            devices_of(store),
            last_place(store.home, name),
            None if tuning is None else shlex.join(tuning.request.command(name)),
        )

    @property
    def cautions(self) -> list[str]:
        """Return warnings about the results."""
        study, runs = self.standing.study, (*self.standing.finished, *self.standing.live)
        stray = [] if self.strays is None else [stray_text(study, self.strays)]
        return [
            *image_cautions(study.name, runs),
            *precision_cautions(study, runs),
            *self._on_measures,
            *stray,
        ]

    @property
    def _on_measures(self) -> Iterator[str]:
        from vld_tui.views.cautions import measure_cautions  # imports numpy

        return measure_cautions(complete_results(grid_so_far(self.standing)))


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
        found = StudyView.look(store, standing, datasets)
        waiting = () if is_supervised(store.home) else store.queue.runs()
    if as_json:
        print_json(study_record(found))
    else:
        _tell(found)
    for line in at_rest_lines(waiting) if standing.queued else ():
        say(with_home(line), to_stderr=as_json)


def _tell(found: StudyView) -> None:
    standing = found.standing
    say(study_heading(standing.study))
    say(f"{'runs':<9} {counts_text(standing)}")
    if standing.is_under_way:
        say(f"{'time left':<9} {left_text(standing, found.cost, found.devices)}")
    for line in failure_lines(standing.broken_off):
        say(f"{'ended':<9} {line}")
    tell_results(found)
    if following := list(_following(found)):
        say("")
        suggest(following)


def tell_results(found: StudyView) -> None:
    """Print the cautions about a study and its tables of accuracies."""
    for line in found.cautions:
        say_wrapped(f"{'caution':<9} {line}")
    say("")
    for line in result_lines(found.standing, terminal_cells()):
        say(line)


def _following(found: StudyView) -> Iterator[tuple[str, str]]:
    """Yield the next commands to suggest."""
    standing = found.standing
    name = standing.study.name
    if found.continues is not None:
        yield found.continues, "continue tuning, or show its result"
    elif standing.broken_off or standing.missing:
        where = "" if found.place is None else ", on slurm as last time"
        parts = [
            ("resume interrupted runs", standing.broken_off),
            ("launch missing ones" if standing.broken_off else "launch missing runs",
             standing.missing),
        ]  # fmt: skip
        yield f"vld sweep {name}", " and ".join(what for what, runs in parts if runs) + where
    if standing.is_under_way:
        yield f"vld sweep stop {name}", "save and stop running runs, dequeue queued ones"


def study_record(found: StudyView) -> dict[str, Any]:
    """Return a study's progress and results so far, for scripts."""
    standing, cost = found.standing, found.cost
    compare = standing.study.compare
    return (
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
    """Return the means over seeds of a setting on a target, null while runs are missing;
    ``deviation`` is that of OOD."""
    ids, oods = cell.estimate(ID), cell.estimate(OOD)
    return {
        "id_accuracy": ids and ids.mean,
        "ood_accuracy": oods and oods.mean,
        "deviation": oods and oods.deviation,
        "seeds": ids.n if ids else 0,
        "finished": len(cell.finished),
        "expected": len(cell.specs),
        "measures": {
            each.key: (found := cell.estimate(each)) and found.mean
            for name in known_measures(cell.results)
            for each in quantities_of(name)
        },
    }


def stop(
    ctx: typer.Context,
    study: LaunchedStudy,
    kill: Annotated[
        bool,
        typer.Option("--kill", help="Kill running runs immediately, without saving checkpoints."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Save and stop a study's running runs, and dequeue queued ones, on any machine."""
    with open_store(ctx) as store:
        refresh(store)
        known = find_study(store.home, study)
        done = stop_study(store, standing_of(store, known), kill=kill)
    if as_json:
        print_json({"study": known.name, **vars(done)})
    else:
        _tell_stopped(known.name, done)
    for refusal in done.refusals:
        say(refusal, to_stderr=True)
    if done.refusals:
        raise typer.Exit(FAILED_EXIT)


def _tell_stopped(name: str, done: StoppedStudy) -> None:
    said = stopped_study_text(done)
    say(said or f"no running or queued runs of {name}")
    if said:
        suggest([(f"vld sweep {name}", "resume the stopped runs")])
