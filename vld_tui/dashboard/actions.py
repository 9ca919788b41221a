"""What a person can do to runs from the dashboard: each blocks, so a worker does it."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Protocol

import msgspec

from engine.protocol import RunSpec, UserError
from engine.rundir import RunDir
from vld_tui.control.export import export_runs, run_records
from vld_tui.dashboard.preferences import PREFERENCES_SETTING, Preferences
from vld_tui.home import Home
from vld_tui.launch.datasets import added_folder
from vld_tui.launch.local import (
    EXIT_PATIENCE_S,
    LaunchError,
    launch,
    refuse_copy,
    stop,
    wait_and_record,
)
from vld_tui.launch.queue.slots import SLOTS_SETTING
from vld_tui.launch.queue.supervisor import start_supervisor
from vld_tui.runs.run import QUEUED
from vld_tui.store.query import Query
from vld_tui.store.store import Store
from vld_tui.words.numbers import plural

if TYPE_CHECKING:  # not for the first picture
    from vld_tui.study.state import StudyState


class ExportError(UserError):
    """Runs cannot be written to a file; the message says why."""


class Actions(Protocol):
    """Changes to runs. Every method returns what was done, in words (empty: it can be seen), or
    raises a :class:`UserError` whose message says why not."""

    def start(self, *specs: RunSpec) -> str:
        """Make runs and start the first; the others wait for a free slot."""

    def queue(self, *specs: RunSpec) -> str:
        """Make runs that wait for a free slot."""

    def queue_again(self, run_id: str) -> str:
        """Let a run that is over wait for a free slot, to go on."""

    def take_out(self, run_id: str) -> str:
        """Take a run out of the queue."""

    def hold(self, run_id: str, *, is_held: bool) -> str:
        """Let the queue pass a run over, or no longer."""

    def move(self, run_id: str, places: int) -> str:
        """Let a run change places with the next one that waits (1), or the one before (−1)."""

    def set_slots(self, count: int) -> str:
        """Let so many runs go on at once; 0: one for each GPU, else one."""

    def work_on_queue(self) -> str:
        """Have waiting runs started, unless a process does so already."""

    def resume(self, run_id: str) -> str:
        """Start a run that is over again, from its checkpoint."""

    def interrupt(self, run_id: str) -> str:
        """Ask a run to save and stop."""

    def kill(self, run_id: str) -> str:
        """End a run's process at once."""

    def launch_study(self, name: str) -> str:
        """Queue what is missing of a study, a kept one or a preset, and what broke off, or submit
        it where it went to a cluster last."""

    def export_study(self, state: StudyState, path: str) -> str:
        """Write what a study's runs reached to a new file, ``.csv``."""

    def trash(self, run_ids: Sequence[str]) -> str:
        """Move runs to the trash."""

    def restore(self, run_ids: Sequence[str]) -> str:
        """Take runs out of the trash."""

    def change_tags(self, run_id: str, before: Sequence[str], after: Sequence[str]) -> str:
        """Add and remove the tags in which ``after`` differs from ``before``."""

    def set_note(self, run_id: str, note: str) -> str:
        """Replace a run's note."""

    def change_preferences(self, changes: Mapping[str, object]) -> str:
        """Remember some of how the user likes the dashboard."""

    def export(self, query: Query, path: str) -> str:
        """Write the runs that match to a new file, ``.csv`` or ``.json``."""


