"""What the user can do from the dashboard. Each action blocks, so a worker does it."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from engine.protocol import RunSpec
from engine.protocol.embedded import location_of
from vld_tui.control.records import RecordsError, export_runs
from vld_tui.dashboard.preferences import PREFERENCES_SETTING, Preferences
from vld_tui.home import Home, absolute_path
from vld_tui.launch.local import LaunchError, record_end
from vld_tui.store.labels import typed_tags
from vld_tui.store.query import Query
from vld_tui.store.saved_views import SavedView
from vld_tui.store.store import Store
from vld_tui.words.numbers import plural

if TYPE_CHECKING:
    from engine.protocol.diagnostics import Topic
    from engine.protocol.exclude_lists import Decision
    from engine.protocol.suspects import Suspect
    from vld_tui.control.edits import EditHistory, Labelled
    from vld_tui.control.flips import Partner
    from vld_tui.control.predict import ImagePrediction
    from vld_tui.control.stop import Stopped
    from vld_tui.control.trash import TrashedRun
    from vld_tui.dashboard.feed import Attempted
    from vld_tui.dashboard.use.orders import UseOrder
    from vld_tui.dashboard.use.results import SuspectsFound, UseResult
    from vld_tui.dashboard.use.work import Work
    from vld_tui.runs.flips import Flips
    from vld_tui.runs.run import Run
    from vld_tui.study.define.files import StudyText
    from vld_tui.study.results.state import StudyState

MOST_JUMPS: Final = 20
"""Maximum number of runs to find by name."""

# The control modules are imported by the actions: not needed for the first frame.


class ComparedMistakes(NamedTuple):
    """Mistakes of two runs, their labels, and the folder of their images."""

    flips: Flips
    labels: tuple[str, str]
    folder: str | None


class UndoneRuns(NamedTuple):
    """What was undone, as text, and of which runs."""

    said: str
    run_ids: tuple[str, ...]


class Actions:
    """Actions on the runs of a home, with processes on this machine.

    Methods return a sentence about their result (empty if the screen shows it) or what they made,
    or raise a :class:`UserError` with the reason.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._lock = threading.Lock()
        self.stopping: set[Attempted] = set()

    def views(self) -> dict[str, SavedView]:
        """Return the saved views by name."""
        with Store.open(self._home) as store:
            return store.views.all()

    def save_view(self, name: str, view: SavedView) -> str:
        """Save a view under a name."""
        with Store.open(self._home) as store:
            store.views.save(name, view)
        return f"view {name} saved"

    def delete_view(self, name: str) -> str:
        """Delete a saved view."""
        with Store.open(self._home) as store:
            store.views.delete(name)
        return f"view {name} deleted"

    def complete_filter(self, text: str) -> list[str]:
        """Return the continuations of a filter that begin with it."""
        from vld_tui.store.completion import completions

        return completions(self._home.database, text)

    def start(
        self, *specs: RunSpec, names: Sequence[str] | None = None, tags: Sequence[str] = ()
    ) -> str:
        """Create runs and start the first; the others are queued."""
        from vld_tui.control.start import begin, located

        first, *others = [located(self._home, spec) for spec in specs]
        with Store.open(self._home) as store:
            name = names[0] if names else None
            run = store.runs.create(first, name=name, tags=tags)
            record_end(begin(store, run), store.runs.run_dir(run.run_id))
            said = f"{run.label} is starting{_over_slots(store)}"
        if not others:
            return said
        return f"{said}; {self._queue(others, names and names[1:], tags)}"

    def queue(
        self, *specs: RunSpec, names: Sequence[str] | None = None, tags: Sequence[str] = ()
    ) -> str:
        """Create queued runs."""
        from vld_tui.control.start import located

        return self._queue([located(self._home, spec) for spec in specs], names, tags)

    def _queue(
        self, located: Sequence[RunSpec], names: Sequence[str] | None, tags: Sequence[str]
    ) -> str:
        from vld_tui.control.queue import start_queued

        with Store.open(self._home) as store:
            runs = [
                store.runs.create(spec, name=name, tags=tags, is_queued=True)
                for spec, name in itertools.zip_longest(located, names or ())
            ]
            start_queued(store, [run.run_id for run in runs])
        return f"{runs[0].label} is queued" if len(runs) == 1 else f"{len(runs):,} runs are queued"

    def resume(self, run_id: str) -> str:
        """Resume an ended run, on this machine or on its cluster."""
        from vld_tui.control.start import resume_here, submit_again

        with Store.open(self._home) as store:
            run = store.runs.get(run_id)
            if run.job is not None:
                submit_again(store, [run_id])
                return f"{run.label} was submitted again"
            record_end(resume_here(store, run_id), store.runs.run_dir(run_id))
            return f"{run.label} is resuming{_over_slots(store)}"

    def queue_again(self, run_id: str) -> str:
        """Queue an ended run, to resume it."""
        from vld_tui.control.start import queue_again

        with Store.open(self._home) as store:
            (queued,) = queue_again(store, [run_id])
        return f"{queued.run.label} is queued"

    def interrupt(self, run_id: str) -> str:
        """Save and stop a run, or remove it from the queue."""
        from vld_tui.control.stop import stop

        with Store.open(self._home) as store:
            done = stop(store, run_id)
        if done.how == "asked":
            self.stopping.add((run_id, done.run.attempts))
        return _stop_text(done)

    def kill(self, run_id: str) -> str:
        """Kill a run's process."""
        from vld_tui.control.stop import stop

        with Store.open(self._home) as store:
            return _stop_text(stop(store, run_id, kill=True, by="the dashboard"))

    def hold(self, run_id: str, *, is_held: bool) -> str:
        """Hold a queued run, or release it."""
        from vld_tui.control.queue import hold

        with Store.open(self._home) as store:
            run = hold(store, run_id, is_held=is_held)
        return f"{run.label} was {'held' if is_held else 'released'}"

    def move(self, run_id: str, places: int) -> str:
        """Swap a run with the next (1) or previous (−1) queued one."""
        with Store.open(self._home) as store:
            store.queue.move(run_id, places)
        return ""

    def set_slots(self, count: int) -> str:
        """Set the number of concurrent runs; 0: one per GPU, or one without GPUs."""
        from vld_tui.control.queue import set_slots

        with Store.open(self._home) as store:
            set_slots(store, count)
        return ""

    def work_on_queue(self) -> str:
        """Start processing the queue, unless a process does so already."""
        from vld_tui.control.queue import work_on_queue

        with Store.open(self._home) as store:
            work_on_queue(store)
        return ""

    def launch_study(self, study: str | StudyText) -> str:
        """Queue the missing and interrupted runs of a study, or submit them if it last went to a
        cluster. It is launched or a preset, or given as a TOML file or as text."""
        from vld_tui.control.study import launch_named

        with Store.open(self._home) as store:
            launched = launch_named(store, study)
        name, submission = launched.before.study.name, launched.submission
        new, broken_off = len(launched.before.missing), len(launched.before.broken_off)
        if not new and not broken_off:
            return f"{name}: nothing to launch, every run exists"
        resumed = f", {broken_off:,} to resume" if broken_off else ""
        said = f"{name}: {plural(new, 'new run')}{resumed}"
        if submission is None:
            return said
        left = f"; {submission.why_left}" if submission.left else ""
        return f"{said}, on slurm as last time{left}"

    def export_study(self, state: StudyState, path: str) -> str:
        """Export the results of a study's runs to a new ``.csv`` file."""
        from vld_tui.control.records import export_table

        place = _place(path, ".csv", about="the table")
        return f"{plural(export_table(state, place), 'line')} in {place}"

    def stop_study(self, name: str) -> str:
        """Save and stop the running runs of a study, and dequeue the queued ones."""
        from vld_tui.control.stop import stop_study
        from vld_tui.study.define.files import find_study
        from vld_tui.study.standing import standing_of
        from vld_tui.views.study import stopped_study_text

        with Store.open(self._home) as store:
            store.live.refresh()
            done = stop_study(store, standing_of(store, find_study(self._home, name)))
            asked = [store.runs.get(run_id) for run_id in done.asked]
        self.stopping.update((run.run_id, run.attempts) for run in asked)
        if done.refusals:
            raise LaunchError("\n".join(done.refusals))
        return f"{name}: {stopped_study_text(done) or 'no running or queued runs'}"

    def study_text(self, name: str) -> StudyText:
        """Return the TOML of a launched study."""
        from vld_tui.study.define.files import find_text

        return find_text(self._home, name)

    def report_study(self, name: str, progress: Callable[[str], object]) -> Path:
        """Write a study's report, replacing an earlier one; return its page. ``progress`` is
        called with what is done next."""
        from vld_tui.report.study import report_study

        with Store.open(self._home) as store:
            return report_study(store, name, progress=progress).files[0]

    def study_names(self) -> list[str]:
        """Return the names of launched studies."""
        from vld_tui.study.define.files import kept_names

        return kept_names(self._home)

    def runs_named(self, text: str) -> list[Run]:
        """Return the newest runs whose names contain a text, or the run of this id or number.

        Raises:
            UserError: when there is none.
        """
        with Store.open(self._home) as store:
            query = store.runs.query('name:"{}"'.format(text.replace('"', "")))
            return store.runs.find(query, limit=MOST_JUMPS) or [store.runs.get(text)]

    def compare_mistakes(self, first: str, second: str, domain: str | None) -> ComparedMistakes:
        """Compare the mistakes of two runs on a domain; None: their target."""
        from vld_tui.control.flips import read_flips

        with Store.open(self._home) as store:
            runs = store.runs.get(first), store.runs.get(second)
            flips = read_flips(store, *runs, domain)
        labels, spec = (runs[0].label, runs[1].label), runs[0].spec
        return ComparedMistakes(flips, labels, location_of(spec.dataset, spec.data_dir))

    def partners(self, run_id: str, marked: Sequence[str]) -> list[Partner]:
        """Return the runs to compare a run with: marked ones, its ERM twin, the last one first."""
        from vld_tui.control.flips import partners

        with Store.open(self._home) as store:
            return partners(store, run_id, marked)

    def use(self, run_id: str, order: UseOrder, work: Work) -> UseResult:
        """Classify or evaluate images with a run's network, or export it."""
        from vld_tui.dashboard.use.engine import use_run

        return use_run(self._home, run_id, order, work)

    def export_predictions(
        self, predictions: Sequence[ImagePrediction], path: str, *, top: int
    ) -> str:
        """Export predictions to a new ``.csv``, ``.jsonl`` or ``.parquet`` file."""
        from vld_tui.control.prediction_files import prediction_writer

        place = absolute_path(path)
        writer = prediction_writer(place, top=top)
        writer.write(predictions)
        writer.close()
        return f"{plural(len(predictions), 'prediction')} in {place}"

    def diagnose(self, run_ids: Sequence[str], topics: Sequence[Topic], work: Work) -> str:
        """Compute diagnostics of runs and store them, and return what was computed."""
        from vld_tui.dashboard.use.engine import diagnose_runs

        return diagnose_runs(self._home, run_ids, topics, work)

    def has_suspects(self, run_id: str) -> bool:
        """Return whether suspects of a run are stored."""
        return os.path.exists(self._home.run_dir(run_id).suspects)  # False if out of reach

    def stored_suspects(self, run_id: str) -> SuspectsFound:
        """Return the stored suspects of a run."""
        from vld_tui.control.suspects import FoundSuspects, stored_suspects
        from vld_tui.dashboard.use.orders import SuspectsOrder
        from vld_tui.dashboard.use.results import SuspectsFound

        found = stored_suspects(self._home.run_dir(run_id))
        order = SuspectsOrder(quantile=found.quantile, near_distance=found.near_distance)
        return SuspectsFound(run_id, order, FoundSuspects(found))

    def save_decisions(self, decided: Sequence[tuple[Suspect, Decision]], path: str) -> str:
        """Save decisions on training images as a new exclude list."""
        from vld_tui.control.suspects import check_list_file, write_decisions

        place = _place(path, ".csv", about="an exclude list")
        check_list_file(place, replaces=False)
        write_decisions(place, decided)
        return f"{plural(len(decided), 'decision')} in {place}"

    def export(self, query: Query, path: str) -> str:
        """Export the matching runs to a new ``.csv`` or ``.json`` file."""
        place = _place(path, ".csv", ".json", about="the runs")
        with Store.open(self._home) as store:
            count = export_runs(store, query, place)
        return f"{plural(count, 'run')} in {place}"

    def trash(self, run_ids: Sequence[str]) -> str:
        """Move runs to the trash."""
        from vld_tui.control.each_run import checked
        from vld_tui.control.edits import trash
        from vld_tui.dashboard.edit_text import trashed_text

        with self._editing() as (store, edits):
            edits.add(done := checked(trash(store, run_ids)))
        return trashed_text(done)

    def trash_contents(self) -> list[TrashedRun]:
        """Return the runs in the trash, the last trashed one first, not measured."""
        from vld_tui.control.trash import trashed_runs

        with Store.open(self._home) as store:
            return trashed_runs(store)

    def measured_trash(self, trashed: Sequence[TrashedRun]) -> list[TrashedRun]:
        """Return runs of the trash with the sizes of their folders."""
        from vld_tui.control.trash import measured

        with Store.open(self._home) as store:
            return [measured(store, each) for each in trashed]

    def restore(self, run_ids: Sequence[str]) -> str:
        """Take runs out of the trash."""
        from vld_tui.control.each_run import checked
        from vld_tui.control.trash import restore
        from vld_tui.dashboard.edit_text import restored_text

        with self._editing() as (store, edits):
            done = restore(store, run_ids)
            edits.drop(done.run_ids)
        return restored_text(checked(done))

    def delete(self, run_ids: Sequence[str]) -> str:
        """Permanently delete runs of the trash."""
        from vld_tui.control.each_run import checked
        from vld_tui.control.trash import delete
        from vld_tui.dashboard.edit_text import deleted_text

        with self._editing() as (store, edits):
            done = delete(store, run_ids)
            edits.drop(done.run_ids)
        return deleted_text(checked(done))

    def change_tags(self, run_ids: Sequence[str], before: Sequence[str], text: str) -> str:
        """Change tags as typed in a list that showed ``before``."""
        from vld_tui.control.each_run import checked
        from vld_tui.control.edits import change_tags

        change = typed_tags(text, before)
        with self._editing() as (store, edits):
            return self._labelled(edits, checked(change_tags(store, run_ids, change)))

    def known_tags(self) -> list[str]:
        """Return the tags in use, the most frequent first."""
        with Store.open(self._home) as store:
            return store.labels.known_tags()

    def set_note(self, run_id: str, note: str) -> str:
        """Replace a run's note."""
        from vld_tui.control.edits import set_note

        with self._editing() as (store, edits):
            return self._labelled(edits, set_note(store, run_id, note))

    def rename(self, run_id: str, name: str) -> str:
        """Rename a run."""
        from vld_tui.control.edits import rename

        with self._editing() as (store, edits):
            return self._labelled(edits, rename(store, run_id, name))

    def undo(self) -> UndoneRuns:
        """Undo the last change to the trash, tags, note or name."""
        from vld_tui.dashboard.edit_text import undone_text

        with self._editing() as (store, edits):
            undone = edits.undo(store)
        return UndoneRuns(undone_text(undone), undone.edit.run_ids if undone else ())

    def _labelled(self, edits: EditHistory, edit: Labelled) -> str:
        from vld_tui.dashboard.edit_text import labelled_text

        edits.add(edit)
        return labelled_text(edit)

    @contextlib.contextmanager
    def _editing(self) -> Iterator[tuple[Store, EditHistory]]:
        """Open the history for one edit at a time, so that edits are in the order of the keys."""
        with self._lock, Store.open(self._home) as store:
            yield store, self._edits

    @cached_property
    def _edits(self) -> EditHistory:
        from vld_tui.control.edits import EditHistory

        return EditHistory()

    def change_preferences(self, changes: Mapping[str, object]) -> str:
        """Store changed preferences."""
        change = partial(msgspec.structs.replace, **changes)
        with Store.open(self._home) as store:
            store.settings.change(PREFERENCES_SETTING, Preferences, Preferences(), change)
        return ""


