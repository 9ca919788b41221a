"""Suspects are decided on by keys, and the decisions become an exclude list."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import msgspec
from textual.pilot import Pilot
from textual.widgets import Input

from engine.protocol.exclude_lists import Decision
from engine.protocol.suspects import Suspect, Suspects, Twin, UsedCheckpoint
from tests.vld_tui.dashboard.fake_history import (
    FakeActions,
    FakeSource,
    make_run,
    play,
    screen_lines,
    settle,
    settle_until,
)
from vld_tui.control.suspects import FoundSuspects, write_decisions
from vld_tui.dashboard.app import Dashboard
from vld_tui.dashboard.screens.suspects import SuspectsScreen
from vld_tui.dashboard.use.orders import SuspectsOrder, UseOrder
from vld_tui.dashboard.use.results import SuspectsFound, UseResult
from vld_tui.dashboard.use.work import Work
from vld_tui.dashboard.widgets.ask import Confirm

CLASSES = ("cat", "dog", "owl")


def _suspect(at: int, *, is_suspect: bool = True, twins: tuple[Twin, ...] = ()) -> Suspect:
    return Suspect(
        path=f"art/cat/{at}.png", domain="art", index=at, class_name="cat", label_probability=0.05,
        predicted="dog", probability=0.9, loss=3.0, random_loss=2.5, score=0.5 - at / 10,
        is_suspect=is_suspect, twins=twins,
    )  # fmt: skip


TWIN = Twin("sketch/dog/7.png", "sketch", "dog", "identical")
FOUND = Suspects(
    dataset="pets", where="/pets", data_digest="d", made_at=0.0,
    checkpoints=(UsedCheckpoint("best", 150, "a"), UsedCheckpoint("last", 300, "b")),
    quantile=0.2, threshold=0.25, images=40, suspects=3,
    listed=(_suspect(0, twins=(TWIN,)), _suspect(1), _suspect(2), _suspect(3, is_suspect=False)),
    classes=CLASSES, near_distance=4,
)  # fmt: skip


class FindingActions(FakeActions):
    """Answers a search for suspects, has stored ones, and writes the decisions."""

    def has_suspects(self, run_id: str) -> bool:
        return True

    def stored_suspects(self, run_id: str) -> SuspectsFound:
        return SuspectsFound(run_id, SuspectsOrder(), FoundSuspects(FOUND))

    def use(self, run_id: str, order: UseOrder, work: Work) -> UseResult:
        assert isinstance(order, SuspectsOrder)
        self.done.append(("use", run_id, order))
        return SuspectsFound(run_id, order, FoundSuspects(FOUND))

    def save_decisions(self, decided: Sequence[tuple[Suspect, Decision]], path: str) -> str:
        write_decisions(Path(path), decided)
        return self._do("save decisions", len(decided))


def test_decisions_are_made_by_keys_and_saved(tmp_path: Path) -> None:
    actions = FindingActions()
    file = tmp_path / "exclude.csv"

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("u")
        await settle(pilot)
        await pilot.press(*"suspects", "enter")
        await settle(pilot)
        app.screen.query_one("#quantile", Input).value = "0.3"
        await settle(pilot)
        assert "suspects 250101-000000-aaaa --quantile 0.3" in "\n".join(screen_lines(app))
        await pilot.press("ctrl+r")
        await settle_until(pilot, lambda: isinstance(app.screen, SuspectsScreen))
        await settle(pilot)
        text = "\n".join(screen_lines(app))
        assert "3 suspects of 40 training images" in text
        assert "art/cat/0.png" in text
        assert "identical file labelled dog" in text
        assert "art/cat/3.png" not in text
        await pilot.press("w")
        await settle(pilot)
        await pilot.press(*str(file), "enter")
        await settle(pilot)
        assert not file.exists()
        assert "No decisions to save." in [*app._notifications][-1].message
        await pilot.press("x")
        await settle(pilot)
        await pilot.press("r")
        await settle(pilot)
        await pilot.press("enter")
        await settle(pilot)
        await pilot.press("p")
        await settle(pilot)
        text = "\n".join(screen_lines(app))
        assert "1 excluded, 1 relabelled, 1 kept" in text
        assert "✗ excluded" in text
        assert "→ dog" in text
        await pilot.press("z")
        await settle(pilot)
        assert "1 excluded, 1 relabelled ·" in "\n".join(screen_lines(app))
        await pilot.press("w")
        await settle(pilot)
        await pilot.press(*str(file), "enter")
        await settle_until(pilot, file.exists)

    play(FakeSource([make_run(0)]), scenario, actions=actions)
    with file.open(newline="") as lines:
        rows = [(row["path"], row["action"], row["class"]) for row in csv.DictReader(lines)]
    assert rows == [("art/cat/0.png", "exclude", ""), ("art/cat/1.png", "relabel", "dog")]
    assert ("save decisions", 2) in actions.done


def test_stored_suspects_are_shown_and_their_decisions_stay() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        for chosen in ("stored", "3"):
            await pilot.press("u")
            await settle(pilot)
            await pilot.press(*chosen, "enter")
            await settle_until(pilot, lambda: isinstance(app.screen, SuspectsScreen))
            await settle(pilot)
            if chosen == "stored":
                await pilot.press("x")
                await settle(pilot)
            assert "1 excluded ·" in "\n".join(screen_lines(app))
            await pilot.press("escape")
            await settle(pilot)

    play(FakeSource([make_run(0)]), scenario, actions=FindingActions())


def test_closing_the_dashboard_asks_about_unsaved_decisions(tmp_path: Path) -> None:
    file = tmp_path / "exclude.csv"

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("u")
        await settle(pilot)
        await pilot.press(*"stored", "enter")
        await settle_until(pilot, lambda: isinstance(app.screen, SuspectsScreen))
        await settle(pilot)
        await pilot.press("x", "q")
        await settle_until(pilot, lambda: isinstance(app.screen, Confirm))
        await settle(pilot)
        assert "1 decision on suspects is not saved. Quit?" in "\n".join(screen_lines(app))
        await pilot.press("escape")
        await settle(pilot)
        await pilot.press("w")
        await settle(pilot)
        await pilot.press(*str(file), "enter")
        await settle_until(pilot, file.exists)
        await settle(pilot)
        await pilot.press("q")
        await settle(pilot)
        assert not isinstance(app.screen, Confirm)

    play(FakeSource([make_run(0)]), scenario, actions=FindingActions())


def test_a_single_suspect_is_counted_as_one() -> None:
    one = FoundSuspects(msgspec.structs.replace(FOUND, suspects=1))
    title = SuspectsFound("run", SuspectsOrder(), one).title
    assert title == "1 suspect of 40 training images"
