"""The ``--where`` option, and the options made from fields: those of ``vld run`` and of jobs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Annotated, Any, Final

import msgspec
import typer

from engine.protocol import (
    FIELDS,
    RECIPES,
    FieldInfo,
    SpecError,
    resolve_spec,
    shown_value,
)
from engine.protocol.embedded import DATASET_DEFAULTS, DEFAULT_DATASET
from vld_tui.cli.command import proposes
from vld_tui.store.query import EXAMPLE


def where_option(about: str) -> Any:
    """Return the ``--where`` option of a command with its help."""
    return typer.Option("--where", metavar="FILTER", help=about, autocompletion=proposes("filter"))


WhereOption = Annotated[
    str | None,
    where_option(f"Only matching runs, e.g. '{EXAMPLE}'."),
]
MatchingOption = Annotated[
    str | None, where_option("Select all matching runs; filters as for vld ls.")
]
FinishedOption = Annotated[
    str | None, where_option("Select all matching finished runs; filters as for vld ls.")
]
_OTHER: Final = "_in_full"
"""Suffix of the parameter for an option's long spelling."""
_METAVARS = {int: "N", float: "X", str: "TEXT", tuple: "N,N"}


def with_options(
    function: Callable[..., None], options: Iterable[inspect.Parameter]
) -> Callable[..., None]:
    """Give ``function`` keyword options in addition to its own; they arrive in its ``**given``."""
    own = [
        parameter
        for parameter in inspect.signature(function, eval_str=True).parameters.values()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    function.__signature__ = inspect.Signature([*own, *options])  # type: ignore[attr-defined]
    return function


def option_of(
    info: FieldInfo, facts: Iterable[str], *, panel: str, keyword: str | None = None
) -> inspect.Parameter:
    """Return the option of a field; it arrives as typed, or as None if it is not given.

    Args:
        facts: what the help states in brackets.
        keyword: the parameter's name, if not the field's.
    """
    is_flag, is_many = info.base is bool, info.base is tuple and info.metavar is not None
    option = typer.Option(
        f"{info.flag}/{info.off_flag}" if is_flag else info.flag,
        metavar=None if is_flag else _metavar(info),
        help=f"{info.help} [{'; '.join(facts)}]",
        rich_help_panel=panel,
        show_default=False,
        autocompletion=None if is_flag else proposes(info.completion or info.choices),
    )
    annotation: Any = bool | None if is_flag else list[str] | None if is_many else str | None
    return inspect.Parameter(
        keyword or info.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[annotation, option],
    )


def with_spec_options(
    function: Callable[..., None], without: Collection[str] = ()
) -> Callable[..., None]:
    """Give ``function`` one keyword option for every field of a run, except those ``without``.

    Texts arrive as typed: see :func:`vld_tui.runs.fields.spec_values`.
    """
    defaults = _defaults(RECIPES if "recipe" not in without else ["default"])
    fields = [info for name, info in FIELDS.items() if name not in without]
    options = [
        option_of(info, _facts(info, defaults), panel=info.group.capitalize()) for info in fields
    ]
    options += [_other_spelling(info) for info in fields if info.flag != info.long_flag]
    return with_options(function, options)


def _defaults(recipes: Iterable[str]) -> dict[str, dict[str, object]]:
    """Return the fields' defaults by recipe, then by data set that has its own.

    Those of recipes are for the user's own images.
    """
    own = {"data_dir": "/"}
    specs = {recipe: resolve_spec({"recipe": recipe, **own}) for recipe in recipes}
    specs |= {name: resolve_spec({"dataset": name}) for name in DATASET_DEFAULTS}
    none = {"dataset": DEFAULT_DATASET, "data_dir": None}
    return {name: {**msgspec.structs.asdict(spec), **none} for name, spec in specs.items()}


def given_options(ctx: typer.Context, names: Iterable[str]) -> list[str]:
    """Return the flags of a command's parameters that were typed, of those named."""
    typed = [
        name
        for name in names
        if (source := ctx.get_parameter_source(name)) is not None and source.name == "COMMANDLINE"
    ]
    return [parameter.opts[0] for parameter in ctx.command.params if parameter.name in typed]


def one_spelling(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options by field, whichever spelling of the flag was used.

    Raises:
        SpecError: when both spellings of one option were given.
    """
    found = {name: value for name, value in given.items() if not name.endswith(_OTHER)}
    for key, value in given.items():
        if not key.endswith(_OTHER) or value is None:
            continue
        info = FIELDS[key.removesuffix(_OTHER)]
        if found.get(info.name) is not None:
            raise SpecError(f"{info.flag} and {info.long_flag} are the same option; pass only one.")
        found[info.name] = value
    return found


def _other_spelling(info: FieldInfo) -> inspect.Parameter:
    """Return the hidden option named after the field; the help lists the short one."""
    return inspect.Parameter(
        info.name + _OTHER,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[str | None, typer.Option(info.long_flag, hidden=True)],
    )


def _metavar(info: FieldInfo) -> str:
    if info.metavar is not None:
        return info.metavar
    if info.unit is not None and info.base is not tuple:
        return info.unit.upper()
    if info.choices:
        return "WORD,WORD" if info.base is tuple else "WORD"
    return _METAVARS[info.base]


def _facts(info: FieldInfo, defaults: Mapping[str, Mapping[str, object]]) -> list[str]:
    facts = []
    if info.name == "recipe":
        facts.append(" | ".join(RECIPES))
    elif info.choices:
        facts.append(" | ".join(info.choices))
    else:
        for kind in ("a whole number ", "a number "):
            if info.allowed.startswith(kind):
                bounds = info.allowed.removeprefix(kind).removeprefix("of ")
                facts.append(bounds.removesuffix(", or none"))
                break
    usual = defaults["default"][info.name]
    is_needed = info.name == "target"
    facts.append("required" if is_needed else f"default: {shown_value(usual)}")
    facts += [
        f"{name}: {shown_value(values[info.name])}"
        for name, values in defaults.items()
        if values[info.name] != usual and info.name != "recipe"
    ]
    return facts
