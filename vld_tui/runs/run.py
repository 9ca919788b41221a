"""A run as stored in the history, its cluster job, groups of runs, and rows of the run table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Final, Literal, NamedTuple

import msgspec

from engine.protocol import (
    NO_TARGET,
    Combination,
    RunSpec,
    RunTask,
    Summary,
    task_of,
)
from engine.protocol.phases import Phase
from vld_tui.runs.statistics import Estimate

LIVE: Final = ("starting", "running")
"""Statuses of runs that should have a process."""
QUEUED: Final = "queued"
"""Status of a queued run."""
DAMAGED: Final = "damaged"
"""Status of a run that cannot be read completely; its ``error`` has the reason."""
STOPPED: Final = "stopped"
GONE: Final = "gone"
"""Status of a run whose folder was deleted or moved by another program."""
NOT_READABLE: Final = (DAMAGED, GONE)
"""Statuses of runs whose folder cannot be read."""
BROKEN_OFF: Final = ("failed", "crashed", STOPPED)
"""Statuses of runs that ended before they finished and can be resumed."""
STATUSES: Final = (QUEUED, *LIVE, "finished", "stopped", "failed", "crashed", *NOT_READABLE)
UNKNOWN_SPEC: Final = RunSpec(dataset="", model="")
"""The specification of a damaged run whose own cannot be read."""
CONFIGURATION: Final = "configuration"
"""The grouping of runs that differ only in their seeds."""
MOST_COMPARED: Final = 200
"""Maximum number of runs that are compared side by side."""
END_LENGTH: Final = 4
"""Characters at the end of a run's id that distinguish runs of one name."""
GroupKey = str | float | None
FORGOTTEN: Final = "FORGOTTEN"
"""State of an ended job that Slurm no longer knows."""
EXIT_CODE: Final = "exit code "
"""Prefix of the reason of a job whose script failed, before the code."""
_WAITING_JOB: Final = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT")
_ENDED_JOB: Final = (
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
    "PREEMPTED", "TIMEOUT", FORGOTTEN,
)  # fmt: skip
_JOB_ENDS: Final = {
    "BOOT_FAIL": "the node did not start",
    "CANCELLED": "cancelled",
    "COMPLETED": "completed",
    "DEADLINE": "the deadline passed",
    "FAILED": "failed",
    "NODE_FAIL": "the node failed",
    "OUT_OF_MEMORY": "killed for exceeding its memory: increase --mem",
    "PREEMPTED": "preempted by other jobs",
    "TIMEOUT": "time limit reached",
}


