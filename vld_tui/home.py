"""The home: the folder of the database, the runs, the trash and the caches."""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.protocol import UserError
from engine.rundir import RunDir

HOME_VARIABLE = "VLD_HOME"
DATABASES_VARIABLE: Final = "VLD_DATABASES"
DATABASE_FILE: Final = "vld.db"
_LOCAL_DISK: Final = Path("/var/tmp")
_NETWORK_FILE_SYSTEMS: Final = frozenset(
    ("afs", "beegfs", "ceph", "cifs", "gpfs", "lustre", "nfs", "nfs4", "panfs", "smb3", "smbfs",
     "fuse.ceph", "fuse.glusterfs", "fuse.sshfs", "wekafs")
)  # fmt: skip
"""Types of network file systems."""


class HomeError(UserError):
    """An unusable home; the message gives the reason and what to do."""


@dataclass(frozen=True)
class Home:
    """Paths of one home."""

    path: Path

    @property
    def is_made(self) -> bool:
        """Return whether the home contains anything yet."""
        return self.runs.is_dir() or self.database.is_file()

    @property
    def database(self) -> Path:
        """Return the path of the database, in the home or on a local disk."""
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
    def imported(self) -> Path:
        """Return the folder of runs imported from other trackers, one file each."""
        return self.path / "imported"

    @property
    def datasets(self) -> Path:
        """Return the folder of added and downloaded data sets, one folder each."""
        return self.path / "data"

    @property
    def studies(self) -> Path:
        """Return the folder of launched studies, one file each."""
        return self.path / "studies"

    @property
    def profiles(self) -> Path:
        """Return the folder of cluster profiles, one file each."""
        return self.path / "profiles"

    @property
    def jobs(self) -> Path:
        """Return the folder of submissions to a cluster and of the jobs' logs."""
        return self.path / "jobs"

    @property
    def cache(self) -> Path:
        """Return the folder of caches: decoded images, measured precisions."""
        return self.path / "cache"

    @property
    def supervisor_lock(self) -> Path:
        """Return the lock file of the process that starts queued runs."""
        return self.path / "supervisor.lock"

    @property
    def supervisor_log(self) -> Path:
        """Return the log of the process that starts queued runs."""
        return self.path / "supervisor.log"

    @property
    def notifier_lock(self) -> Path:
        """Return the lock file of the process that sends notifications, one per database."""
        return self.database.with_name("notifier.lock")

    @property
    def notifier_log(self) -> Path:
        """Return the log of the process that sends notifications."""
        return self.path / "notifier.log"

    @property
    def error_log(self) -> Path:
        """Return the dashboard's error log."""
        return self.path / "dashboard.log"

    def run_dir(self, run_id: str) -> RunDir:
        """Return the folder of a run that is not in the trash."""
        return RunDir(_inside(self.runs, run_id))

    def trashed_run_dir(self, run_id: str) -> RunDir:
        """Return the folder of a run in the trash."""
        return RunDir(_inside(self.trash, run_id))


def _inside(folder: Path, run_id: str) -> Path:
    """Return the folder of a run inside ``folder``.

    Raises:
        HomeError: when the id is a path elsewhere, as in a manipulated database.
    """
    if run_id in ("", ".", "..") or "/" in run_id or "\0" in run_id:
        raise HomeError(
            f"The run id {run_id!r} is not a valid folder name: the database was not written "
            "by vld. Move vld.db away, then run: vld rebuild"
        )
    return folder / run_id


def find_home(option: Path | None) -> Home:
    """Return the home that :func:`open_home` would open, even if it does not exist."""
    return Home(_resolve(option))


def find_named_home(option: Path | None) -> Home:
    """Return the home read-only; one given by ``option`` or ``VLD_HOME`` must exist.

    Raises:
        HomeError: when it does not, likely a mistyped name.
    """
    home = find_home(option)
    if (option is not None or os.environ.get(HOME_VARIABLE)) and not home.path.is_dir():
        raise HomeError(absence(home))
    return home


