"""Diagnostics of runs that are computed while the dashboard is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.protocol.diagnostics import Topic
from vld_tui.dashboard.use.work import Work


class Diagnosing:
    """Diagnostics of runs that are being computed.

    Attributes:
        run_ids: runs whose networks are diagnosed.
        which: names them.
        topics: what is computed.
        work: progress, and how to cancel it.
    """

    def __init__(
        self,
        run_ids: Sequence[str],
        which: str,
        topics: Sequence[Topic],
        on_progress: Callable[[str], object],
    ) -> None:
        """``on_progress`` receives the progress as a line of text, now and then."""
        self.run_ids, self.which, self.topics = tuple(run_ids), which, tuple(topics)
        self.work = Work(lambda text: on_progress(f"{text} · {self.title}"))

    @property
    def title(self) -> str:
        """Return what is computed of which runs."""
        return f"diagnosing {self.which} ({', '.join(self.topics)})"