class Run(msgspec.Struct, frozen=True, gc=False):
    """A run with its configuration, state and results.

    Accuracies are from 0 to 1 at the selected step (while running: the best step on ID
    validation so far). ``domains`` has the sources' ``out`` split and the target's ``in`` split,
    ``measures`` the ID and OOD value of each measure.
    Times are Unix seconds. ``seconds_left`` is estimated at the last event. ``collapsed``: the
    selected step predicts one class, or the last step of a running run does; this lasted from
    ``collapsed_step`` to ``recovered_step`` (None: to the end). ``damaged_lines``: unreadable
    lines of the event log. ``queue_position`` orders queued runs; runs that are ``is_held`` are
    skipped. ``gpu`` is assigned by the queue. ``job`` is the cluster job, with its state, reason
    and node from the scheduler; ``has_job``: the job has not ended. ``arm`` is how the run makes
    predictions; ``combination`` is set for combining runs. ``identity`` is shared by runs that
    must give the same result. ``data_digest`` changes with the images; empty: unknown. In
    ``mixed_fields`` the parents of a combining run differ; ``spec`` has the first parent's value.
    A damaged run without a readable specification has no field values. ``has_namesake``: an older
    run has the same name. ``phase`` is what a live run last reported to be doing; None: it takes
    steps, or an older version runs it.
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
    collapsed_step: int | None = None
    recovered_step: int | None = None
    evaluation_precision: str | None = None
    measures: Summary = {}
    has_namesake: bool = False
    phase: Phase | None = None
    mixed_fields: tuple[str, ...] = ()

    @property
    def task(self) -> RunTask:
        """Return what it does: train a network, or combine the networks of others."""
        return task_of(self.spec, self.combination)

    @property
    def evaluated_in(self) -> str | None:
        """Return the precision of evaluations; in older runs, that of training."""
        return self.evaluation_precision or self.precision

    @property
    def dataset(self) -> str:
        """Return the data set's name."""
        return self.spec.dataset

    @property
    def target(self) -> str | None:
        """Return the domain left out of training: ``none`` for no domain, None if unknown yet."""
        return self.spec.target

    @property
    def has_ood(self) -> bool:
        """Return whether it has or may have an OOD accuracy."""
        return self.target != NO_TARGET

    @property
    def model(self) -> str:
        """Return the network's name."""
        return self.spec.model

    @property
    def dropout_rate(self) -> float:
        """Return the probability of zeroing a feature."""
        return self.spec.dropout_rate

    @property
    def masks(self) -> int | Literal["inf"]:
        """Return the masks per backbone pass."""
        return self.spec.masks

    @property
    def seed(self) -> int:
        """Return the run's seed."""
        return self.spec.seed

    @property
    def label(self) -> str:
        """Return its name, with a suffix if an older run has the same name."""
        return f"{self.name}{self.suffix}"

    @property
    def suffix(self) -> str:
        """Return what distinguishes it from older runs of its name; empty for the oldest. It stays
        the same when other runs are deleted."""
        return name_suffix(self.run_id) if self.has_namesake else ""

    @property
    def name_without_seed(self) -> str:
        """Return the run's name without the seed at its end."""
        return self.name.removesuffix(f"-s{self.seed}")

    @property
    def accuracy_gap(self) -> float | None:
        """Return OOD minus ID accuracy, from −1 to 1."""
        if self.id_accuracy is None or self.ood_accuracy is None:
            return None
        return self.ood_accuracy - self.id_accuracy

    @property
    def plain_id_accuracy(self) -> float | None:
        """Return ID accuracy without augmentation, or None if it is measured on plain images."""
        return self.plain_mean(self.domains)

    def plain_mean(self, domains: Mapping[str, float]) -> float | None:
        """Return the mean accuracy on the sources' plain images, from an arm's domains.

        None if validation images are not augmented, or before an evaluation.
        """
        left_out = (self.spec.target, self.spec.held_out_source)
        found = [value for name, value in domains.items() if name not in left_out]
        return fmean(found) if self.spec.augment_validation and found else None

    @property
    def is_live(self) -> bool:
        """Return whether it should have a process."""
        return self.status in LIVE

    @property
    def has_ended(self) -> bool:
        """Return whether it surely has neither a process nor a place in a queue."""
        may_live = self.is_live or self.status in (QUEUED, DAMAGED) or self.has_job
        return not (may_live or (self.status == "crashed" and self.exit_code is None))

    @property
    def reason(self) -> str:
        """Return the first line of its error."""
        return (self.error or "").partition("\n")[0]

    @property
    def is_due(self) -> bool:
        """Return whether the queue may start the run: queued, neither held nor damaged."""
        return self.status == QUEUED and not self.is_held

    @property
    def has_spec(self) -> bool:
        """Return whether its specification is known, unlike that of some damaged runs."""
        return self.spec is not UNKNOWN_SPEC


def name_suffix(run_id: str) -> str:
    """Return what distinguishes a run from older ones of its name, such as `` #x7qa``."""
    return f" #{run_id[-END_LENGTH:]}"


