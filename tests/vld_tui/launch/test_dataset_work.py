"""Work on image sets by the engine's real process."""

import sys
from pathlib import Path

import pytest

from engine.protocol.datasets import DatasetListing, DescribeDataset, ListDatasets
from engine.protocol.work import WorkNote, WorkProgress
from vld_tui.launch.datasets import DATASETS_COMMAND, DatasetError, work_on_datasets
from vld_tui.launch.local import LaunchError


def _ask(
    folder: Path, reports: list[WorkProgress | WorkNote], script: str | None = None
) -> list[DatasetListing]:
    """Ask the engine, or a script in its place, for the data sets."""
    command = (sys.executable, "-c", script) if script else DATASETS_COMMAND
    request = ListDatasets(str(folder))
    return work_on_datasets(request, list[DatasetListing], reports.append, command)


@pytest.mark.usefixtures("cold_starts")
def test_the_engine_lists_the_embedded_styles(tmp_path: Path) -> None:
    emoji, *_ = _ask(tmp_path, [])
    assert (emoji.name, emoji.complete, len(emoji.domains)) == ("emoji", True, 4)


def test_a_folder_is_described_by_what_it_holds(small_emoji: Path) -> None:
    request = DescribeDataset(str(small_emoji), "small")
    small = work_on_datasets(request, DatasetListing, print)
    assert (small.name, len(small.classes), small.domains[0].images) == ("small", 3, 48)


def test_progress_and_notes_come_before_the_answer(tmp_path: Path) -> None:
    script = """
print('{"type":"progress","what":"decode","done":1,"total":2,"unit":"images"}')
print('{"type":"note","text":"slow disk"}')
print('{"type":"done","answer":[]}')
"""
    reports: list[WorkProgress | WorkNote] = []
    assert _ask(tmp_path, reports, script) == []
    assert reports == [WorkProgress("decode", 1, 2, "images"), WorkNote("slow disk")]


def test_a_refusal_is_told_as_the_engine_worded_it(tmp_path: Path) -> None:
    script = """print('{"type":"refused","message":"No such folder."}')"""
    with pytest.raises(DatasetError, match="No such folder"):
        _ask(tmp_path, [], script)


def test_a_death_is_told_with_the_last_word_of_the_log(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match=r"exit code 1\): no module named PIL"):
        _ask(tmp_path, [], "raise SystemExit('no module named PIL')")


def test_a_killed_process_is_named_with_the_likely_cause(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match=r"^The engine failed \(killed .*out of memory.*\)$"):
        _ask(tmp_path, [], "import os; os.kill(os.getpid(), 9)")


def test_a_request_too_long_for_a_command_line_is_on_stdin(tmp_path: Path) -> None:
    names = [f"a-long-name-of-a-folder-{number}" for number in range(9000)]
    folder = tmp_path / "images"
    request = DescribeDataset(str(folder), " ".join(names))
    with pytest.raises(DatasetError, match=f"no folder or file {folder}"):
        work_on_datasets(request, DatasetListing)
