"""Select runs to combine, and plan the combining run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from engine.protocol import (
    Combination,
    CombinationError,
    CombinationSpec,
    LastLayer,
    ModelPrepared,
    Parent,
    check_alike,
)
from engine.protocol.combination import is_combined
from engine.protocol.inference import At
from engine.rundir import RunDir
from vld_tui.runs.run import Run
from vld_tui.runs.run_folder import EventFollower
from vld_tui.store.errors import out_of_reach
from vld_tui.store.query import Query
from vld_tui.store.store import Store
from vld_tui.words.numbers import plural

Method = Literal["soup", "greedy_soup", "stock", "ensemble", "interpolation"]

CHECKPOINTS: Final[tuple[At, ...]] = ("best", "last")
"""Checkpoints that can be combined."""
_ARE: Final[Mapping[At, str]] = {"best": "selected steps", "last": "final weights"}


class Chosen(NamedTuple):
    """Runs to combine, and how many others matched: unfinished ones and combining ones."""

    runs: tuple[Run, ...]
    unfinished: int
    combining: int


def choose_matching(store: Store, query: Query) -> Chosen:
    """Return the matching finished runs, oldest first, without combining runs."""
    matching = store.runs.find(query)[::-1]
    runs = tuple(run for run in matching if run.status == "finished" and run.combination is None)
    unfinished = sum(run.status != "finished" for run in matching)
    return Chosen(runs, unfinished, len(matching) - len(runs) - unfinished)


def plan_combination(
    store: Store,
    method: Method,
    runs: Sequence[Run],
    *,
    at: At,
    points: int = 11,
    from_pretrained: bool = False,
    probe: bool = False,
    device: str | None = None,
) -> CombinationSpec:
    """Return what a run does that combines ``runs``.

    Args:
        store: the history.
        method: one of ``METHODS``.
        runs: the runs to combine, in order.
        at: the checkpoint of each.
        points: points of an interpolation, including both ends.
        from_pretrained: start at the network that the only run started from, or at a linear probe
            of it if its last layer was untrained.
        probe: always start at a linear probe.
        device: device to compute on; None: that of the first run.

    Raises:
        CombinationError: when they cannot be combined.
    """
    for run in runs:
        _check_usable(run)
    parents = _parents(store, runs, at)
    if method == "stock" and at == "best":
        _check_moved(runs)
    if from_pretrained:
        parents.insert(0, _pretrained_parent(store, runs[0], at, probe=probe))
    if not 2 <= points <= 101:
        raise CombinationError(f"--points is {points}, but must be from 2 to 101.")
    combination = Combination(method=method, parents=tuple(parents), points=points)
    check_alike({run.run_id: run.spec for run in runs}, combination)
    first = runs[0].spec
    if device is not None:
        first = msgspec.structs.replace(first, device=device)
    return CombinationSpec.of(first, combination)


def _check_moved(runs: Sequence[Run]) -> None:
    """Refuse runs whose best checkpoint has the pre-trained weights, and so no angle."""
    if (still := next((run for run in runs if run.selected_step == 0), None)) is not None:
        raise CombinationError(
            f"Run {still.label} selected step 0, so its best checkpoint has the pre-trained "
            "weights, except for the last layer. Use --at last."
        )


def _pretrained_parent(store: Store, run: Run, at: At, *, probe: bool) -> Parent:
    """Return the pre-trained end of an interpolation to a run.

    Raises:
        CombinationError: when both ends would be the same network.
    """
    last_layer: LastLayer = "linear_probe"
    if not probe and (run.spec.head_steps > 0 or _kept_last_layer(store.runs.run_dir(run.run_id))):
        last_layer = "start_of_run"
    if last_layer == "start_of_run" and at == "best" and run.selected_step == 0:
        raise CombinationError(
            f"Run {run.label} selected step 0, so its best checkpoint is the network it started "
            "from and both ends are the same. Use --at last."
        )
    return Parent("", None, last_layer)


def _kept_last_layer(run_dir: RunDir) -> bool:
    """Return whether a run started with the last layer of its weights file."""
    try:
        for event in EventFollower(run_dir).news():
            if isinstance(event, ModelPrepared):
                return event.loaded is not None and event.loaded.is_kept
    except OSError:  # then it is unknown
        pass
    return False


def _check_usable(run: Run) -> None:
    if (reason := out_of_reach(run)) is not None:
        raise CombinationError(reason)
    if run.combination is not None:
        raise CombinationError(is_combined(run.run_id))
    if run.status != "finished":
        advice = "Wait until it finishes." if run.is_live else f"Resume it: vld resume {run.run_id}"
        raise CombinationError(f"Run {run.label} is {run.status}, not finished.\n{advice}")


def _parents(store: Store, runs: Sequence[Run], at: At) -> list[Parent]:
    """Return the runs' checkpoint files.

    Raises:
        CombinationError: when some runs no longer have that checkpoint.
    """
    parents = [Parent(run.run_id, str(_path(store, run, at).absolute())) for run in runs]
    if without := [run for run in runs if not _path(store, run, at).is_file()]:
        raise CombinationError(_without_checkpoint(store, without, at))
    return parents


def _path(store: Store, run: Run, at: At) -> Path:
    run_dir = store.runs.run_dir(run.run_id)
    return run_dir.best_checkpoint if at == "best" else run_dir.last_checkpoint


def _without_checkpoint(store: Store, runs: Sequence[Run], at: At) -> str:
    """Describe which runs lack the checkpoint, why, and what to do."""
    others = len(runs) - 1
    which, has, were = f"Run {runs[0].label}", "has", "it was"
    if others:
        which, has, were = f"{which} and {plural(others, 'other')}", "have", "they were"
    left = next(
        (each for each in CHECKPOINTS if all(_path(store, run, each).is_file() for run in runs)),
        None,
    )
    kept = {run.spec.keep_checkpoints for run in runs}
    if "all" in kept or (at == "best" and "best" in kept):
        advice = f"Use --at {left}, or rerun it." if left else "Rerun it to combine it."
        return f"{which} no longer {has} a {at} checkpoint: {were} pruned. {advice}"
    advice = f"Use --at {left}. " if left else ""
    return (
        f"{which} {has} no {at} checkpoint: {were} run with --keep {'/'.join(sorted(kept))}.\n"
        f"{advice}To combine {_ARE[at]}, rerun with --keep all; in a study: set "
        'keep = "all", vld rm these runs, then run vld sweep again.'
    )
