"""Compute diagnostics of finished runs; results are in the runs' folders and in the history."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, Unpack

from engine.protocol import UserError, configuration_identity
from engine.protocol.diagnostics import DIAGNOSTICS, Diagnosed, DiagnoseRun, DiagnoseRuns
from vld_tui.launch.work import Computing, ask_engine, engine_package
from vld_tui.runs.run import Run
from vld_tui.store.errors import DatabaseLocked, DatabaseUnwritable, out_of_reach
from vld_tui.store.store import Store

DIAGNOSE_COMMAND: Final = engine_package("diagnose")


class DiagnoseError(UserError):
    """Diagnostics that cannot be computed; the message says what to do."""


def diagnose(
    store: Store,
    runs: Sequence[Run],
    diagnostics: Sequence[str],
    *,
    recomputes: bool = False,
    on_report: Callable[[Any], None] = lambda _report: None,
    on_start: Callable[[subprocess.Popen[bytes]], None] | None = None,
    command: Sequence[str] | None = None,
    **computing: Unpack[Computing],
) -> list[tuple[Run, Diagnosed]]:
    """Compute diagnostics of runs in an engine process, and return the runs with their measures.

    Results are stored as they are computed; those that are up to date are not computed again.

    Args:
        store: the history.
        runs: whose networks at the selected step are diagnosed.
        diagnostics: names.
        recomputes: compute those that are up to date as well.
        on_report: receives progress and notes.
        on_start: receives the process, so that the caller can end it.
        command: None: the engine's.
        computing: how networks compute.

    Raises:
        DiagnoseError: when a run is out of reach, or the only one cannot be diagnosed.
        LaunchError: when the engine cannot start, or dies.
    """
    requests = []
    for run in runs:
        if (reason := out_of_reach(run)) is not None:
            raise DiagnoseError(reason)
        requests.append(
            DiagnoseRun(
                run_dir=str(store.runs.run_dir(run.run_id).path),
                diagnostics=tuple(diagnostics),
                scratch=_accuracies(store, run, diagnostics),
                other_seed=_folder_of_other_seed(store, run, diagnostics),
                recomputes=recomputes,
                **computing,
            )
        )
    after = list(runs)
    try:
        found = ask_engine(
            command or DIAGNOSE_COMMAND, DiagnoseRuns(tuple(requests)), tuple[Diagnosed, ...],
            on_report, on_start=on_start, refused=DiagnoseError,
        )  # fmt: skip
    finally:
        with suppress(DatabaseLocked, DatabaseUnwritable):  # a rebuild reads them again
            after = [store.live.read_diagnoses(run.run_id) for run in runs]
    return list(zip(after, found, strict=True))


def _accuracies(
    store: Store, run: Run, diagnostics: Sequence[str]
) -> tuple[tuple[float, float], ...]:
    """Return the accuracies of the runs from scratch that a diagnostic compares a run with."""
    if not any(DIAGNOSTICS[name].reads_scratch for name in diagnostics):
        return ()
    pairs = ((each.id_accuracy, each.ood_accuracy) for each in runs_from_scratch(store, run))
    return tuple((ids, oods) for ids, oods in pairs if ids is not None and oods is not None)


def _folder_of_other_seed(store: Store, run: Run, diagnostics: Sequence[str]) -> str | None:
    """Return the folder of the run that a diagnostic compares a run with."""
    if not any(DIAGNOSTICS[name].reads_other_seed for name in diagnostics):
        return None
    other = run_of_other_seed(store, run)
    return None if other is None else str(store.runs.run_dir(other.run_id).path)


def run_of_other_seed(store: Store, run: Run) -> Run | None:
    """Return the finished run of the same images and settings with the lowest other seed,
    the oldest if there are several."""
    if not run.has_spec or run.combination is not None:
        return None
    found = [
        each
        for each in store.runs.of_configuration(configuration_identity(run.task))
        if each.run_id != run.run_id
        and each.status == "finished"
        and each.spec.seed != run.spec.seed
        and each.data_digest == run.data_digest
        and out_of_reach(each) is None
    ]
    return min(found, key=lambda each: each.spec.seed, default=None)


def runs_from_scratch(store: Store, run: Run) -> list[Run]:
    """Return the finished runs from scratch of a run's images and target, which have accuracies."""
    if not run.has_spec or run.ood_accuracy is None:
        return []
    query = store.runs.query("weights:none status:finished")
    return [each for each in store.runs.find(query) if _is_reference(run, each)]


def _is_reference(run: Run, other: Run) -> bool:
    return (
        other.run_id != run.run_id
        and other.combination is None
        and other.has_spec
        and other.spec.weights == "none"  # the query also finds a file of that name
        and (other.spec.dataset, other.target) == (run.spec.dataset, run.target)
        and other.data_digest == run.data_digest
        and None not in (other.id_accuracy, other.ood_accuracy)
    )
