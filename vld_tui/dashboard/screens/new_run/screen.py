"""The form of a new run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import ClassVar, Final

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.timer import Timer
from textual.widgets import Input, Static

from engine.protocol import FIELDS, fields_with
from engine.protocol.identity import run_identity
from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.screens.new_run.asking import (
    Appraised,
    AskingScreen,
    DatasetsFound,
    NetworksFound,
    Order,
    PresetsFound,
    ask_datasets,
    ask_presets,
)
from vld_tui.dashboard.screens.new_run.draft import Draft, read_draft, typed_texts, usual_texts
from vld_tui.dashboard.screens.new_run.knowledge import A_FOLDER, Knowledge, preset_choices
from vld_tui.dashboard.screens.new_run.labels import LabelLines
from vld_tui.dashboard.screens.new_run.lines import FieldGroup, PresetLine, form_field, hint
from vld_tui.dashboard.screens.pick import Pick
from vld_tui.dashboard.widgets.ask import AskLine, copy_command
from vld_tui.dashboard.widgets.form import (
    NARROW_CELLS,
    FieldLine,
    FormLines,
    PickAsked,
    line_of,
    next_line,
)
from vld_tui.dashboard.widgets.key_bar import KeyBar
from vld_tui.dashboard.widgets.slider import Slider
from vld_tui.runs.progress import Progress
from vld_tui.runs.run import Run
from vld_tui.study.planner import FormPreset, Planner
from vld_tui.views.plan import forecast_text, plan_table
from vld_tui.words.palette import ALARM_STYLE, QUIET_STYLE
from vld_tui.words.text import plain_text

FIRST: Final = fields_with("in_sight")
"""Fields that are always visible; the others are folded under their group."""
GROUPS: Final = tuple(dict.fromkeys(info.group for info in FIELDS.values()))
MOST_CELLS: Final = 50
"""Width of the longest names of networks."""
PLAN_LINES: Final = 34
"""Terminal height that fits the plan."""
PATIENCE_S: Final = 0.25
"""Pause in typing after which the run is appraised."""


class NewRun(AskingScreen):
    """A form of every field; returns the runs to start, or None."""

    DEFAULT_CSS = """
    NewRun #form { width: 100%; max-width: 150; padding: 0; height: 100%; }
    NewRun.-narrow #form { border: none; padding: 0 1; }
    NewRun #plan { height: auto; }
    NewRun #foot { height: auto; border-top: solid $border; padding: 0 2; }
    NewRun #hint { height: auto; min-height: 2; max-height: 5; }
    NewRun #forecast { height: 2; }
    NewRun #verdict { height: auto; max-height: 4; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "escape", "dismiss(None)", "back", show=True),
        bind("launch", "ctrl+r", "launch(False)", "start", show=True, priority=True),
        bind("queue-new", "ctrl+l", "launch(True)", "add to queue", show=True, priority=True),
        bind("copy-command", "ctrl+y", "copy", "copy command", show=True, priority=True),
        bind("presets", "ctrl+o", "list_presets", "presets", show=True, priority=True),
        bind("save-preset", "ctrl+s", "keep_preset", "save preset", show=True, priority=True),
        bind("line-up", "up", "walk(-1)", "line up"),
        bind("line-down", "down,enter", "walk(1)", "line down"),
    ]

    def __init__(self, like: Run | None, planner: Planner) -> None:
        super().__init__(planner)
        typed = typed_texts(like.spec) if like is not None else {}
        self._like = like
        self._title = "New run" if like is None else f"Clone of {like.label}"
        self._labels = LabelLines(like)
        usual = usual_texts(typed)
        self._lines = {
            name: FieldLine(form_field(info), usual[name], typed.get(name))
            for name, info in FIELDS.items()
        }
        self._draft = Draft(typed, usual)
        self._known = Knowledge()
        self._hidden: frozenset[str] = frozenset()
        self._presets: Mapping[str, FormPreset] = {}
        self._preset: str | None = None
        self._pick: tuple[str, Pick] | None = None
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        """Lay out the visible fields, the groups of the others, and the plan."""
        with Vertical(id="form", classes="frame"):
            with FormLines():
                yield PresetLine()
                yield from (self._lines[name] for name in FIRST)
                yield from self._labels
                for group in GROUPS:
                    names = [name for name, info in FIELDS.items() if info.group == group]
                    folded = [self._lines[name] for name in names if name not in FIRST]
                    yield FieldGroup(group, folded)
            yield Static(id="plan")
            with Vertical(id="foot"):
                yield Static(id="hint")
                yield Static(id="forecast")
                yield Static(id="verdict")
            yield KeyBar()

    def on_mount(self) -> None:
        """Focus the dropout rate."""
        self.query_one(Slider).focus()
        self._check()
        self.ask(ask_presets)
        self.ask(ask_datasets)
        self.ask_for_networks()

    def on_resize(self, event: events.Resize) -> None:
        """Divide the width between values and notes."""
        cells = max(NARROW_CELLS, min(MOST_CELLS, event.size.width // 3))
        for line in (*self._lines.values(), *self._labels):
            line.value_cells = cells
        self.query_one("#plan").display = event.size.height >= PLAN_LINES

    def on_input_changed(self, _event: Input.Changed) -> None:
        """Check the whole form if a typed text changed."""
        if self._typed() != self._draft.typed:
            self._check()
        else:  # a label, which does not change the run
            self._show()

    def on_input_submitted(self, _event: Input.Submitted) -> None:
        """Go to the next field."""
        self.action_walk(1)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Show the full help of the field, and hide the previous one if it has no effect."""
        self._show_lines()
        line = line_of(event.widget)
        if isinstance(line, FieldLine):
            info = FIELDS.get(line.field.name)
            remark = line.field.note if info is None else hint(info)
        else:
            remark = "enter lists presets" if isinstance(line, PresetLine) else "enter unfolds"
        self.query_one("#hint", Static).update(Text(remark, QUIET_STYLE))

    def on_pick_asked(self, message: PickAsked) -> None:
        """List the choices."""
        field, known = message.field, self._known
        pick = Pick(
            f"{FIELDS[field].flag.removeprefix('--')}: {FIELDS[field].help}",
            known.choices(field, self._draft),
            current=self._draft.text(field),
            remark=known.remark(field, self._draft),
        )
        self._pick = (field, pick)
        self.app.push_screen(pick, partial(self._picked, field))

    def on_preset_line_list_asked(self, _message: PresetLine.ListAsked) -> None:
        """List the presets."""
        self.action_list_presets()

    def on_datasets_found(self, message: DatasetsFound) -> None:
        """Show the data sets."""
        self._learn(listings=message.listings)

    def on_networks_found(self, message: NetworksFound) -> None:
        """Show where the networks' weights are."""
        networks = message.networks or self._known.networks
        self._learn(networks=networks, networks_remark=message.remark)

    def on_appraised(self, message: Appraised) -> None:
        """Show the cost and the problems of the run."""
        self._learn(appraised=message)

    def on_presets_found(self, message: PresetsFound) -> None:
        """Show the presets."""
        self._presets = message.presets
        if self._preset not in self._presets:
            self._preset = None
        if message.said:
            self.notify(message.said, markup=False)
        self._show()

    def action_walk(self, step: int) -> None:
        """Move to the next or previous line."""
        if self.focused is None:
            self.focus_next()
            return
        line = next_line(self.focus_chain, self.focused, step)
        if isinstance(line, FieldLine):
            line.go()
        else:
            self.set_focus(line)

    def action_launch(self, is_queued: bool) -> None:
        """Return the runs, if valid."""
        specs, labels = self._draft.specs, self._labels
        if specs and not self._known.problems(self._draft) and not labels.problem:
            self.dismiss(Order(specs, is_queued, labels.name, labels.tags))

    def action_copy(self) -> None:
        """Copy the command line of each run."""
        copy_command(self, self._labels.commands(self._draft.lines))

    def action_list_presets(self) -> None:
        """List the presets to load or delete one."""
        rows = preset_choices(self._presets)
        pick = Pick("Presets", rows, current=self._preset or "", drop=self.drop_form_preset)
        self.app.push_screen(pick, self._load_preset)

    def action_keep_preset(self) -> None:
        """Save the typed texts as a preset."""
        preset = self._typed()

        def answered(name: str | None) -> None:
            if name:
                self._preset = name
                self.keep_form_preset(name, preset)

        question = "Save preset as:"
        self.app.push_screen(AskLine(question, answer=self._preset or ""), answered)

    def _load_preset(self, name: str | None) -> None:
        """Fill the form from a preset; unknown fields are ignored."""
        if name is None or name not in self._presets:
            return
        self._preset = name
        typed = {field: text for field, text in self._presets[name].items() if field in FIELDS}
        usual = usual_texts(typed)
        for field, line in self._lines.items():
            line.load(usual[field], typed.get(field))
        self._check()

    def _picked(self, name: str, value: str | None) -> None:
        self._pick = None
        if value is None:
            return
        if (name, value) == ("dataset", A_FOLDER):
            for group in self.query(FieldGroup):
                if group.group == FIELDS["data_dir"].group:
                    group.unfold(True)
            self.call_after_refresh(self._lines["data_dir"].go)
        else:
            self._lines[name].put(value)

    def _learn(self, **answers: object) -> None:
        """Show an answer of the planner, also in an open list."""
        self._known = replace(self._known, **answers)  # type: ignore[arg-type]
        if self._pick is not None:
            field, pick = self._pick
            known, draft = self._known, self._draft
            pick.set_choices(known.choices(field, draft), known.remark(field, draft))
        self._show()

    def _typed(self) -> dict[str, str]:
        """Return the typed texts, in the order of the form."""
        names = (*FIRST, *(name for name in FIELDS if name not in FIRST))
        texts = {name: self._lines[name].typed for name in names}
        return {name: text for name, text in texts.items() if text is not None}

    def _check(self) -> None:
        """Read the form again, and appraise the run once typing stops."""
        self._draft = read_draft(self._typed())
        for name, line in self._lines.items():
            line.set_usual(self._draft.usual[name])
        self._show()
        if self._timer is not None:
            self._timer.stop()
        if self._draft.specs:
            self._timer = self.set_timer(PATIENCE_S, partial(self.appraise, self._draft.specs[0]))

    def _show(self) -> None:
        """Show notes and problems next to the fields, and the plan."""
        problems = self._known.problems(self._draft)
        notes = self._known.notes(self._draft)
        for name, line in self._lines.items():
            line.say(notes.get(name, ""), problems.get(name))
        self._labels.show(self._draft.specs)
        self._show_lines()
        preset = self._presets.get(self._preset or "")
        self.query_one(PresetLine).show(
            self._title,
            self._preset,
            is_changed=preset != self._draft.typed,
            count=len(self._presets),
        )
        runs, text = len(self._draft.specs), Text()
        if runs:
            appraised = self._known.appraised
            text = Text("looking for comparable runs…", QUIET_STYLE)
            if appraised is not None:
                text = forecast_text(appraised.forecast, runs=runs)
            self.query_one("#plan", Static).update(plan_table(self._draft.specs[0], Progress()))
        self.query_one("#forecast", Static).update(text)
        self.query_one("#verdict", Static).update(self._verdict(problems))

    def _show_lines(self) -> None:
        """Hide the fields that have no effect; one with a problem or the cursor stays."""
        problems = self._known.problems(self._draft)
        focused = None if self.focused is None else line_of(self.focused)
        hidden = frozenset(
            name
            for name in self._draft.idle
            if name not in problems and self._lines[name] is not focused
        )
        if hidden != self._hidden:
            self._hidden = hidden
            self.query_one(FormLines).keep_place()
        for name in FIRST:
            self._lines[name].display = name not in hidden
        for group in self.query(FieldGroup):
            group.say(problems, hidden)

    def _repeated(self) -> str:
        """Return a warning if a run would repeat the cloned one; empty if none does."""
        like = self._like
        if like is None or run_identity(like.spec) not in map(run_identity, self._draft.specs):
            return ""
        return f"! Same settings and seed as {like.label}: groups count identical runs once."

    def _verdict(self, problems: Mapping[str, str]) -> Text:
        """Return the problem as the command line words it, or the equivalent command after a
        warning."""
        for problem in (*problems.values(), self._labels.problem):
            if problem is not None:
                return Text(plain_text(problem), ALARM_STYLE)
        lines, verdict = self._labels.commands(self._draft.lines), Text()
        if warning := self._known.warning(self._draft) or self._repeated():
            verdict.append(f"{plain_text(warning)}\n", ALARM_STYLE)
        count = f"{len(lines)} runs such as  " if len(lines) > 1 else ""
        return verdict.append(f"{count}{plain_text(lines[0])}", QUIET_STYLE)
