"""``vld tune``: choose a setting without a target, then train the final network on every domain."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final

import typer

from engine.protocol import FIELDS, NO_TARGET, SpecError
from vld_tui.cli.command import Command, JsonOption, proposes
from vld_tui.cli.dry_run import planned_lines
from vld_tui.cli.errors import (
    FAILED_EXIT,
    INTERRUPTED_EXIT,
    USAGE_EXIT,
    CommandError,
    YesOption,
    check_range,
    is_interactive,
)
from vld_tui.cli.follow import listening
from vld_tui.cli.foreground import RunsBar, failed_runs, follow_runs, slots_of_one_thread
from vld_tui.cli.options import one_spelling, with_spec_options
from vld_tui.cli.output import print_json, say, say_wrapped, suggest, terminal_cells, with_home
from vld_tui.cli.run import ConfigOption
from vld_tui.cli.session import open_store, refresh, this_home
from vld_tui.cli.slurm import (
    Asked,
    OnOption,
    ProfileOption,
    place_record,
    print_submission,
    tell_slow,
    tell_submission,
    with_slurm_options,
)
from vld_tui.cli.sweep.launch import (
    NOTHING_LAUNCHED,
    Place,
    absent_from,
    ask_to_launch,
    place_of,
)
from vld_tui.cli.sweep.launched import standing_record
from vld_tui.control.study import launch
from vld_tui.control.tune import (
    BudgetTooSmall,
    OneDomainError,
    OtherTuningError,
    Stage,
    TuningState,
    advance,
    fit_budget,
    has_known_time,
    look,
    open_tuning,
    planned,
    runs_now,
    settle,
)
from vld_tui.home import Home, absolute_path
from vld_tui.launch.datasets import DatasetError
from vld_tui.launch.slurm.submit import Cluster, plan_jobs
from vld_tui.runs.fields import as_typed, read_config, spec_values, with_absolute_paths
from vld_tui.runs.run import Run
from vld_tui.store.store import Store
from vld_tui.study.define.datasets import HomeDatasets
from vld_tui.study.define.definition import MOST_SEEDS
from vld_tui.study.define.tuning import (
    RATES,
    SEEDS,
    SET_BY_TUNING,
    TuneGrid,
    TuneRequest,
    Tuning,
    keep_tuning,
    study_name,
)
from vld_tui.study.forecast import StudyCost
from vld_tui.study.planner import LocalPlanner
from vld_tui.study.standing import MOST_UNASKED, Standing, devices_of, refuse_misfits, standing_of
from vld_tui.views.study import (
    counts_text,
    disk_text,
    failure_lines,
    features_cautions,
    study_heading,
    time_text,
    weights_lines,
)
from vld_tui.views.tuning import (
    RULE,
    choice_sentences,
    domain_lines,
    network_lines,
    network_records,
    optimism_sentence,
    score_records,
    selection_sentence,
    tuned_lines,
)
from vld_tui.words.numbers import duration, plural, seconds_in

_PANEL: Final = "Tuning"
_DOING: Final[dict[Stage, str]] = {
    "compare": "comparing settings",
    "train": "training on every domain",
    "combine": "averaging networks",
    "done": "",
}
_NEXT_STAGE: Final = {
    "compare": "choose the setting once these runs have finished",
    "train": "average the networks once these runs have finished",
    "combine": "show the result once these runs have finished",
}

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
        session = _Session(store, tuning, full, datasets, place, queue, as_json)
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


@dataclass
class _Session:
    """One call of ``vld tune``."""

    store: Store
    tuning: Tuning
    full: TuneGrid
    datasets: HomeDatasets
    place: Place
    queues: bool
    as_json: bool
    has_told: bool = False

    def tell_dry_run(self) -> None:
        """Print what would be done."""
        grid = self.tuning.grid or self._fitting()
        if grid is None:
            say("time unknown: one run is started first to measure it", to_stderr=True)
        grid = grid or self.full
        self.tuning = _as_settled(self.tuning, self.full, grid)
        standing = planned(self.store, self.tuning, grid, self.datasets)
        refuse_misfits(standing)
        cost = LocalPlanner(self.store.home).cost(self.store, standing, self.datasets)
        settings, specs = self.place.settings, [spec for spec, _ in standing.to_launch]
        jobs = plan_jobs(settings, specs) if settings is not None and specs else None
        if self.as_json:
            state = look(self.store, self.tuning, grid, self.datasets)
            costs = {
                "runs": len(standing.study.specs),
                "seconds": None if cost.unknown else cost.seconds(devices_of(self.store)),
                "disk_bytes": cost.disk_bytes,
            }
            print_json(self._record(state) | costs | ({} if jobs is None else {"cluster": jobs}))
        else:
            for label, line in self._plan_lines(standing, cost):
                say(f"{label:<9} {line}")
            for label, line in () if jobs is None else planned_lines(jobs):
                say(f"{label:<9} {line}")
        if jobs is not None and jobs.problems:
            raise typer.Exit(USAGE_EXIT)

    def go(self, *, yes: bool) -> None:
        """Do what is left: all of it in the foreground, else the next runs."""
        if self.datasets.refusal is not None:
            raise DatasetError(self.datasets.refusal)
        settings = self.place.settings
        cluster = None if settings is None else Cluster(settings, tell_slow)
        grid = self._settled_grid()
        if grid is None:
            return
        state = look(self.store, self.tuning, grid, self.datasets)
        if state.stage == "compare" and state.standing.to_launch:
            self._introduce(grid, yes=yes)
        while state.stage != "done":
            if self.queues or cluster is not None:
                self._leave(state, cluster)
                return
            if state.stage != "compare":
                self._tell_choice(state)
            self._follow(state)
            state = look(self.store, self.tuning, grid, self.datasets)
        if self.as_json:
            print_json(self._record(state))
        else:
            self._tell_choice(state)
            self._tell(state)

    def _settled_grid(self) -> TuneGrid | None:
        """Return the grid that is run, after a trial if its time must be measured; None: the trial
        was queued."""
        if self.tuning.grid is not None:
            return self.tuning.grid
        grid = self._fitting()
        if grid is None:
            keep_tuning(self.store.home, self.tuning)
            began = time.monotonic()
            if not self._try_one(planned(self.store, self.tuning, self.full, self.datasets)):
                return None
            grid = self._fitting(spent_s=time.monotonic() - began)
        if grid is None:
            raise CommandError(
                "The time of the runs cannot be estimated. Drop --budget.", exit_code=FAILED_EXIT
            )
        self.tuning = settle(self.store.home, self.tuning, self.full, grid)
        return grid

    def _fitting(self, *, spent_s: float = 0.0) -> TuneGrid | None:
        try:
            return fit_budget(self.store, self.tuning, self.full, self.datasets, spent_s=spent_s)
        except BudgetTooSmall as error:
            raise CommandError(
                f"--budget is {duration(self.tuning.request.budget_s)}, but one setting with one "
                f"seed takes about {duration(error.needed_s)}. Raise it, or shorten the runs with "
                "--steps or --tuning linear."
            ) from None

    def _try_one(self, standing: Standing) -> bool:
        """Start the first missing run, until its time can be estimated; False: it was queued.

        What it has done is kept: the study resumes it.
        """
        store, datasets = self.store, self.datasets
        left = [spec for spec, _ in standing.to_launch if spec.target != NO_TARGET]
        if not left:
            return True
        usual = self.full.usual.items()  # in the smallest grid too
        one = min(left, key=lambda spec: any(getattr(spec, name) != value for name, value in usual))
        text = self.tuning.trial_text(self.full, one)
        study = text.read(store.home, datasets)
        say("time unknown: one run is started first to measure it", to_stderr=True)
        if self.queues:
            launch(store, study, text)
            self._say_next("measure the time once this run has finished")
            return False
        with listening() as requests, RunsBar(1) as bar:
            launch(store, study, text)
            runs = follow_runs(
                store,
                lambda: standing_of(store, study).known,
                requests,
                bar,
                None,
                lambda: has_known_time(store, one, datasets),
            )
        if requests.count or failed_runs(runs):
            self._refuse_unfinished(runs, 1, is_interrupted=requests.count > 0)
        return True

    def _introduce(self, grid: TuneGrid, *, yes: bool) -> None:
        """Print the plan and ask before a large launch."""
        standing = planned(self.store, self.tuning, grid, self.datasets)
        refuse_misfits(standing)
        refusal = NOTHING_LAUNCHED
        planner = LocalPlanner(self.store.home)
        cost = planner.cost(self.store, standing, self.datasets)
        can_ask = yes or len(standing.missing) <= MOST_UNASKED or is_interactive()
        is_here = self.place.settings is None and not self.queues
        if cost.unknown == cost.runs and is_here and can_ask:
            keep_tuning(self.store.home, self.tuning)
            self._try_one(standing)
            refusal = "No other run was launched."
            standing = planned(self.store, self.tuning, grid, self.datasets)
            cost = planner.cost(self.store, standing, self.datasets)
        if not self.as_json:
            for label, line in self._plan_lines(standing, cost):
                say(f"{label:<9} {line}")
        if not yes:
            absent = absent_from(self.store.home, standing)
            ask_to_launch(
                self.store, standing, self.datasets, absent, self.place, cost, refusal=refusal
            )

    def _plan_lines(self, standing: Standing, cost: StudyCost) -> Iterator[tuple[str, str]]:
        study, grid = standing.study, self.tuning.grid or self.full
        runs = len(study.specs) - grid.seeds
        domains = runs // (grid.settings * grid.seeds)
        rates = ", ".join(f"{rate:g}" for rate in grid.rates)
        cells = f", {plural(len(grid.cells), 'cell')}" if grid.cells else ""
        soups = ", and 2 soups of them" if grid.seeds > 1 else ""
        yield "study", study_heading(study)
        yield (
            "compare",
            (
                f"{plural(runs, 'run')}: {domains} domains left out in turn × "
                f"{plural(grid.settings, 'setting')} × {plural(grid.seeds, 'seed')} (dropout rate "
                f"{rates}{cells})"
            ),
        )
        yield "final", f"{plural(grid.seeds, 'run')} on every domain with the chosen setting{soups}"
        if self.tuning.left_out:
            budget = duration(self.tuning.request.budget_s)
            yield "left out", f"{'; '.join(self.tuning.left_out)} (budget {budget})"
        yield "state", counts_text(standing)
        if self.place.settings is None:
            yield "time", time_text(cost, devices_of(self.store))
        yield "disk", disk_text(study, cost)
        yield "where", self.place.told
        for line in features_cautions(cost.features):
            yield "caution", line
        for line in weights_lines(absent_from(self.store.home, standing)):
            yield "weights", line

    def _follow(self, state: TuningState) -> None:
        """Launch what is missing in the stage, and follow it to its end."""
        store = self.store
        slots = slots_of_one_thread(store) if self.tuning.request.is_linear else None
        with listening() as requests, RunsBar(state.total, _DOING[state.stage]) as bar:
            advance(store, state, slots=slots)
            runs = follow_runs(store, lambda: runs_now(store, state), requests, bar, slots)
        self._refuse_unfinished(runs, state.total, is_interrupted=requests.count > 0)

    def _refuse_unfinished(
        self, runs: tuple[Run, ...], total: int, *, is_interrupted: bool
    ) -> None:
        """Report failed or stopped runs.

        Raises:
            CommandError: if a run failed.
            typer.Exit: with 130 if the user stopped them or runs are missing.
        """
        failed, name = failed_runs(runs), self.tuning.name
        if failed and not is_interrupted:
            reasons = "; ".join(failure_lines(failed))
            raise CommandError(
                f"{plural(len(failed), 'run')} of {name} failed: {reasons}\n"
                f"When that is fixed, continue with: {self._command}",
                exit_code=FAILED_EXIT,
            )
        finished = sum(run.status == "finished" for run in runs)
        if is_interrupted or finished < total:
            told = f"Stopped: {finished} of {plural(total, 'run')} finished."
            say(with_home(f"{told} Continue with: {self._command}"), to_stderr=True)
            raise typer.Exit(INTERRUPTED_EXIT)

    def _leave(self, state: TuningState, cluster: Cluster | None) -> None:
        """Queue or submit the next runs and return."""
        for line in failure_lines(failed_runs(state.runs)):
            say(f"resumes: {line}", to_stderr=True)
        submission = advance(self.store, state, cluster)
        now = look(self.store, self.tuning, state.grid, self.datasets)
        if self.as_json and submission is not None:
            print_submission(submission, self._record(now))
            return
        if self.as_json:
            print_json(self._record(now))
            return
        self._tell_choice(state)
        say(counts_text(now.standing))
        if submission is not None:
            tell_submission(submission, f"{self._command}  # run again later to submit the rest")
        self._say_next(_NEXT_STAGE[state.stage])

    def _say_next(self, purpose: str) -> None:
        suggest(
            [
                (self._command, purpose),
                (f"vld sweep status {self.tuning.name}", "progress and results so far"),
            ]
        )

    def _tell_choice(self, state: TuningState) -> None:
        """Print the comparison of settings and the choice, once."""
        if state.tuned is None or self.as_json or self.has_told:
            return
        self.has_told, cells = True, terminal_cells()
        for line in (*tuned_lines(state.tuned, cells), *domain_lines(state.tuned, cells)):
            say(line)
        say("")
        for sentence in choice_sentences(state.tuned):
            say_wrapped(sentence)
        if self.tuning.left_out:
            budget = duration(self.tuning.request.budget_s)
            say_wrapped(f"Not compared (budget {budget}): {'; '.join(self.tuning.left_out)}.")
        say("")

    def _tell(self, state: TuningState) -> None:
        """Print the networks, and what to do with the selected one."""
        for line in network_lines(state, terminal_cells()):
            say(line)
        say("")
        say_wrapped(selection_sentence(state))
        say("")
        run = state.networks[0].run.run_id
        suggest(
            [
                (f"vld predict {run} FOLDER", "classify new images"),
                (f"vld evaluate {run} FOLDER", "test it on labelled images"),
                (f"vld export {run} --to timm DIR", "hand over the network"),
                (f"vld report {self.tuning.name}", "tables and figures of the comparison"),
            ]
        )

    @property
    def _command(self) -> str:
        return shlex.join(self.tuning.request.command(self.tuning.name))

    def _record(self, state: TuningState) -> dict[str, Any]:
        tuned, networks = state.tuned, network_records(state)
        is_done = state.stage == "done"
        return (
            standing_record(state.standing)
            | place_record(self.place.settings)
            | {
                "stage": state.stage,
                "compared": state.grid.compared,
                "left_out": self.tuning.left_out,
                "rule": RULE,
                "settings": [] if tuned is None else score_records(tuned.scores),
                "domains": [] if tuned is None else tuned.domains,
                "chosen": None if tuned is None else tuned.values,
                "reason": None if tuned is None else tuned.reason,
                "caution": None if tuned is None else optimism_sentence(tuned),
                "networks": networks,
                "selected_run": networks[0]["run"] if is_done and networks else None,
                "continue": None if is_done else self._command,
            }
        )


def _as_settled(tuning: Tuning, full: TuneGrid, grid: TuneGrid) -> Tuning:
    """Return a study as it would be settled, without keeping it."""
    return Tuning(name=tuning.name, request=tuning.request, grid=grid, left_out=full.without(grid))
