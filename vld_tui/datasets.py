"""Data sets by name, as far as the interface needs to know: where an added one lies."""

from __future__ import annotations

from collections.abc import Mapping

from vld_tui.home import Home


def find_added(home: Home, values: Mapping[str, object]) -> dict[str, object]:
    """Return a run's values with the folder of a data set that was added under its name.

    A name that was not added stays as it is: the engine knows the embedded ones, and what to
    say of the others.
    """
    name = values.get("dataset")
    folder = home.datasets / name if isinstance(name, str) and name else None
    if folder is None or values.get("data_dir") is not None or not folder.is_dir():
        return dict(values)
    return {**values, "data_dir": str(folder)}
