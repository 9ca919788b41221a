"""What a run measured, saved and went through."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vld_tui.store.database import Database


class MetricPoint(msgspec.Struct, frozen=True):
    """One measured value; None where it was not finite.

    Beside the domains there are ``id`` (split ``out``) and ``ood`` (split ``in``), the
    accuracies a run is judged by, and ``sources`` (split ``train``), the training loss.
    """

    step: int
    split: str
    domain: str
    arm: str
    name: str
    value: float | None


class CheckpointInfo(msgspec.Struct, frozen=True):
    """A checkpoint as it was last saved; ``file`` is relative to the run folder."""

    kind: str
    step: int
    file: str
    bytes: int


class Attempt(msgspec.Struct, frozen=True):
    """One process's work on a run.

    ``outcome`` is ``finished``, ``stopped``, ``failed`` or ``crashed`` at ``step``, for
    ``reason``; None while it goes on.
    """

    attempt: int
    started_at: float
    resumed_step: int | None
    pid: int
    host: str
    versions: dict[str, str]
    commit: str | None
    ended_at: float | None
    outcome: str | None
    step: int | None
    reason: str | None


_POINTS = """
    SELECT step, split, domain, arm, name, value FROM (
        SELECT step, split, domain, arm, name, value FROM metrics WHERE run = :run
        UNION ALL SELECT step, 'out', 'id', arm, 'accuracy', id_accuracy
            FROM evaluations WHERE run = :run
        UNION ALL SELECT step, 'in', 'ood', arm, 'accuracy', ood_accuracy
            FROM evaluations WHERE run = :run
    )
    WHERE (:name IS NULL OR name = :name) AND (:split IS NULL OR split = :split)
      AND (:domain IS NULL OR domain = :domain)
    ORDER BY name, split, domain, arm, step
"""


def read_metrics(
    database: Database, key: int, *, name: str | None, split: str | None, domain: str | None
) -> list[MetricPoint]:
    """Return the points of each curve in order of steps; None: any.

    Raises:
        StoreError: when the database cannot be read.
    """
    wanted = {"run": key, "name": name, "split": split, "domain": domain}
    return [MetricPoint(*row) for row in database.rows(_POINTS, wanted)]


def read_checkpoints(database: Database, key: int) -> list[CheckpointInfo]:
    """Return the checkpoints, ``best`` before ``last``.

    Raises:
        StoreError: when the database cannot be read.
    """
    rows = database.rows(
        "SELECT kind, step, file, bytes FROM checkpoints WHERE run = ? ORDER BY kind", [key]
    )
    return [CheckpointInfo(*row) for row in rows]


def read_attempts(database: Database, key: int) -> list[Attempt]:
    """Return the attempts, oldest first.

    Raises:
        StoreError: when the database cannot be read.
    """
    rows = database.rows(
        "SELECT attempt, started_at, resumed_step, pid, host, versions, code_commit, ended_at, "
        "outcome, step, reason FROM attempts WHERE run = ? ORDER BY attempt",
        [key],
    )
    decode = msgspec.json.Decoder(dict[str, str]).decode
    return [
        Attempt(attempt, started_at, resumed_step, pid, host, decode(versions), *others)
        for attempt, started_at, resumed_step, pid, host, versions, *others in rows
    ]


def read_ood_histories(database: Database, run_ids: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Return the OOD accuracy of every evaluation of each run, in order of steps.

    Raises:
        StoreError: when the database cannot be read.
    """
    rows = database.rows(
        "SELECT run_id, evaluations.ood_accuracy "
        "FROM evaluations JOIN runs ON runs.key = evaluations.run "
        f"WHERE run_id IN ({', '.join('?' * len(run_ids))}) ORDER BY run_id, evaluations.step",
        run_ids,
    )
    histories: dict[str, list[float]] = {}
    for run_id, accuracy in rows:
        histories.setdefault(run_id, []).append(accuracy)
    return {run_id: tuple(values) for run_id, values in histories.items()}
