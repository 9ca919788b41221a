"""Mistakes of two runs: how many only one makes, by class, and their images."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widgets import Static
from textual.worker import get_current_worker

from engine.protocol import UserError
from vld_tui.dashboard.draw.mistakes import flip_picture
from vld_tui.dashboard.guard import Guarded
from vld_tui.dashboard.keys import DOMAIN_KEYS, bind
from vld_tui.dashboard.screens.pick import Pick, PickOption
from vld_tui.dashboard.widgets.gallery import Gallery
from vld_tui.dashboard.widgets.key_bar import KeyBar
from vld_tui.dashboard.widgets.text import ScrolledText
from vld_tui.runs.flips import KINDS, FlippedImage, FlipsError, Kind
from vld_tui.views.flips import (
    KIND_WORDS,
    count_of,
    flips_heading,
    flips_summary,
    flips_table,
    flips_test,
)
from vld_tui.words.palette import ALARM_STYLE, HEADING_STYLE, QUIET_STYLE
from vld_tui.words.text import plain_text

if TYPE_CHECKING:
    from vld_tui.dashboard.actions import Actions, ComparedMistakes

WIDE_CELLS: Final = 110
"""Minimum width for classes and images side by side."""
CLASS_CELLS: Final = 62
CLASSES: Final = "classes"
View = Kind | Literal["classes"]


class FlipsScreen(Guarded, Screen[None]):
    """Where one run is wrong and another one right."""

    AUTO_FOCUS = "Gallery"
    DEFAULT_CSS = """
    FlipsScreen > Static { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    FlipsScreen #classes { width: 64; height: 1fr; }
    FlipsScreen #images { width: 1fr; height: 1fr; padding: 0 1; }
    FlipsScreen #images > Static { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    FlipsScreen.-one #classes { width: 1fr; }
    FlipsScreen.-one.-images #classes, FlipsScreen.-one.-classes #images { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "escape", "app.pop_screen", "back", show=True),
        bind("view", "v", "other_view", "view", show=True),
        bind("filter", "slash,f", "filter", "filter", key_display="/", show=True),
        *DOMAIN_KEYS,
    ]

    def __init__(self, actions: Actions, first: str, second: str) -> None:
        super().__init__()
        self._actions, self._run_ids = actions, (first, second)
        self._compared: ComparedMistakes | None = None
        self._view: View = KINDS[0]
        self._class: str | None = None
        self._domain: str | None = None
        self._domains: tuple[str, ...] = ()

    def compose(self) -> ComposeResult:
        """Lay out the counts above classes and images."""
        yield Static(id="status")
        yield Static(id="summary")
        yield Static(id="test")
        with Horizontal():
            yield ScrolledText(id="classes")
            with Vertical(id="images"):
                yield Static()
                yield Gallery()
        yield KeyBar()

    def on_mount(self) -> None:
        """Compare the runs."""
        self.query_one("#status", Static).update(Text("comparing mistakes…", QUIET_STYLE))
        self._compare(None)

    def on_resize(self) -> None:
        """Fit the table."""
        self._arrange()
        self._show_classes()

    def on_gallery_turned(self) -> None:
        """Show which images are visible."""
        self._show_visible()

    def action_other_view(self) -> None:
        """Show images of another kind, or the classes if they are not visible next to them."""
        views: list[View] = [*KINDS, CLASSES] if self.has_class("-one") else [*KINDS]
        at = views.index(self._view) if self._view in views else -1
        self._view = views[(at + 1) % len(views)]
        self._arrange()
        self._show_images()

    def action_domain(self, step: int) -> None:
        """Compare the runs on the next domain that both were evaluated on."""
        if domains := self._domains:
            shown = self._domain
            at = domains.index(shown) + step if shown in domains else min(step, 0)
            self._class = None
            self._compare(domains[at % len(domains)])

    def action_filter(self) -> None:
        """Ask for a class, to show only its images."""
        if self._compared is None:
            return
        options = [PickOption("", ("all classes", *("" for _ in KINDS)))]
        for each in self._compared.flips.classes:
            counts = (f"{KIND_WORDS[kind]}: {count_of(each, kind):,}" for kind in KINDS)
            options.append(PickOption(each.name, (each.name, *counts)))

        def answered(chosen: str | None) -> None:
            if chosen is not None:
                self._class = chosen or None
                self._show_images()

        self.app.push_screen(
            Pick("Show images of class:", options, current=self._class or ""), answered
        )

    @work(thread=True, exclusive=True)
    def _compare(self, domain: str | None) -> None:
        worker, app = get_current_worker(), self.app
        try:
            compared = self._actions.compare_mistakes(*self._run_ids, domain)
        except UserError as error:
            if not worker.is_cancelled:
                app.call_from_thread(self._show_problem, error, domain)
            return
        if not worker.is_cancelled:  # else the user left, or asked for another domain
            app.call_from_thread(self._show, compared)

    def _show_problem(self, error: UserError, domain: str | None) -> None:
        self._compared, self._domain = None, domain
        if isinstance(error, FlipsError):
            self._domains = error.domains
        text = Text(plain_text(str(error)), ALARM_STYLE, no_wrap=True, overflow="ellipsis")
        self.query_one("#status", Static).update(text)
        for place in ("#summary", "#test", "#images > Static"):
            self.query_one(place, Static).update("")
        self.query_one("#classes", ScrolledText).show(Text())
        self.query_one(Gallery).show(())

    def _show(self, compared: ComparedMistakes) -> None:
        flips = compared.flips
        self._compared, self._domain, self._domains = compared, flips.domain, flips.domains
        lines = {
            "#status": Text(flips_heading(flips, compared.labels), HEADING_STYLE),
            "#summary": Text(flips_summary(flips)),
            "#test": Text(flips_test(flips), QUIET_STYLE),
        }
        for place, text in lines.items():
            text.no_wrap, text.overflow = True, "ellipsis"
            self.query_one(place, Static).update(text)
        self._arrange()
        self._show_classes()
        self._show_images()

    def _arrange(self) -> None:
        is_one = self.size.width < WIDE_CELLS
        is_classes = self._view == CLASSES or bool(self._compared and self._compared.flips.unknown)
        self.set_class(is_one, "-one")
        self.set_class(is_classes, "-classes").set_class(not is_classes, "-images")

    def _show_classes(self) -> None:
        if self._compared is not None:
            cells = self.size.width - 4 if self.has_class("-one") else CLASS_CELLS - 1
            self.query_one("#classes", ScrolledText).show(flips_table(self._compared.flips, cells))

    @property
    def _listed(self) -> tuple[FlippedImage, ...]:
        if self._compared is None or self._view == CLASSES:
            return ()
        flips, chosen = self._compared.flips, self._class
        return tuple(
            each
            for each in flips.of_kind(self._view)
            if chosen is None or flips.names[each.label] == chosen
        )

    def _show_images(self) -> None:
        if self._compared is not None:
            classes, folder = self._compared.flips.names, self._compared.folder
            picture = partial(flip_picture, classes=classes, folder=folder)
            self.query_one(Gallery).show([picture(each) for each in self._listed])
            self._show_visible()

    def _show_visible(self) -> None:
        if self._compared is None or self._view == CLASSES:
            return
        text = ""
        if not self._compared.flips.unknown:
            visible, total = self.query_one(Gallery).shown, len(self._listed)
            of = f"{visible.start + 1:,}–{visible.stop:,} of {total:,}" if total else "no images"
            text = f"{KIND_WORDS[self._view]}: {of} (v: next)"
            text += f" · class {plain_text(self._class)}" if self._class else ""
        heading = self.query_one("#images > Static", Static)
        heading.update(Text(text, QUIET_STYLE, no_wrap=True, overflow="ellipsis"))
