"""Every action that has keys, whatever screen it belongs to, and keys that two would have."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from textual.binding import Binding, BindingType

from vld_tui.dashboard.bindings import usual_keys

RESERVED: Final = {"ctrl+q": "quit at once", "ctrl+p": "find an action by name"}
"""Keys that no action can be given, so that there is always a way out."""


class Holder(NamedTuple):
    """An action as one class of the dashboard has it: its id, what it does, its usual keys."""

    action: str
    about: str
    usual: frozenset[str]


class Clash(NamedTuple):
    """A key of an action that another one, which does ``about``, has at the same time."""

    key: str
    about: str


@functools.cache
def every_action() -> dict[str, tuple[str, str]]:
    """Return what each action does and its usual keys, by the id of its bindings."""
    found: dict[str, tuple[str, str]] = {}
    for chain in _chains():
        for bindings in chain:
            for action, (about, keys) in usual_keys(bindings).items():
                found.setdefault(action, (about, keys))
    return found


def find_clash(action: str, chosen: Mapping[str, str]) -> Clash | None:
    """Return a key of an action that another has where both can act; None: there is none.

    ``chosen`` are the keys of actions that have others than usual. What two actions usually
    share is no clash: the part with the focus is meant to go first.
    """
    if action in chosen and (reserved := _named(chosen[action]) & RESERVED.keys()):
        key = min(reserved)
        return Clash(key, RESERVED[key])
    for chain in _holders():
        for mine in (each for each in chain if each.action == action):
            for other in (each for each in chain if each.action != action):
                shared = _in_force(mine, chosen) & _in_force(other, chosen)
                if shared := shared - (mine.usual & other.usual):
                    return Clash(min(shared), other.about)
    return None


def find_clashes(chosen: Mapping[str, str]) -> Iterator[tuple[str, Clash]]:
    """Yield the actions whose chosen keys clash, the last ones first, until the rest do not."""
    kept = dict(chosen)
    while (found := _last_clash(kept)) is not None:
        del kept[found[0]]
        yield found


def _last_clash(chosen: Mapping[str, str]) -> tuple[str, Clash] | None:
    for action in reversed(list(chosen)):
        if (clash := find_clash(action, chosen)) is not None:
            return action, clash
    return None


def _in_force(holder: Holder, chosen: Mapping[str, str]) -> frozenset[str]:
    return _named(chosen[holder.action]) if chosen.get(holder.action) else holder.usual


@functools.cache
def _named(keys: str) -> frozenset[str]:
    """Return keys by their long names: ``?`` is ``question_mark``."""
    singles = (Binding(key.strip(), "", "") for key in keys.split(",") if key.strip())
    return frozenset(binding.key for binding in Binding.make_bindings(singles))


@functools.cache
def _holders() -> tuple[tuple[Holder, ...], ...]:
    """Return the actions of each chain."""
    return tuple(
        tuple(
            Holder(action, about, _named(keys))
            for bindings in chain
            for action, (about, keys) in usual_keys(bindings).items()
        )
        for chain in _chains()
    )


@functools.cache
def _chains() -> tuple[tuple[list[BindingType], ...], ...]:
    """Return the bindings that act together: the application's, a screen's, and those of the
    part of it that has the focus. What is below a modal screen does not act."""
    from vld_tui.dashboard import app  # the application imports the settings
    from vld_tui.dashboard.screens import choose_columns, compare, home, new_run, pick, queue, run
    from vld_tui.dashboard.screens.study import screen, studies
    from vld_tui.dashboard.widgets import chart, heat_map, plane, run_table, slider, study_plane
    from vld_tui.dashboard.widgets.run import domains, files, log, samples, scrolled

    everywhere = app.Dashboard.BINDINGS
    of_home, of_run = (everywhere, home.HomeScreen.BINDINGS), (everywhere, run.RunScreen.BINDINGS)
    of_study = (everywhere, screen.StudyScreen.BINDINGS)
    of_text, of_chart = scrolled.ScrolledText.BINDINGS, chart.Chart.BINDINGS
    return (
        (*of_home, run_table.RunTable.BINDINGS),
        (*of_home, of_chart),
        (*of_home, plane.Plane.BINDINGS),
        (*of_run, of_chart),
        (*of_run, domains.DomainsPane.BINDINGS, of_text),
        (*of_run, samples.SamplesPane.BINDINGS),
        (*of_run, log.LogPane.BINDINGS, log.LogLines.BINDINGS),
        (*of_run, files.FilesPane.BINDINGS, of_text),
        (everywhere, compare.CompareScreen.BINDINGS, of_chart),
        (everywhere, queue.QueueScreen.BINDINGS),
        (everywhere, studies.StudiesScreen.BINDINGS),
        (*of_study, heat_map.HeatMapView.BINDINGS),
        (*of_study, plane.Plane.BINDINGS, study_plane.StudyPlane.BINDINGS),
        (*of_study, of_text),
        (new_run.NewRun.BINDINGS, slider.Slider.BINDINGS),
        (pick.Pick.BINDINGS,),
        (choose_columns.ChooseColumns.BINDINGS,),
    )
