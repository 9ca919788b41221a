"""``vld run``: fine-tune a network and watch it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from engine.protocol import RunSpec, SpecError, encode_spec, resolve_new_spec
from vld_tui.cli.command import Command, JsonOption, home_option
from vld_tui.cli.errors import CommandError
from vld_tui.cli.follow import run_and_follow, start_and_leave
from vld_tui.cli.options import one_spelling, with_spec_options
from vld_tui.cli.output import print_json, say
from vld_tui.cli.queue import tell_queued
from vld_tui.cli.reporters import NextCommands
from vld_tui.cli.session import open_store, this_home
from vld_tui.cli.slurm import (
    Asked,
    OnOption,
    ProfileOption,
    submit_new,
    with_slurm_options,
)
from vld_tui.config import read_config
from vld_tui.datasets import find_added
from vld_tui.fields import as_typed, command_line, spec_values, with_absolute_paths
from vld_tui.home import Home, find_home
from vld_tui.slurm.plan import plan_jobs
from vld_tui.slurm.settings import SlurmSettings
from vld_tui.views.plan import plan_rows
from vld_tui.views.planned_jobs import planned_lines
from vld_tui.views.progress import Progress

_COMPARED_DROPOUT: Final = 0.9

app = typer.Typer(add_completion=False, rich_markup_mode=None)

NameOption = Annotated[
    str | None, typer.Option("--name", metavar="TEXT", help="Name of the run [default: made up].")
]
TagOption = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="TEXT", help="A tag; may be given several times."),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="TOML file of fields; options win over it."),
]
DetachOption = Annotated[
    bool, typer.Option("--detach", help="Start the run, print its id and return.")
]
QueueOption = Annotated[
    bool, typer.Option("--queue", help="Let the run wait for a free slot, print its id and return.")
]
DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="Print what would be done and what would fail, and do nothing."),
]


@app.command(
    cls=Command,
    epilog="Strongest first: options, --config, the recipe, the data set's own defaults.",
)
@with_slurm_options
@with_spec_options
def run(
    ctx: typer.Context,
    name: NameOption = None,
    tag: TagOption = None,
    config: ConfigOption = None,
    detach: DetachOption = False,
    queue: QueueOption = False,
    as_json: JsonOption = False,
    dry_run: DryRunOption = False,
    on: OnOption = None,
    profile: ProfileOption = None,
    **given: Any,
) -> None:
    """Start a run in its own process and follow it, or submit it to a cluster."""
    asked = Asked.take(on, profile, given)
    settings = asked.settings(find_home(home_option(ctx)))
    if settings is not None and (queue or detach):
        flag = "--queue" if queue else "--detach"
        raise CommandError(
            f"A run on a cluster waits there and leaves by itself: leave out {flag}."
        )
    options = spec_values(one_spelling(given))
    values = with_absolute_paths({**(read_config(config) if config else {}), **options})
    try:
        spec = resolve_new_spec(find_added(this_home(ctx), values))
    except SpecError as error:
        raise as_typed(error, options) from None
    asked.refuse_contradiction([spec])
    if dry_run:
        _tell_plan(this_home(ctx), spec, settings, as_json=as_json)
        return
    with open_store(ctx) as store:
        if settings is not None:
            submitted = store.create_run(spec, name=name, tags=tag or ())
            submit_new(store, submitted.run_id, settings, as_json=as_json)
            return
        if queue:
            queued = store.create_run(spec, name=name, tags=tag or (), is_queued=True)
            tell_queued(store, queued, as_json=as_json)
            return
        created = store.create_run(spec, name=name, tags=tag or ())
        if detach:
            start_and_leave(store, created, resumes=False, as_json=as_json)
            return
        following = _following(config, options, spec)
        run_and_follow(store, created, resumes=False, as_json=as_json, following=following)


def _tell_plan(home: Home, spec: RunSpec, settings: SlurmSettings | None, *, as_json: bool) -> None:
    """Say what a run would do, and what would keep it from it; ``settings`` None: here."""
    plan = None if settings is None else plan_jobs(settings, [spec])
    if as_json and plan is None:
        sys.stdout.write(encode_spec(spec).decode())
        return
    if as_json:
        print_json({"spec": spec, "cluster": plan})
        return
    from vld_tui.planner import LocalPlanner  # noqa: PLC0415 - a run does without
    from vld_tui.study.prospects import prospects  # noqa: PLC0415
    from vld_tui.views.study import weights_lines  # noqa: PLC0415

    for label, line in plan_rows(spec, Progress()):
        say(f"{label:<9} {line}")
    for label, line in () if plan is None else planned_lines(plan):
        say(f"{label:<9} {line}")
    found = prospects(LocalPlanner(home), spec, goes_elsewhere=plan is not None)
    for line in found.problems:
        say(f"{'problem':<9} {line}")
    for line in weights_lines(found.absent):
        say(f"{'weights':<9} {line}")
    unasked = ["GPUs of the cluster"] if plan is not None and not plan.jobs else []
    say(f"{'unchecked':<9} {' · '.join([*found.unchecked, *unasked])}")


def _following(config: Path | None, options: Mapping[str, object], spec: RunSpec) -> NextCommands:
    """Return what is worth typing after the run: its curves, and the run to compare it with."""
    other = 0 if spec.dropout_rate else _COMPARED_DROPOUT
    words = ["--config", str(config)] if config else []
    words += command_line({**options, "dropout_rate": other})
    purpose = "the same without dropout" if spec.dropout_rate else "the same with dropout"
    return [
        ("vld curve @last", "its accuracies and loss over the steps"),
        ("vld show @last", "everything known of it"),
        (shlex.join(["vld", "run", *words]), f"{purpose}, to compare"),
    ]
