"""Where a home's database lies: in it, or beside it where the home is on a network's disk.

Jobs on other machines work on the run folders there alone; SQLite's log and locks belong on a disk
of this machine. What the database holds is made again from the folders.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Final

DATABASES_VARIABLE: Final = "VLD_DATABASES"
FILE: Final = "vld.db"
_LOCAL: Final = Path("/var/tmp")
_OF_NETWORKS: Final = frozenset(
    ("afs", "beegfs", "ceph", "cifs", "gpfs", "lustre", "nfs", "nfs4", "panfs", "smb3", "smbfs",
     "fuse.ceph", "fuse.glusterfs", "fuse.sshfs", "wekafs")
)  # fmt: skip
"""Types of file systems that several machines share."""


def database_of(home: Path) -> Path:
    """Return the path of a home's database.

    ``VLD_DATABASES`` names the folder of all of them; else one that lies in the home is taken, and
    one of a home on a network's disk lies on a disk of this machine.
    """
    inside = home / FILE
    named = os.environ.get(DATABASES_VARIABLE)
    if not named and (inside.exists() or not is_on_network(home)):
        return inside
    folder = Path(named).expanduser().absolute() if named else _own_folder()
    name = hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:16]
    return folder / name / FILE


@functools.cache
def is_on_network(path: Path) -> bool:
    """Say whether a path lies on a disk that several machines share; where unknown, it does not."""
    import psutil  # takes a moment

    path = path.resolve()
    mounts = {part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)}
    for folder in (path, *path.parents):
        if (kind := mounts.get(str(folder))) is not None:
            return kind in _OF_NETWORKS
    return False


def _own_folder() -> Path:
    """Return a folder of this user's on a disk of this machine that outlives a restart."""
    root = _LOCAL if _LOCAL.is_dir() else Path(tempfile.gettempdir())
    return root / f"vld-tui-{os.getuid()}"


def make_folder(database: Path) -> None:
    """Make the folder of a database that lies outside its home, for this user alone.

    Raises:
        OSError: when it cannot be made, or is somebody else's.
    """
    folder = database.parent
    for each in (folder.parent, folder) if folder.parent == _own_folder() else ():
        each.mkdir(mode=0o700, exist_ok=True)
        if each.is_symlink() or each.stat().st_uid != os.getuid():
            raise PermissionError(errno.EACCES, "it is somebody else's", str(each))
    folder.mkdir(parents=True, exist_ok=True)
