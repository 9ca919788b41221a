"""A run as history knows it, and the rows it is read from."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from engine.protocol import Combination, CombinationError, RunSpec, decode_combination
from vld_tui.store.database import Database, Parameters
from vld_tui.store.errors import StoreError
from vld_tui.store.parents import mixed_fields
from vld_tui.store.specs import decode_stored_spec

LIVE: Final = ("starting", "running")
"""Statuses of runs that a process should be working on."""

QUEUED: Final = "queued"
"""Status of a run that waits for a slot."""

STATUSES: Final = (QUEUED, *LIVE, "finished", "stopped", "failed", "crashed")


class Run(msgspec.Struct, frozen=True, gc=False):
    """A run: what it is, and how it went so far.

    Accuracies are shares from 0 to 1 at the selected step: while it runs, the step with the
    best ID accuracy so far. ``domains`` has the sources' ``out`` split and the target's ``in``
    split. Times are Unix seconds. ``seconds_left`` is as estimated at the last event.
    ``damaged_lines`` of the event log could not be read. ``queue_position`` orders those that
    wait; one that ``is_held`` is passed over. ``gpu`` is what the queue gave it.
    ``job`` is the cluster's job that it was given to, with the scheduler's words for where it
    stands, why, and on which node; ``has_job``: that job is not over.
    ``arm`` is how it predicts; ``combination`` is of a run that trains nothing. ``identity`` is
    shared by runs that must give the same result. ``data_digest`` changes with the images; empty:
    not known. Of ``mixed_fields`` a run that combines others has no one value: ``spec`` has that of
    its first parent.
    """

    run_id: str
    name: str
    tags: tuple[str, ...]
    note: str
    created_at: float
    status: str
    collapsed: bool
    spec: RunSpec
    step: int
    steps: int
    selected_step: int | None = None
    id_accuracy: float | None = None
    ood_accuracy: float | None = None
    domains: dict[str, float] = {}
    combination: Combination | None = None
    loss: float | None = None
    steps_per_s: float | None = None
    images_per_s: float | None = None
    seconds_left: float | None = None
    wall_s: float | None = None
    error: str | None = None
    pid: int | None = None
    host: str | None = None
    precision: str | None = None
    memory_format: str | None = None
    device: str | None = None
    attempts: int = 0
    trashed_at: float | None = None
    exit_code: int | None = None
    damaged_lines: int = 0
    queue_position: float | None = None
    is_held: bool = False
    gpu: str | None = None
    arm: str = ""
    identity: str | None = None
    data_digest: str = ""
    job: str | None = None
    job_state: str | None = None
    job_reason: str | None = None
    job_node: str | None = None
    has_job: bool = False
    mixed_fields: tuple[str, ...] = ()

    @property
    def dataset(self) -> str:
        """Return the data set's name."""
        return self.spec.dataset

    @property
    def target(self) -> str | None:
        """Return the domain left out of training."""
        return self.spec.target

    @property
    def model(self) -> str:
        """Return the network's name."""
        return self.spec.model

    @property
    def dropout_rate(self) -> float:
        """Return the probability of zeroing a feature."""
        return self.spec.dropout_rate

    @property
    def masks(self) -> int:
        """Return the masks per backbone pass."""
        return self.spec.masks

    @property
    def seed(self) -> int:
        """Return the run's seed."""
        return self.spec.seed

    @property
    def name_without_seed(self) -> str:
        """Return the run's name without the seed at its end."""
        return self.name.removesuffix(f"-s{self.seed}")

    @property
    def accuracy_gap(self) -> float | None:
        """Return OOD less ID accuracy, from −1 to 1."""
        if self.id_accuracy is None or self.ood_accuracy is None:
            return None
        return self.ood_accuracy - self.id_accuracy

    @property
    def is_live(self) -> bool:
        """Say whether a process should be working on it."""
        return self.status in LIVE


class RunPoint(msgspec.Struct, frozen=True, gc=False):
    """An evaluated run in the ID–OOD plane, or several runs at their mean.

    Accuracies are shares from 0 to 1 at the selected step. ``run_id`` is the run's, or that of
    the latest of several; None: they differ in it. ``setting`` is what a study compares, in words.
    """

    run_id: str
    name: str
    id_accuracy: float
    ood_accuracy: float
    dropout_rate: float | None
    arm: str | None = None
    target: str | None = None
    model: str | None = None
    dataset: str | None = None
    setting: str | None = None


