"""Trackio: its local database of a project. Nothing is sent anywhere.

What the database has of a run decides what is added.
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import sqlite3
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Final

from vld_tui.home import absolute_path
from vld_tui.trackers.tracker import PROJECT, Destination, Known, Row, TrackedRun, TrackerError

_ELSEWHERE: Final = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL")
_FOLDER: Final = "TRACKIO_DIR"
_NOT_VALUES: Final = ("step", "timestamp")


def open_tracker(destination: Destination) -> Trackio:
    """Return a project's database.

    Trackio reads its folder from the environment when it is imported.
    """
    for name in _ELSEWHERE:
        if os.environ.get(name):
            raise TrackerError(
                f"{name} is set, but runs are pushed to Trackio's local database only.\n"
                "Unset it; afterwards, publish the project with: trackio sync"
            )
    if destination.dir is not None:
        os.environ[_FOLDER] = str(absolute_path(destination.dir))
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import trackio

    folder = trackio.utils.TRACKIO_DIR
    if destination.dir is not None and folder != absolute_path(destination.dir):
        raise TrackerError(f"Trackio already uses {folder} in this process.")
    project = destination.project or PROJECT
    try:
        trackio.sqlite_storage.SQLiteStorage.validate_project_name(project)
    except ValueError as error:
        raise TrackerError(f"--project: {error}") from None
    return Trackio(trackio, project)


class Trackio:
    """A project of the local database."""

    def __init__(self, client: Any, project: str) -> None:
        self._client, self._project = client, project

    @property
    def view(self) -> tuple[str, str]:
        """Return the command that shows the project."""
        given = os.environ.get(_FOLDER)
        folder = f"{_FOLDER}={shlex.quote(given)} " if given else ""
        return f"{folder}trackio show --project {shlex.quote(self._project)}", "show the runs"

    def begin(self, run: TrackedRun) -> TrackioRun:
        """Find a run by its name, which ends in its id."""
        return TrackioRun(self._client, self._project, run)


class TrackioRun:
    """One run of a project."""

    def __init__(self, client: Any, project: str, run: TrackedRun) -> None:
        self._client, self._project, self._run = client, project, run
        self._storage = client.sqlite_storage.SQLiteStorage
        self._name = self._known_name() or f"{run.name} {run.run_id}"
        self._steps = self._stored()

    @property
    def known(self) -> Known:
        """Return the last step of each value."""
        return Known(steps=dict(self._steps))

    @property
    def place(self) -> str:
        """Return the database."""
        return str(self._storage.get_project_db_path(self._project))

    def log(self, rows: Sequence[Row]) -> None:
        """Write the rows, and check that they arrived: Trackio only warns if they did not."""
        with _quiet(self.place):
            run = self._resume()
            for row in rows:
                run.log(dict(row.values), step=row.step)
                self._steps.update(dict.fromkeys(row.values, row.step))
            self._client.finish()
        if self._stored() != self._steps:
            raise TrackerError(
                f"Trackio could not write all values of {self._run.run_id} to {self.place}.\n"
                "Check the disk; the same command pushes what is missing."
            )

    def describe(self, run: TrackedRun) -> None:
        """Add the selected results; settings and status are written with the first values."""
        self._run = run
        chosen = run.selected
        if chosen is not None and self._steps.get("selected/step", -1) < chosen.step:
            self.log([chosen])

    def close(self) -> None:
        """Do nothing: every call has written."""

    def _resume(self) -> Any:
        """Return Trackio's own object for the run. Trackio has one open run at a time."""
        run = self._run
        labels = {
            "run": run.run_id,
            "status": run.status,
            "study": run.group,
            "tags": ", ".join(run.tags),
            "note": run.note,
        }
        return self._client.init(
            project=self._project,
            name=self._name,
            group=run.group,
            config={**run.settings, **labels},
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def _known_name(self) -> str | None:
        """Return the name under which the run is stored."""
        with _quiet(self.place):
            names = self._storage.get_runs(self._project)
        return next((name for name in names if name.endswith(f" {self._run.run_id}")), None)

    def _stored(self) -> dict[str, int]:
        steps: dict[str, int] = {}
        with _quiet(self.place):
            logs = self._storage.get_logs(self._project, self._name)
        for values in logs:
            for name in values:
                if name not in _NOT_VALUES:
                    steps[name] = max(values["step"], steps.get(name, -1))
        return steps


@contextlib.contextmanager
def _quiet(place: str) -> Iterator[None]:
    """Keep Trackio's messages from stdout; report what it cannot do."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (OSError, sqlite3.Error) as error:
        raise TrackerError(f"Trackio cannot use {place}: {error}.") from None
