"""What commands print: plain lines, and runs as JSON records, the same in every command."""

from __future__ import annotations

import sys
from typing import Any

import msgspec
import typer

from vld_tui.store.runs import Run
from vld_tui.views.text import plain_text


def run_record(run: Run) -> dict[str, Any]:
    """Return what a script wants to know of a run; accuracies are shares from 0 to 1."""
    return {
        "run": run.run_id,
        "name": run.name,
        "status": run.status,
        "collapsed": run.collapsed,
        "dataset": run.dataset,
        "target": run.target,
        "model": run.model,
        "dropout_rate": run.dropout_rate,
        "masks": run.masks,
        "seed": run.seed,
        "step": run.step,
        "steps": run.steps,
        "selected_step": run.selected_step,
        "id_accuracy": run.id_accuracy,
        "ood_accuracy": run.ood_accuracy,
        "domains": run.domains,
        "loss": run.loss,
        "wall_s": run.wall_s,
        "device": run.device,
        "precision": run.precision,
        "memory_format": run.memory_format,
        "attempts": run.attempts,
        "created_at": run.created_at,
        "trashed_at": run.trashed_at,
        "tags": run.tags,
        "note": run.note,
        "error": run.error,
    }


def say(line: str, *, to_stderr: bool = False) -> None:
    """Print a line as plain text: nothing in it steers the terminal."""
    typer.echo(plain_text(line), err=to_stderr)


def print_json(value: object) -> None:
    """Print one JSON document and a newline on stdout, and nothing else."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
    sys.stdout.flush()