class LocalActions:
    """Actions on the runs of a home, with processes on this machine."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def start(self, *specs: RunSpec) -> str:
        """Make runs and start the first; the others wait for a free slot."""
        first, *others = specs
        with Store.open(self._home) as store:
            run = store.create_run(self._located(first))
            try:
                _launch(store.run_dir(run.run_id))
            except LaunchError:
                store.discard(run.run_id)
                raise
        said = f"{run.name} is starting"
        return f"{said}; {self.queue(*others)}" if others else said

    def queue(self, *specs: RunSpec) -> str:
        """Make runs that wait for a free slot."""
        with Store.open(self._home) as store:
            runs = [store.create_run(self._located(spec), is_queued=True) for spec in specs]
        start_supervisor(self._home)
        if len(runs) == 1:
            return f"{runs[0].name} waits for a free slot"
        return f"{plural(len(runs), 'run')} wait for a free slot"

    def queue_again(self, run_id: str) -> str:
        """Let a run that is over wait for a free slot, to go on."""
        with Store.open(self._home) as store:
            run = store.get(run_id)
            if run.has_job:
                (run,) = _control().look_again(store, [run])
                _control().refuse_open_job(run)
            store.enqueue(run_id)
        start_supervisor(self._home)
        return "it waits for a free slot"

    def take_out(self, run_id: str) -> str:
        """Take a run out of the queue."""
        with Store.open(self._home) as store:
            run = store.get(run_id)
            if run.has_job:
                _control().stop(store, run)
            else:
                store.take_out(run_id)
        return "it waits no longer; r starts it"

    def hold(self, run_id: str, *, is_held: bool) -> str:
        """Let the queue pass a run over, or no longer."""
        with Store.open(self._home) as store:
            run = store.get(run_id)
            if run.has_job:
                _control().hold(store, run, is_held=is_held)
                return "held" if is_held else "released"
            store.hold(run_id, is_held=is_held)
        if not is_held:
            start_supervisor(self._home)
        return "held" if is_held else "released"

    def move(self, run_id: str, places: int) -> str:
        """Let a run change places with the next one that waits (1), or the one before (−1)."""
        with Store.open(self._home) as store:
            store.move_in_queue(run_id, places)
        return ""

    def set_slots(self, count: int) -> str:
        """Let so many runs go on at once; 0: one for each GPU, else one."""
        with Store.open(self._home) as store:
            store.keep_setting(SLOTS_SETTING, count)
        return ""

    def work_on_queue(self) -> str:
        """Have waiting runs started, unless a process does so already."""
        with Store.open(self._home) as store:
            is_needed = any(run.is_due for run in store.queue())
        if is_needed:
            start_supervisor(self._home)
        return ""

    def resume(self, run_id: str) -> str:
        """Start a run that is over again, from its checkpoint."""
        with Store.open(self._home) as store:
            run = store.get(run_id)
            refuse_copy(store.run_dir(run_id))
            if run.job is not None:
                _control().submit_again(store, [run])
                return f"{run.name} was submitted again"
            if run.status == QUEUED:
                store.take_out(run_id)
            if run.status == "finished":
                raise LaunchError(f"{run.name} is finished: there is nothing to resume.")
            if run.is_live:
                raise LaunchError(f"{run.name} is {run.status}.")
            _launch(store.run_dir(run_id), patience_s=EXIT_PATIENCE_S)
            store.mark_relaunched(run_id)
            return f"{run.name} goes on"

    def interrupt(self, run_id: str) -> str:
        """Ask a run to save and stop."""
        with Store.open(self._home) as store:
            if store.get(run_id).status == QUEUED:
                return self.take_out(run_id)
        return self._stop(run_id, kill=False)

    def kill(self, run_id: str) -> str:
        """End a run's process at once."""
        return self._stop(run_id, kill=True)

    def launch_study(self, name: str) -> str:
        """Queue what is missing of a study, a kept one or a preset, and what broke off, or submit
        it where it went to a cluster last."""
        from vld_tui.study.launching import launch_named  # not for the first picture

        with Store.open(self._home) as store:
            before, submission = launch_named(store, name)
        new, broken_off = len(before.missing), len(before.broken_off)
        if not new and not broken_off:
            return f"{name}: nothing to launch, every run is there"
        goes_on = f", {broken_off:,} go on" if broken_off else ""
        said = f"{name}: {plural(new, 'new run')}{goes_on}"
        if submission is None:
            return said
        left = f"; {submission.why_left}" if submission.left else ""
        return f"{said}, on slurm as last time{left}"

    def export_study(self, state: StudyState, path: str) -> str:
        """Write what a study's runs reached to a new file, ``.csv``."""
        from vld_tui.control.study_table import export_table  # not for the first picture

        place = Path(path).expanduser().absolute()
        if place.suffix != ".csv":
            raise ExportError(
                f"{place.name} must end in .csv for the table, or .svg for the screen."
            )
        try:
            count = export_table(state, place)
        except OSError as error:
            raise ExportError(f"{place} cannot be written: {error.strerror}.") from None
        return f"{plural(count, 'line')} in {place}"

    def trash(self, run_ids: Sequence[str]) -> str:
        """Move runs to the trash."""
        with Store.open(self._home) as store:
            for run_id in run_ids:
                store.trash(run_id)
        return f"{_runs(run_ids)} in the trash; z takes back"

    def restore(self, run_ids: Sequence[str]) -> str:
        """Take runs out of the trash."""
        with Store.open(self._home) as store:
            for run_id in run_ids:
                store.restore(run_id)
        return f"{_runs(run_ids)} back"

    def change_tags(self, run_id: str, before: Sequence[str], after: Sequence[str]) -> str:
        """Add and remove the tags in which ``after`` differs from ``before``."""

        def change(now: tuple[str, ...]) -> list[str]:
            mine = [tag for tag in after if tag in now or tag not in before]
            return [*mine, *(tag for tag in now if tag not in before)]

        with Store.open(self._home) as store:
            store.change_tags(run_id, change)
        return "tags kept"

    def set_note(self, run_id: str, note: str) -> str:
        """Replace a run's note."""
        with Store.open(self._home) as store:
            store.set_note(run_id, note)
        return "note kept"

    def change_preferences(self, changes: Mapping[str, object]) -> str:
        """Remember some of how the user likes the dashboard."""
        change = partial(msgspec.structs.replace, **changes)
        with Store.open(self._home) as store:
            store.change_setting(PREFERENCES_SETTING, Preferences, Preferences(), change)
        return ""

    def export(self, query: Query, path: str) -> str:
        """Write the runs that match to a new file, ``.csv`` or ``.json``."""
        place = Path(path).expanduser().absolute()
        with Store.open(self._home) as store:
            records = run_records(store, store.list_runs(query))
        try:
            export_runs(records, place)
        except ValueError:
            raise ExportError(
                f"{place.name} must end in .csv or .json for the runs, or .svg for the screen."
            ) from None
        except OSError as error:
            raise ExportError(f"{place} cannot be written: {error.strerror}.") from None
        return f"{plural(len(records), 'run')} in {place}"

    def _located(self, spec: RunSpec) -> RunSpec:
        """Return a spec with the folder of its data set, if it was added by name."""
        folder = None if spec.data_dir else added_folder(self._home, spec.dataset)
        return spec if folder is None else msgspec.structs.replace(spec, data_dir=str(folder))

    def _stop(self, run_id: str, *, kill: bool) -> str:
        with Store.open(self._home) as store:
            run = store.get(run_id)
            if run.has_job:
                return f"{run.name} {_control().stop(store, run, kill=kill, by='the dashboard')}"
            if not stop(store.run_dir(run_id), kill=kill, by="the dashboard"):
                raise LaunchError(f"{run.name} has no process here to stop.")
        return f"{run.name} {'was killed' if kill else 'saves and stops'}"


def _control() -> ModuleType:
    """Return what handles runs that were given to a cluster; many homes have none."""
    from vld_tui.launch.slurm import control

    return control


def _launch(run_dir: RunDir, *, patience_s: float = 0.0) -> None:
    """Start a run's process; its exit code is recorded as long as this program lives."""
    process: subprocess.Popen[bytes] = launch(run_dir, patience_s=patience_s)
    threading.Thread(target=wait_and_record, args=(process, run_dir), daemon=True).start()


def _runs(run_ids: Sequence[str]) -> str:
    return "1 run is" if len(run_ids) == 1 else f"{len(run_ids)} runs are"
