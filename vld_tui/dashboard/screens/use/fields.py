"""The fields of the forms, and the orders that their texts spell."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from engine.protocol import NETWORK_ARMS, UserError
from engine.protocol.export import TARGETS
from engine.protocol.inference import OOD_SCORES
from engine.protocol.suspects import MOST_BITS, NEAR_DISTANCE, QUANTILE
from vld_tui.control.evaluate import EvaluationError, class_map_of
from vld_tui.dashboard.screens.pick import PickOption
from vld_tui.dashboard.screens.use.paths import PathSuggester, split_paths
from vld_tui.dashboard.use.orders import (
    EvaluateOrder,
    ExportOrder,
    PredictOrder,
    SuspectsOrder,
    UseKind,
    UseOrder,
)
from vld_tui.dashboard.widgets.form import FormField
from vld_tui.home import absolute_path, expanded
from vld_tui.runs.run import Run
from vld_tui.words import use_help

NONE: Final = "none"
OWN_ARM: Final = "own"
DATA: Final = "data"
"""The field whose choices are the known data sets."""


class FieldError(UserError):
    """A text that is no value of its field."""


class UseField(NamedTuple):
    """A field of a form.

    Attributes:
        name: of the order's attribute.
        option: of the command.
        help: what it is.
        usual: the default; empty: it must be given.
        read: returns the value of a text, or raises FieldError.
        choices: values with their descriptions; empty: any text.
        is_path: paths are completed.
    """

    name: str
    option: str
    help: str
    usual: str
    read: Callable[[str], Any]
    choices: tuple[tuple[str, str], ...] = ()
    is_path: bool = False

    @property
    def form_field(self) -> FormField:
        """Return how the form shows it."""
        return FormField(
            self.name,
            self.option.removeprefix("--").lower(),
            self.help,
            is_pickable=bool(self.choices) or self.name == DATA,
            suggester=PathSuggester() if self.is_path else None,
        )

    @property
    def options(self) -> list[PickOption]:
        """Return the choices of a list."""
        return [PickOption(value, (value, about)) for value, about in self.choices]


class UseDraft(NamedTuple):
    """The order that a form spells, or what is wrong, by field."""

    order: UseOrder | None
    problems: Mapping[str, str]


def fields_of(kind: UseKind, run: Run) -> tuple[UseField, ...]:
    """Return the fields of a form for a run."""
    own = _FIELDS[kind]
    return own if kind == "suspects" else (*own, *_network_fields(run))


def read_texts(kind: UseKind, fields: Sequence[UseField], texts: Mapping[str, str]) -> UseDraft:
    """Return the order that the texts of fields spell."""
    values: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for field in fields:
        text = texts.get(field.name, "").strip() or field.usual
        try:
            if not text:
                raise FieldError(f"required: {field.help}")
            values[field.name] = field.read(text)
        except FieldError as error:
            problems[field.name] = str(error)
    return UseDraft(None if problems else _ORDERS[kind](**values), problems)


def _network_fields(run: Run) -> list[UseField]:
    """Return which network to use, where a run has several."""
    fields = []
    if arms := [arm for arm in run.spec.arms if arm in NETWORK_ARMS]:
        choices = ((OWN_ARM, f"the run's own network ({run.arm})"), *((arm, "") for arm in arms))
        reads = _one_of(choices, OWN_ARM)
        fields.append(UseField("arm", "--arm", use_help.ARM, OWN_ARM, reads, choices))
    if run.combination is None:
        steps = (("best", "the selected step"), ("last", "the last step"))
        fields.append(UseField("at", "--at", use_help.AT, "best", _one_of(steps), steps))
    return fields


def _one_of(choices: Sequence[tuple[str, str]], unset: str | None = None) -> Callable[[str], Any]:
    """Return a reader of one of some words; ``unset`` stands for None."""

    def read(text: str) -> str | None:
        known = [value for value, _ in choices]
        if text not in known:
            raise FieldError(f"must be {', '.join(known[:-1])} or {known[-1]}")
        return None if text == unset else text

    return read


def _whole_number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise FieldError("must be a whole number of at least 1")
    return int(text)


def _share(text: str) -> float:
    try:
        share = 0.0 if text == NONE else float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise FieldError("must be a number from 0 to 1")
    return share


def _bits(text: str) -> int:
    if not text.isdecimal() or int(text) > MOST_BITS:
        raise FieldError(f"must be a whole number from 0 to {MOST_BITS}")
    return int(text)


def _paths(text: str) -> tuple[str, ...]:
    try:
        return split_paths(text)
    except ValueError:
        raise FieldError("a quote is not closed") from None


def _folder(text: str) -> str | None:
    return None if text == NONE else str(absolute_path(text))


def _data(text: str) -> str:
    path = expanded(text)
    return str(path.absolute()) if os.sep in text or path.exists() else text


def _domains(text: str) -> tuple[str, ...]:
    return () if text == "all" else tuple(_parts(text))


def _parts(text: str) -> list[str]:
    return [part for each in text.split(",") if (part := each.strip())]


def _class_map(text: str) -> dict[str, str]:
    try:
        return class_map_of([] if text == NONE else _parts(text))
    except EvaluationError as error:
        raise FieldError(str(error)) from None


def _yes(text: str) -> bool:
    if text not in ("yes", "no"):
        raise FieldError("must be yes or no")
    return text == "yes"


def _repository(text: str) -> str | None:
    return None if text == NONE else text


_SEVERAL: Final = "Separate several by commas."
_YES_OR_NO: Final = (("no", ""), ("yes", ""))
_SCORES: Final = ((NONE, "no score"), *OOD_SCORES.items())
_TARGETS: Final = tuple((str(name), about) for name, about in TARGETS.items())
_FIELDS: Final[Mapping[UseKind, tuple[UseField, ...]]] = {
    "predict": (
        UseField(
            "paths", "PATH", "Images, folders (searched recursively), globs or tables of paths, "
            "separated by spaces.", "", _paths, is_path=True,
        ),
        UseField("top", "--top", use_help.TOP, "1", _whole_number),
        UseField(
            "ood", "--ood", use_help.OOD, NONE, _one_of(_SCORES, NONE), _SCORES,
        ),
        UseField(
            "min_probability", "--min-probability", use_help.MIN_PROBABILITY, NONE, _share,
        ),
        UseField("into", "--into", use_help.INTO, NONE, _folder, is_path=True),
    ),
    "evaluate": (
        UseField(DATA, "DATA", use_help.DATA, "", _data, is_path=True),
        UseField(
            "domains", "--domain", f"{use_help.DOMAIN} {_SEVERAL}", "all", _domains
        ),
        UseField("class_map", "--map", f"{use_help.CLASS_MAP} {_SEVERAL}", NONE, _class_map),
    ),
    "suspects": (
        UseField("quantile", "--quantile", use_help.QUANTILE, f"{QUANTILE:g}", _share),
        UseField("near_distance", "--near", use_help.NEAR, str(NEAR_DISTANCE), _bits),
    ),
    "export": (
        UseField("to", "--to", use_help.FORM, "timm", _one_of(_TARGETS), _TARGETS),
        UseField("folder", "DIR", use_help.FOLDER, "", _folder, is_path=True),
        UseField("replaces", "--force", use_help.FORCE, "no", _yes, _YES_OR_NO),
        UseField("push_to", "--push", use_help.PUSH, NONE, _repository),
    ),
}  # fmt: skip
_ORDERS: Final[Mapping[UseKind, Callable[..., UseOrder]]] = {
    "predict": PredictOrder,
    "evaluate": EvaluateOrder,
    "suspects": SuspectsOrder,
    "export": ExportOrder,
}
