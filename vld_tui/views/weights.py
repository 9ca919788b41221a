"""The weights loaded from a file, in one line."""

from __future__ import annotations

from collections.abc import Sequence

from engine.protocol import LoadedWeights
from vld_tui.words.numbers import plural
from vld_tui.words.text import plain_text

_SHOWN = 3


def loaded_line(loaded: LoadedWeights) -> str:
    """Return which weights of a file were loaded or left out, and whether the last layer is new."""
    parts = [_which(loaded), f"{plural(loaded.matched, 'tensor')} loaded"]
    if loaded.prefixes:
        parts.append(f"prefix {plain_text(''.join(loaded.prefixes))} removed")
    if loaded.converted:
        parts.append("converted by timm")
    if loaded.missing:
        parts.append(f"{len(loaded.missing):,} missing ({_first(loaded.missing)})")
    if loaded.unexpected:
        parts.append(f"{len(loaded.unexpected):,} left out ({_first(loaded.unexpected)})")
    parts.append(f"last layer {plain_text(loaded.last_layer)}")
    if loaded.other_entries:
        parts.append(f"also in the file: {_first(loaded.other_entries)} (--weights-key)")
    return " · ".join(part for part in parts if part)


def _which(loaded: LoadedWeights) -> str:
    entry = plain_text(loaded.entry)
    if loaded.is_ema:
        return f"EMA weights ({entry})" if entry else "EMA weights"
    if loaded.training is not None:
        return f"trained by run {plain_text(loaded.training.run)}"
    return f"entry {entry}" if entry else ""


def _first(names: Sequence[str]) -> str:
    rest = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(map(plain_text, names[:_SHOWN])) + rest
