"""The run argument and options of the commands that use a trained network on images."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from engine.protocol import NETWORK_ARMS
from engine.protocol.inference import At
from engine.rundir import RunDir
from vld_tui.cli.command import proposes
from vld_tui.cli.errors import check_choice, check_range
from vld_tui.cli.options import with_options
from vld_tui.cli.output import say
from vld_tui.cli.session import open_for_runs
from vld_tui.control.combine import CHECKPOINTS
from vld_tui.launch.work import Computing
from vld_tui.runs.run import Run
from vld_tui.store.errors import StoreError, out_of_reach
from vld_tui.words import use_help

_PANEL: Final = "Network"

ArmOption = Annotated[
    str | None,
    typer.Option(
        "--arm",
        metavar="ARM",
        help=f"{use_help.ARM} [default: the run's own network]",
        rich_help_panel=_PANEL,
        autocompletion=proposes(tuple(sorted(NETWORK_ARMS))),
    ),
]
AtOption = Annotated[
    str,
    typer.Option(
        "--at",
        metavar="best|last",
        help=f"{use_help.AT} [default: best]",
        show_default=False,
        rich_help_panel=_PANEL,
        autocompletion=proposes(CHECKPOINTS),
    ),
]
NoCalibrationOption = Annotated[
    bool,
    typer.Option(
        "--no-calibration",
        help="Use the network's probabilities as they are.",
        rich_help_panel=_PANEL,
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="TEXT",
        help="auto, cpu, cuda, cuda:N or mps. [default: auto]",
        show_default=False,
        rich_help_panel=_PANEL,
        autocompletion=proposes("devices"),
    ),
]
BatchOption = Annotated[
    int,
    typer.Option("--batch", metavar="N", help="Images computed at a time.", rich_help_panel=_PANEL),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="N",
        help="CPU threads. [default: one per core]",
        rich_help_panel=_PANEL,
    ),
]


@dataclass(frozen=True, kw_only=True)
class ComputingOptions:
    """How networks compute."""

    device: DeviceOption = "auto"
    batch: BatchOption = 64
    threads: ThreadsOption = None

    def computing(self) -> Computing:
        """Return the fields of requests to the engine.

        Raises:
            CommandError: for an invalid value.
        """
        check_range("--batch", self.batch, 1)
        check_range("--threads", self.threads, 1, 1024)
        return {"device": self.device, "batch_size": self.batch, "threads": self.threads}


@dataclass(frozen=True, kw_only=True)
class NetworkOptions(ComputingOptions):
    """Which network of a run to use, and how it computes."""

    arm: ArmOption = None
    at: AtOption = "best"
    no_calibration: NoCalibrationOption = False

    def request_fields(self, run_dir: RunDir) -> dict[str, Any]:
        """Return the fields of :class:`engine.protocol.inference.UseOfRun`.

        Raises:
            CommandError: for an invalid value.
        """
        return {
            **self.computing(),
            "run_dir": str(run_dir.path.absolute()),
            "arm": self.arm,
            "at": checkpoint_named(self.at),
            "calibrates": not self.no_calibration,
        }


def checkpoint_named(at: str) -> At:
    """Return the checkpoint that ``--at`` names.

    Raises:
        CommandError: for another word.
    """
    return check_choice("--at", at, CHECKPOINTS)


def with_network_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give ``function`` the options of :class:`NetworkOptions`, which arrive in ``given``."""
    options = _options_of(NetworkOptions)
    of_computing = options.keys() & _options_of(ComputingOptions)
    return with_options(
        function, sorted(options.values(), key=lambda each: each.name in of_computing)
    )


def with_computing_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give ``function`` the options of :class:`ComputingOptions`, which arrive in ``given``."""
    return with_options(function, _options_of(ComputingOptions).values())


def _options_of(kind: type[ComputingOptions]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(kind, eval_str=True).parameters


def find_run(ctx: typer.Context, reference: str) -> tuple[Run, RunDir]:
    """Return the run whose network to use, and its folder.

    Raises:
        HomeError: when the home does not exist.
        StoreError: when no run or several runs match, or it is in the trash.
    """
    with open_for_runs(ctx, [reference], with_jobs=False) as store:
        run = store.runs.get(reference)
        if (reason := out_of_reach(run)) is not None:
            raise StoreError(reason)
        return run, store.runs.run_dir(run.run_id)


def caution(run: Run) -> None:
    """Print why what is measured of a run's network may say little."""
    from vld_tui.views.cautions import network_cautions  # not for the help

    for line in network_cautions(run):
        say(f"caution: {line}", to_stderr=True)
