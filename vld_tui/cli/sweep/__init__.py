"""``vld sweep``: launch and manage studies (grids of runs)."""

from __future__ import annotations

from typing import Any, Final

import typer

from vld_tui.cli.command import Command, Group
from vld_tui.cli.sweep.launch import launch
from vld_tui.cli.sweep.launched import ls, status, stop

_DEFAULT: Final = "launch"


class _SweepGroup(Group):
    """A group with a default subcommand: ``vld sweep paper-fig3``."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Insert the default subcommand."""
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """Write the commands and the options of the default one."""
        self.format_commands(ctx, formatter)
        self.commands[_DEFAULT].format_options(ctx, formatter)


app = typer.Typer(
    cls=_SweepGroup,
    add_completion=False,
    rich_markup_mode=None,
    subcommand_metavar="STUDY | COMMAND",
)

app.command(
    _DEFAULT,
    cls=Command,
    help="Launch a study's missing runs (the default command).",
)(launch)
app.command("status", cls=Command, help="Show a study's progress and results so far.")(status)
app.command("stop", cls=Command, help="Stop a study's running and queued runs.")(stop)
app.command("ls", cls=Command, help="List launched studies and presets.")(ls)
