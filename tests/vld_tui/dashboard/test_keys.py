"""Keys that two actions would have."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from textual.binding import Binding

from vld_tui.dashboard.app import Dashboard, make_dashboard
from vld_tui.dashboard.chains import chains
from vld_tui.dashboard.keys import FORMER_IDS, KeyTable, key_name
from vld_tui.dashboard.preferences import Preferences
from vld_tui.home import Home
from vld_tui.store.store import Store

KEYS: Final = KeyTable(chains(Dashboard.BINDINGS))
SAVED_IDS: Final = """
    a-little-less a-little-more arm back cell-down cell-left cell-right cell-up clear clone
    colour-by columns columns-by compare configuration copy-command copy-path curves
    differences domain domain-before domains down earlier every-step export files filter
    filter-curves first first-cell first-line first-page first-study follow forget group
    heat-map help higher-id higher-ood hit-before hold-release keep-preset kill last
    last-cell last-line last-study later launch launch-rest left less line-down line-up log
    log-steps log-values lower-id lower-ood mark means-targets more new next-hit next-page
    next-study next-view note open order page-before page-down page-up plane presets queue
    queue-it quit resume reverse-order right rows-by run-the-example samples scroll-down
    scroll-up search settings show slot-less slot-more smooth sort stop studies study-before
    table tags take take-out the-usual-ones timeline trash undo up values view view-before
    wait-for-a-slot zoom-in zoom-out
"""
"""Every id that the first versions with settings saved keys under."""
LATER = {
    "complete-filter", "previous-filter", "next-filter", "keep-filter",
    "views",
    "plotted-measure", "evaluations", "report", "use", "large-picture", "image-left", "image-right",
    "last-page", "rename", "save-note",
    "open-trash", "restore", "delete", "empty-trash", "edit-study", "list-runs",
    "hardware", "time-axis", "first-value", "last-value",
    "suspend",
    "mistakes", "earlier-step", "later-step", "selected-step",
    "shift", "representation", "diagnose",
    "exclude-image", "relabel-image", "keep-image", "undecide-image",
}  # fmt: skip
"""Ids of actions that came after."""


def test_the_usual_keys_do_not_clash() -> None:
    assert not [action for action in KEYS.actions if KEYS.find_clash(action, {})]


@pytest.mark.parametrize(
    ("chosen", "left_out"),
    [
        ({"sort": "b", "group": "o"}, []),  # changed places
        ({"sort": "w", "group": "o"}, ["sort", "group"]),  # the usual key of sort is taken too
        ({"quit": "x", "help": "x"}, ["help", "quit"]),  # a chart has x
        ({"first": "i"}, []),  # of the table; i is a key of charts
        ({"smooth": "/"}, ["smooth"]),
        ({"filter": "/"}, []),  # of the list; the focused chart has its own
        ({"sort": "", "not-known": "q"}, []),
    ],
)
def test_what_clashes_is_left_out_until_nothing_does(
    chosen: dict[str, str], left_out: list[str]
) -> None:
    assert [action for action, _ in KEYS.find_clashes(chosen)] == left_out


def test_keys_that_an_earlier_version_saved_stay_with_their_actions() -> None:
    saved = {each: f"f{place}" for place, each in enumerate(SAVED_IDS.split(), start=1)}
    assert set(Preferences(keys=saved).keys) == set(KEYS.actions) - LATER


def test_keys_in_the_settings_of_an_earlier_version_are_read_under_their_present_ids(
    tmp_path: Path,
) -> None:
    saved = {"wait-for-a-slot": "W", "sort": "S", "queue-again": "", "of-another-version": "x"}
    with Store.open(Home(tmp_path)) as store:
        store.settings.change("dashboard", dict[str, object], {}, lambda _: {"keys": saved})
    dashboard = make_dashboard(Home(tmp_path))
    assert dashboard.preferences.keys == {"queue-again": "", "sort": "S", "of-another-version": "x"}
    with Store.open(Home(tmp_path)) as store:
        store.settings.change("dashboard", dict[str, object], {}, lambda _: {"keys": {"take": "m"}})
    assert make_dashboard(Home(tmp_path)).preferences.keys == {"accept": "m"}


def test_an_id_has_one_label_on_every_screen() -> None:
    labels: dict[str, set[str]] = {}
    for each in itertools.chain(*chains(Dashboard.BINDINGS)):
        for binding in each:
            if isinstance(binding, Binding) and binding.id is not None:
                labels.setdefault(binding.id, set()).add(binding.description)
    assert not {each: names for each, names in labels.items() if len(names) > 1}
    assert not FORMER_IDS.keys() & labels.keys()


MOVES: Final = set("hjklgG123456789")
"""Keys that move within the focused part, or choose a numbered part of a screen."""


def labels_of_keys() -> dict[str, list[str]]:
    """Return the labels of each visible key, over all screens."""
    found: dict[str, dict[str, None]] = {}
    for binding in itertools.chain.from_iterable(itertools.chain(*chains(Dashboard.BINDINGS))):
        assert isinstance(binding, Binding)
        for key in binding.key.split(","):
            character = key_name(key)
            if len(character) == 1 and character not in "=↑↓←→":
                found.setdefault(character, {})[binding.description] = None
    return {key: list(labels) for key, labels in found.items()}


def documented_keys() -> Iterator[tuple[str, list[str]]]:
    """Yield the rows of the table of keys: a key, and the labels of its actions."""
    text = Path(__file__).parents[3].joinpath("docs/dashboard.md").read_text(encoding="utf-8")
    _before, section = text.split("\n## Keys\n")
    for key, labels in re.findall(r"^\| `(\S)` \| ([^|]+) \|", section, re.MULTILINE):
        yield key, labels.split(", ")


def test_the_documentation_has_one_row_for_each_key_with_every_action_of_it() -> None:
    rows = list(documented_keys())
    assert [key for key, _ in rows] == list(dict.fromkeys(key for key, _ in rows))
    documented = {key: sorted(labels) for key, labels in rows}
    bound = {key: sorted(each) for key, each in labels_of_keys().items() if key not in MOVES}
    assert documented == bound


def test_keys_that_move_do_nothing_else() -> None:
    moves = re.compile(
        r"(up|down|left|right|first|last|next|previous|lower|higher)\b|\w+ (up|down|left|right)$"
    )
    bound = labels_of_keys()
    assert not [label for key in "hjklgG" for label in bound[key] if not moves.match(label)]
