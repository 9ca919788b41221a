"""Options that every command has, and the layout of its help."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from vld_tui.cli.output import HOME_KEY, home_option, remember_home

_DEBUG: Final = "vld.debug"
MOST: Final = 2**31 - 1
"""The largest integer accepted for any option."""


def proposes(what: str | Sequence[str]) -> Callable[[typer.Context, str], list[Any]]:
    """Return the shell completer for ``what``, a key of ``vld_tui.cli.complete.COMPLETERS``."""

    def complete(ctx: typer.Context, incomplete: str) -> list[Any]:
        from vld_tui.cli.complete import COMPLETERS, complete_words

        complete_word = COMPLETERS[what] if isinstance(what, str) else complete_words(*what)
        return complete_word(ctx, incomplete)

    return complete


def run_argument(metavar: str, about: str, what: str = "runs") -> Any:
    """Return an argument for one or more runs; ``what`` is the kind that the shell completes."""
    return typer.Argument(
        metavar=metavar, help=about, show_default=False, autocompletion=proposes(what)
    )


def _keep_home(ctx: typer.Context, value: Path | None) -> Path | None:
    if value is not None:
        ctx.meta[HOME_KEY] = value
    remember_home(home_option(ctx))
    return value


def _keep_debug(ctx: typer.Context, value: bool) -> bool:
    if value:
        ctx.meta[_DEBUG] = True
    return value


HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        metavar="DIR",
        help="Folder of runs, database and caches (VLD_HOME).",
        callback=_keep_home,
        expose_value=False,
    ),
]
DebugOption = Annotated[
    bool,
    typer.Option(
        "--debug",
        help="Show the traceback on errors.",
        callback=_keep_debug,
        expose_value=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document to stdout.")]
RunArgument = Annotated[str, run_argument("RUN", "Run id, unique id prefix, name or @last.")]
RunsOrNone = Annotated[
    list[str] | None,
    run_argument("[RUN...]", "Run ids, unique id prefixes, names or @last."),
]
StudyArgument = Annotated[
    str,
    typer.Argument(
        metavar="STUDY",
        help="Preset, launched study or TOML file.",
        show_default=False,
        autocompletion=proposes("studies"),
    ),
]


def is_debugging(ctx: typer.Context) -> bool:
    """Return whether ``--debug`` was given."""
    return bool(ctx.meta.get(_DEBUG))


class Command(TyperCommand):
    """A command with ``--home`` and ``--debug``, and its options grouped under headings."""

    def __init__(self, *args: Any, params: list[Any] | None = None, **settings: Any) -> None:
        super().__init__(*args, params=[*(params or []), *_common_options()], **settings)

    def get_params(self, ctx: typer.Context) -> list[Any]:  # type: ignore[override]
        """Return the parameters, quick to convert."""
        return hastened(super().get_params(ctx))

    def collect_usage_pieces(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Return the usage line's parts; an argument's metavar carries its own brackets."""
        pieces = [self.options_metavar] if self.options_metavar else []
        arguments = (each for each in self.get_params(ctx) if each.param_type_name == "argument")
        return pieces + [_argument_name(each) for each in arguments]

    def format_options(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """Write arguments and options by their panel."""
        write_options(self, ctx, formatter)


class Group(TyperGroup):
    """A group that shows its help when no subcommand is given."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Replace an empty command line by ``--help``."""
        return super().parse_args(ctx, args or ["--help"])


def write_options(command: Any, ctx: typer.Context, formatter: Any) -> None:
    """Write a command's arguments and options, grouped by panel."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is None:
            continue
        default = "Arguments" if param.param_type_name == "argument" else "Options"
        heading = getattr(param, "rich_help_panel", None) or default
        name, text = record
        if param.param_type_name == "argument":
            name, text = _argument_name(param), text.replace("[required]", "")
        sections.setdefault(heading, []).append((name, text.replace("  [", " [").strip()))
    for heading, rows in sections.items():
        with formatter.section(heading):
            formatter.write_dl(rows)


def _argument_name(param: Any) -> str:
    return str(param.metavar or param.name.upper())


def _common_options() -> list[Any]:
    def options(home: HomeOption = None, debug: DebugOption = False) -> None:
        raise NotImplementedError

    holder = typer.Typer(add_completion=False, rich_markup_mode=None)
    holder.command()(options)
    return typer.main.get_command(holder).params


def whole_number(text: str) -> int:
    """Return the integer that ``text`` spells.

    Raises:
        ValueError: when it is not an integer, or larger than :data:`MOST`.
    """
    try:
        number = int(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a whole number.") from None
    if abs(number) > MOST:
        raise ValueError(f"{text} is too large: it must be at most {MOST:,}.")
    return number


_CONVERSIONS: Final[dict[object, Callable[[str], Any]]] = {
    bool: bool,
    str: str,
    int: whole_number,
    Path: Path,
}


class _PlainValues:
    """Converts a parameter's text by calling its type."""

    def __init__(self, convert: Callable[[str], Any]) -> None:
        self._convert = convert

    def coerce(self, value: Any, param: Any, ctx: typer.Context) -> Any:
        """Return the value of an option or argument, or raise a usage error that names it."""
        several = param.multiple or param.nargs == -1
        if value is None:
            return () if several else None
        if self._convert is Path and "" in (value if several else [value]):
            raise typer.BadParameter("must be a path, not an empty string.", ctx=ctx, param=param)
        try:
            if several:
                return tuple(self._convert(each) for each in value)
            return self._convert(value)
        except ValueError as error:
            raise typer.BadParameter(
                str(error) if self._convert is whole_number else f"{value!r} is not valid.",
                ctx=ctx, param=param,
            ) from None  # fmt: skip


def hastened(params: list[Any]) -> list[Any]:
    """Replace Typer's own conversion for parameters of simple types, and return them.

    Typer converts with pydantic since 0.29: importing that and building an adapter for each
    parameter takes 0.12 s, half of what ``vld ls`` may take. Where Typer has no such hook,
    setting it changes nothing.
    """
    for param in params:
        descriptor = getattr(param, "type_descriptor", None)
        annotation = getattr(descriptor, "annotation", None)
        convert = _CONVERSIONS.get(str if annotation == list[str] else annotation)
        if convert is not None:
            param._runtime_param = _PlainValues(convert)
    return params
