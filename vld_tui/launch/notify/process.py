"""Start the notifier: the process that watches runs and sends notifications.

``python -m vld_tui.control.notifier HOME``. It exists only while notifications are on and there is
something to watch or to send: any program that starts a run, or looks at the history, starts it.
Of several, one works: it holds a lock that the operating system releases when it dies. All its
state is in the database, so a killed notifier is replaced by the next one.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Mapping
from typing import Final

from engine.rundir import plain_file
from engine.rundir.lock import is_held
from vld_tui.config import NotifyConfig
from vld_tui.home import Home
from vld_tui.launch.notify.address import missing_variables
from vld_tui.store.errors import StoreError
from vld_tui.store.store import Store

NOTIFIER_COMMAND: Final = (sys.executable, "-P", "-m", "vld_tui.control.notifier")


def call_notifier(store: Store) -> str | None:
    """Start the notifier if there is something to watch or to send, and none is running.

    Returns:
        Why notifications are not sent, if they cannot be.

    Raises:
        StoreError: when the history cannot be read.
    """
    if store.database.is_read_only or store.database.is_copy:
        return None
    config = store.notifications.config
    if not config.is_on or not has_work(store):
        return None
    if (problem := why_unsendable(config)) is not None:
        return problem
    return None if is_notifying(store.home) else _start(store.home)


def watch(store: Store) -> None:
    """Have runs watched that have just been started or submitted, whatever happens."""
    with contextlib.suppress(StoreError):  # the next program that looks at the history does it
        call_notifier(store)


def has_work(store: Store) -> bool:
    """Return whether there are notifications to send, or runs whose end is to be noticed.

    Raises:
        StoreError: when the history cannot be read.
    """
    if store.notifications.are_due() or store.live.are_any():
        return True
    from vld_tui.launch.slurm.commands import is_slurm_here  # most homes have no cluster

    jobs = (job for job in store.jobs.open() if not store.runs.run_dir(job.run_id).is_copy)
    return any(True for _ in jobs) and is_slurm_here()


def why_unsendable(config: NotifyConfig, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return why this process cannot send notifications: a variable that it does not have."""
    missing = missing_variables(config.webhook, environment)
    if not missing:
        return None
    what = f"{missing[0]} (in notify.webhook) is not set in this environment"
    return f"notifications are on hold: {what}"


def is_notifying(home: Home) -> bool:
    """Return whether a notifier is running, without writing anything."""
    return is_held(home.notifier_lock)


def _start(home: Home) -> str | None:
    """Start the notifier; return why it cannot be started."""
    # Rarely needed by those who only look.
    from vld_tui.launch.local import engine_environment, start_process

    try:
        with open(home.notifier_log, "ab", opener=plain_file) as log:
            words = [*NOTIFIER_COMMAND, str(home.path.absolute())]
            process = start_process(words, engine_environment(), log)
    except OSError as error:
        return f"notifications are on hold: cannot start the notifier: {error}"
    threading.Thread(target=process.wait, daemon=True).start()  # so that it leaves no zombie
    return None
