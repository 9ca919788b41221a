"""The report of a study, from its finished runs to the files."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from engine.protocol import UserError
from vld_tui.report.content import Report, make_report
from vld_tui.report.write import write_report
from vld_tui.store.store import Store
from vld_tui.study.define.files import find_study
from vld_tui.study.results.interpolation import METHOD, Way, find_ways, read_ways
from vld_tui.study.results.outcomes import Gathered, gather
from vld_tui.study.standing import Strays, find_strays, standing_of
from vld_tui.views.study import stray_text
from vld_tui.words.numbers import plural


class ReportError(UserError):
    """A report that cannot be made or written; the message says what to do."""

    exit_code = 1


class WrittenReport(NamedTuple):
    """A report and its files, the page first."""

    report: Report
    files: Sequence[Path]


def report_study(
    store: Store,
    reference: str,
    *,
    folder: Path | None = None,
    interpolations: Sequence[str] | None = None,
    progress: Callable[[str], object] = lambda _: None,
) -> WrittenReport:
    """Write the report of a study's finished runs, replacing an earlier one.

    Args:
        store: the history.
        reference: preset, launched study or TOML file.
        folder: where to write; None: ``reports/STUDY`` in the home.
        interpolations: interpolation runs to plot; None: those of the study's runs.
        progress: called with what is done next.

    Raises:
        StudyError: when there is no such study.
        ReportError: when no run has finished, or the folder cannot be written.
    """
    study = find_study(store.home, reference)
    store.live.refresh()
    progress("reading results")
    gathered = gather(store, study)
    if not gathered.runs:
        raise ReportError(_nothing(gathered, find_strays(store, standing_of(store, study))))
    progress(f"computing tables of {plural(len(gathered.runs), 'run')}")
    attempts = [store.series.timeline(run.run_id)[-1:] for run in gathered.runs]
    report = make_report(
        gathered,
        [attempt for last in attempts for attempt in last],
        _ways(store, gathered, interpolations),
        made_at=time.time(),
        version=metadata.version("vld-tui"),
        evaluations={
            run.run_id: store.runs.run_dir(run.run_id).read_evaluations().found
            for run in gathered.runs
        },
    )
    folder = folder or store.home.path / "reports" / study.name
    try:
        return WrittenReport(report, write_report(report, folder, progress))
    except OSError as error:
        raise ReportError(
            f"Cannot write to {folder}: {(error.strerror or str(error)).lower()}. "
            f"Use another folder: vld report {study.name} --out DIR"
        ) from None


def _ways(store: Store, gathered: Gathered, named: Sequence[str] | None) -> list[Way]:
    if not named:
        return read_ways(store, find_ways(store, {run.run_id for run in gathered.runs}))
    known = [store.runs.get(reference) for reference in named]
    for run in known:
        if run.combination is None or run.combination.method != METHOD:
            raise UserError(
                f"Run {run.run_id} is not an interpolation: its prediction is {run.arm}.\n"
                "List interpolations with: vld ls --where arm=interpolation"
            )
    return read_ways(store, known)


def _nothing(gathered: Gathered, strays: Strays | None) -> str:
    counts: dict[str, int] = {}
    for each in gathered.coverage:
        for status, count in each.others.items():
            counts[status] = counts.get(status, 0) + count
    told = ", ".join(f"{count:,} {status}" for status, count in counts.items())
    name = gathered.study.name
    others = "" if strays is None else f"\n{stray_text(gathered.study, strays)}"
    return (
        f"No run of study {name} has finished yet ({plural(gathered.asked, 'run')}: {told}).\n"
        f"Launch or resume it: vld sweep {name}{others}"
    )
