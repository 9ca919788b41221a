"""The options of ``vld run``, made from the fields of a run's specification."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import msgspec
import typer

from engine.protocol import DATASET_DEFAULTS, FIELDS, RECIPES, FieldInfo, SpecError, resolve_spec
from vld_tui.cli.command import proposes
from vld_tui.runs.fields import base_type, off_flag, shown_value

_OTHER: Final = "_in_full"
"""Ends the name of a parameter that is another spelling of an option."""
_METAVARS = {int: "N", float: "X", str: "TEXT", tuple: "N,N"}


def with_spec_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give ``function`` one keyword option for every field of a run, beside its own.

    An option that is not given arrives as None. Texts arrive as typed: see
    :func:`vld_tui.runs.fields.spec_values`.
    """
    own = [
        parameter
        for parameter in inspect.signature(function, eval_str=True).parameters.values()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    defaults = _defaults()
    fields = [_parameter(info, defaults) for info in FIELDS.values()]
    fields += [_other_spelling(info) for info in FIELDS.values() if _has_two_spellings(info)]
    function.__signature__ = inspect.Signature([*own, *fields])  # type: ignore[attr-defined]
    return function


def _defaults() -> dict[str, dict[str, object]]:
    """Return the values of every field that the user leaves out: ``default``, of images of one's
    own; with each other recipe; and with each data set that has defaults of its own."""
    own = {"data_dir": "/"}
    specs = {recipe: resolve_spec({"recipe": recipe, **own}) for recipe in RECIPES}
    specs |= {name: resolve_spec({"dataset": name}) for name in DATASET_DEFAULTS}
    none = {name: FIELDS[name].default for name in ("dataset", "data_dir")}
    return {name: {**msgspec.structs.asdict(spec), **none} for name, spec in specs.items()}


def one_spelling(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options by field, however their flag was spelled.

    Raises:
        SpecError: when both spellings of one were given.
    """
    found = {name: value for name, value in given.items() if not name.endswith(_OTHER)}
    for key, value in given.items():
        if not key.endswith(_OTHER) or value is None:
            continue
        info = FIELDS[key.removesuffix(_OTHER)]
        if found.get(info.name) is not None:
            raise SpecError(
                f"{info.flag} and {_long_flag(info)} are the same option: give one of them."
            )
        found[info.name] = value
    return found


def _long_flag(info: FieldInfo) -> str:
    return "--" + info.name.replace("_", "-")


def _has_two_spellings(info: FieldInfo) -> bool:
    return info.flag != _long_flag(info)


def _other_spelling(info: FieldInfo) -> inspect.Parameter:
    """Return the option that is named as the field; the help lists the short one."""
    return inspect.Parameter(
        info.name + _OTHER,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[str | None, typer.Option(_long_flag(info), hidden=True)],
    )


def _parameter(info: FieldInfo, defaults: Mapping[str, Mapping[str, object]]) -> inspect.Parameter:
    base, _ = base_type(info)
    is_flag = base is bool
    option = typer.Option(
        f"{info.flag}/{off_flag(info.flag)}" if is_flag else info.flag,
        metavar=None if is_flag else _metavar(info, base),
        help=_help(info, defaults),
        rich_help_panel=info.group.capitalize(),
        show_default=False,
        autocompletion=None if is_flag else proposes(f"field {info.name}"),
    )
    annotation = bool | None if is_flag else str | None
    return inspect.Parameter(
        info.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[annotation, option],
    )


def _metavar(info: FieldInfo, base: Any) -> str:
    if info.unit is not None and base is not tuple:
        return info.unit.upper()
    return _METAVARS.get(base, "WORD")


def _help(info: FieldInfo, defaults: Mapping[str, Mapping[str, object]]) -> str:
    facts = []
    if info.name == "recipe":
        facts.append(" | ".join(RECIPES))
    elif info.choices:
        facts.append(" | ".join(info.choices))
    else:
        for kind in ("a whole number", "a number"):
            if info.allowed.startswith(f"{kind} "):
                facts.append(info.allowed.removeprefix(kind).removesuffix(", or none").strip())
                break
    usual = defaults["default"][info.name]
    is_needed = info.name == "target"
    facts.append("required" if is_needed else f"default: {shown_value(usual)}")
    facts += [
        f"{name}: {shown_value(values[info.name])}"
        for name, values in defaults.items()
        if values[info.name] != usual and info.name != "recipe"
    ]
    return f"{info.help} [{'; '.join(facts)}]"
