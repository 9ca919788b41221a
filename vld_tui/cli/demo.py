"""``vld demo``: a small study in the foreground: very large dropout compared with none."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Final

import typer

from vld_tui.cli.command import Command, JsonOption
from vld_tui.cli.errors import FAILED_EXIT, CommandError
from vld_tui.cli.follow import listening
from vld_tui.cli.foreground import RunsBar, follow_runs, refuse_unfinished, slots_of_one_thread
from vld_tui.cli.output import home_option, print_json, say, say_wrapped, suggest, terminal_cells
from vld_tui.cli.session import open_store, refresh
from vld_tui.cli.sweep.launched import StudyView, study_record, tell_results
from vld_tui.control.study import launch
from vld_tui.home import Home
from vld_tui.store.store import Store
from vld_tui.study.define.definition import Study
from vld_tui.study.define.files import StudyText, find_text, kept_path, study_preset_text
from vld_tui.study.results.inference import TargetChange, target_changes
from vld_tui.study.results.outcomes import accuracy_pairs, outcomes_so_far
from vld_tui.study.standing import Standing, standing_of
from vld_tui.views.changes import change_lines, change_records, changes_sentence
from vld_tui.views.study import grid_text, study_heading
from vld_tui.words.numbers import size

DEMO: Final = "demo"
NEEDED_BYTES: Final = 2**28
"""Free disk space for cached images and features, with a margin."""
_EXPLANATION: Final = (
    "λ is the dropout rate. ID: held-out images of the domains trained on. OOD: the target, a "
    "domain that was not trained on."
)

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(cls=Command)
def demo(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """Compare very large dropout with none on embedded images, offline, in about a minute.

    Each domain is left out of training in turn. The runs are those of the preset study demo and
    stay in history; a second call runs only what is missing.
    """
    text = study_preset_text(DEMO)
    with open_store(ctx) as store:
        refresh(store)
        study = text.read(store.home)
        _refuse_other_study(store.home, study)
        standing = standing_of(store, study)
        if not as_json:
            _introduce(study)
        if len(standing.finished) < len(study.specs):
            standing, is_interrupted = _finish(store, study, text)
            refuse_unfinished(
                standing.known, len(study.specs), name="the demo", command=f"vld {DEMO}",
                is_interrupted=is_interrupted,
            )  # fmt: skip
        found = StudyView.look(store, standing, None)
    changes = _changes(found)
    if as_json:
        reading = {"changes": change_records(changes), "reading": changes_sentence(changes)}
        print_json(study_record(found) | reading)
    else:
        _tell(found, changes, home_option(ctx))


def _introduce(study: Study) -> None:
    say_wrapped(study_heading(study))
    say_wrapped(grid_text(study))
    say_wrapped(_EXPLANATION)
    say("")


def _refuse_other_study(home: Home, study: Study) -> None:
    """Check that the home has no study of the user's own under the name.

    Raises:
        CommandError: if it has.
        StudyError: if that study cannot be read.
    """
    if not kept_path(home, DEMO).is_file():
        return
    known = find_text(home, DEMO).read(home)
    if known.title != study.title and set(known.identities) != set(study.identities):
        raise CommandError(
            f"{kept_path(home, DEMO)} is another study named {DEMO}.\n"
            f"Use another home for the demo (--home DIR), or run that study: vld sweep {DEMO}"
        )


def _finish(store: Store, study: Study, text: StudyText) -> tuple[Standing, bool]:
    """Run what is missing; return how the study stands when none of its runs is running or queued,
    and whether the user stopped it.

    Raises:
        CommandError: if the disk is too full.
        LaunchError, StoreError, StudyError: see :func:`launch`.
    """
    free = shutil.disk_usage(store.home.path).free
    if free < NEEDED_BYTES:
        raise CommandError(
            f"{store.home.path} has {size(free)} of free disk space; the demo needs "
            f"{size(NEEDED_BYTES)}.\nFree some, or use a home on another disk (--home DIR).",
            exit_code=FAILED_EXIT,
        )
    slots = slots_of_one_thread(store)
    with listening() as requests, RunsBar(len(study.specs)) as bar:
        launch(store, study, text, slots=slots)
        follow_runs(store, lambda: standing_of(store, study).known, requests, bar, slots)
        return standing_of(store, study), requests.count > 0


def _changes(found: StudyView) -> list[TargetChange]:
    results = outcomes_so_far(found.standing, {})
    return [
        change for pair in accuracy_pairs(results) for change in target_changes(results, pair.ood)
    ]


def _tell(found: StudyView, changes: list[TargetChange], home: Path | None) -> None:
    dashboard = "vld-tui" if home is None else f"vld-tui --home {shlex.quote(str(home))}"
    tell_results(found)
    say("")
    for line in change_lines(changes, terminal_cells()):
        say(line)
    say("")
    say_wrapped(changes_sentence(changes))
    say("")
    suggest(
        [
            (dashboard, "browse the runs"),
            (f"vld report {DEMO}", "tables, figures and an HTML page"),
            ("vld run --data DIR --target DOMAIN", "fine-tune on your own images"),
        ]
    )
