"""The bindings that are active together on each screen; importing this imports every screen."""

from __future__ import annotations

from collections.abc import Sequence

from textual.binding import BindingType

from vld_tui.dashboard.keys import Chain
from vld_tui.dashboard.screens.compare import CompareScreen
from vld_tui.dashboard.screens.flips import FlipsScreen
from vld_tui.dashboard.screens.home import HomeScreen
from vld_tui.dashboard.screens.new_run.screen import NewRun
from vld_tui.dashboard.screens.pick import ChooseColumns, Pick
from vld_tui.dashboard.screens.predictions import PredictionsScreen
from vld_tui.dashboard.screens.queue import QueueScreen
from vld_tui.dashboard.screens.run import RunScreen
from vld_tui.dashboard.screens.runs import RunsScreen
from vld_tui.dashboard.screens.studies import StudiesScreen, StudyList
from vld_tui.dashboard.screens.study import StudyScreen
from vld_tui.dashboard.screens.suspects import SuspectsScreen
from vld_tui.dashboard.screens.trash import TrashScreen
from vld_tui.dashboard.screens.use.screen import UseForm
from vld_tui.dashboard.screens.use.text import ResultScreen
from vld_tui.dashboard.widgets.ask_labels import AskNote
from vld_tui.dashboard.widgets.chart import Chart
from vld_tui.dashboard.widgets.confusions import ConfusionsView
from vld_tui.dashboard.widgets.filter_line import FilterInput
from vld_tui.dashboard.widgets.gallery import Gallery
from vld_tui.dashboard.widgets.heat_map import HeatMapView
from vld_tui.dashboard.widgets.large_picture import LargePicture
from vld_tui.dashboard.widgets.log import LogLines, LogPane
from vld_tui.dashboard.widgets.plane import Plane, StudyPlane
from vld_tui.dashboard.widgets.run_panes import DomainsPane, FilesPane
from vld_tui.dashboard.widgets.run_table import RunTable
from vld_tui.dashboard.widgets.samples import SamplesPane
from vld_tui.dashboard.widgets.slider import Slider
from vld_tui.dashboard.widgets.text import ScrolledText


def chains(everywhere: Sequence[BindingType]) -> tuple[Chain, ...]:
    """Return the bindings of the application, of a screen and of its focused widget, for each.

    ``everywhere`` are those of the application. Below a modal screen none is active.
    """
    of_home, of_run = (everywhere, HomeScreen.BINDINGS), (everywhere, RunScreen.BINDINGS)
    of_study, of_text = (everywhere, StudyScreen.BINDINGS), ScrolledText.BINDINGS
    return (
        (*of_home, RunTable.BINDINGS),
        (*of_home, FilterInput.BINDINGS),
        (*of_home, Chart.BINDINGS),
        (*of_home, Plane.BINDINGS),
        (*of_run, Chart.BINDINGS),
        (*of_run, DomainsPane.BINDINGS, of_text),
        (*of_run, SamplesPane.BINDINGS, Gallery.BINDINGS),
        (*of_run, DomainsPane.BINDINGS, ConfusionsView.BINDINGS),
        (everywhere, FlipsScreen.BINDINGS, Gallery.BINDINGS),
        (everywhere, FlipsScreen.BINDINGS, of_text),
        (*of_run, LogPane.BINDINGS, LogLines.BINDINGS),
        (*of_run, FilesPane.BINDINGS, of_text),
        (*of_run, FilesPane.BINDINGS, FilterInput.BINDINGS),
        (everywhere, CompareScreen.BINDINGS, of_text),
        (everywhere, CompareScreen.BINDINGS, Chart.BINDINGS),
        (everywhere, QueueScreen.BINDINGS),
        (everywhere, QueueScreen.BINDINGS, FilterInput.BINDINGS),
        (everywhere, StudiesScreen.BINDINGS, StudyList.BINDINGS),
        (everywhere, RunsScreen.BINDINGS, HomeScreen.BINDINGS, RunTable.BINDINGS),
        (everywhere, StudiesScreen.BINDINGS, FilterInput.BINDINGS),
        (everywhere, TrashScreen.BINDINGS),
        (everywhere, TrashScreen.BINDINGS, FilterInput.BINDINGS),
        (*of_study, HeatMapView.BINDINGS),
        (*of_study, Plane.BINDINGS, StudyPlane.BINDINGS),
        (*of_study, of_text),
        (everywhere, PredictionsScreen.BINDINGS),
        (everywhere, SuspectsScreen.BINDINGS, Gallery.BINDINGS),
        (everywhere, ResultScreen.BINDINGS, of_text),
        (LargePicture.BINDINGS,),
        (NewRun.BINDINGS, Slider.BINDINGS),
        (UseForm.BINDINGS,),
        (Pick.BINDINGS,),
        (ChooseColumns.BINDINGS,),
        (AskNote.BINDINGS,),
    )
