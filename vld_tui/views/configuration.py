"""The fields of a run by group, marking those that differ from its recipe; or of two runs."""

from __future__ import annotations

import itertools
from typing import Final

import msgspec
from rich.text import Text

from engine.protocol import (
    FIELDS,
    RECIPES,
    FieldInfo,
    RunSpec,
    SpecError,
    resolve_spec,
    shown_value,
)
from vld_tui.runs.run import Run
from vld_tui.views.combined import MIXED
from vld_tui.words.columns import Column, styled_table
from vld_tui.words.numbers import UNKNOWN, plural
from vld_tui.words.palette import HEADING_STYLE, ID_STYLE, OOD_STYLE, QUIET_STYLE, YELLOW
from vld_tui.words.text import fit, plain_text, shorten, width

CHANGED_SIGN: Final = "●"
CHANGED_STYLE: Final = f"bold {YELLOW}"
LABEL_CELLS: Final = 20
VALUE_CELLS: Final = 24


def recipe_defaults(spec: RunSpec) -> RunSpec:
    """Return the default values for the same recipe, data set and length."""
    known: dict[str, object] = {"dataset": spec.dataset}
    if spec.recipe in RECIPES:
        known["recipe"] = spec.recipe
    usual_steps = resolve_spec(known).steps
    try:
        usual = resolve_spec({**known, "steps": spec.steps})  # its schedule is fitted
    except SpecError:  # more steps than are allowed now
        usual = resolve_spec(known)
    return msgspec.structs.replace(usual, dataset=FIELDS["dataset"].default, steps=usual_steps)


def configuration(run: Run, cells: int) -> Text:
    """Return every field, one per line, below the name of its group."""
    spec = run.spec
    usual = recipe_defaults(spec)
    text = Text(no_wrap=True, overflow="crop")
    changed = sum(getattr(spec, name) != getattr(usual, name) for name in FIELDS)
    text.append(f"{CHANGED_SIGN} ", CHANGED_STYLE)
    count = f"{plural(changed, 'field')} changed from recipe {plain_text(spec.recipe)}"
    text.append(count, QUIET_STYLE)
    for group, fields in itertools.groupby(FIELDS.values(), key=lambda info: info.group):
        text.append(f"\n\n{group}", HEADING_STYLE)
        for info in fields:
            text.append("\n")
            _append_field(text, info, run, usual, cells)
    return text


def _append_field(text: Text, info: FieldInfo, run: Run, usual: RunSpec, cells: int) -> None:
    value, default = getattr(run.spec, info.name), getattr(usual, info.name)
    is_changed = value != default
    label = fit(info.label, LABEL_CELLS)
    text.append(f"{CHANGED_SIGN if is_changed else ' '} ", CHANGED_STYLE)
    text.append(f"{label} ", "" if is_changed else QUIET_STYLE)
    shown = _shown(run, info.name)
    about = f"recipe: {plain_text(shown_value(default))}" if is_changed else info.help
    text.append(shown, CHANGED_STYLE if is_changed else "")
    used = 2 + LABEL_CELLS + 1 + width(shown)
    gap = max(2, 2 + LABEL_CELLS + 1 + VALUE_CELLS - used)
    if (room := cells - used - gap) >= 12:
        text.append(" " * gap + shorten(about, room), QUIET_STYLE)


def configuration_difference(run: Run, other: Run, cells: int) -> Text:
    """Return the fields in which two runs differ, with both values."""
    mixed = {*run.mixed_fields, *other.mixed_fields}
    names = [
        name
        for name in FIELDS
        if name in mixed or getattr(run.spec, name) != getattr(other.spec, name)
    ]
    text = Text(no_wrap=True, overflow="crop")
    text.append(f"{plural(len(names), 'field')} of {len(FIELDS)} differ", HEADING_STYLE)
    text.append("\n\n")
    columns = [
        Column("", rank=1000),
        Column(plain_text(run.name), rank=999, shrinks=True, style=ID_STYLE),
        Column(plain_text(other.name), rank=998, shrinks=True, style=OOD_STYLE),
    ]
    rows = [[FIELDS[name].label, *_values(run, other, name)] for name in names]
    return text.append_text(styled_table(columns, rows, cells))


def _values(run: Run, other: Run, name: str) -> list[str]:
    return [_shown(each, name) for each in (run, other)]


def _shown(run: Run, name: str) -> str:
    """Return the value of a field of a run, if it has one."""
    if not run.has_spec:
        return UNKNOWN
    if name in run.mixed_fields:
        return MIXED
    return plain_text(shown_value(getattr(run.spec, name)))
