"""The launched studies with their progress, and the presets."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from engine.protocol import UserError
from vld_tui.dashboard.draw.study import study_lines, study_list_heading
from vld_tui.dashboard.feed import Snapshot
from vld_tui.dashboard.guard import Guarded
from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.messages import ActionAsked, SnapshotTaken, StudyOpened
from vld_tui.dashboard.widgets.ask import Alert, confirm
from vld_tui.dashboard.widgets.key_bar import KeyBar
from vld_tui.study.define.files import SMALL, study_preset_titles
from vld_tui.views.study import plan_lines
from vld_tui.words.palette import HEADING_STYLE, QUIET_STYLE
from vld_tui.words.text import fit, shorten

if TYPE_CHECKING:
    from vld_tui.dashboard.actions import Actions
    from vld_tui.study.planner import Planner
    from vld_tui.study.results.state import StudyProgress
    from vld_tui.study.standing import LaunchPlan

NOTHING: Final = """\
No launched studies yet. A study is a grid of runs: each compared setting on every target with \
several seeds. A small one (offline, one or two hours on two cores):

  vld sweep paper-fig3 --scale small      or enter on paper-fig3-small below
"""
_KEPT, _PRESET = "kept:", "preset:"


class StudiesScreen(Guarded, Screen[None]):
    """A list of launched studies, then presets."""

    DEFAULT_CSS = """
    StudiesScreen OptionList { border: none; height: 1fr; padding: 0; background: $background; }
    StudiesScreen OptionList:focus { border: none; }
    StudiesScreen #hint { height: auto; padding: 1 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "escape,4", "app.close_studies", "back", key_display="esc", show=True),
        bind("next-study", "j", "move('cursor_down')", "next study"),
        bind("previous-study", "k", "move('cursor_up')", "previous study"),
        bind("first-study", "g", "move('first')", "first study"),
        bind("last-study", "G", "move('last')", "last study"),
    ]

    def __init__(self, actions: Actions, planner: Planner) -> None:
        super().__init__()
        self._actions, self._planner = actions, planner
        self._studies: tuple[StudyProgress, ...] | None = None
        self._presets: dict[str, str] = {}

    def compose(self) -> ComposeResult:
        """Lay out the list below a hint."""
        yield Static(Text(" studies", HEADING_STYLE), id="status")
        yield Static(id="hint")
        yield OptionList(markup=False)
        yield KeyBar()

    def on_mount(self) -> None:
        """Read the presets."""
        self._read_presets()

    @work(thread=True)
    def _read_presets(self) -> None:
        self.app.call_from_thread(self._set_presets, _presets())

    def _set_presets(self, presets: dict[str, str]) -> None:
        self._presets = presets
        self._show()

    def on_snapshot_taken(self, message: SnapshotTaken) -> None:
        """Show the progress of the studies."""
        snapshot: Snapshot = message.snapshot
        if snapshot.studies is not None and snapshot.studies != self._studies:
            self._studies = snapshot.studies
            self._show()

    def on_resize(self) -> None:
        """Fit the lines."""
        self._show()

    def action_move(self, how: str) -> None:
        """Move the cursor."""
        getattr(self.query_one(OptionList), f"action_{how}")()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Open a study, or show what launching a preset would do."""
        chosen = event.option.id or ""
        if chosen.startswith(_KEPT):
            self.post_message(StudyOpened(chosen.removeprefix(_KEPT)))
        elif chosen.startswith(_PRESET):
            self._say("estimating the cost…")
            self._plan(chosen.removeprefix(_PRESET))

    @work(thread=True, exclusive=True)
    def _plan(self, name: str) -> None:
        """Plan a launch."""
        try:
            plan: LaunchPlan | str = self._planner.study_plan(name)
        except UserError as error:
            plan = str(error)
        self.app.call_from_thread(self._offer, name, plan)

    def _offer(self, name: str, plan: LaunchPlan | str) -> None:
        """Show what a launch would do, and launch after confirmation."""
        self._say_what_to_do()
        if not self.is_current:  # the user left
            return
        if isinstance(plan, str):
            self.app.push_screen(Alert(plan))
            return
        lines = plan_lines(plan.standing, plan.cost, plan.devices)
        plan_text = "\n".join(f"{label:<8} {line}" for label, line in lines)
        if plan.refusal is not None:
            self.app.push_screen(Alert(f"{plan_text}\n\n{plan.refusal}"))
            return
        launch = ActionAsked(partial(self._actions.launch_study, name))
        confirm(self.app, f"{plan_text}\n\nLaunch?", partial(self.post_message, launch))

    def _show(self) -> None:
        """Update the list; the cursor stays on its line."""
        if self._studies is None or not self.is_mounted:
            return
        options, cells = self.query_one(OptionList), max(20, self.size.width - 3)
        pointed = options.highlighted_option
        made = [*self._study_options(self._studies, cells), *self._preset_options(cells)]
        options.clear_options()
        options.add_options(made)
        known = [option.id for option in made]
        before = (pointed.id or "") if pointed is not None else ""
        launched = before.replace(_PRESET, _KEPT)  # it may have been launched just now
        if (at := next((each for each in (before, launched) if each in known), None)) is not None:
            options.highlighted = known.index(at)
        else:
            options.action_first()
        title = f" studies  {len(self._studies):,} launched"
        self.query_one("#status", Static).update(Text(title, HEADING_STYLE, no_wrap=True))
        self._say_what_to_do()

    def _study_options(self, studies: tuple[StudyProgress, ...], cells: int) -> list[Option]:
        if not studies:
            return []
        heading = Text(study_list_heading(studies, cells), HEADING_STYLE, no_wrap=True)
        lines = zip(studies, study_lines(studies, cells), strict=True)
        return [
            Option(heading, disabled=True),
            *(Option(line, id=f"{_KEPT}{study.name}") for study, line in lines),
            Option("", disabled=True),
        ]

    def _preset_options(self, cells: int) -> list[Option]:
        """Return the presets that were not launched yet."""
        launched = {study.name for study in self._studies or ()}
        names = [name for name in self._presets if name not in launched]
        longest = max(map(len, names), default=0)
        heading = Text(
            "presets: enter shows the cost of a launch and asks for confirmation", HEADING_STYLE
        )
        return [
            Option(heading, disabled=True),
            *(
                Option(
                    Text(shorten(f"{fit(name, longest)}  {self._presets[name]}", cells)),
                    id=f"{_PRESET}{name}",
                )
                for name in names
            ),
        ]

    def _say_what_to_do(self) -> None:
        self._say(NOTHING if not self._studies else "")

    def _say(self, text: str) -> None:
        self.query_one("#hint", Static).update(Text(text, QUIET_STYLE))
        self.query_one("#hint").display = bool(text)


def _presets() -> dict[str, str]:
    """Return the titles of the presets, miniature versions first: they need no download."""
    titles = study_preset_titles(with_small=True)
    return dict(sorted(titles.items(), key=lambda each: not each[0].endswith(SMALL)))
