"""The options of ``vld run``, made from the fields of a run's specification."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
import typer

from engine.protocol import FIELDS, RECIPES, FieldInfo, SpecError, resolve_spec

_METAVARS = {int: "N", float: "X", str: "TEXT", tuple: "N,N"}


def with_spec_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give ``function`` one keyword option for every field of a run, beside its own.

    An option that is not given arrives as None. Texts arrive as typed: see
    :func:`spec_values`.
    """
    own = [
        parameter
        for parameter in inspect.signature(function, eval_str=True).parameters.values()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    defaults = {name: msgspec.structs.asdict(resolve_spec({"recipe": name})) for name in RECIPES}
    fields = [_parameter(info, defaults) for info in FIELDS.values()]
    function.__signature__ = inspect.Signature([*own, *fields])  # type: ignore[attr-defined]
    return function


def spec_values(given: Mapping[str, object]) -> dict[str, object]:
    """Convert the options that were given to values of their fields.

    Raises:
        SpecError: naming the option, its value and what is allowed.
    """
    values: dict[str, object] = {}
    for name, option in given.items():
        if option is None:
            continue
        info = FIELDS[name]
        value = _parse(info, option) if isinstance(option, str) else option
        try:
            values[name] = info.check(value)
        except SpecError as error:
            raise SpecError(info.flag + str(error).removeprefix(name)) from None
    return values


def command_line(values: Mapping[str, object]) -> list[str]:
    """Return the options that give these values: the way back from :func:`spec_values`."""
    words: list[str] = []
    for name, value in values.items():
        flag = FIELDS[name].flag
        if isinstance(value, bool):
            words.append(flag if value else _off(flag))
        elif isinstance(value, tuple | list):
            words += [flag, ",".join(map(str, value))]
        else:
            words += [flag, "none" if value is None else str(value)]
    return words


def _parameter(info: FieldInfo, defaults: Mapping[str, Mapping[str, object]]) -> inspect.Parameter:
    base, _ = _base_type(info)
    is_flag = base is bool
    option = typer.Option(
        f"{info.flag}/{_off(info.flag)}" if is_flag else info.flag,
        metavar=None if is_flag else _metavar(info, base),
        help=_help(info, defaults),
        rich_help_panel=info.group.capitalize(),
        show_default=False,
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
                facts.append(info.allowed.removeprefix(kind).removesuffix(", or nothing").strip())
                break
    usual = defaults["default"][info.name]
    facts.append(f"default: {_shown(usual)}")
    facts += [
        f"{recipe}: {_shown(values[info.name])}"
        for recipe, values in defaults.items()
        if values[info.name] != usual and info.name != "recipe"
    ]
    return f"{info.help} [{'; '.join(facts)}]"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _off(flag: str) -> str:
    return "--no-" + flag.removeprefix("--")


def _base_type(info: FieldInfo) -> tuple[Any, bool]:
    """Return a field's type without its constraints, and whether it may be missing."""
    kind, optional = info.type, False
    while get_origin(kind) in (Annotated, Union, UnionType):
        arguments = get_args(kind)
        if get_origin(kind) is not Annotated:
            optional = True
            arguments = tuple(each for each in arguments if each is not type(None))
        kind = arguments[0]
    return (tuple if get_origin(kind) is tuple else kind), optional


def _parse(info: FieldInfo, text: str) -> object:
    """Read a text as the field's type; what cannot be read stays text, to be refused as such."""
    base, optional = _base_type(info)
    if text == "none" and optional:
        return None
    try:
        if base is tuple:
            return tuple(int(part) for part in text.split(",") if part.strip())
        return base(text) if base in (int, float) else text
    except ValueError:
        return text
