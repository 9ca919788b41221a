"""``vld tune``: choose a setting without a target, then train the final network on every domain."""

from __future__ import annotations

import shlex
from functools import partial
from typing import Annotated, Any, Final

import typer

from engine.protocol import FIELDS, SpecError
from vld_tui.cli.command import Command, JsonOption, proposes
from vld_tui.cli.errors import CommandError, YesOption, check_range
from vld_tui.cli.options import one_spelling, with_spec_options
from vld_tui.cli.run import ConfigOption
from vld_tui.cli.session import open_store, refresh, this_home
from vld_tui.cli.slurm import Asked, OnOption, ProfileOption, with_slurm_options
from vld_tui.cli.sweep.launch import place_of
from vld_tui.cli.tune.session import Session
from vld_tui.control.tune import OneDomainError, OtherTuningError, open_tuning
from vld_tui.home import Home, absolute_path
from vld_tui.runs.fields import as_typed, read_config, spec_values, with_absolute_paths
from vld_tui.study.define.datasets import HomeDatasets
from vld_tui.study.define.definition import MOST_SEEDS
from vld_tui.study.define.tuning import (
    RATES,
    SEEDS,
    SET_BY_TUNING,
    TuneGrid,
    TuneRequest,
    Tuning,
    study_name,
)
from vld_tui.words.numbers import seconds_in

_PANEL: Final = "Tuning"
app = typer.Typer(add_completion=False, rich_markup_mode=None)

DataArgument = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="Data set name, or your own images: a folder of domain/class/image, a table or a "
        ".zip.",
        show_default=False,
        autocompletion=proposes("data sets"),
    ),
]
RatesOption = Annotated[
    str | None,
    typer.Option(
        "--rates",
        metavar="X,X",
        rich_help_panel=_PANEL,
        show_default=False,
        help=f"Dropout rates to compare. [default: {','.join(f'{rate:g}' for rate in RATES)}]",
    ),
]
CellsOption = Annotated[
    bool,
    typer.Option(
        "--cells",
        rich_help_panel=_PANEL,
        help="Also compare learning rates (--lr and half of it) and weight decays (--weight-decay, "
        "half and a tenth of it): 6 times the runs.",
    ),
]
SeedsOption = Annotated[
    int,
    typer.Option("--seeds", metavar="N", rich_help_panel=_PANEL, help="Seeds of every setting."),
]
BudgetOption = Annotated[
    str | None,
    typer.Option(
        "--budget",
        metavar="TIME",
        rich_help_panel=_PANEL,
        help="Compare only what fits into this time on this machine, such as 2h or 1h30m.",
    ),
]
NameOption = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="WORD",
        rich_help_panel=_PANEL,
        show_default=False,
        help="Name of the study. [default: tune-DATA]",
    ),
]
QueueOption = Annotated[
    bool,
    typer.Option(
        "--queue",
        rich_help_panel=_PANEL,
        help="Queue the next runs and return; the same command continues.",
    ),
]
DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        rich_help_panel=_PANEL,
        help="Print runs, hours and disk space without launching.",
    ),
]


@app.command(
    cls=Command,
    epilog="Every other setting is the same in all runs. Ctrl-C stops the runs; the same command "
    "continues.",
)
@with_slurm_options
@partial(with_spec_options, without=SET_BY_TUNING)
def tune(
    ctx: typer.Context,
    data: DataArgument,
    rates: RatesOption = None,
    cells: CellsOption = False,
    seeds: SeedsOption = SEEDS,
    budget: BudgetOption = None,
    name: NameOption = None,
    config: ConfigOption = None,
    queue: QueueOption = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
    on: OnOption = None,
    profile: ProfileOption = None,
    **given: Any,
) -> None:
    """Choose the dropout rate without a target; train on every domain."""
    asked = Asked.take(on, profile, given)
    check_range("--seeds", seeds, 1, MOST_SEEDS)
    options = spec_values(one_spelling(given))
    request = TuneRequest(
        data=_named_data(data),
        fields=with_absolute_paths({**(read_config(config) if config else {}), **options}),
        rates=RATES if rates is None else _rates(rates),
        with_cells=cells,
        seeds=seeds,
        budget_s=None if budget is None else _budget(budget),
    )
    home = this_home(ctx, to_look=dry_run)
    datasets = HomeDatasets(home)
    try:
        tuning, full = _opened(home, request, name or study_name(request.data), datasets)
    except SpecError as error:
        raise as_typed(error, options) from None
    with open_store(ctx, to_look=dry_run, may_be_new=dry_run) as store:
        refresh(store)
        place = place_of(home, tuning.text(full, full.usual).read(home, datasets), asked)
        if place.settings is not None and (queue or request.budget_s is not None):
            raise CommandError(_not_on_cluster(queue=queue))
        session = Session(store, tuning, full, datasets, place, queue, as_json)
        if dry_run:
            session.tell_dry_run()
        else:
            session.go(yes=yes)


def _opened(
    home: Home, request: TuneRequest, name: str, datasets: HomeDatasets
) -> tuple[Tuning, TuneGrid]:
    try:
        return open_tuning(home, request, name, datasets)
    except OneDomainError as error:
        raise CommandError(f"{error}\n{_one_domain_advice(request)}") from None
    except OtherTuningError as error:
        raise CommandError(f"{error}\n{_other_advice(error)}") from None


def _named_data(given: str) -> str:
    """Return the name of a data set unchanged, and an existing folder or file as absolute path."""
    if not given:
        raise CommandError("DATA is empty. Give the name of a data set, or a folder of images.")
    path = absolute_path(given)
    return str(path) if "/" in given or path.exists() else given


def _rates(text: str) -> tuple[float, ...]:
    info, found = FIELDS["dropout_rate"], []
    for word in filter(None, (part.strip() for part in text.split(","))):
        try:
            found.append(float(info.check(info.read_text(word))))
        except SpecError as error:
            raise CommandError(str(error).replace(info.name, "--rates", 1)) from None
    if not found:
        raise CommandError("--rates is empty. Give dropout rates, such as 0,0.5,0.9.")
    return tuple(sorted(set(found)))


def _budget(text: str) -> float:
    seconds = seconds_in(text)
    if not seconds:
        raise CommandError(f"--budget is {text!r}, but must be a duration such as 2h or 1h30m.")
    return seconds


def _one_domain_advice(request: TuneRequest) -> str:
    data = shlex.quote(request.data)
    flag = "--data" if "/" in request.data else "--dataset"
    return (
        f"Create domains from the images: vld data shift {data}; or train without choosing: "
        f"vld run {flag} {data} --target none"
    )


def _other_advice(error: OtherTuningError) -> str:
    another = "Give this one another name (--name WORD)"
    return (
        f"{another}, or continue that one: {shlex.join(error.command)}"
        if error.command
        else (f"{another}.")
    )


def _not_on_cluster(*, queue: bool) -> str:
    if queue:
        return "Cluster runs are always queued; drop --queue."
    return "--budget needs the time of runs on this machine; drop it, or add --on local."
