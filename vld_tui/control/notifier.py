"""The notifier: watches runs until they end, and sends notifications.

See :mod:`vld_tui.launch.notify.process` for when it is started.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from engine.protocol import UserError
from engine.rundir.lock import held
from vld_tui.config import ENDINGS, STUDY_DONE, NotifyConfig
from vld_tui.control.records import run_records
from vld_tui.control.tune import awaits_networks
from vld_tui.home import Home
from vld_tui.launch.notify.command import Sent, run_command
from vld_tui.launch.notify.message import Message
from vld_tui.launch.notify.process import has_work, why_unsendable
from vld_tui.launch.notify.webhook import PAUSES_S, post
from vld_tui.launch.slurm.jobs import JobWatch
from vld_tui.runs.run import Run
from vld_tui.store.errors import DatabaseLocked, RunNotFound, StoreError
from vld_tui.store.notifications import DueNotification
from vld_tui.store.store import Store
from vld_tui.study.define.definition import Study
from vld_tui.study.define.files import find_text, kept_names, kept_path
from vld_tui.study.standing import Standing, standing_of
from vld_tui.words.numbers import percent, plural
from vld_tui.words.text import plain_text

POLL_S: Final = 1.0
JOBS_POLL_S: Final = 60.0
"""How often the scheduler is queried: it is shared, and jobs may be pending for days."""
LOCK_PATIENCE_S: Final = 1.0
"""How long it waits for the lock, which a look at it holds for a moment."""
LINGER_S: Final = 5.0
"""How long it waits for more to do: a queue starts its next run within that time."""
MOST_LOG_BYTES: Final = 2**20
_SETTLE_TRIES: Final = 10
"""How often the result is written, if the database is locked for long."""
TEST_EVENT: Final = "test"
_DONE: Final = ("finished", "failed", "crashed")


class Notifier:
    """Sends the notifications of one home; only one process at a time does."""

    def __init__(
        self,
        store: Store,
        environment: Mapping[str, str] = os.environ,
        pauses_s: tuple[float, ...] = PAUSES_S,
    ) -> None:
        self._store, self._environment, self._pauses_s = store, environment, pauses_s
        self._jobs = JobWatch(store.home, JOBS_POLL_S)
        self._studies = _Studies(store)
        self._problem: str | None = None
        self._has_failed = False

    def work(self) -> None:
        """Watch runs and send notifications until neither is left to do."""
        self._store.notifications.release()
        idle_since = time.monotonic()
        while not self._store.database.is_replaced:
            try:
                if not self.take_turn():
                    return
                if has_work(self._store):
                    idle_since = time.monotonic()
                self._problem = None
            except StoreError as error:  # such as a locked database: retry
                if str(error) != self._problem:
                    self._problem = str(error)
                    _say(self._problem)
            if time.monotonic() - idle_since > LINGER_S:
                return
            time.sleep(POLL_S)

    def take_turn(self) -> bool:
        """Look at the runs, and send what is due; return False if nothing can be sent.

        Raises:
            StoreError: when the history cannot be read or written.
        """
        store = self._store
        store.folders.look_for_others()
        store.live.refresh()
        if store.jobs.open():
            self._jobs.look()
        config = store.notifications.config
        if not config.is_on:
            if store.notifications.are_due():
                store.notifications.drop_all()
            return False
        if why_unsendable(config, self._environment) is not None:
            return False
        while (due := store.notifications.claim()) is not None:
            self._settle(config, due)
        return True

    def _settle(self, config: NotifyConfig, due: DueNotification) -> None:
        """Send one notification, if it is wanted, and record the result."""
        store = self._store
        try:
            message = self._prepare(config, due)
        except DatabaseLocked:  # says nothing about this one
            raise
        except Exception:  # or it would hold up all others for ever
            store.notifications.count_try(due)
            raise
        if message is None or not _is_ours(store, due):
            store.notifications.settle(due, "dropped")
            return
        store.notifications.count_try(due)
        pauses_s = () if self._has_failed else self._pauses_s  # many may be due
        sent = send(config, message, store.home, self._environment, pauses_s)
        problems = "; ".join(f"{name}: {each.problem}" for name, each in sent if each.problem)
        _say(f"{due.event} {due.run_id or due.study}: {problems or 'sent'}")
        self._has_failed = bool(problems)
        self._record(due, problems)

    def _prepare(self, config: NotifyConfig, due: DueNotification) -> Message | None:
        """Return the message, if it is wanted, and note the studies that its run completes."""
        run = self._run_of(due)
        if run is not None and due.event in ENDINGS:
            for name, state in self._studies.done_with(run):
                self._store.notifications.note_study(name, state)
        return self._message(due, run) if due.event in config.on else None

    def _record(self, due: DueNotification, problems: str) -> None:
        """Record a result, patiently: without it, the notification would be sent again."""
        status = "failed" if problems else "sent"
        for _ in range(_SETTLE_TRIES - 1):
            with contextlib.suppress(DatabaseLocked):
                self._store.notifications.settle(due, status, problems or None)
                return
        self._store.notifications.settle(due, status, problems or None)

    def _run_of(self, due: DueNotification) -> Run | None:
        """Return the run that a notification is about, unless it is gone, or a copy."""
        if due.run_id is None:
            return None
        try:
            run = self._store.runs.get(due.run_id)
        except RunNotFound:
            return None
        return None if self._store.runs.run_dir(run.run_id).is_copy else run

    def _message(self, due: DueNotification, run: Run | None) -> Message | None:
        if due.event == STUDY_DONE and due.study is not None:
            standing = self._studies.standing(due.study)
            return None if standing is None else study_message(self._store, due, standing)
        return None if run is None else run_message(self._store, due, run)


def send(
    config: NotifyConfig,
    message: Message,
    home: Home,
    environment: Mapping[str, str] = os.environ,
    pauses_s: tuple[float, ...] = PAUSES_S,
) -> list[tuple[str, Sent]]:
    """Run the command and post to the webhook, whichever is set; return the result of each."""
    sent = []
    if config.command:
        done = run_command(
            config.command, message,
            timeout_s=config.timeout_s, folder=home.path, environment=environment,
        )  # fmt: skip
        sent.append(("command", done))
    if config.webhook:
        posted = post(
            config.webhook, config.format, message,
            timeout_s=config.timeout_s, environment=environment, pauses_s=pauses_s,
        )  # fmt: skip
        sent.append(("webhook", posted))
    return sent


def run_message(store: Store, due: DueNotification, run: Run) -> Message:
    """Return the message about a run.

    Raises:
        StoreError: when the history cannot be read.
    """
    results = [f"ID {percent(run.id_accuracy)}"] if run.id_accuracy is not None else []
    if run.ood_accuracy is not None:
        results.append(f"OOD {percent(run.ood_accuracy)}")
    text = f"{run.label} {due.event}"
    if due.event == "finished":
        text += " (collapsed)" if run.collapsed else ""
        text += f": {', '.join(results)}" if results else ""
    elif due.event in ENDINGS:
        text += f" at step {run.step:,} of {run.steps:,}"
        text += f": {run.reason}" if run.reason and run.status == due.event else ""
    else:
        text += f" at step {run.collapsed_step or run.step:,}: it predicts a single class"
    (record,) = run_records(store, [run])
    return _message(store.home, due.subject, due.event, due.happened_at, text, run=record)


def study_message(store: Store, due: DueNotification, standing: Standing) -> Message:
    """Return the message about a study whose runs have all ended."""
    statuses = [run.status for run in standing.runs if run is not None]
    counts = {status: statuses.count(status) for status in _DONE}
    told = ", ".join(f"{count:,} {status}" for status, count in counts.items() if count)
    study = standing.study
    text = f"study {study.name} is done: {plural(len(statuses), 'run')}, {told}"
    record = {"name": study.name, "title": study.title, "runs": len(statuses), **counts}
    return _message(store.home, due.subject, due.event, due.happened_at, text, study=record)


def test_message(store: Store) -> Message:
    """Return an example: about the newest run, if there is one.

    Raises:
        StoreError: when the history cannot be read.
    """
    newest = store.runs.find(limit=1)
    (record,) = run_records(store, newest) if newest else (None,)
    text = "This is a test notification of vld."
    now = time.time()
    return _message(store.home, f"{TEST_EVENT} {now}", TEST_EVENT, now, text, run=record)


def _message(home: Home, subject: str, event: str, at: float, text: str, **about: Any) -> Message:
    identity = hashlib.sha256(f"{home.path.absolute()} {subject}".encode()).hexdigest()[:16]
    return Message(
        id=identity, event=event, time=at, text=plain_text(text), host=socket.gethostname(),
        home=str(home.path.absolute()), **about,
    )  # fmt: skip


def _is_ours(store: Store, due: DueNotification) -> bool:
    """Return whether this database sends a notification.

    Several machines that share a home have a database each: the first to leave a file in the
    folder of the run, or of the studies, sends it.
    """
    home = store.home
    if home.database.parent == home.path:
        return True
    parts = due.subject.split()
    what = "-".join(parts[1:3] + parts[4:])  # each database has its own time of a launch
    folder = home.studies if due.run_id is None else home.run_dir(due.run_id).path
    claim = folder / f".notified-{what}"
    owner = f"{socket.gethostname()} {home.database}"
    try:
        with open(claim, "x", encoding="utf-8") as file:
            file.write(owner)
    except FileExistsError:
        with contextlib.suppress(OSError):
            return claim.read_text(encoding="utf-8") == owner
        return False
    except OSError:  # a folder that cannot be written: better twice than never
        return True
    return True


class _Studies:
    """The launched studies of a home, each read again when its file changes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, tuple[object, Study | None]] = {}

    def standing(self, name: str) -> Standing | None:
        """Return a study's standing, or None if it cannot be read."""
        study = self._read(name)
        return None if study is None else standing_of(self._store, study)

    def done_with(self, run: Run) -> Iterator[tuple[str, str]]:
        """Yield the studies of a run whose runs have all ended, with the state of those runs."""
        for name in kept_names(self._store.home):
            study = self._read(name)
            is_soup = run.combination is not None and name in run.tags  # of vld tune
            if study is None or not (is_soup or run.identity in study.identities):
                continue
            found = standing_of(self._store, study).runs
            runs = [each for each in found if each is not None and each.status in _DONE]
            if len(runs) == len(found) and not awaits_networks(self._store, name, runs):
                yield name, _state_of(runs)

    def _read(self, name: str) -> Study | None:
        path = kept_path(self._store.home, name)
        try:
            found = path.stat()
        except OSError:
            return None
        version = (found.st_mtime_ns, found.st_size, found.st_ino)
        known = self._known.get(name)
        if known is None or known[0] != version:
            study = None
            with contextlib.suppress(UserError):  # reported where studies are shown
                study = find_text(self._store.home, name).read(self._store.home)
            known = self._known[name] = (version, study)
        return known[1]


