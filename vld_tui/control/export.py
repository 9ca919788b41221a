"""Export a run's network for use without this program."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from engine.protocol import UserError
from engine.protocol.export import (
    NOT_TIMM,
    ExportedNetwork,
    ExportNetwork,
    Target,
    why_run_is_not_timm,
)
from engine.protocol.inference import At
from engine.protocol.work import WorkNote, WorkProgress
from vld_tui.home import absolute_path
from vld_tui.launch.work import ask_engine, engine_package
from vld_tui.store.errors import out_of_reach
from vld_tui.store.store import Store


class ExportError(UserError):
    """A network that cannot be exported; the message says what to do."""


def export_network(
    store: Store,
    run: str,
    to: Target,
    destination: str | Path,
    *,
    arm: str | None = None,
    at: At = "best",
    calibrates: bool = True,
    replaces: bool = False,
    push_to: str | None = None,
    on_report: Callable[[WorkProgress | WorkNote], None] = lambda _report: None,
    on_start: Callable[[subprocess.Popen[bytes]], None] | None = None,
) -> ExportedNetwork:
    """Export the network of a run in an engine process, and verify the files.

    Args:
        store: the history.
        run: id, unique prefix, name or ``@last``.
        to: form of the export.
        destination: folder to create.
        arm: an arm with a network of its own; None: the run's own network.
        at: the selected step, or the last one.
        calibrates: fit the temperature if it is not stored.
        replaces: replace an earlier export in that folder.
        push_to: repository of the Hugging Face Hub to upload a ``hub`` folder to.
        on_report: receives progress and notes.
        on_start: receives the process, so that the caller can end it.

    Raises:
        ExportError: when it cannot be exported; nothing was written.
        StoreError: when there is no such run.
        LaunchError: when the engine process cannot start, or dies.
    """
    if push_to is not None and to != "hub":
        raise ExportError(f"--push needs --to hub, not --to {to}.")
    found = store.runs.get(run)
    if (reason := out_of_reach(found)) is not None:
        raise ExportError(reason)
    if to == "timm" and found.has_spec and (reason := why_run_is_not_timm(found.spec)):
        raise ExportError(f"Run {found.label} is {reason}. {NOT_TIMM}")
    request = ExportNetwork(
        run_dir=str(store.runs.run_dir(found.run_id).path),
        to=to,
        destination=str(absolute_path(str(destination))),
        arm=arm,
        at=at,
        calibrates=calibrates,
        replaces=replaces,
        push_to=push_to,
    )
    return ask_engine(
        engine_package("export"),
        request,
        ExportedNetwork,
        on_report,
        on_start=on_start,
        refused=ExportError,
    )
