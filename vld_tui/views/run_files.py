"""The files of a run folder: how large, and what each is for (docs/run-folder.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from rich.text import Text

from vld_tui.runs.metrics import CheckpointInfo
from vld_tui.runs.run_folder import RunFile
from vld_tui.words.columns import Column, styled_table
from vld_tui.words.numbers import size
from vld_tui.words.palette import QUIET_STYLE
from vld_tui.words.text import plain_text

PURPOSES: Final[Mapping[str, str]] = {
    "spec.json": "every field of the run",
    "combination.json": "the networks that are combined, and how",
    "events.jsonl": "what happened, an event a line",
    "process.json": "pid, its start time, host",
    "heartbeat": "its time of change says that the engine is alive",
    "exit.json": "the exit code, when somebody waited for it",
    "stop.json": "asks the engine to save and stop",
    "killed.json": "who had the process ended at once",
    "user.json": "name, tags, note",
    "engine.log": "what the engine wrote on stderr and stdout",
    "engine.lock": "held by the engine while it lives",
    "predictions.json": "what the network at the selected step says of held-out images",
    "checkpoints/last.safetensors": "all that a resumed run needs",
    "checkpoints/best.safetensors": "the network at the selected step",
    "checkpoints/averaged.safetensors": "the averaged network at the step selected for it",
}
UNKNOWN_PURPOSE: Final = "not one of this program's"
_COLUMNS: Final = (
    Column("file", rank=1000, shrinks=True, narrowest=16),
    Column("size", right=True, rank=999),
    Column("", rank=1, shrinks=True, style=QUIET_STYLE),
)


def run_files(files: Sequence[RunFile], checkpoints: Sequence[CheckpointInfo], cells: int) -> Text:
    """Return a line for each file; checkpoints come first, with their steps."""
    if not files:
        return Text("The folder is empty, or gone.", QUIET_STYLE)
    steps = {each.file: each.step for each in checkpoints}
    ordered = sorted(files, key=lambda file: (not file.name.startswith("checkpoints/"), file.name))
    rows = [[plain_text(each.name), size(each.bytes), _purpose(each, steps)] for each in ordered]
    rows.append(["", size(sum(each.bytes for each in files)), "all of them"])
    return styled_table(_COLUMNS, rows, cells)


def _purpose(file: RunFile, steps: Mapping[str, int]) -> str:
    purpose = PURPOSES.get(file.name, UNKNOWN_PURPOSE)
    return f"step {steps[file.name]:,}: {purpose}" if file.name in steps else purpose
