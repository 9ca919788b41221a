"""The ``vld`` command: subcommands are imported on use, errors printed in one or two lines.

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
    module: str | None = None
    """The module in this package that holds the command with others; None: one of its name."""


COMMANDS: Final = {
    "run": CommandInfo("Training", "Fine-tune a network with very large dropout."),
    "demo": CommandInfo(
        "Training", "Compare very large dropout with none, offline, in about a minute."
    ),
    "tune": CommandInfo(
        "Training", "Choose the dropout rate without a target; train on every domain."
    ),
    "resume": CommandInfo("Training", "Resume stopped, failed or crashed runs."),
    "stop": CommandInfo(
        "Training", "Save a checkpoint and stop runs; --kill stops without saving."
    ),
    "sweep": CommandInfo(
        "Training", "Launch a study: a grid of runs from a preset or a TOML file."
    ),
    "combine": CommandInfo(
        "Training", "Combine finished runs: soup, stock, ensemble, interpolation."
    ),
    "queue": CommandInfo("Training", "Manage queued runs: list, reorder, hold, set slots."),
    "profile": CommandInfo("Training", "Manage named settings for cluster jobs."),
    "ls": CommandInfo("Results", "List runs, with filters (--where) and sorting (--sort)."),
    "show": CommandInfo("Results", "Show a run's state, settings, results and files."),
    "top": CommandInfo("Results", "Watch the machine: processors, memory, GPUs, running runs."),
    "evaluate": CommandInfo("Results", "Test a run's network on other labelled images."),
    "rich": CommandInfo("Results", "Measure how rich the representations of runs are.", "diagnose"),
    "shift": CommandInfo(
        "Results", "Measure how far the target is from a run's sources, and where.", "diagnose"
    ),
    "curve": CommandInfo("Results", "Plot a run's accuracies and loss over its steps."),
    "compare": CommandInfo(
        "Results", "Compare runs: differing settings, and results averaged over seeds."
    ),
    "report": CommandInfo("Results", "Write a study's report: tables, figures and an HTML page."),
    "export": CommandInfo("Results", "Export a run's network to timm, ONNX, PyTorch or the hub."),
    "logs": CommandInfo("Results", "Print a run's log; -f follows it."),
    "push": CommandInfo("Results", "Copy runs to W&B, MLflow, TensorBoard or Trackio."),
    "pull": CommandInfo("Results", "Import runs from TensorBoard or W&B files to compare with."),
    "predict": CommandInfo("Results", "Classify images with a run's network."),
    "suspects": CommandInfo("Results", "Find training images whose label may be wrong."),
    "serve": CommandInfo("Results", "Serve the dashboard to a web browser."),
    "tag": CommandInfo("History", "Set tags (a b), or add and remove them (+a -b).", "labels"),
    "note": CommandInfo("History", "Set, remove or print a run's note.", "labels"),
    "rename": CommandInfo("History", "Rename a run.", "labels"),
    "rm": CommandInfo("History", "Move runs to the trash, or empty the trash.", "history"),
    "prune": CommandInfo("History", "Delete checkpoints of finished runs to free disk space."),
    "restore": CommandInfo("History", "List the trash, or restore runs from it.", "history"),
    "rebuild": CommandInfo("History", "Rebuild the database from the run folders.", "history"),
    "sync": CommandInfo("History", "Copy runs from another home (without checkpoints)."),
    "models": CommandInfo("Environment", "List networks and where their weights come from."),
    "data": CommandInfo("Environment", "Manage data sets: list, add, check, download."),
    "config": CommandInfo(
        "Environment", "Show and change settings: notifications, queue, dashboard."
    ),
    "doctor": CommandInfo("Environment", "Check this machine and this installation."),
}
"""Every command, in the order of the help."""


class ErrorsInWords:
    """Mixin that turns a command into a program: errors become messages and exit codes.

    List it before the command class it is mixed into.
    """

    def invoke(self, ctx: typer.Context) -> Any:
        """Run the subcommand; report an error as a message and an exit code."""
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
        """Run the program and exit with its code."""
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
    """A group that imports a subcommand's module on first use."""

    def get_params(self, ctx: typer.Context) -> list[Any]:  # type: ignore[override]
        """Return the parameters with fast type conversion."""
        return hastened(super().get_params(ctx))

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # noqa: ARG002
        """Return the names without importing the modules."""
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]  # noqa: ARG002
        """Import and return a subcommand, or None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        info = COMMANDS[cmd_name]
        module = importlib.import_module(f"vld_tui.cli.{info.module or cmd_name}")
        command: Any = typer.main.get_command(module.app)
        if info.module is not None:
            command = command.commands[cmd_name]
        command.name = cmd_name
        command.help = info.help
        return command

    def shell_complete(self, ctx: typer.Context, incomplete: str) -> list[Any]:  # type: ignore[override]
        """Complete subcommands, without importing them, or options."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        from typer._click.shell_completion import CompletionItem

        found = ((name, info.help) for name, info in COMMANDS.items())
        return [
            CompletionItem(name, help=text) for name, text in found if name.startswith(incomplete)
        ]

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # type: ignore[override]
        """Find the subcommand; suggest similar names for an unknown one."""
        is_unknown = args[0] not in COMMANDS and not args[0].startswith("-")
        if is_unknown and not ctx.resilient_parsing:
            from engine.protocol import nearest

            ctx.fail(f"No such command {args[0]!r}.{nearest(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """Write the commands before the options."""
        self.format_commands(ctx, formatter)
        write_options(self, ctx, formatter)

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]  # noqa: ARG002
        """Write the commands by section, with the names aligned."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, info in COMMANDS.items():
            sections.setdefault(info.section, []).append((f"{name:<8}", info.help))
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl(rows)


def _report(error: BaseException) -> int:
    from vld_tui.cli.errors import report  # not for the help

    return report(error)
