"""The palette (``ctrl+p``): actions of the screen, and runs, studies and themes by name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from textual.app import App, SystemCommand
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.markup import escape
from textual.screen import Screen
from textual.theme import Theme

from engine.protocol import UserError
from vld_tui.dashboard.keys import is_movement
from vld_tui.dashboard.messages import RunOpened, StudyOpened
from vld_tui.dashboard.sentences import SENTENCES
from vld_tui.words.text import plain_text

if TYPE_CHECKING:
    from vld_tui.dashboard.actions import Actions

FOUND_RUN_SCORE: Final = 0.5
"""Runs that match are listed after matching actions."""
THEME_SCORE: Final = 0.4
"""Themes that match are listed last: the limit of their scores."""


def screen_actions(app: App[Any], screen: Screen[Any]) -> Iterator[SystemCommand]:
    """Yield the actions of a screen, those of the focused part first; movements are left out."""
    known: set[str] = set()
    for node, binding, is_enabled, _ in screen.active_bindings.values():
        is_movable = is_movement(binding) and not binding.show
        if binding.id is None or not is_enabled or is_movable or binding.action in known:
            continue
        known.add(binding.action)
        about = SENTENCES.get(binding.id, "")
        yield SystemCommand(
            binding.description[:1].upper() + binding.description[1:],
            f"{about} Key: {app.get_key_display(binding)}".strip(),
            partial(app.run_action, binding.action, node),
        )


class Named(Protocol):
    """An application with things to jump to by name."""

    theme: str

    @property
    def actions(self) -> Actions:
        """Return what can be done with the runs of the home."""

    @property
    def home(self) -> Screen[Any]:
        """Return the screen that opens runs and studies."""

    @property
    def available_themes(self) -> dict[str, Theme]:
        """Return the themes by name."""

    def report_study(self, name: str) -> None:
        """Write a study's report."""


def named_things(app: Named) -> Iterator[SystemCommand]:
    """Yield studies and reports by name."""
    for name in app.actions.study_names():
        shown = plain_text(name)
        open_study = partial(app.home.post_message, StudyOpened(name))
        yield SystemCommand(f"Study: {shown}", "Open this study.", open_study)
        report = partial(app.report_study, name)
        yield SystemCommand(f"Report: {shown}", "Write the report of this study.", report)


def themes(app: Named) -> Iterator[SystemCommand]:
    """Yield the themes by name."""
    for name in sorted(app.available_themes):
        about = "The present theme." if name == app.theme else "Use this theme."
        yield SystemCommand(f"Theme: {name}", about, partial(setattr, app, "theme", name))


class ScreenActions(Provider):
    """Finds actions; all of them are listed before anything is typed."""

    async def discover(self) -> Hits:
        """Yield every action, in the order of the screen."""
        for command in self.app.get_system_commands(self.screen):
            title = Content(command.title)
            yield DiscoveryHit(title, command.callback, help=escape(command.help))

    async def search(self, query: str) -> Hits:
        """Yield the actions that match."""
        for hit in _matching(self, query, self.app.get_system_commands(self.screen)):
            yield hit


class Jumps(Provider):
    """Finds runs by name, number or id, and studies, reports and themes by name."""

    async def search(self, query: str) -> Hits:
        """Yield what matches."""
        app = cast("Named", self.app)
        for hit in _matching(self, query, await asyncio.to_thread(lambda: [*named_things(app)])):
            yield hit
        for hit in _matching(self, query, themes(app)):
            yield replace(hit, score=THEME_SCORE * hit.score / (1 + hit.score))
        try:
            found = await asyncio.to_thread(app.actions.runs_named, query)
        except UserError:  # a name that no run has
            return
        for run in found:
            title = Content(f"Run: {plain_text(run.name)}")
            act = partial(app.home.post_message, RunOpened(run.run_id))
            yield Hit(FOUND_RUN_SCORE, title, act, help=f"Open this run. Id: {run.run_id}")


def _matching(provider: Provider, query: str, commands: Iterable[SystemCommand]) -> Iterator[Hit]:
    matcher = provider.matcher(query)
    for command in commands:
        score, places = matcher.fuzzy_search.match(query, command.title)
        if score > 0:
            title = Content(command.title)  # the matcher's own would parse markup
            for place in places:
                title = title.stylize(matcher.match_style, place, place + 1)
            yield Hit(score, title, command.callback, help=escape(command.help))