def read_points(
    database: Database, where: str, parameters: Parameters, *, limit: int
) -> list[RunPoint]:
    """Return the newest evaluated runs of the rows that ``where`` keeps.

    Raises:
        StoreError: when the database cannot be read.
    """
    rows = database.rows(
        "SELECT run_id, name, id_accuracy, ood_accuracy, json_extract(spec, '$.dropout_rate'), "
        "arm, target, json_extract(spec, '$.model'), json_extract(spec, '$.dataset'), "
        "iif(combination IS NULL, NULL, spec), combination "
        f"FROM runs WHERE {where} AND id_accuracy IS NOT NULL AND ood_accuracy IS NOT NULL "
        f"ORDER BY created_at DESC, key DESC LIMIT {limit}",
        parameters,
    )
    try:
        combining = [
            (decode_stored_spec(spec), decode_combination(text))
            for *_, spec, text in rows
            if text is not None
        ]
    except (msgspec.DecodeError, CombinationError) as error:
        raise _unreadable(database, error) from None
    found = mixed_fields(database, combining)
    points = []
    for *values, _, text in rows:
        point = RunPoint(*values)
        if text is not None and "dropout_rate" in next(found):
            point = msgspec.structs.replace(point, dropout_rate=None)
        points.append(point)
    return points


_COLUMNS: Final = (
    "run_id, name, tags, note, created_at, status, collapsed_step IS NOT NULL, spec, step, "
    "selected_step, id_accuracy, ood_accuracy, domains, combination, loss, steps_per_s, "
    "images_per_s, seconds_left, wall_s, error, pid, host, precision, memory_format, device, "
    "attempts, trashed_at, exit_code, damaged_lines, queue_position, queue_held, gpu, arm, "
    "identity, data_digest, job, job_state, job_reason, job_node, job_open"
)
_decode_domains: Final = msgspec.json.Decoder(dict[str, float]).decode


def read_runs(
    database: Database,
    where: str,
    parameters: Parameters = (),
    *,
    order: str = "key",
    offset: int = 0,
    limit: int = -1,
) -> list[Run]:
    """Return the runs of the rows that ``where`` keeps, from ``offset`` on; −1: no limit.

    Raises:
        StoreError: when the database cannot be read, or a row cannot be understood.
    """
    chosen = f"WHERE {where} ORDER BY {order} LIMIT {limit} OFFSET {offset}"
    if limit >= 0:  # sorting keys is much faster than sorting whole rows
        chosen = f"WHERE key IN (SELECT key FROM runs {chosen}) ORDER BY {order}"
    rows = database.rows(f"SELECT {_COLUMNS} FROM runs {chosen}", parameters)
    try:
        runs = [_run(*row) for row in rows]
    except (msgspec.DecodeError, CombinationError) as error:
        raise _unreadable(database, error) from None
    return _told_mixed(database, runs)


def _unreadable(database: Database, error: Exception) -> StoreError:
    return StoreError(
        f"{database.path} holds a run this program cannot read: {error}.\n"
        "Read history anew: vld rebuild"
    )


def _told_mixed(database: Database, runs: list[Run]) -> list[Run]:
    """Say of those runs that combine others of which fields they have no one value."""
    combining = [(run.spec, run.combination) for run in runs if run.combination is not None]
    found = mixed_fields(database, combining)
    return [
        msgspec.structs.replace(run, mixed_fields=next(found)) if run.combination else run
        for run in runs
    ]


def _run(
    run_id: str,
    name: str,
    tags: str,
    note: str,
    created_at: float,
    status: str,
    collapsed: int,
    spec_json: str,
    step: int,
    selected_step: int | None,
    id_accuracy: float | None,
    ood_accuracy: float | None,
    domains: str,
    combination: str | None,
    *others: Any,
) -> Run:
    spec = decode_stored_spec(spec_json)
    return Run(
        run_id,
        name,
        tuple(tags.split()),
        note,
        created_at,
        status,
        bool(collapsed),
        spec,
        step,
        spec.steps,
        selected_step,
        id_accuracy,
        ood_accuracy,
        _decode_domains(domains),
        None if combination is None else decode_combination(combination),
        *others,
    )
