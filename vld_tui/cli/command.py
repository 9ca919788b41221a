"""What every command shares: its common options and the look of its help."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from vld_tui.cli.hints import remember_home

_HOME, _DEBUG = "vld.home", "vld.debug"
MOST: Final = 2**31 - 1
"""A number that every list, file and screen of the program can hold."""


def proposes(what: str | Sequence[str]) -> Callable[[typer.Context, str], list[Any]]:
    """Return what completes a word in the shell.

    Args:
        what: a kind of :data:`vld_tui.cli.complete.COMPLETERS`, or the words themselves.
    """

    def complete(ctx: typer.Context, incomplete: str) -> list[Any]:
        from vld_tui.cli.complete import COMPLETERS, complete_words

        complete_word = COMPLETERS[what] if isinstance(what, str) else complete_words(*what)
        return complete_word(ctx, incomplete)

    return complete


def run_argument(metavar: str, about: str, what: str = "runs") -> Any:
    """Return an argument that names a run, or several; the shell proposes those of a kind."""
    return typer.Argument(
        metavar=metavar, help=about, show_default=False, autocompletion=proposes(what)
    )


def _keep_home(ctx: typer.Context, value: Path | None) -> Path | None:
    if value is not None:
        ctx.meta[_HOME] = value
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
        help="Where runs, database and caches live (VLD_HOME).",
        callback=_keep_home,
        expose_value=False,
    ),
]
DebugOption = Annotated[
    bool,
    typer.Option(
        "--debug",
        help="Show the traceback of an error.",
        callback=_keep_debug,
        expose_value=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
RunArgument = Annotated[str, run_argument("RUN", "Id, unique prefix, name or @last.")]
RunsOrNone = Annotated[
    list[str] | None,
    run_argument("[RUN...]", "Ids, unique prefixes, names or @last."),
]
RunsArgument = Annotated[
    list[str],
    run_argument("RUN...", "Ids, unique prefixes, names or @last."),
]


def is_debugging(ctx: typer.Context) -> bool:
    """Say whether ``--debug`` was given."""
    return bool(ctx.meta.get(_DEBUG))


def home_option(ctx: typer.Context) -> Path | None:
    """Return the folder that ``--home`` names, before or after the subcommand."""
    value: Path | None = ctx.meta.get(_HOME)
    return value


class Command(TyperCommand):
    """A command with ``--home`` and ``--debug``, and its options grouped under headings."""

    def __init__(self, *args: Any, params: list[Any] | None = None, **settings: Any) -> None:
        super().__init__(*args, params=[*(params or []), *_common_options()], **settings)

    def get_params(self, ctx: typer.Context) -> list[Any]:  # type: ignore[override]
        """Return the parameters, quick to convert."""
        return hastened(super().get_params(ctx))

    def format_options(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """Write arguments and options by their panel."""
        write_options(self, ctx, formatter)


class Group(TyperGroup):
    """A group that shows its help where no command is named."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Ask for the help in place of nothing."""
        return super().parse_args(ctx, args or ["--help"])


def write_options(command: Any, ctx: typer.Context, formatter: Any) -> None:
    """Write a command's arguments and options under the headings of their panels."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is None:
            continue
        default = "Arguments" if param.param_type_name == "argument" else "Options"
        heading = getattr(param, "rich_help_panel", None) or default
        sections.setdefault(heading, []).append(record)
    for heading, rows in sections.items():
        with formatter.section(heading):
            formatter.write_dl(rows)


def _common_options() -> list[Any]:
    def options(home: HomeOption = None, debug: DebugOption = False) -> None:
        raise NotImplementedError

    holder = typer.Typer(add_completion=False, rich_markup_mode=None)
    holder.command()(options)
    return typer.main.get_command(holder).params


def whole_number(text: str) -> int:
    """Return the number that is written, one that fits everywhere.

    Raises:
        ValueError: when it is none, or as good as infinite; the message says which.
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
        """Return the value of an option or argument, or a usage error naming it."""
        several = param.multiple or param.nargs == -1
        if value is None:
            return () if several else None
        if self._convert is Path and "" in (value if several else [value]):
            raise typer.BadParameter("it is empty, but must name a path.", ctx=ctx, param=param)
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
    """Spare parameters of simple types Typer's own conversion, and return them.

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
