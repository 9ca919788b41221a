"""What can be wrong with images."""

import errno

from engine.errors import InputError


class DataError(InputError):
    """Images no run can be made of; the message says which, where, and what to do."""


def is_full(error: BaseException) -> bool:
    """Say whether a disk, or somebody's share of it, had no room left."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
