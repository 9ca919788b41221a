"""The settings of the dashboard: theme, refresh interval, notification, keys."""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import DataTable, Input, Label, Select, Static

from vld_tui.config import FASTEST_REFRESH_S, SLOWEST_REFRESH_S
from vld_tui.dashboard.keys import KeyTable, bind, is_key, key_names
from vld_tui.dashboard.messages import PreferencesChanged
from vld_tui.dashboard.notices import NOTICES
from vld_tui.dashboard.preferences import Preferences
from vld_tui.dashboard.widgets.ask import AskLine
from vld_tui.dashboard.widgets.dialog import Dialog
from vld_tui.dashboard.widgets.key_bar import KeyBar
from vld_tui.words.palette import ALARM_STYLE, HEADING_STYLE, QUIET_STYLE
from vld_tui.words.text import plain_text

NOTICE_WORDS: Final = {
    "off": "no notification",
    "bell": "terminal bell",
    "desktop": "desktop notification (OSC 9 and 777)",
}


class SettingSelect(Select[str], inherit_bindings=False):
    """A list that ``enter`` opens; arrow keys move past it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("choose", "enter,space", "show_overlay", "choose")
    ]


class KeysTable(DataTable[Text]):
    """The keys of every action, below the other settings."""

    def action_cursor_up(self) -> None:
        """Move up, and out of the table at its first line."""
        if self.cursor_row == 0:
            self.screen.focus_previous()
        else:
            super().action_cursor_up()


class SettingsScreen(Dialog[None]):
    """Settings, each applied immediately, above the keys of every action."""

    DEFAULT_CSS = """
    #settings { width: 84; height: 100%; padding: 0 2; }
    #settings Horizontal { height: 1; }
    #settings Label { width: 28; }
    #settings Input, #settings Select { width: 1fr; }
    #settings DataTable { height: 1fr; background: $panel; margin-top: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "escape,comma", "dismiss(None)", "back", key_display="esc", show=True),
        bind("line-up", "up", "app.focus_previous", "line up"),
        bind("line-down", "down", "app.focus_next", "line down"),
    ]

    def __init__(self, preferences: Preferences, key_table: KeyTable) -> None:
        super().__init__()
        self._key_table = key_table
        self._preferences = preferences
        self._keys = dict(preferences.keys)

    def compose(self) -> ComposeResult:
        """Lay out the settings above the keys."""
        with Vertical(id="settings", classes="frame"):
            yield Static(Text("Settings", HEADING_STYLE))
            with Horizontal():
                yield Label("theme")
                yield SettingSelect(
                    [(name, name) for name in sorted(self.app.available_themes)],
                    value=self.app.theme, allow_blank=False, compact=True, id="theme",
                )  # fmt: skip
            with Horizontal():
                yield Label("refresh interval (s)")
                yield Input(f"{self._preferences.refresh_s:g}", compact=True, id="refresh")
            with Horizontal():
                yield Label("notify when a run ends")
                yield SettingSelect(
                    [(NOTICE_WORDS[kind], kind) for kind in NOTICES],
                    value=self._preferences.notice, allow_blank=False, compact=True, id="notice",
                )  # fmt: skip
            yield Static(id="verdict")
            table = KeysTable(id="keys", cursor_type="row")
            table.add_columns("action", "keys", "")
            yield table
            yield Static(Text("enter changes the keys of an action", QUIET_STYLE))
            yield KeyBar()

    def on_mount(self) -> None:
        """Fill the table of keys."""
        self._show_keys()

    def on_select_changed(self, event: Select.Changed) -> None:
        """Apply a theme or a kind of notification."""
        if event.select.id == "theme":
            self.app.theme = str(event.value)
        elif event.value != self._preferences.notice:
            self._change(notice=event.value)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Apply the refresh interval."""
        try:
            seconds = float(event.value)
            if not FASTEST_REFRESH_S <= seconds <= SLOWEST_REFRESH_S:
                raise ValueError(event.value)
        except ValueError:
            said = f"The interval must be {FASTEST_REFRESH_S:g} to {SLOWEST_REFRESH_S:g} s."
            self.query_one("#verdict", Static).update(Text(said, ALARM_STYLE))
            return
        self.query_one("#verdict", Static).update("")
        if seconds != self._preferences.refresh_s:
            self._change(refresh_s=seconds)

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Ask for an action's keys."""
        action = str(event.row_key.value)
        usual = self._key_table.actions[action][1]
        self._ask_keys(action, self._keys.get(action, usual).replace(",", " "))

    def _ask_keys(self, action: str, now: str) -> None:
        about, usual = self._key_table.actions[action]

        def answered(keys: str | None) -> None:
            if keys is None:
                return
            problem = self._set_keys(action, ",".join(keys.replace(",", " comma ").split()))
            if problem:
                self.notify(problem, severity="error", timeout=10, markup=False)
                self._ask_keys(action, keys)

        question = f"Keys for “{about}”, separated by spaces (empty: default, {usual}):"
        self.app.push_screen(AskLine(question, answer=now, example=usual), answered)

    def _set_keys(self, action: str, keys: str) -> str:
        """Give an action other keys; return what is wrong with them."""
        unknown = [key for key in keys.split(",") if keys and not is_key(key)]
        if unknown:
            return (
                f"“{plain_text(unknown[0])}” is not a key. Separate keys by spaces; examples: "
                "x, ctrl+r, f5, space."
            )
        about, usual = self._key_table.actions[action]
        chosen = {each: theirs for each, theirs in self._keys.items() if each != action}
        if keys and keys != usual:
            chosen[action] = keys
        if (clash := self._key_table.find_clash(action, chosen)) is not None:
            return (
                f"{clash.key} is already used for “{clash.about}”, which can be active at the same "
                f"time as “{about}”. Choose another key, or change “{clash.about}” first."
            )
        self._keys = chosen
        self._change(keys=dict(chosen))
        self._show_keys()
        return ""

    def _change(self, **changes: object) -> None:
        self._preferences = msgspec.structs.replace(self._preferences, **changes)
        self.post_message(PreferencesChanged(**changes))

    def _show_keys(self) -> None:
        table = self.query_one(KeysTable)
        row = table.cursor_row
        table.clear()
        clashes = dict(self._key_table.find_clashes(self._keys))  # of settings made elsewhere
        for action, (about, usual) in self._key_table.actions.items():
            keys, clash = self._keys.get(action), clashes.get(action)
            remark = Text("changed" if keys else "", QUIET_STYLE)
            if clash is not None:
                remark = Text(f"ignored: {clash.key} is used for “{clash.about}”", ALARM_STYLE)
            table.add_row(Text(about), Text(key_names(keys or usual)), remark, key=action)
        table.move_cursor(row=row)
