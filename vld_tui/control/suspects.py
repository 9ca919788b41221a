"""Training images whose label may be wrong: find them, and write an exclude list of them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Unpack

from msgspec import structs

from engine.protocol.exclude_lists import Decision, exclude_list
from engine.protocol.suspects import (
    NEAR_DISTANCE,
    QUANTILE,
    FindSuspects,
    Suspect,
    Suspects,
    SuspectsError,
)
from engine.rundir import RunDir, write_atomic
from vld_tui.control.diagnose import DIAGNOSE_COMMAND
from vld_tui.control.new_files import USE_ANOTHER_NAME, check_new_file
from vld_tui.launch.work import Computing, ask_engine

LIST_COLUMNS: Final = ("label", "predicted", "probability", "score")
"""Columns of an exclude list that only the reader needs."""


@dataclass(frozen=True)
class FoundSuspects:
    """Suspects of a run; ``problem``: why they could not be stored, or empty."""

    suspects: Suspects
    problem: str = ""


def find_suspects(
    run_dir: RunDir,
    *,
    quantile: float = QUANTILE,
    near_distance: int = NEAR_DISTANCE,
    on_report: Callable[[Any], None] = lambda _report: None,
    on_start: Callable[[subprocess.Popen[bytes]], None] | None = None,
    command: Sequence[str] = DIAGNOSE_COMMAND,
    **computing: Unpack[Computing],
) -> FoundSuspects:
    """Rank a run's training images by the loss of their label, and store the result with the run.

    Args:
        run_dir: the run.
        quantile: a suspect's score reaches this quantile of the scores of wrong labels.
        near_distance: maximum number of differing hash bits of near duplicates; 0: only exact
            duplicates are found.
        on_report: receives progress and notes.
        on_start: receives the process, so that the caller can end it.
        command: the engine's.
        computing: how networks compute.

    Raises:
        WorkError: when the engine refuses.
        LaunchError: when the engine cannot start, or dies.
    """
    request = FindSuspects(
        run_dir=str(run_dir.path.absolute()),
        quantile=quantile,
        near_distance=near_distance,
        **computing,
    )
    found = ask_engine(command, request, Suspects, on_report, on_start=on_start)
    try:
        run_dir.write_suspects(found)
    except OSError as error:
        return FoundSuspects(found, f"The result was not stored: {error}.")
    return FoundSuspects(found)


def stored_suspects(run_dir: RunDir) -> Suspects:
    """Return the stored suspects of a run.

    Raises:
        SuspectsError: when there are none, or the file is damaged.
    """
    found = run_dir.read_suspects()
    if found is None:
        raise SuspectsError(
            f"Run {run_dir.run_id} has no stored suspects. Find them with: vld suspects "
            f"{run_dir.run_id}"
        )
    return found


def choose(suspects: Suspects, top: int | None) -> tuple[Suspect, ...]:
    """Return the suspects, or the ``top`` images with the highest scores."""
    if top is not None:
        return suspects.listed[:top]
    return tuple(each for each in suspects.listed if each.is_suspect)


def check_list_file(path: Path, *, replaces: bool, advice: str = USE_ANOTHER_NAME) -> None:
    """Check that an exclude list can be created; ``advice``: what to do if the file exists.

    Raises:
        SuspectsError: when the file exists and is not to be replaced, or its folder is missing.
    """
    check_new_file(path, replaces=replaces, refused=SuspectsError, advice=advice)


def write_list(path: Path, images: Iterable[Suspect]) -> None:
    """Write an exclude list that leaves images out.

    The column ``class`` holds the predicted class, so that only the action has to be changed to
    relabel an image.

    Raises:
        SuspectsError: when it cannot be written.
    """
    write_decisions(
        path, [(each, Decision(each.path, "exclude", each.predicted)) for each in images]
    )


def write_decisions(path: Path, decided: Iterable[tuple[Suspect, Decision]]) -> None:
    """Write an exclude list of decisions on images.

    Raises:
        SuspectsError: when it cannot be written.
    """
    decisions = [
        structs.replace(
            decision,
            more=(
                each.class_name, each.predicted, f"{each.probability:.4f}", f"{each.score:.4f}",
            ),
        )
        for each, decision in decided
    ]  # fmt: skip
    try:
        write_atomic(path, exclude_list(decisions, LIST_COLUMNS))
    except OSError as error:
        raise SuspectsError(f"Cannot write to {path}: {error.strerror or error}.") from None
