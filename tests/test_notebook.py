"""The notebook of the documentation runs, and shows what it showed when it was written."""

from __future__ import annotations

import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

from engine.rundir import UserData
from tests.small_runs import MakeRun, engine_environment, run_here
from vld_tui.home import HOME_VARIABLE

NOTEBOOK = Path(__file__).parents[1] / "docs" / "python.ipynb"
TIMEOUT_S = 120


def outputs(notebook: NotebookNode) -> list[list[tuple[str, ...]]]:
    """Return the kinds of the outputs of each cell with code."""
    return [
        [
            (each.output_type, each.get("name", ""), *sorted(each.get("data", ())))
            for each in cell.outputs
        ]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def test_stored_outputs_name_no_folder_of_a_machine() -> None:
    notebook = nbformat.read(NOTEBOOK, nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    shown = [text for cell in notebook.cells for text in texts(cell)]
    assert [text for text in shown if re.search(r"(?<![\w<./])/\w+/\w", text)] == []
    assert all(outputs(notebook)), "execute it: VLD_HOME=DIR jupyter execute --inplace NOTEBOOK"


def texts(cell: NotebookNode) -> list[str]:
    """Return the code of a cell and its outputs, without pictures."""
    found = [cell.source]
    for output in cell.get("outputs", ()):
        data = {"text": output.get("text", ""), **output.get("data", {})}
        found += [text for kind, text in data.items() if not kind.startswith("image/")]
    return found


@pytest.mark.slow  # a process imports torch, 10 s of processor time
@pytest.mark.usefixtures("cold_starts")
def test_the_notebook_runs(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = make_run(steps=5, eval_every=5, warmup_steps=0)
    run_dir.write_user(UserData(tags=("demo",)))
    run_here(run_dir)
    monkeypatch.setenv(HOME_VARIABLE, str(run_dir.path.parents[1]))
    monkeypatch.setenv("PYTHONPATH", engine_environment()["PYTHONPATH"])
    notebook = nbformat.read(NOTEBOOK, nbformat.NO_CONVERT)
    shown = outputs(notebook)
    place = {"metadata": {"path": os.fspath(tmp_path)}}
    NotebookClient(notebook, timeout=TIMEOUT_S, kernel_name="python3", resources=place).execute()
    assert outputs(notebook) == shown
