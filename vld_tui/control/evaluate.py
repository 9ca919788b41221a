"""Evaluate a run's network on other data, and keep the results in the run's folder."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Unpack

from msgspec.structs import replace

from engine.protocol import UserError, nearest, own_arm
from engine.protocol.data_evaluations import DataEvaluation
from engine.protocol.inference import At, EvaluateRun
from engine.protocol.spec import Layout
from engine.rundir import RunDir
from vld_tui.control.predict import INFERENCE_COMMAND
from vld_tui.home import Home
from vld_tui.launch.datasets import values_of
from vld_tui.launch.work import Computing, ask_engine

LONGEST_NAME: Final = 80
_NOT_IN_NAMES: Final = re.compile(r"[^\w.-]+")


class EvaluationError(UserError):
    """An evaluation that cannot be done, found or stored; the message says what to do."""


@dataclass(frozen=True)
class KeptEvaluation:
    """An evaluation that was done.

    ``path`` is its file; None: it could not be stored, for the reason ``problem``. ``replaced``:
    there was an earlier one of the same images and network.
    """

    evaluation: DataEvaluation
    path: Path | None
    replaced: bool = False
    problem: str = ""


def evaluate(
    home: Home,
    run_dir: RunDir,
    data: str,
    *,
    layout: Layout = "auto",
    domains: Sequence[str] = (),
    class_map: Mapping[str, str] | None = None,
    arm: str | None = None,
    at: At = "best",
    calibrates: bool = True,
    on_report: Callable[[Any], None] = lambda _report: None,
    on_start: Callable[[subprocess.Popen[bytes]], None] | None = None,
    command: Sequence[str] = INFERENCE_COMMAND,
    **computing: Unpack[Computing],
) -> KeptEvaluation:
    """Evaluate a run's network on labelled images, and store the result in the run's folder.

    It replaces an earlier one of the same images and network.

    Args:
        home: where data sets are known by name.
        run_dir: the run.
        data: name of a data set, or path of a folder, table or archive.
        layout: of folders.
        domains: to evaluate; empty: all.
        class_map: the run's class by class of the data, where names differ; an empty name leaves
            the images of the class out.
        arm: None: the run's own network.
        at: step of the network.
        calibrates: measure calibrated probabilities too.
        on_report: receives progress and notes.
        on_start: receives the process, so that the caller can end it.
        command: the engine's.
        computing: how networks compute.

    Raises:
        DatasetError: when there is no such data.
        WorkError: when the engine refuses.
        LaunchError: when the engine cannot start, or dies.
    """
    values = values_of(home, data)
    request = EvaluateRun(
        run_dir=str(run_dir.path),
        dataset=str(values["dataset"]),
        data_dir=None if values.get("data_dir") is None else str(values["data_dir"]),
        layout=layout,
        domains=tuple(domains),
        class_map=dict(class_map or {}),
        arm=arm,
        at=at,
        calibrates=calibrates,
        **computing,
    )
    found = ask_engine(command, request, DataEvaluation, on_report, on_start=on_start)
    return _keep(run_dir, found, _usual_name(request, found, run_dir))


def class_map_of(texts: Iterable[str]) -> dict[str, str]:
    """Return the map that ``OLD=NEW`` texts spell.

    Raises:
        EvaluationError: when one has no ``=``, or a class is mapped twice.
    """
    mapped: dict[str, str] = {}
    for text in texts:
        old, equals, new = text.partition("=")
        if not equals or not old:
            raise EvaluationError(
                f"--map is {text!r}, but must be OLD=NEW: a class of the data and one of the run; "
                "OLD= leaves its images out."
            )
        if mapped.get(old, new) != new:
            raise EvaluationError(f"--map maps {old!r} twice: to {mapped[old]!r} and {new!r}.")
        mapped[old] = new
    return mapped


def find_evaluation(run_dir: RunDir, name: str) -> DataEvaluation:
    """Return a stored evaluation.

    Raises:
        EvaluationError: when there is none of this name, or it is damaged.
    """
    stored = run_dir.read_evaluations()
    if name in stored.damaged:
        path = run_dir.evaluations / f"{name}.json"
        raise EvaluationError(
            f"{path} is damaged ({stored.damaged[name]}). Evaluate again, or remove it with --rm."
        )
    for each in stored.found:
        if each.name == name:
            return each
    names = [each.name for each in stored.found]
    known = f" It has {', '.join(names)}." if names else " It has none."
    hint = nearest(name, names)
    raise EvaluationError(f"Run {run_dir.run_id} has no evaluation {name!r}.{hint or known}")


def remove_evaluation(run_dir: RunDir, name: str) -> None:
    """Delete a stored evaluation, which may be damaged.

    Raises:
        EvaluationError: when there is none of this name, or it cannot be deleted.
    """
    if name not in run_dir.read_evaluations().damaged:
        find_evaluation(run_dir, name)
    try:
        run_dir.delete_evaluation(name)
    except OSError as error:
        raise EvaluationError(f"Cannot delete the evaluation {name}: {error}.") from None


def _keep(run_dir: RunDir, evaluation: DataEvaluation, usual_name: str) -> KeptEvaluation:
    """Store an evaluation under the name of the one it replaces, or under a new one."""
    earlier = run_dir.read_evaluations()
    same = next((each.name for each in earlier.found if evaluation.replaces(each)), None)
    taken = {*earlier.damaged, *(each.name for each in earlier.found)}
    named = replace(evaluation, name=same or _free_name(usual_name, taken))
    try:
        path = run_dir.write_evaluation(named)
    except OSError as error:
        return KeptEvaluation(named, None, problem=f"The result was not stored: {error}.")
    return KeptEvaluation(named, path, replaced=same is not None)


def _usual_name(request: EvaluateRun, evaluation: DataEvaluation, run_dir: RunDir) -> str:
    """Return a name made from those of the data, its domains, the arm and the step."""
    has_other_arm = evaluation.arm != own_arm(run_dir.read_task())
    parts = [
        evaluation.dataset,
        *request.domains,
        *([evaluation.arm] if has_other_arm else []),
        *([request.at] if request.at != "best" else []),
    ]
    name = _NOT_IN_NAMES.sub("-", "-".join(parts)).strip("-.")
    return name[:LONGEST_NAME] or "evaluation"


def _free_name(name: str, taken: set[str]) -> str:
    """Return a name, with a number if it is taken."""
    unique, copy = name, 2
    while unique in taken:
        unique, copy = f"{name}-{copy}", copy + 1
    return unique