def _over_slots(store: Store) -> str:
    """Return a remark if more runs are running than the queue has slots, since runs that are
    started or resumed at once ignore them."""
    from vld_tui.launch.queue import slots_of

    running, slots = sum(not run.has_job for run in store.live.runs()), len(slots_of(store))
    if running <= slots:
        return ""
    return (
        f"; {running:,} runs are running, but the queue has {plural(slots, 'slot')}: "
        "Q on an ended run, or ctrl+l in the form, waits for one"
    )


def _stop_text(done: Stopped) -> str:
    """Return the result of stopping a run.

    Raises:
        LaunchError: when it has no process.
    """
    from vld_tui.views.queue import stopped_text

    said = f"{done.run.label} {stopped_text(done)}"
    if done.how == "gone":
        raise LaunchError(f"{said}.")
    if done.how != "dequeued" or done.leaves_job:
        return said
    to_undo = "r starts it" if done.run.has_job else "Q queues it again, r starts it"
    return f"{said}; in the list of runs, {to_undo}"


def _place(path: str, *endings: str, about: str) -> Path:
    """Return the typed path.

    Raises:
        RecordsError: when it has another suffix.
    """
    place = absolute_path(path)
    if place.suffix not in endings:
        raise RecordsError(
            f"{place.name} must end in {' or '.join(endings)} for {about}, or .svg for the screen."
        )
    return place
