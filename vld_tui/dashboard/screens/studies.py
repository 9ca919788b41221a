"""The launched studies with their progress, and the presets."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import get_current_worker

from engine.protocol import UserError
from vld_tui.dashboard.draw.study import FILTERED_COLUMNS, PresetRow, study_list
from vld_tui.dashboard.feed import Snapshot
from vld_tui.dashboard.guard import Guarded
from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.messages import SnapshotTaken, StudyOpened
from vld_tui.dashboard.screens.filtered import FilteredScreen
from vld_tui.dashboard.screens.launching import LaunchKeys
from vld_tui.dashboard.widgets.ask import AskLine
from vld_tui.dashboard.widgets.filter_line import RowFilterLine
from vld_tui.dashboard.widgets.key_bar import KeyBar
from vld_tui.home import absolute_path
from vld_tui.study.define.files import study_preset_titles
from vld_tui.words.palette import HEADING_STYLE, QUIET_STYLE

if TYPE_CHECKING:
    from vld_tui.dashboard.actions import Actions
    from vld_tui.study.planner import Planner, StudyOutline
    from vld_tui.study.results.state import StudyProgress

NOTHING: Final = """\
No launched studies yet. A study is a grid of runs: each compared setting on every target with \
several seeds. The presets demo and …-small need no download: enter shows the cost of one and asks \
before it starts. For your own study, write a TOML file and press n.
"""
_KEPT, _PRESET = "kept:", "preset:"


class StudyList(Guarded, OptionList):
    """Studies and presets; one of them is current."""

    BINDINGS: ClassVar[list[BindingType]] = [bind("open", "enter", "select", "open", show=True)]


class StudiesScreen(FilteredScreen, LaunchKeys):
    """A list of launched studies, then presets."""

    AUTO_FOCUS = "OptionList"
    LEAVE = "app.close_studies"
    DEFAULT_CSS = """
    StudiesScreen OptionList { border: none; height: 1fr; padding: 0 1; background: $background; }
    StudiesScreen OptionList:focus { border: none; }
    StudiesScreen #hint { height: auto; padding: 1 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "escape,4", "leave", "back", key_display="esc", show=True),
        bind("queue", "3", "queue", "queue"),
        bind("filter", "slash,f", "filter", "filter", key_display="/", show=True),
        bind("next-study", "j", "move('cursor_down')", "next study"),
        bind("previous-study", "k", "move('cursor_up')", "previous study"),
        bind("first-study", "g", "move('first')", "first study"),
        bind("last-study", "G", "move('last')", "last study"),
        bind("new", "n", "launch_file", "new", show=True),
    ]

    def __init__(
        self, actions: Actions, planner: Planner, outlines: dict[str, StudyOutline]
    ) -> None:
        """``outlines`` are those known of presets; it is filled with others."""
        super().__init__(actions, planner)
        self._studies: tuple[StudyProgress, ...] | None = None
        self._presets: dict[str, str] = {}
        self._outlines = outlines

    def compose(self) -> ComposeResult:
        """Lay out the list below a hint."""
        yield Static(Text(" studies  loading…", HEADING_STYLE), id="status")
        yield RowFilterLine(FILTERED_COLUMNS)
        yield Static(id="hint")
        yield StudyList(markup=False)
        yield KeyBar()

    def on_mount(self) -> None:
        """Read the presets."""
        self._read_presets()

    @work(thread=True)
    def _read_presets(self) -> None:
        self.app.call_from_thread(self._set_presets, study_preset_titles())

    def _set_presets(self, presets: dict[str, str]) -> None:
        self._presets = presets
        self._show()
        self._read_outlines(tuple(presets))

    @work(thread=True)
    def _read_outlines(self, presets: Sequence[str]) -> None:
        """Read the size and cost of each preset; the list fills as they are known."""
        worker, app = get_current_worker(), self.app
        for name in presets:
            if worker.is_cancelled:
                return
            if name in self._outlines:
                continue
            with contextlib.suppress(UserError):  # enter on it shows the reason
                outline = self._planner.study_outline(name)
                if not worker.is_cancelled:
                    app.call_from_thread(self._add_outline, name, outline)

    def _add_outline(self, name: str, outline: StudyOutline) -> None:
        self._outlines[name] = outline
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

    async def action_queue(self) -> None:
        """Show the queue instead."""
        await self.run_action("app.close_studies")
        await self.run_action("app.open_queue")

    def action_move(self, how: str) -> None:
        """Move the cursor."""
        getattr(self.query_one(OptionList), f"action_{how}")()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Open a study, or show what launching a preset would do."""
        chosen = event.option.id or ""
        if chosen.startswith(_KEPT):
            self.post_message(StudyOpened(chosen.removeprefix(_KEPT)))
        elif chosen.startswith(_PRESET):
            self.offer_launch(chosen.removeprefix(_PRESET))

    def action_launch_file(self) -> None:
        """Ask for a TOML file, and offer to launch its study."""

        def answered(path: str | None) -> None:
            if path:
                self.offer_launch(str(absolute_path(path)))

        question = AskLine("Launch the study of the TOML file:", example="study.toml")
        self.app.push_screen(question, answered)

    def show_work(self, text: str) -> None:
        """Show what is being worked on; empty: what can be done."""
        self._say(text or ("" if self._studies else NOTHING))

    def _show(self) -> None:
        if self._studies is None or not self.is_attached:
            return
        options, cells = self.query_one(OptionList), max(20, self.size.width - 4)
        pointed = options.highlighted_option
        made = self._options(self._studies, cells)
        options.clear_options()
        options.add_options(made)
        known = [option.id for option in made]
        before = (pointed.id or "") if pointed is not None else ""
        launched = before.replace(_PRESET, _KEPT)  # it may have been launched just now
        if (at := next((each for each in (before, launched) if each in known), None)) is not None:
            options.highlighted = known.index(at)
        else:
            options.action_first()
        self.show_work("")

    def _options(self, studies: tuple[StudyProgress, ...], cells: int) -> list[Option]:
        """Return the launched studies, then the presets that were not launched yet."""
        launched = {study.name for study in studies}
        presets = [
            PresetRow(name, title, self._outlines.get(name))
            for name, title in self._presets.items()
            if name not in launched
        ]
        lines = study_list(studies, presets, cells)
        every = [
            *(
                Option(line, id=f"{_KEPT}{study.name}")
                for study, line in zip(studies, lines.launched, strict=True)
            ),
            *(
                Option(line, id=f"{_PRESET}{preset.name}")
                for preset, line in zip(presets, lines.presets, strict=True)
            ),
        ]
        found = self.query_one(RowFilterLine).select(lines.rows)
        self._show_status(len(studies), len(found), len(every))
        kept = [every[place] for place in found if place < len(studies)]
        offered = [every[place] for place in found if place >= len(studies)]
        title = Text("presets (enter to preview before launching)", QUIET_STYLE)
        return [
            Option(Text(lines.heading, HEADING_STYLE, no_wrap=True), disabled=True),
            *kept,
            *([Option("", disabled=True)] if kept else []),
            *([Option(title, disabled=True)] if offered else []),
            *offered,
        ]

    def _show_status(self, launched: int, found: int, every: int) -> None:
        filtered = self.query_one(RowFilterLine).summary(found, every)
        text = Text(f" studies  {launched:,} launched", HEADING_STYLE, no_wrap=True)
        self.query_one("#status", Static).update(text.append(filtered, "not bold"))

    def _say(self, text: str) -> None:
        self.query_one("#hint", Static).update(Text(text, QUIET_STYLE))
        self.query_one("#hint").display = bool(text)
