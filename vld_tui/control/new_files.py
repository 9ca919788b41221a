"""Files that appear under their name when they are complete, and never replace another one."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from engine.protocol import UserError

_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""Errors of file systems without hard links."""
USE_ANOTHER_NAME: Final = "Use another name."


def check_new_file(
    path: Path, *, replaces: bool, refused: type[UserError], advice: str = USE_ANOTHER_NAME
) -> None:
    """Check that a file can be created; arguments are those of :func:`check_free_name`.

    Raises:
        UserError: ``refused``, also when the folder is missing.
    """
    if not path.parent.is_dir():
        raise refused(f"There is no folder {path.parent}. Create it first.")
    check_free_name(path, replaces=replaces, refused=refused, advice=advice)


def check_free_name(
    path: Path, *, replaces: bool, refused: type[UserError], advice: str = USE_ANOTHER_NAME
) -> None:
    """Check that a name is free, or that of a file which may be replaced.

    Args:
        path: of the new file.
        replaces: an existing file may be replaced.
        refused: the error to raise.
        advice: what to do if the file exists.

    Raises:
        UserError: ``refused``.
    """
    if path.is_dir():
        raise refused(f"{path} is a folder. {USE_ANOTHER_NAME}")
    if os.path.lexists(path) and not replaces:
        raise refused(f"{path} exists. {advice}")


def give_new_name(temporary: Path, target: Path) -> bool:
    """Give a complete file its name; return False if the name is taken.

    The temporary name may remain. File systems without hard links are supported.

    Raises:
        OSError: when it cannot be given.
    """
    try:
        os.link(temporary, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(target):
            return False
        temporary.rename(target)
    return True
