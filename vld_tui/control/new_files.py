"""Files that appear under their name when they are complete, and never replace another one."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""Errors of file systems without hard links."""


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
