"""The path of a home's database: in the home, or on a local disk if the home is on a shared disk.

Jobs on other machines only access the run folders; SQLite's log and locks need a local disk. The
database can be rebuilt from the folders.
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
"""Types of network file systems."""


def database_of(home: Path) -> Path:
    """Return the path of a home's database.

    ``VLD_DATABASES`` is the folder of all databases. Otherwise an existing one in the home is
    used, and the database of a home on a shared disk is on a local disk.
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
    """Return whether a path lies on a disk shared by several machines; if unknown, False."""
    import psutil  # slow to import

    path = path.resolve()
    mounts = {part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)}
    for folder in (path, *path.parents):
        if (kind := mounts.get(str(folder))) is not None:
            return kind in _OF_NETWORKS
    return False


def _own_folder() -> Path:
    """Return this user's persistent folder on a local disk."""
    root = _LOCAL if _LOCAL.is_dir() else Path(tempfile.gettempdir())
    return root / f"vld-tui-{os.getuid()}"


def make_folder(database: Path) -> None:
    """Create the folder of a database outside its home, private to this user.

    Raises:
        OSError: when it cannot be created, or belongs to another user.
    """
    folder = database.parent
    for each in (folder.parent, folder) if folder.parent == _own_folder() else ():
        each.mkdir(mode=0o700, exist_ok=True)
        if each.is_symlink() or each.stat().st_uid != os.getuid():
            raise PermissionError(errno.EACCES, "belongs to another user", str(each))
    folder.mkdir(parents=True, exist_ok=True)
