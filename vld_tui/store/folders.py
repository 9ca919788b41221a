"""List the run folders of a home."""

from __future__ import annotations

import os
from collections.abc import Iterator

from vld_tui.home import Home
from vld_tui.store.errors import StoreError
from vld_tui.store.lookup import LAST


def run_ids(home: Home) -> Iterator[str]:
    """Yield the names of the run folders that are not in the trash.

    Raises:
        StoreError: when they cannot be listed.
    """
    try:
        with os.scandir(home.runs) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and entry.is_dir() and is_text(entry.name):
                    yield entry.name
    except FileNotFoundError:  # the home does not exist yet
        return
    except OSError as error:
        raise StoreError(f"Cannot list {home.runs}: {error.strerror}.") from None


def is_text(name: str) -> bool:
    """Return whether a name is valid text."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def has_run_folders(home: Home) -> bool:
    """Return whether a run folder exists."""
    try:
        return any(True for _ in run_ids(home))
    except StoreError:
        return False


def folders_meant(home: Home, reference: str) -> list[str]:
    """Return the folders of the runs that a reference matches: id, unique prefix, name or
    ``@last``.

    Raises:
        StoreError: when the folders cannot be listed.
    """
    known = sorted(run_ids(home))
    if reference == LAST:
        return known[-1:]
    if reference in known:
        return [reference]
    named = [run_id for run_id in known if home.run_dir(run_id).read_user().name == reference]
    return named or [run_id for run_id in known if reference and run_id.startswith(reference)]