def _state_of(runs: list[Run]) -> str:
    """Return a digest of how the runs of a study ended: of a finished one, only that it did."""
    ends = sorted(
        f"{run.identity} {run.status}"
        + ("" if run.status == "finished" else f" {run.run_id} {run.attempts}")
        for run in runs
    )
    return hashlib.sha256("\n".join(ends).encode()).hexdigest()[:16]


def main(home: Home) -> None:
    """Watch and notify, unless another process does so."""
    while True:
        try:
            with (
                held(home.notifier_lock, patience_s=LOCK_PATIENCE_S),
                Store.open(home) as store,
            ):
                _cut_log(home)
                Notifier(store).work()
        except BlockingIOError:
            return
        # A process that has just recorded something may have seen the lock held.
        if not _is_due(home):
            return


def _is_due(home: Home) -> bool:
    """Return whether something can be sent."""
    if not home.is_made:  # deleted
        return False
    with Store.open(home) as store:
        config = store.notifications.config
        is_sendable = config.is_on and why_unsendable(config) is None
        return is_sendable and store.notifications.are_due()


def _cut_log(home: Home) -> None:
    """Empty the log of this process once it is long."""
    with contextlib.suppress(OSError):
        if home.notifier_log.stat().st_size > MOST_LOG_BYTES:
            os.truncate(home.notifier_log, 0)


def _say(text: str) -> None:
    print(time.strftime("%Y-%m-%d %H:%M:%S"), plain_text(text), flush=True)  # noqa: T201 - into its log


if __name__ == "__main__":
    try:
        main(Home(Path(sys.argv[1])))
    except StoreError as problem:
        _say(str(problem))
        sys.exit(problem.exit_code)
