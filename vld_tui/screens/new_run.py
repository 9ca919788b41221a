"""Configure a run: every field of it, checked as it is typed."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import ClassVar, Final

import msgspec
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Footer, Input, Label, Static

from engine.protocol import FIELDS, RunSpec, SpecError, resolve_spec
from vld_tui.fields import command_line, shown_value, spec_values
from vld_tui.views.palette import ALARM_STYLE, HEADING_STYLE, QUIET_STYLE
from vld_tui.views.text import plain_text

FIRST: Final = (
    "dataset", "data_dir", "target", "model", "weights", "dropout_rate", "masks", "recipe",
    "steps", "lr", "batch_size", "image_size", "seed",
)  # fmt: skip
"""Fields on top of the form: what is most often chosen."""
SEVERAL_SEEDS: Final = "Several seeds, such as 0,1,2, make several runs."


@dataclass(frozen=True)
class Order:
    """Runs to start, now or when there is a free slot."""

    specs: tuple[RunSpec, ...]
    is_queued: bool


class NewRun(ModalScreen[Order | None]):
    """A form of every field; answers with the runs to start, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "back"),
        Binding("ctrl+r", "launch(False)", "launch", priority=True),
        Binding("ctrl+l", "launch(True)", "queue", priority=True),
        Binding("up", "app.focus_previous", "up", show=False),
        Binding("down", "app.focus_next", "down", show=False),
    ]

    def __init__(self, like: RunSpec | None) -> None:
        super().__init__()
        self._like = like
        self._usual = msgspec.structs.asdict(resolve_spec({}))
        self._start = msgspec.structs.asdict(like) if like is not None else self._usual
        self._specs: tuple[RunSpec, ...] = ()

    def compose(self) -> ComposeResult:
        """Lay out one line for each field, the verdict below."""
        with Vertical(id="form"):
            yield Static(Text("New run", HEADING_STYLE))
            with VerticalScroll(id="fields", can_focus=False):
                for name in (*FIRST, *(name for name in FIELDS if name not in FIRST)):
                    info = FIELDS[name]
                    with Horizontal(classes="field"):
                        yield Label(info.flag.removeprefix("--"))
                        yield Input(
                            shown_value(self._start[name]),
                            id=name,
                            select_on_focus=True,
                            compact=True,
                        )
                        help_text = SEVERAL_SEEDS if name == "seed" else info.help
                        yield Static(help_text, classes="help", markup=False)
            yield Static(id="verdict")
            yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Begin with λ, which is what one comes for."""
        self.query_one("#dropout_rate", Input).focus()
        self._check()

    def on_input_changed(self, _event: Input.Changed) -> None:
        """Check the whole form."""
        self._check()

    def on_input_submitted(self, _event: Input.Submitted) -> None:
        """Go to the next field."""
        self.app.action_focus_next()

    def action_launch(self, is_queued: bool) -> None:
        """Answer with the runs, if they can be made."""
        self._check()
        if self._specs:
            self.dismiss(Order(self._specs, is_queued))

    def _check(self) -> None:
        """Show the same message as the command line would, or the line that does the same."""
        try:
            given = self._given()
            seeds = [part.strip() for part in str(given.pop("seed", "")).split(",") if part.strip()]
            values = spec_values(given)
            runs = [{**values, **spec_values({"seed": seed})} for seed in seeds] or [values]
            self._specs = tuple(resolve_spec(each) for each in runs)
        except SpecError as error:
            self._specs = ()
            self._say(Text(plain_text(str(error)), ALARM_STYLE))
            return
        line = shlex.join(["vld", "run", *command_line(runs[0])])
        count = f"{len(runs)} runs like  " if len(runs) > 1 else ""
        self._say(Text(f"{count}{plain_text(line)}", QUIET_STYLE))

    def _given(self) -> dict[str, object]:
        """Return the texts that differ from what a run would have without being told."""
        texts = {field.id or "": field.value.strip() for field in self.query(Input)}
        return {
            name: text
            for name, text in texts.items()
            if text and (text != shown_value(self._usual[name]))
        }

    def _say(self, verdict: Text) -> None:
        self.query_one("#verdict", Static).update(verdict)
