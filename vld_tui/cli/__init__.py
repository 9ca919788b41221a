"""The ``vld`` command line."""

from __future__ import annotations

from typing import Annotated

import typer

from vld_tui.cli.command import DebugOption, HomeOption
from vld_tui.cli.group import LazyGroup
from vld_tui.cli.output import settle_streams
from vld_tui.words.utf8 import use_utf8_names

__all__ = ["app", "main"]

app = typer.Typer(
    name="vld",
    cls=LazyGroup,
    help="Fine-tune vision networks with very large dropout and track every run.",
    epilog="To start, offline: 'vld demo' (a comparison) or 'vld run' (a single run).",
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(value: bool) -> None:
    if value:
        from importlib import metadata

        typer.echo(f"vld {metadata.version('vld-tui')}")
        raise typer.Exit


VersionOption = Annotated[
    bool,
    typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True),
]


@app.callback(invoke_without_command=True)
def _vld(
    ctx: typer.Context,
    _home: HomeOption = None,
    _debug: DebugOption = False,
    _version: VersionOption = False,
) -> None:
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


def main() -> None:
    """Run ``vld`` with this process's arguments."""
    use_utf8_names()
    settle_streams()
    app(prog_name="vld")
