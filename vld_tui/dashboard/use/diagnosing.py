"""Diagnostics of runs that are computed while the dashboard is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from engine.protocol.diagnostics import Topic
from vld_tui.dashboard.use.work import ShownProgress, Work
from vld_tui.words.text import plain_text, shorten_middle, width

FEWEST_TITLE_CELLS: Final = 30
_BETWEEN: Final = " · "


@dataclass(frozen=True)
class DiagnosingProgress:
    """Which diagnostics are being computed, and how far that is.

    Attributes:
        run_ids: runs whose networks are diagnosed.
        which: names them.
        topics: what is computed.
        progress: None: it starts.
    """

    run_ids: tuple[str, ...]
    which: str
    topics: tuple[Topic, ...]
    progress: ShownProgress | None = None

    @property
    def title(self) -> str:
        """Return what is computed of which runs."""
        return f"diagnosing {plain_text(self.which)} ({', '.join(self.topics)})"

    def text(self, cells: int | None = None) -> str:
        """Return the progress alone, in at most ``cells`` cells."""
        return "starting" if self.progress is None else self.progress.text(cells)

    def line(self, cells: int) -> str:
        """Return the progress and the title in at most ``cells`` cells.

        Where the counts would not fit next to the title: without it.
        """
        title = shorten_middle(self.title, max(FEWEST_TITLE_CELLS, cells // 3))
        room = cells - width(_BETWEEN + title)
        if self.progress is not None and width(self.progress.counted) > room:
            return self.text(cells)
        return f"{self.text(room)}{_BETWEEN}{title}"

    def includes(self, run_id: str, topic: Topic) -> bool:
        """Return whether a topic of a run is among what is computed."""
        return run_id in self.run_ids and topic in self.topics


class Diagnosing:
    """Diagnostics of runs that are being computed.

    Attributes:
        first: what is computed, before any progress.
        work: progress, and how to cancel it.
    """

    def __init__(
        self,
        run_ids: Sequence[str],
        which: str,
        topics: Sequence[Topic],
        on_progress: Callable[[DiagnosingProgress], object],
    ) -> None:
        """``on_progress`` receives the progress, now and then."""
        self.first = DiagnosingProgress(tuple(run_ids), which, tuple(topics))
        self.work = Work(lambda made: on_progress(replace(self.first, progress=made)))
