"""Check whether the runs of a study used the same images."""

from __future__ import annotations

from collections.abc import Iterable

from vld_tui.runs.run import Run


def image_versions(runs: Iterable[Run]) -> dict[str, list[list[Run]]]:
    """Return the runs by their images, for each data set whose images changed.

    Versions are in order of their newest run, and so are the runs in each. Runs of which it is
    not known are left out.
    """
    found: dict[str, dict[str, list[Run]]] = {}
    for run in sorted(runs, key=lambda run: run.created_at):
        if run.data_digest:
            found.setdefault(run.dataset, {}).setdefault(run.data_digest, []).append(run)
    return {
        dataset: sorted(versions.values(), key=lambda alike: alike[-1].created_at)
        for dataset, versions in found.items()
        if len(versions) > 1
    }
