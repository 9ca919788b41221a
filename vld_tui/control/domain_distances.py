"""Measure how far apart the domains of a data set are, or how far one is from the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.protocol.data_shift import DataShift, MeasureShift
from engine.protocol.domain_distances import ComparedDomains, CompareDomains
from engine.protocol.work import WorkNote, WorkProgress
from vld_tui.control.diagnose import DIAGNOSE_COMMAND
from vld_tui.launch.work import ask_engine


def compare_domains(
    request: CompareDomains,
    on_report: Callable[[WorkProgress | WorkNote], None] = lambda _report: None,
    command: Sequence[str] = DIAGNOSE_COMMAND,
) -> ComparedDomains:
    """Return the distances between the domains of a data set.

    Args:
        request: which images, and the network of the features.
        on_report: receives progress and notes.
        command: the engine's.

    Raises:
        WorkError: when the engine refuses.
        LaunchError: when the engine cannot start, or dies.
    """
    return ask_engine(command, request, ComparedDomains, on_report)


def measure_shift(
    request: MeasureShift,
    on_report: Callable[[WorkProgress | WorkNote], None] = lambda _report: None,
    command: Sequence[str] = DIAGNOSE_COMMAND,
) -> DataShift:
    """Return how far a domain of a data set is from the others.

    Args and errors are those of :func:`compare_domains`.
    """
    return ask_engine(command, request, DataShift, on_report)
