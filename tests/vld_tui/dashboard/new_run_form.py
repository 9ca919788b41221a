"""How tests use the form that makes runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Static

from engine.protocol import RunSpec
from tests.vld_tui.dashboard.fake_history import (
    FakeActions,
    FakeSource,
    make_run,
    play,
    screen_lines,
    settle,
)
from tests.vld_tui.dashboard.fake_planner import FakePlanner
from vld_tui.dashboard.app import Dashboard
from vld_tui.dashboard.screens.new_run.lines import FieldGroup
from vld_tui.dashboard.screens.pick import Pick
from vld_tui.dashboard.widgets.form import FieldLine

Use = Callable[["Form"], Awaitable[None]]


class Form:
    """The form as it is open in a dashboard."""

    def __init__(self, app: Dashboard, pilot: Pilot[None], actions: FakeActions) -> None:
        self.app, self.pilot, self.actions = app, pilot, actions

    async def press(self, *keys: str) -> None:
        """Press keys, and wait until the form answered."""
        await self.pilot.press(*keys)
        await settle(self.pilot)

    async def wait(self) -> None:
        """Wait until the planner was asked and answered."""
        await self.pilot.pause(0.4)
        await settle(self.pilot)

    async def fill(self, **texts: str) -> None:
        """Type texts into fields."""
        for name, text in texts.items():
            self.app.screen.query_one(f"#{name}", Input).value = text
        await settle(self.pilot)

    async def unfold(self, *groups: str) -> None:
        """Show the fields of these groups; none: of all."""
        for group in self.app.screen.query(FieldGroup):
            group.unfold(not groups or group.group in groups)
        await settle(self.pilot)

    def text(self, name: str) -> str:
        """Return what stands in a field."""
        return self.app.screen.query_one(f"#{name}", Input).value

    @property
    def shown(self) -> set[str]:
        """Return the fields whose lines are shown, also outside the visible part."""
        return {line.field.name for line in self.app.screen.query(FieldLine) if line.display}

    @property
    def verdict(self) -> str:
        """Return the line below the form."""
        return str(self.app.screen.query_one("#verdict", Static).render())

    @property
    def forecast(self) -> str:
        """Return what the runs would take."""
        return str(self.app.screen.query_one("#forecast", Static).render())

    @property
    def focused(self) -> str | None:
        """Return which field is being changed."""
        return self.app.focused.id if self.app.focused else None

    def line(self, words: str) -> str:
        """Return the first line on the screen that holds these words."""
        return next(line for line in screen_lines(self.app) if words in line)

    @property
    def picks(self) -> list[str]:
        """Return the lines of the open list."""
        assert isinstance(self.app.screen, Pick)
        options = self.app.screen.query_one(OptionList)
        return [str(option.prompt).rstrip() for option in options.options]


def use_form(
    use: Use,
    *,
    like: RunSpec | None = None,
    planner: FakePlanner | None = None,
    actions: FakeActions | None = None,
    size: tuple[int, int] = (120, 40),
) -> FakeActions:
    """Open the form, a clone's with ``like``, and use it; return what was done to runs."""
    done = actions or FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        form = Form(app, pilot, done)
        await form.press("n" if like is None else "c")
        await use(form)

    runs = [] if like is None else [make_run(0, spec=like)]
    play(FakeSource(runs), scenario, actions=done, planner=planner, size=size)
    return done
