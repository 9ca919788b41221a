"""The folders of runs, as a home has them."""

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
    except FileNotFoundError:  # a home that is not made yet
        return
    except OSError as error:
        raise StoreError(f"{home.runs} cannot be listed: {error.strerror}.") from None


def is_text(name: str) -> bool:
    """Say whether a name holds no bytes that are not text."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def has_run_folders(home: Home) -> bool:
    """Say whether there is a run folder."""
    try:
        return any(True for _ in run_ids(home))
    except StoreError:
        return False


def folders_meant(home: Home, reference: str) -> list[str]:
    """Return the runs that a reference may mean, by their folders: an id, the start of one, a name
    or ``@last``.

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
