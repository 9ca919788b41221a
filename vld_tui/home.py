"""The home: the one folder that holds the database, the runs, the trash and the caches."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from engine.protocol import UserError
from engine.rundir import RunDir
from vld_tui.database_path import database_of

HOME_VARIABLE = "VLD_HOME"


class HomeError(UserError):
    """A home that cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Home:
    """Paths of one home."""

    path: Path

    @property
    def is_made(self) -> bool:
        """Say whether anything was kept in the home yet."""
        return self.runs.is_dir() or self.database.is_file()

    @property
    def database(self) -> Path:
        """Return the path of the history, in the home or on a disk of this machine."""
        return database_of(self.path)

    @property
    def runs(self) -> Path:
        """Return the folder of run folders."""
        return self.path / "runs"

    @property
    def trash(self) -> Path:
        """Return the folder of removed run folders."""
        return self.path / "trash"

    @property
    def datasets(self) -> Path:
        """Return the folder of the data sets that were added or fetched, one folder each."""
        return self.path / "data"

    @property
    def studies(self) -> Path:
        """Return the folder of the studies that were launched, a file each."""
        return self.path / "studies"

    @property
    def profiles(self) -> Path:
        """Return the folder of the clusters' settings, a file each."""
        return self.path / "profiles"

    @property
    def jobs(self) -> Path:
        """Return the folder of what was submitted to a cluster, and of what its jobs say."""
        return self.path / "jobs"

    @property
    def cache(self) -> Path:
        """Return the folder of what can be made again: decoded images, measured precisions."""
        return self.path / "cache"

    @property
    def supervisor_lock(self) -> Path:
        """Return the lock of the process that starts waiting runs."""
        return self.path / "supervisor.lock"

    @property
    def supervisor_log(self) -> Path:
        """Return the path of what that process says."""
        return self.path / "supervisor.log"

    @property
    def error_log(self) -> Path:
        """Return the path of what went wrong inside the dashboard."""
        return self.path / "dashboard.log"

    def run_dir(self, run_id: str) -> RunDir:
        """Return the folder of a run that is not in the trash."""
        return RunDir(_inside(self.runs, run_id))

    def trashed_run_dir(self, run_id: str) -> RunDir:
        """Return the folder of a run in the trash."""
        return RunDir(_inside(self.trash, run_id))


def _inside(folder: Path, run_id: str) -> Path:
    """Return a folder's member.

    Raises:
        HomeError: when the id would lead elsewhere, as one in a history from elsewhere might.
    """
    if run_id in ("", ".", "..") or "/" in run_id or "\0" in run_id:
        raise HomeError(
            f"The run id {run_id!r} cannot name a folder: the history is not one that vld wrote. "
            "Move vld.db away, then: vld rebuild"
        )
    return folder / run_id


def find_home(option: Path | None) -> Home:
    """Return the home that :func:`open_home` would open, whether or not it is there."""
    return Home(_resolve(option))


def find_named_home(option: Path | None) -> Home:
    """Return the home, to look at: one that ``option`` or ``VLD_HOME`` names must be there.

    Raises:
        HomeError: when it is not, likely as its name is mistyped.
    """
    home = find_home(option)
    if (option is not None or os.environ.get(HOME_VARIABLE)) and not home.path.exists():
        raise HomeError(absence(home))
    return home


def absence(home: Home) -> str:
    """Say that a home is not there, and what to do."""
    return (
        f"The home {home.path} does not exist yet; the first run makes it. "
        f"Another one: --home DIR or {HOME_VARIABLE}."
    )


def open_home(option: Path | None, *, to_look: bool = False) -> Home:
    """Return the home, made if it is not there yet.

    ``option`` wins over the environment's ``VLD_HOME``, which wins over the platform's folder
    for a user's data. ``to_look``: one with a history need not be writable.

    Raises:
        HomeError: when it cannot be made or written.
    """
    home = find_home(option)
    try:
        for folder in (home.runs, home.trash, home.datasets, home.cache):
            folder.mkdir(parents=True, exist_ok=True)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError("permission denied")
    except OSError as error:
        if to_look and home.database.is_file():
            return home
        raise _unwritable(home, error.strerror or str(error)) from None
    return home


def look_at_home(option: Path | None) -> Home:
    """Return the home, to look at: one that is not there yet is not made.

    Raises:
        HomeError: when it cannot even be read, or could not be made.
    """
    home = find_home(option)
    if home.is_made:
        return open_home(option, to_look=True)
    nearest = next(each for each in (home.path, *home.path.parents) if each.exists())
    if not nearest.is_dir():
        raise _unwritable(home, os.strerror(errno.ENOTDIR))
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise _unwritable(home, os.strerror(errno.EACCES))
    return home


def _unwritable(home: Home, reason: str) -> HomeError:
    return HomeError(
        f"{home.path} cannot be written: {reason.lower()}; use --home DIR or {HOME_VARIABLE}."
    )


def _resolve(option: Path | None) -> Path:
    if option is not None:
        return option.expanduser().absolute()
    if named := os.environ.get(HOME_VARIABLE):
        return Path(named).expanduser().absolute()
    import platformdirs

    return platformdirs.user_data_path("vld-tui")
