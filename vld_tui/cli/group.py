"""The ``vld`` command: subcommands loaded when they are typed, errors told in two lines.

``vld --help`` prints the constants below and imports no subcommand.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any, Final, NamedTuple

import typer
from typer.core import TyperGroup

from vld_tui.cli.command import hastened, is_debugging, write_options


class CommandInfo(NamedTuple):
    """One line of ``vld --help``."""

    section: str
    help: str


COMMANDS: Final = {
    "run": CommandInfo("Run", "Fine-tune a network with very large dropout, and watch it."),
    "resume": CommandInfo("Run", "Go on with a stopped, failed or crashed run."),
    "stop": CommandInfo("Run", "Ask runs to save and stop; with --kill, end them at once."),
    "sweep": CommandInfo("Run", "Launch a study: a grid of runs from a preset or a TOML file."),
    "combine": CommandInfo("Run", "Average, ensemble or interpolate the networks of earlier runs."),
    "queue": CommandInfo("Run", "Runs that wait for a free slot: order, hold, number of slots."),
    "profile": CommandInfo("Run", "Settings of a cluster's jobs, kept under a name."),
    "ls": CommandInfo("Look", "List runs: filter with --where, order with --sort."),
    "show": CommandInfo("Look", "Show everything known of a run."),
    "curve": CommandInfo("Look", "Draw a run's accuracies and loss over its steps."),
    "compare": CommandInfo("Look", "Show where runs differ, and their results over seeds."),
    "report": CommandInfo("Look", "Tables, figures and a page of what a study came to."),
    "logs": CommandInfo("Look", "Print what a run's process wrote; with -f, as it comes."),
    "serve": CommandInfo("Look", "Open the dashboard to a browser on this machine."),
    "tag": CommandInfo("Keep", "Set a run's tags: a b, or +a -b to add and remove."),
    "note": CommandInfo("Keep", "Write a note on a run."),
    "rm": CommandInfo("Keep", "Move runs to the trash, or empty it."),
    "prune": CommandInfo("Keep", "Free the disk of checkpoints of finished runs."),
    "restore": CommandInfo("Keep", "Take runs out of the trash."),
    "rebuild": CommandInfo("Keep", "Rebuild the history from the run folders."),
    "sync": CommandInfo("Keep", "Bring runs of a home elsewhere here, without their networks."),
    "models": CommandInfo("About", "Networks to start from, and where their weights are."),
    "data": CommandInfo("About", "Data sets, their domains and classes."),
    "doctor": CommandInfo("About", "Check this machine and this installation."),
}
"""Every command, in the order of the help; its module in this package bears its name."""


class ErrorsInWords:
    """Makes a command a program: errors become messages and exit codes. Comes before the class
    of the command it is mixed into."""

    def invoke(self, ctx: typer.Context) -> Any:
        """Run the subcommand; an error becomes a message and an exit code."""
        try:
            result = super().invoke(ctx)  # type: ignore[misc]
            sys.stdout.flush()
        except (typer.Exit, typer.Abort):
            raise
        except (KeyboardInterrupt, BrokenPipeError) as error:
            raise typer.Exit(_report(error)) from None
        except Exception as error:  # the edge of the process: always reported
            if is_debugging(ctx):
                raise
            raise typer.Exit(_report(error)) from None
        return result

    def main(self, *args: Any, **settings: Any) -> Any:
        """Run the program and leave with its exit code."""
        stays = not settings.pop("standalone_mode", True)
        settings["standalone_mode"] = False
        if stays:
            return super().main(*args, **settings)  # type: ignore[misc]
        try:
            code = super().main(*args, **settings)  # type: ignore[misc]
        except (typer.TyperException, typer.Abort) as error:
            sys.exit(_report(error))
        sys.exit(code if isinstance(code, int) else 0)


class LazyGroup(ErrorsInWords, TyperGroup):  # type: ignore[misc]
    """A group that imports a subcommand's module when it is asked for."""

    def get_params(self, ctx: typer.Context) -> list[Any]:  # type: ignore[override]
        """Return the parameters, quick to convert."""
        return hastened(super().get_params(ctx))

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # noqa: ARG002
        """Return the names without importing anything."""
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]  # noqa: ARG002
        """Import and return a subcommand; None when there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"vld_tui.cli.{cmd_name}")
        command = typer.main.get_command(module.app)
        command.name = cmd_name
        command.help = COMMANDS[cmd_name].help
        return command

    def shell_complete(self, ctx: typer.Context, incomplete: str) -> list[Any]:  # type: ignore[override]
        """Propose subcommands without importing them, or options."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        from typer._click.shell_completion import CompletionItem

        found = ((name, info.help) for name, info in COMMANDS.items())
        return [
            CompletionItem(name, help=text) for name, text in found if name.startswith(incomplete)
        ]

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # type: ignore[override]
        """Find the subcommand; an unknown one is answered with the nearest names."""
        is_unknown = args[0] not in COMMANDS and not args[0].startswith("-")
        if is_unknown and not ctx.resilient_parsing:
            from engine.protocol import nearest

            ctx.fail(f"No such command {args[0]!r}.{nearest(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """Write the commands first: they are what one looks for."""
        self.format_commands(ctx, formatter)
        write_options(self, ctx, formatter)

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]  # noqa: ARG002
        """Write the commands by section, each name in the same column."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, info in COMMANDS.items():
            sections.setdefault(info.section, []).append((f"{name:<8}", info.help))
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl(rows)


def _report(error: BaseException) -> int:
    from vld_tui.cli.errors import report  # not for the help

    return report(error)
