"""Every action that has keys, whatever screen it belongs to."""

from __future__ import annotations

import functools

from vld_tui.bindings import usual_keys


@functools.cache
def every_action() -> dict[str, tuple[str, str]]:
    """Return what each action does and its usual keys, by the id of its bindings."""
    from vld_tui import app  # noqa: PLC0415 - the application imports the settings
    from vld_tui.screens import choose_columns, compare, home, new_run, pick, queue, run  # noqa: PLC0415
    from vld_tui.widgets import chart, plane, run_table, slider  # noqa: PLC0415
    from vld_tui.widgets.run import domains, files, log, samples, scrolled  # noqa: PLC0415

    classes = (
        app.Dashboard,
        home.HomeScreen,
        run_table.RunTable,
        chart.Chart,
        plane.Plane,
        run.RunScreen,
        domains.DomainsPane,
        samples.SamplesPane,
        log.LogPane,
        files.FilesPane,
        scrolled.ScrolledText,
        compare.CompareScreen,
        queue.QueueScreen,
        new_run.NewRun,
        slider.Slider,
        pick.Pick,
        choose_columns.ChooseColumns,
    )
    found: dict[str, tuple[str, str]] = {}
    for each in classes:
        for action, (about, keys) in usual_keys(each.BINDINGS).items():
            found.setdefault(action, (about, keys))
    return found
