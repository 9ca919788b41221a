"""``vld sweep``: studies, which are grids of runs."""

from __future__ import annotations

from typing import Any, Final

import typer

from vld_tui.cli.command import Command, Group
from vld_tui.cli.sweep.launch import launch
from vld_tui.cli.sweep.ls import ls
from vld_tui.cli.sweep.status import status
from vld_tui.cli.sweep.stop import stop

_DEFAULT: Final = "launch"


class _SweepGroup(Group):
    """A group whose first command may go without saying: ``vld sweep paper-fig3``."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Put in the command that goes without saying."""
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """Write the commands, and the options of the one that goes without saying."""
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
    help="Queue what is missing of a study; the word may be left out.",
)(launch)
app.command("status", cls=Command, help="Show how far a study is, and its results so far.")(status)
app.command("stop", cls=Command, help="Stop all that runs or waits of a study.")(stop)
app.command("ls", cls=Command, help="List the studies that were launched, and the presets.")(ls)
