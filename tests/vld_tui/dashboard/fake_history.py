"""A history made of values, and a dashboard on top of it with a frozen clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest
from textual._compositor import Compositor
from textual._context import visible_screen_stack
from textual.pilot import Pilot
from textual.strip import Strip

from engine.protocol import MetricKey, Predictions, RunSpec, resolve_spec
from tests.vld_tui.dashboard.fake_planner import FakePlanner
from vld_tui.control.flips import Partner
from vld_tui.control.trash import TrashedRun
from vld_tui.dashboard.actions import Actions, ComparedMistakes, UndoneRuns
from vld_tui.dashboard.app import Dashboard
from vld_tui.dashboard.feed import (
    Interest,
    OtherRun,
    QueueState,
    RunCurves,
    RunDetail,
    Snapshot,
    Source,
    group_names,
)
from vld_tui.dashboard.guard import ErrorLog
from vld_tui.dashboard.preferences import Preferences
from vld_tui.dashboard.screens.home import HomeScreen
from vld_tui.runs.flips import compare_images
from vld_tui.runs.machine import MachineLoad
from vld_tui.runs.progress import Progress
from vld_tui.runs.run import Grouping, GroupRow, Run, RunPoint, RunRow, RunSummary, TableRow
from vld_tui.runs.statistics import estimate
from vld_tui.store.errors import StoreError
from vld_tui.store.labels import typed_tags
from vld_tui.store.query import Query
from vld_tui.study.define.files import StudyText
from vld_tui.study.results.state import StudyProgress, StudyState

NOW = 1_800_000_000.0
LOAD = MachineLoad(cpu_share=0.25, memory_gib=2, memory_total_gib=16, disk_left_gib=100)


def make_run(index: int, **changes: object) -> Run:
    """Return a finished run; those of higher index are older."""
    known: dict[str, object] = {
        "run_id": f"250101-{index:06d}-aaaa",
        "name": f"run {index}",
        "tags": (),
        "note": "",
        "created_at": NOW - 60 * (index + 1),
        "status": "finished",
        "collapsed": False,
        "spec": resolve_spec({"dataset": "emoji", "seed": index % 1000}),
        "step": 200,
        "steps": 200,
        "selected_step": 150,
        "id_accuracy": 0.7,
        "ood_accuracy": 0.5,
    }
    return Run(**{**known, **changes})  # type: ignore[arg-type]


def curves_of(run: Run) -> RunCurves:
    """Return ID, OOD and loss of a run at five steps; none of one that prepares."""
    if run.phase is not None:
        return RunCurves(run, {})
    steps = np.array([0.0, 50, 100, 150, 200])
    rising = np.array([0.3, 0.4, np.nan, 0.52, 0.5])
    return RunCurves(
        run,
        {
            MetricKey.id(run.arm): (steps, rising + 0.2),
            MetricKey.ood(run.arm): (steps, rising),
            MetricKey.loss(run.arm): (steps[1:], 2 - rising[1:]),
            MetricKey("accuracy", "out", "noto", run.arm): (steps, rising + 0.1),
            MetricKey("accuracy", "in", "fluent-mono", run.arm): (steps, rising),
        },
        ("a line of the log",),
        ("step 150/200  loss 1.480", "step 200/200  loss 1.500", "finished in 3m 20s"),
    )


def bare_detail(curves: RunCurves) -> RunDetail:
    """Return what is known of a run that has said nothing yet."""
    return RunDetail(curves, Progress(), (), (), "/somewhere")


def group_of(runs: Sequence[Run], grouping: Grouping) -> GroupRow:
    """Return all runs as one group."""
    summary = RunSummary(
        key="what they share",
        newest=runs[0],
        run_ids=tuple(run.run_id for run in runs),
        runs=len(runs),
        statuses={"finished": len(runs)},
        id_accuracy=estimate([0.6, 0.7, 0.8]),
        ood_accuracy=estimate([0.45, 0.5, 0.55]),
    )
    (name,) = group_names([summary], grouping)
    return GroupRow(summary, grouping, name)


class FakeSource:
    """Answers from a list of runs; keeps what it was asked for."""

    def __init__(self, runs: Sequence[Run], *, count: int | None = None) -> None:
        self.runs = list(runs)
        self.count = len(self.runs) if count is None else count
        self.asked: list[Interest] = []
        self.histories: dict[str, tuple[float, ...]] = {}
        self.problem: str | None = None
        self.queue = QueueState()
        self.studies: tuple[StudyProgress, ...] = ()
        self.study: StudyState | None = None
        self.detail: Callable[[RunCurves], RunDetail] = bare_detail
        self.closed = False

    def take(self, interest: Interest) -> Snapshot:
        """Return the page that is asked for."""
        self.asked.append(interest)
        page = range(interest.offset, min(self.count, interest.offset + interest.limit))
        runs = [self.runs[i] if i < len(self.runs) else make_run(i) for i in page]
        by_id = {run.run_id: run for run in [*self.runs, *runs]}
        watched = tuple(curves_of(by_id[run]) for run in interest.watched if run in by_id)
        opened = None
        if interest.opened in by_id:
            curves = curves_of(by_id[interest.opened])
            opened = self.detail(curves)
        points = tuple(
            RunPoint(
                run.run_id,
                run.name,
                0.7 + at / 100,
                0.5 - at / 100,
                0.9 * (at % 2),
                target=run.target,
                dataset=run.dataset,
            )
            for at, run in enumerate(runs)
        )
        rows: tuple[TableRow, ...] = tuple(
            RunRow(run, self.histories.get(run.run_id, (0.3, 0.5))) for run in runs
        )
        if interest.grouping is not None:
            rows = (group_of(runs, interest.grouping),)
        return Snapshot(
            interest=interest,
            count=self.count if interest.grouping is None else 1,
            runs=self.count,
            total=self.count,
            rows=rows,
            live={"running": 1},
            watched=watched,
            opened=opened,
            points=points if interest.plane else (),
            queue=self.queue if interest.queue else None,
            problem=self.problem,
            studies=self.studies if interest.studies else None,
            study=self.study if interest.study else None,
            other=self._other(interest.other),
        )

    def _other(self, reference: str | None) -> OtherRun | None:
        if reference is None:
            return None
        run = next((each for each in self.runs if reference in (each.run_id, each.name)), None)
        return OtherRun(reference, run, None if run else f"No run {reference!r}.")

    def close(self) -> None:
        """Note that nobody asks any more."""
        self.closed = True


class FakeActions(Actions):
    """Keeps what it was told to do; ``refusal`` is raised instead."""

    def __init__(self) -> None:
        self.done: list[tuple[object, ...]] = []
        self.refusal: str | None = None
        self.trashed: list[TrashedRun] = []
        self.preferences: Preferences | None = None
        self.others: list[Partner] = []
        self.predictions: dict[str, Predictions] = {}

    def partners(self, run_id: str, marked: Sequence[str]) -> list[Partner]:
        self.done.append(("partners", run_id, *marked))
        return self.others

    def compare_mistakes(self, first: str, second: str, domain: str | None) -> ComparedMistakes:
        ours, theirs = (self.predictions[each] for each in (first, second))
        flips = compare_images(ours, theirs, domain)
        return ComparedMistakes(flips, (first, second), None)

    def _do(self, *what: object) -> str:
        if self.refusal:
            raise StoreError(self.refusal)
        self.done.append(what)
        return "done"

    def complete_filter(self, text: str) -> list[str]:
        return []

    def has_suspects(self, run_id: str) -> bool:
        return False

    def start(
        self, *specs: RunSpec, names: Sequence[str] | None = None, tags: Sequence[str] = ()
    ) -> str:
        return self._do("start", *specs, *(names or ()), *tags)

    def queue(
        self, *specs: RunSpec, names: Sequence[str] | None = None, tags: Sequence[str] = ()
    ) -> str:
        return self._do("queue", *specs, *(names or ()), *tags)

    def queue_again(self, run_id: str) -> str:
        return self._do("queue again", run_id)

    def hold(self, run_id: str, *, is_held: bool) -> str:
        return self._do("hold" if is_held else "release", run_id)

    def move(self, run_id: str, places: int) -> str:
        return self._do("move", run_id, places)

    def set_slots(self, count: int) -> str:
        return self._do("slots", count)

    def work_on_queue(self) -> str:
        return ""

    def resume(self, run_id: str) -> str:
        return self._do("resume", run_id)

    def interrupt(self, run_id: str) -> str:
        return self._do("interrupt", run_id)

    def kill(self, run_id: str) -> str:
        return self._do("kill", run_id)

    def launch_study(self, study: str | StudyText) -> str:
        return self._do("launch study", study if isinstance(study, str) else study.text)

    def stop_study(self, name: str) -> str:
        return self._do("stop study", name)

    def study_text(self, name: str) -> StudyText:
        return StudyText(f'name = "{name}"\n', f"/home/of/runs/studies/{name}.toml", None)

    def export_study(self, state: StudyState, path: str) -> str:
        return self._do("export study", state.name, path)

    def study_names(self) -> list[str]:
        return ["rates"]

    def runs_named(self, text: str) -> list[Run]:
        if "theme" in text:
            raise StoreError(f"There is no run {text}.")
        return [make_run(7, name=f"found-{text}")]

    def report_study(self, name: str, progress: Callable[[str], object]) -> Path:
        progress("reading results")
        self._do("report study", name)
        return Path(f"/home/of/runs/reports/{name}/index.html")

    def trash(self, run_ids: Sequence[str]) -> str:
        return self._do("trash", *run_ids)

    def undo(self) -> UndoneRuns:
        trashed = [what[1:] for what in self.done if what[0] == "trash"]
        restored = sum(what[0] == "restore" for what in self.done)
        if restored >= len(trashed):
            return UndoneRuns("Nothing to undo.", ())
        run_ids = tuple(str(each) for each in trashed[-1 - restored])
        return UndoneRuns(self.restore(run_ids), run_ids)

    def restore(self, run_ids: Sequence[str]) -> str:
        return self._do("restore", *run_ids)

    def trash_contents(self) -> list[TrashedRun]:
        return list(self.trashed)

    def measured_trash(self, trashed: Sequence[TrashedRun]) -> list[TrashedRun]:
        return [TrashedRun(each.run, 3 * 2**20) for each in trashed]

    def delete(self, run_ids: Sequence[str]) -> str:
        self.trashed = [each for each in self.trashed if each.run.run_id not in run_ids]
        return self._do("delete", *run_ids)

    def change_tags(self, run_ids: Sequence[str], before: Sequence[str], text: str) -> str:
        return self._do("tags", *run_ids, *typed_tags(text, before)(tuple(before)))

    def known_tags(self) -> list[str]:
        return ["best", "later", "paper"]

    def rename(self, run_id: str, name: str) -> str:
        return self._do("name", run_id, name)

    def set_note(self, run_id: str, note: str) -> str:
        return self._do("note", run_id, note)

    def export(self, query: Query, path: str) -> str:
        return self._do("export", query.parameters, path)

    def change_preferences(self, changes: Mapping[str, object]) -> str:
        self.preferences = msgspec.structs.replace(self.preferences or Preferences(), **changes)
        return ""


Scenario = Callable[[Dashboard, Pilot[None]], Awaitable[None]]


def play(
    source: Source,
    scenario: Scenario,
    *,
    actions: FakeActions | None = None,
    planner: FakePlanner | None = None,
    size: tuple[int, int] = (120, 40),
    preferences: Preferences | None = None,
    error_log: ErrorLog | None = None,
    rest_s: float = 0.001,
) -> None:
    """Run a dashboard without a terminal and let the scenario use it.

    ``rest_s``: time after which the run under the cursor is drawn.
    """

    async def run() -> None:
        app = Dashboard(
            source,
            actions or FakeActions(),
            planner or FakePlanner(),
            home=Path("/home/of/runs"),
            clock=lambda: NOW,
            measure_load=lambda _: LOAD,
            preferences=preferences,
            error_log=error_log,
        )
        async with app.run_test(size=size) as pilot:
            await settle(pilot)
            await scenario(app, pilot)

    with unpainted(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(HomeScreen, "REST_S", rest_s)
        asyncio.run(run())


@contextmanager
def unpainted() -> Iterator[None]:
    """Have no screen drawn before a test looks at it: most of what is drawn nobody sees."""

    def forget(compositor: Compositor, **_: object) -> None:
        compositor._dirty_regions.clear()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Compositor, "render_full_update", forget)
        patch.setattr(Compositor, "render_partial_update", forget)
        yield


async def settle(pilot: Pilot[None]) -> None:
    """Wait until a question to the source has been answered and shown."""
    for _ in range(4):
        await pilot.pause(0.03)


async def settle_until(pilot: Pilot[None], condition: Callable[[], object]) -> None:
    """Wait until the dashboard has asked its source again and shows what a condition wants."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "the screen never showed it"
        await pilot.pause(0.03)


def screen_strips(app: Dashboard) -> list[Strip]:
    """Return the lines on the screen with their styles."""
    width, height = app.size
    visible_screen_stack.set(app._background_screens)
    strips = app.screen._compositor.render_strips(app.size)
    return [strip.crop(0, width) for strip in strips[:height]]


def screen_lines(app: Dashboard) -> list[str]:
    """Return the text on the screen, line by line."""
    return [strip.text for strip in screen_strips(app)]