class RunPoint(msgspec.Struct, frozen=True, gc=False):
    """An evaluated run, or the mean of several, in the ID–OOD plane.

    Accuracies are from 0 to 1 at the selected step. ``run_id`` is the run's, or that of the latest
    of several; None: they differ in the field. ``setting`` is the compared setting as text.
    ``is_augmented``: ID accuracy is measured on augmented validation images. ``measures`` are the
    ID and OOD values of measures, by name.
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
    is_augmented: bool = False
    measures: tuple[tuple[str, tuple[float | None, float | None]], ...] = ()

    def measured(self, name: str) -> RunPoint | None:
        """Return the point by a measure in place of accuracy; None: it has no values."""
        ids, oods = dict(self.measures).get(name, (None, None))
        if ids is None or oods is None:
            return None
        return msgspec.structs.replace(self, id_accuracy=ids, ood_accuracy=oods, is_augmented=False)


class ArmResult(msgspec.Struct, frozen=True):
    """Results of an arm of a run; accuracies (0 to 1) are at its selected step.

    ``ood_accuracy`` is None for a run without a target.
    """

    arm: str
    selected_step: int
    id_accuracy: float
    ood_accuracy: float | None
    domains: dict[str, float]
    measures: Summary = {}


def own_result(run: Run) -> ArmResult | None:
    """Return the results of a run's own network, or None before an evaluation."""
    if run.id_accuracy is None:
        return None
    step = run.selected_step or 0
    return ArmResult(run.arm, step, run.id_accuracy, run.ood_accuracy, run.domains, run.measures)


class Grouping(msgspec.Struct, frozen=True):
    """The common property of a group: a field's value, or everything except the seed.

    ``sql`` is an expression over a run's row.
    """

    name: str
    sql: str

    @property
    def is_by_configuration(self) -> bool:
        """Return whether runs of a group differ only in their seeds."""
        return self.name == CONFIGURATION


class RunSummary(msgspec.Struct, frozen=True):
    """Runs of one group.

    ``key`` is their common value; ``newest`` is the one created last, ``run_ids`` are all, the
    latest first. Accuracies (0 to 1) are at the selected step of each finished run; identical runs
    count as one. ``measures`` are the ID and OOD values of measures by name; None: some run lacks
    it. ``dataset`` and ``target`` are those of all runs; None: they differ.
    """

    key: GroupKey
    newest: Run
    run_ids: tuple[str, ...]
    runs: int
    statuses: dict[str, int]
    id_accuracy: Estimate | None
    ood_accuracy: Estimate | None
    dataset: str | None = None
    target: str | None = None
    measures: dict[str, tuple[Estimate | None, Estimate | None]] = {}


@dataclass(frozen=True)
class RunRow:
    """A row of the run table: a run with its OOD accuracy at every evaluation."""

    run: Run
    ood_history: tuple[float, ...] = ()

    @property
    def run_ids(self) -> tuple[str, ...]:
        """Return the run's id."""
        return (self.run.run_id,)


@dataclass(frozen=True)
class GroupRow:
    """A row of the run table for several runs; ``name`` distinguishes it from others."""

    summary: RunSummary
    grouping: Grouping
    name: str

    @property
    def run_ids(self) -> tuple[str, ...]:
        """Return the ids of its runs, the latest first."""
        return self.summary.run_ids


TableRow = RunRow | GroupRow


class Job(NamedTuple):
    """A job, or one task of an array, as reported by Slurm.

    ``state`` is Slurm's state, such as PENDING; ``reason`` is why it is pending or how it ended;
    ``node`` is where it runs or ran, or empty.
    """

    job_id: str
    state: str
    reason: str = ""
    node: str = ""

    @property
    def waits(self) -> bool:
        """Return whether it is pending."""
        return self.state in _WAITING_JOB

    @property
    def is_over(self) -> bool:
        """Return whether it has ended."""
        return self.state in _ENDED_JOB

    @property
    def is_held(self) -> bool:
        """Return whether it is held."""
        return self.waits and self.reason.startswith("JobHeld")

    def end_in_words(self) -> str:
        """Return how it ended, as text."""
        where = f" on {self.node}" if self.node else ""
        how = _JOB_ENDS.get(self.state, "the reason is unknown")
        if self.reason.startswith(EXIT_CODE):
            how += f" ({self.reason})"
        return f"job {self.job_id} ended{where}: {how}"
