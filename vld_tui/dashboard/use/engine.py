"""Use a trained run in an engine process, as the commands do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from engine.protocol import UserError
from engine.protocol.diagnostics import Topic, diagnostics_of
from engine.protocol.inference import PredictImages
from vld_tui.control.class_folders import ClassFolders
from vld_tui.control.diagnose import diagnose
from vld_tui.control.evaluate import evaluate
from vld_tui.control.export import export_network
from vld_tui.control.predict import ImagePrediction, predict
from vld_tui.control.suspects import find_suspects
from vld_tui.dashboard.use.orders import (
    EvaluateOrder,
    ExportOrder,
    PredictOrder,
    SuspectsOrder,
    UseOrder,
)
from vld_tui.dashboard.use.results import (
    EvaluatedData,
    Exported,
    Predicted,
    SuspectsFound,
    UseResult,
)
from vld_tui.dashboard.use.work import CancelledError, Work
from vld_tui.home import Home
from vld_tui.store.store import Store
from vld_tui.views.diagnoses import diagnosed_line, failure_lines

SHOWN_CLASSES: Final = 2
"""Classes that a picture names at least."""


def use_run(home: Home, run_id: str, order: UseOrder, work: Work) -> UseResult:
    """Do what the user asks of a run, and return the result.

    Raises:
        CancelledError: when the user cancelled it, and nothing was made.
        UserError: with the reason that it cannot be done.
    """
    try:
        match order:
            case PredictOrder():
                return _predict(home, run_id, order, work)
            case EvaluateOrder():
                return _evaluate(home, run_id, order, work)
            case SuspectsOrder():
                return _find_suspects(home, run_id, order, work)
            case ExportOrder():
                return _export(home, run_id, order, work)
    except UserError:
        if work.is_cancelled:
            raise CancelledError("cancelled") from None
        raise


def diagnose_runs(home: Home, run_ids: Sequence[str], topics: Sequence[Topic], work: Work) -> str:
    """Compute diagnostics of runs and store them, and return what was computed.

    Raises:
        CancelledError: when the user cancelled it; results so far are stored.
        UserError: when nothing can be computed.
    """
    names = [each.name for topic in topics for each in diagnostics_of(topic)]
    try:
        with Store.open(home) as store:
            runs = [store.runs.get(run_id) for run_id in run_ids]
            results = diagnose(store, runs, names, on_report=work.report, on_start=work.started)
    except UserError:
        if work.is_cancelled:
            raise CancelledError("Cancelled. Diagnostics that were finished are stored.") from None
        raise
    return "\n".join([diagnosed_line(results), *failure_lines(results), *work.notes])


def _predict(home: Home, run_id: str, order: PredictOrder, work: Work) -> Predicted:
    request = PredictImages(
        run_dir=str(home.run_dir(run_id).path.absolute()),
        paths=order.paths,
        top=max(SHOWN_CLASSES, order.top),
        ood=order.ood,
        arm=order.arm,
        at=order.at,
        skipped_folder=order.into,
    )
    found: list[ImagePrediction] = []
    folders = None if order.into is None else ClassFolders(Path(order.into))

    def take(predictions: Sequence[ImagePrediction]) -> None:
        found.extend(predictions)
        for each in predictions if folders is not None else ():
            if folders is not None and each.problem is None:
                folders.place(each.path, each.class_name)

    try:
        made = predict(
            request,
            take,
            min_probability=order.min_probability,
            on_report=work.report,
            on_start=work.started,
        )
    except UserError:
        if not (work.is_cancelled and found):
            raise
        made = None
    copied = [] if folders is None else [f"{folders.made:,} copied into {folders.root}"]
    return Predicted(run_id, order, found, made, [*copied, *work.notes])


def _evaluate(home: Home, run_id: str, order: EvaluateOrder, work: Work) -> EvaluatedData:
    kept = evaluate(
        home,
        home.run_dir(run_id),
        order.data,
        domains=order.domains,
        class_map=order.class_map,
        arm=order.arm,
        at=order.at,
        on_report=work.report,
        on_start=work.started,
    )
    return EvaluatedData(run_id, order, kept, work.notes)


def _find_suspects(home: Home, run_id: str, order: SuspectsOrder, work: Work) -> SuspectsFound:
    found = find_suspects(
        home.run_dir(run_id),
        quantile=order.quantile,
        near_distance=order.near_distance,
        on_report=work.report,
        on_start=work.started,
    )
    return SuspectsFound(run_id, order, found, work.notes)


def _export(home: Home, run_id: str, order: ExportOrder, work: Work) -> Exported:
    with Store.open(home) as store:
        network = export_network(
            store,
            run_id,
            order.to,
            order.folder,
            arm=order.arm,
            at=order.at,
            replaces=order.replaces,
            push_to=order.push_to,
            on_report=work.report,
            on_start=work.started,
        )
    return Exported(run_id, order, network, work.notes)
