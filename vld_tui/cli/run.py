"""``vld run``: fine-tune a network and follow the run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from engine.protocol import FIELDS, RunSpec, SpecError, resolve_new_spec
from engine.protocol.effects import WITH_DROPOUT
from vld_tui.cli.command import Command, JsonOption
from vld_tui.cli.errors import CommandError
from vld_tui.cli.follow import DetachOption, start_new
from vld_tui.cli.options import one_spelling, with_spec_options
from vld_tui.cli.output import NextCommands, home_option
from vld_tui.cli.session import open_store, this_home
from vld_tui.cli.slurm import (
    Asked,
    on_option,
    profile_option,
    tell_slow,
    tell_submitted,
    with_slurm_options,
)
from vld_tui.control.start import located, submit
from vld_tui.home import find_home
from vld_tui.launch.datasets import find_added
from vld_tui.launch.slurm.submit import Cluster, plan_jobs
from vld_tui.runs.fields import (
    as_typed,
    command_line,
    read_config,
    spec_values,
    with_absolute_paths,
)
from vld_tui.store.labels import check_name, check_tags, split_at_commas

_COMPARED_DROPOUT: Final = 0.9

app = typer.Typer(add_completion=False, rich_markup_mode=None)

NameOption = Annotated[
    str | None, typer.Option("--name", metavar="TEXT", help="Name of the run. [default: generated]")
]
TagOption = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="TEXT", help="Tag of the run. [repeatable]"),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="TOML file of settings; options override it."),
]
QueueOption = Annotated[
    bool, typer.Option("--queue", help="Queue the run, print its id and return.")
]
DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="Print the plan and any problems without starting the run."),
]


@app.command(
    cls=Command,
    epilog="Precedence, highest first: options, --config, the recipe, the data set's defaults.",
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
    on: Annotated[str | None, on_option("local")] = None,
    profile: Annotated[str | None, profile_option("profile 'default'")] = None,
    **given: Any,
) -> None:
    """Start a run in its own process and follow it, or submit it to a cluster."""
    tags = split_at_commas(tag or ())
    asked = Asked.take(on, profile, given)
    settings = asked.settings(find_home(home_option(ctx)))
    if settings is not None and (queue or detach):
        flag = "--queue" if queue else "--detach"
        raise CommandError(f"Cluster runs are always queued and detached; drop {flag}.")
    options = spec_values(one_spelling(given))
    values = with_absolute_paths({**(read_config(config) if config else {}), **options})
    home = this_home(ctx, to_look=dry_run)
    try:
        spec = resolve_new_spec(find_added(home, values))
    except SpecError as error:
        raise as_typed(error, options) from None
    asked.refuse_contradiction([spec])
    if dry_run:
        from vld_tui.cli.dry_run import print_plan

        check_tags(tags)
        if name is not None:
            check_name(name)
        plan = None if settings is None else plan_jobs(settings, [spec])
        print_plan(home, spec, plan, as_json=as_json)
        return
    spec = located(home, spec)
    cluster = None if settings is None else Cluster(settings, tell_slow)
    with open_store(ctx) as store:
        created = store.runs.create(spec, name=name, tags=tags, is_queued=queue)
        if cluster is not None:
            tell_submitted(store, submit(store, created, cluster), as_json=as_json)
            return
        following = _following(config, options, spec)
        start_new(store, created, queue=queue, detach=detach, as_json=as_json, following=following)


def _following(config: Path | None, options: Mapping[str, object], spec: RunSpec) -> NextCommands:
    """Return the next commands to suggest: look at the run, use its network, compare it."""
    other = 0 if spec.dropout_rate else _COMPARED_DROPOUT
    words = ["--config", str(config)] if config else []
    compared = {**options, "dropout_rate": other}
    if spec.teacher is not None:
        compared["teacher"] = spec.teacher  # @last is another run by now
    if not other:
        for name in WITH_DROPOUT:
            compared.pop(name, None)
            if config and getattr(spec, name) != FIELDS[name].default:
                compared[name] = FIELDS[name].default
    words += command_line(compared)
    purpose = "the same without dropout" if spec.dropout_rate else "the same with dropout"
    uses = (
        []
        if spec.keep_checkpoints == "none"
        else [("vld predict @last FOLDER", "classify the images of a folder")]
    )
    return [
        ("vld curve @last", "accuracies and loss"),
        ("vld show @last", "all settings and results"),
        *uses,
        (shlex.join(["vld", "run", *words]), f"{purpose}, to compare"),
    ]
