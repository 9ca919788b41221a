"""The runs that a form describes, or why it is invalid."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from engine.protocol import FIELDS, RunSpec, SpecError, resolve_new_spec, resolve_spec, shown_value
from engine.protocol.effects import has_effect, without_effect
from vld_tui.runs.fields import command_line, spec_values, with_absolute_paths

DECIDING: Final = ("recipe", "dataset", "data_dir", "steps", "tuning", "model")
"""Fields that the defaults of other fields depend on."""


@dataclass(frozen=True)
class Draft:
    """The runs or the problems of the typed texts.

    Attributes:
        typed: texts of fields that differ from their defaults.
        usual: default text of every field.
        idle: fields that were not typed and have no effect with the values of the others.
        problems: what is wrong with fields, as the command line words it, in order.
        specs: the runs, one per seed; empty if there is a problem.
        lines: the command line of each run.
    """

    typed: Mapping[str, str]
    usual: Mapping[str, str]
    idle: frozenset[str] = frozenset()
    problems: Mapping[str, str] = field(default_factory=dict)
    specs: tuple[RunSpec, ...] = ()
    lines: tuple[str, ...] = ()

    def text(self, field: str) -> str:
        """Return a field's text, typed or not."""
        return self.typed.get(field, self.usual[field])


def read_draft(typed: Mapping[str, str]) -> Draft:
    """Return the runs that the texts of fields define, in their order."""
    usual = usual_texts(typed)
    problems: dict[str, str] = {}
    values: dict[str, object] = {}
    for name, text in typed.items():
        if name != "seed":
            _read(name, text, values, problems)
    seeds: list[dict[str, object]] = []
    for seed in dict.fromkeys(part.strip() for part in typed.get("seed", "").split(",")):
        if seed:
            seeds.append({})
            _read("seed", seed, seeds[-1], problems)
    if "seed" in problems and "-" in typed["seed"].strip("-"):
        problems["seed"] += " Separate several seeds by commas: 0,1,2."
    idle = _idle(typed, values)
    runs = [{**values, **seed} for seed in seeds] or [values]
    specs: list[RunSpec] = []
    try:
        specs = [resolve_new_spec(with_absolute_paths(each)) for each in runs]
    except SpecError as error:
        name = str(error).partition(" ")[0]
        problems.setdefault(name if name in FIELDS else "recipe", str(error))
    if problems:
        return Draft(typed, usual, idle, problems)
    lines = [shlex.join(["vld", "run", *command_line(each)]) for each in runs]
    return Draft(typed, usual, idle, specs=tuple(specs), lines=tuple(lines))


def usual_texts(typed: Mapping[str, str]) -> dict[str, str]:
    """Return the default text of every field.

    An unknown recipe or data set does not change the other defaults.
    """
    spec = _usual_spec(typed)
    texts = _texts(spec)
    untold = resolve_spec({"data_dir": spec.data_dir, "recipe": spec.recipe})
    return {
        **texts, "dataset": untold.dataset, "recipe": FIELDS["recipe"].default,
        "data_dir": "none", "steps": shown_value(untold.steps), "tuning": untold.tuning,
        "model": untold.model,
    }  # fmt: skip


def _usual_spec(typed: Mapping[str, str]) -> RunSpec:
    """Return the run of the typed texts that other defaults depend on, and these defaults."""
    deciding: dict[str, object] = {}
    for name in DECIDING:
        if name in typed:
            _read(name, typed[name], deciding, {})
    try:
        return resolve_spec(deciding)
    except SpecError:
        doubtful = ("recipe", "model")
        return resolve_spec({name: deciding[name] for name in deciding if name not in doubtful})


def _idle(typed: Mapping[str, str], values: Mapping[str, object]) -> frozenset[str]:
    """Return the fields that were not typed and have no effect; ``values`` are the valid ones of
    those that were, even if they do not go together."""
    spec = msgspec.structs.replace(_usual_spec(typed), **values)
    return frozenset(name for name in FIELDS if name not in typed and not has_effect(spec, name))


def typed_texts(spec: RunSpec) -> dict[str, str]:
    """Return the fewest texts that define this run, without settings that have no effect in it."""
    texts = _texts(spec)
    usual = usual_texts({name: texts[name] for name in DECIDING})
    texts |= {name: usual[name] for name in without_effect(spec, FIELDS)}
    return {name: text for name, text in texts.items() if text and text != usual[name]}


def _texts(spec: RunSpec) -> dict[str, str]:
    """Return a text for each field; empty if unset and ``none`` is a valid value."""
    texts = {name: shown_value(getattr(spec, name)) for name in FIELDS}
    unchosen = [n for n, info in FIELDS.items() if info.none_is_word and getattr(spec, n) is None]
    return {**texts, **dict.fromkeys(unchosen, "")}


def _read(name: str, text: str, values: dict[str, object], problems: dict[str, str]) -> None:
    """Add the value of a text, or its problem."""
    try:
        values.update(spec_values({name: text}))
    except SpecError as error:
        problems[name] = str(error)
