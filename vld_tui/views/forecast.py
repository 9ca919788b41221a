"""Estimated time, memory and disk of runs as text."""

from __future__ import annotations

from rich.text import Text

from vld_tui.runs.run import Run
from vld_tui.study.forecast import Forecast
from vld_tui.words.numbers import duration, size
from vld_tui.words.palette import QUIET_STYLE
from vld_tui.words.text import plain_text


def forecast_text(forecast: Forecast, *, runs: int = 1) -> Text:
    """Return time, memory and disk, and the source of each estimate."""
    text = Text()
    each = " each" if runs > 1 else ""
    if forecast.wall_s is None or forecast.wall_from is None:
        has_disk = forecast.disk_bytes is not None and forecast.disk_from is not None
        text.append("time and memory unknown" if has_disk else "time, memory and disk unknown")
        text.append(
            ": no earlier run with this network, image size and images on this device",
            QUIET_STYLE,
        )
        return _with_disk(text, forecast, each) if has_disk else text
    text.append(f"about {duration(forecast.wall_s)}{each}")
    if runs > 1:
        text.append(f", {duration(runs * forecast.wall_s)} for {runs}")
    if forecast.apart_from:
        text.append(f", not counting {' and '.join(forecast.apart_from)}")
    if forecast.memory_bytes is not None:
        device = forecast.wall_from.device or "cpu"
        kind = "memory" if device == "cpu" else "main memory"
        text.append(f" · {size(forecast.memory_bytes)} of {kind}")
    else:
        text.append(" · memory unknown")
    basis = forecast.wall_from
    if forecast.disk_from == basis:
        _with_disk(text, forecast, each, basis=basis)
        text.append(_basis(basis), QUIET_STYLE)
    else:
        text.append(_basis(basis), QUIET_STYLE)
        _with_disk(text, forecast, each)
    return text


def _with_disk(text: Text, forecast: Forecast, each: str, *, basis: Run | None = None) -> Text:
    if forecast.disk_bytes is None or forecast.disk_from is None:
        return text.append(" · disk unknown")
    text.append(f" · {size(forecast.disk_bytes)} of checkpoints{each}")
    if basis is None:
        text.append(f", as for {plain_text(forecast.disk_from.name)}", QUIET_STYLE)
    return text


def _basis(run: Run) -> str:
    return f"  from {plain_text(run.name)} on this machine, same network and image size"
