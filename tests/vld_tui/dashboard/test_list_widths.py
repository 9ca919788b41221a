"""The list of runs in terminals of different widths."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from textual.pilot import Pilot

from engine.protocol import resolve_spec
from tests.vld_tui.dashboard.fake_history import FakeSource, make_run, play, screen_lines, settle
from vld_tui.dashboard.app import Dashboard
from vld_tui.dashboard.widgets.run_table import RunTable
from vld_tui.runs.run import Run

WIDTHS = (60, 72, 80, 100, 119, 120, 128, 140, 150, 170, 200, 230, 260)
LATE = {"OOD trail", "age", "masks", "seed", "model", "tags"}
"""The columns that go first."""


def one_study() -> list[Run]:
    """Runs that differ in dropout rate and seed only, with names made of their settings."""
    return [
        make_run(
            at,
            name=f"fluent-mono-d{rate:g}-m8-s{seed}",
            spec=resolve_spec({"dropout_rate": rate, "seed": seed, "target": "fluent-mono"}),
        )
        for at, (rate, seed) in enumerate((rate, seed) for rate in (0.0, 0.9) for seed in range(3))
    ]


def many_studies() -> list[Run]:
    """Runs that differ in everything, with names that tell nothing."""
    places = [
        ("TerraIncognita", "location_100"), ("VLCS", "Caltech101"), ("OfficeHome", "Real World"),
        ("emoji", "fluent-mono"), ("DomainNet", "quickdraw"),
    ]  # fmt: skip
    return [
        make_run(
            at,
            name=f"run-{1000 + at}",
            spec=resolve_spec(
                {
                    "dataset": dataset, "data_dir": "/data", "target": target, "seed": at,
                    "dropout_rate": at / 10, "masks": at + 1,
                    "model": f"resnet{18 + at}.a1_in1k",
                }
            ),
            tags=("best", "an-extraordinarily-long-tag-of-one-run") if at == 2 else (),
        )
        for at, (dataset, target) in enumerate(places)
    ]  # fmt: skip


def long_names() -> list[Run]:
    """Runs of a data set and names that fill a line."""
    spec = {"dataset": "a-data-set-of-very-many-images", "data_dir": "/d", "target": "photographs"}
    return [
        make_run(
            at,
            name=f"a trial of something that takes a long name to say, number {at}",
            spec=resolve_spec({**spec, "seed": at, "target": f"photographs-{at}"}),
        )
        for at in range(4)
    ]


def shown_in(app: Dashboard) -> tuple[set[str], str, list[str]]:
    """Return the headings of the list, the line above it, and its lines."""
    lines = screen_lines(app)
    table = app.screen.query_one(RunTable)
    across = slice(table.region.x, table.region.right)
    heading = lines[table.region.y][across]
    headings = {each.rstrip(" ▾▴") for each in re.split(r"\s{2,}", heading.strip())}
    return headings, lines[1], [line[across] for line in lines[table.region.y + 1 :]]


@pytest.mark.parametrize("runs", [one_study, many_studies, long_names])
def test_a_wider_terminal_never_shows_less(runs: Callable[[], list[Run]]) -> None:
    source = FakeSource(runs())

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        before: set[str] = set()
        for cells in WIDTHS:
            await pilot.resize_terminal(cells, 30)
            await settle(pilot)
            headings, above, lines = shown_in(app)
            assert headings >= before, f"{before - headings} vanished at {cells} columns"
            before = headings
            for run, line in zip(source.runs, lines, strict=False):
                where = line if "data → target" in headings else above
                assert f"→ {run.target}" in where, f"at {cells} columns"
            assert {"name", "ID", "OOD"} <= headings
            assert headings & LATE == set() or {"progress", "name"} <= headings
        assert before >= {"progress", "OOD trail", "age"}

    play(source, scenario, size=(60, 30))


def test_what_all_runs_have_in_common_is_said_once_above_them() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        headings, above, _ = shown_in(app)
        assert "all: objects-drawn → fluent-mono · 8 masks · tf_efficientnet_lite0" in above
        assert not headings & {"data → target", "masks", "model"}
        assert {"λ", "seed"} <= headings

    play(FakeSource(one_study()), scenario)


def test_runs_beyond_the_page_are_not_said_to_agree() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        assert "all:" not in screen_lines(app)[1]
        assert "data → target" in shown_in(app)[0]

    play(FakeSource(one_study(), count=1_000), scenario)


def test_a_data_set_is_cut_and_its_target_is_not() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        assert any("a-d… → photographs-0" in line for line in shown_in(app)[2])

    play(FakeSource(long_names()), scenario, size=(64, 30))


def test_trails_are_drawn_on_one_scale() -> None:
    source = FakeSource(one_study())
    source.histories = {source.runs[0].run_id: (0.2, 0.4), source.runs[1].run_id: (0.6, 0.8)}

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        _, _, lines = shown_in(app)
        assert "▁▃" in lines[0]
        assert "▅▇" in lines[1]
        assert not any("█" in line for line in lines)

    play(source, scenario, size=(160, 30))
