"""The bindings that are active together on each screen; importing this imports every screen."""

from __future__ import annotations

from collections.abc import Sequence

from textual.binding import BindingType

from vld_tui.dashboard.keys import Chain
from vld_tui.dashboard.screens import choose_columns, compare, home, new_run, pick, queue, run
from vld_tui.dashboard.screens.study import screen, studies
from vld_tui.dashboard.widgets import chart, heat_map, plane, run_table, slider, study_plane
from vld_tui.dashboard.widgets.run import domains, files, log, samples, scrolled


def chains(everywhere: Sequence[BindingType]) -> tuple[Chain, ...]:
    """Return the bindings of the application, of a screen and of its focused widget, for each.

    ``everywhere`` are those of the application. Below a modal screen none is active.
    """
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
        (everywhere, compare.CompareScreen.BINDINGS, of_text),
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