def absence(home: Home) -> str:
    """Return the error for a home that is not a folder."""
    nearest = nearest_existing(home.path)
    why = f"The home {home.path} does not exist yet; the first run creates it."
    if not nearest.is_dir():
        why = f"The home {home.path} cannot be used: {nearest} is a file, not a folder."
    return f"{why}\nTo use another one, pass --home DIR or set {HOME_VARIABLE}."


def open_home(option: Path | None, *, to_look: bool = False) -> Home:
    """Return the home, creating it if missing.

    ``option`` takes precedence over ``VLD_HOME``, which takes precedence over the platform's user
    data folder. ``to_look``: a home with a history need not be writable.

    Raises:
        HomeError: when it cannot be created or written.
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
    """Return the home read-only, without creating it.

    Raises:
        HomeError: when it cannot be read, or could not be created.
    """
    home = find_home(option)
    if home.is_made:
        return open_home(option, to_look=True)
    nearest = nearest_existing(home.path)
    if not nearest.is_dir():
        raise _unwritable(home, os.strerror(errno.ENOTDIR))
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise _unwritable(home, os.strerror(errno.EACCES))
    return home


def _unwritable(home: Home, reason: str) -> HomeError:
    return HomeError(
        f"Cannot write to {home.path}: {reason.lower()}. Use --home DIR or {HOME_VARIABLE}."
    )


def nearest_existing(path: Path) -> Path:
    """Return a path, or the innermost of its parents that exists."""
    return next(each for each in (path, *path.parents) if each.exists())


def expanded(given: str | Path) -> Path:
    """Return a path that the user gave, with ``~`` expanded; ``~`` of an unknown user is kept."""
    return Path(os.path.expanduser(given))


def absolute_path(given: str | Path) -> Path:
    """Return a path that the user gave, :func:`expanded` and absolute."""
    return expanded(given).absolute()


def _resolve(option: Path | None) -> Path:
    if given := option or os.environ.get(HOME_VARIABLE):
        return absolute_path(given)
    import platformdirs

    return platformdirs.user_data_path("vld-tui")


def database_of(home: Path) -> Path:
    """Return the path of a home's database.

    ``VLD_DATABASES`` is the folder of all databases. Otherwise an existing one in the home is
    used, and the database of a home on a shared disk is on a local disk, which SQLite's log and
    locks need. Jobs on other machines only access the run folders, from which the database can be
    rebuilt.
    """
    inside = home / DATABASE_FILE
    named = os.environ.get(DATABASES_VARIABLE)
    if not named and (inside.exists() or not is_on_network(home)):
        return inside
    folder = absolute_path(named) if named else _local_databases()
    name = hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:16]
    return folder / name / DATABASE_FILE


@functools.cache
def is_on_network(path: Path) -> bool:
    """Return whether a path lies on a disk shared by several machines; if unknown, False."""
    import psutil  # slow to import

    path = path.resolve()
    mounts = {part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)}
    for folder in (path, *path.parents):
        if (kind := mounts.get(str(folder))) is not None:
            return kind in _NETWORK_FILE_SYSTEMS
    return False


def _local_databases() -> Path:
    """Return this user's persistent folder on a local disk."""
    root = _LOCAL_DISK if _LOCAL_DISK.is_dir() else Path(tempfile.gettempdir())
    return root / f"vld-tui-{os.getuid()}"


def make_database_folder(database: Path) -> None:
    """Create the folder of a database outside its home, private to this user.

    Raises:
        OSError: when it cannot be created, or belongs to another user.
    """
    folder = database.parent
    for each in (folder.parent, folder) if folder.parent == _local_databases() else ():
        each.mkdir(mode=0o700, exist_ok=True)
        if each.is_symlink() or each.stat().st_uid != os.getuid():
            raise PermissionError(errno.EACCES, "belongs to another user", str(each))
    folder.mkdir(parents=True, exist_ok=True)
