"""The progress of a study in a line, or in several if they are narrow."""

from __future__ import annotations

from vld_tui.dashboard.draw.study import progress_line
from vld_tui.study.results.state import Counts, TimeLeft


def test_states_that_do_not_fit_begin_another_line() -> None:
    counts = Counts(finished=1200, live=2, queued=300, failed=4, stopped=5, missing=1234)
    narrow = progress_line(counts, TimeLeft(3700.0, 0), 80).plain.splitlines()
    (wide,) = progress_line(counts, TimeLeft(3700.0, 0), 200).plain.splitlines()
    assert len(narrow) == 2
    assert all(len(line) <= 80 for line in narrow)
    words = " ".join(each.strip() for each in narrow).replace("·", " ").split()
    assert words == wide.replace("·", " ").split()
    assert wide.endswith("4 failed · 2 running · 300 queued · 5 stopped · 1,234 missing")


def test_states_without_runs_are_left_out() -> None:
    (line,) = progress_line(Counts(finished=8), TimeLeft(), 80).plain.splitlines()
    assert line.endswith("  8/8 finished")
    (stopped,) = progress_line(Counts(stopped=8), TimeLeft(), 80).plain.splitlines()
    assert stopped.endswith("  0/8 finished · 8 stopped; launch resumes them")
