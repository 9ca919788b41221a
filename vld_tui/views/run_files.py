"""The files of a run folder with size and purpose (docs/run-folder.md)."""

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
    "spec.json": "settings of the run",
    "combination.json": "parents and method of a combining run",
    "events.jsonl": "event log",
    "process.json": "process: pid, start time, host",
    "heartbeat": "heartbeat: modified while the engine is alive",
    "exit.json": "exit code, if it was collected",
    "stop.json": "request to save and stop",
    "killed.json": "who killed the process",
    "user.json": "name, tags, note",
    "engine.log": "stdout and stderr of the engine",
    "engine.lock": "lock held by the running engine",
    "predictions.json": "predictions on held-out images at the selected step",
    "checkpoints/last.safetensors": "full state, to resume from",
    "checkpoints/best.safetensors": "network at the selected step",
    "checkpoints/averaged.safetensors": "averaged network at its selected step",
}
UNKNOWN_PURPOSE: Final = "unknown"
_COLUMNS: Final = (
    Column("file", rank=1000, shrinks=True, narrowest=16),
    Column("size", right=True, rank=999),
    Column("", rank=1, shrinks=True, style=QUIET_STYLE),
)


def run_files(files: Sequence[RunFile], checkpoints: Sequence[CheckpointInfo], cells: int) -> Text:
    """Return a line for each file; checkpoints come first, with their steps."""
    if not files:
        return Text("The folder is empty or missing.", QUIET_STYLE)
    steps = {each.file: each.step for each in checkpoints}
    ordered = sorted(files, key=lambda file: (not file.name.startswith("checkpoints/"), file.name))
    rows = [[plain_text(each.name), size(each.bytes), _purpose(each, steps)] for each in ordered]
    rows.append(["", size(sum(each.bytes for each in files)), "total"])
    return styled_table(_COLUMNS, rows, cells)


def _purpose(file: RunFile, steps: Mapping[str, int]) -> str:
    purpose = PURPOSES.get(file.name, UNKNOWN_PURPOSE)
    return f"step {steps[file.name]:,}: {purpose}" if file.name in steps else purpose
