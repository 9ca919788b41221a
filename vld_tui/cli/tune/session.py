"""The course of one ``vld tune``: what is launched, followed and printed."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import typer

from engine.protocol import NO_TARGET
from engine.protocol.effects import without_effect
from engine.protocol.export import why_run_is_not_timm
from vld_tui.cli.dry_run import planned_lines
from vld_tui.cli.errors import FAILED_EXIT, USAGE_EXIT, CommandError, is_interactive
from vld_tui.cli.follow import listening
from vld_tui.cli.foreground import (
    RunsBar,
    failed_runs,
    follow_runs,
    refuse_unfinished,
    slots_of_one_thread,
)
from vld_tui.cli.output import print_json, say, say_wrapped, suggest, terminal_cells
from vld_tui.cli.slurm import place_record, print_submission, tell_slow, tell_submission
from vld_tui.cli.sweep.launch import NOTHING_LAUNCHED, Place, absent_from, ask_to_launch
from vld_tui.cli.sweep.launched import standing_record
from vld_tui.control.study import launch
from vld_tui.control.tune import (
    BudgetTooSmall,
    Stage,
    TuningState,
    advance,
    fit_budget,
    has_known_time,
    left_to_do,
    look,
    planned,
    runs_now,
    settle,
)
from vld_tui.launch.datasets import DatasetError
from vld_tui.launch.slurm.submit import Cluster, plan_jobs
from vld_tui.runs.run import Run
from vld_tui.store.store import Store
from vld_tui.study.define.datasets import HomeDatasets
from vld_tui.study.define.tuning import TuneGrid, Tuning, keep_tuning
from vld_tui.study.forecast import StudyCost
from vld_tui.study.planner import LocalPlanner
from vld_tui.study.standing import MOST_UNASKED, Standing, devices_of, refuse_misfits, standing_of
from vld_tui.views.study import (
    counts_text,
    disk_text,
    failure_lines,
    features_cautions,
    time_text,
    weights_lines,
)
from vld_tui.views.tuning import (
    RULE,
    choice_sentences,
    domain_lines,
    left_out_text,
    network_lines,
    network_records,
    optimism_sentence,
    score_records,
    selection_sentence,
    tuned_lines,
    tuning_plan_lines,
)
from vld_tui.words.numbers import duration

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


@dataclass
class Session:
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
        state = look(self.store, self.tuning, grid, self.datasets)
        standing = left_to_do(self.store, state, self.datasets)
        refuse_misfits(self.store.home, standing)
        cost = LocalPlanner(self.store.home).cost(self.store, standing, self.datasets)
        settings, specs = self.place.settings, [spec for spec, _ in standing.to_launch]
        jobs = plan_jobs(settings, specs) if settings is not None and specs else None
        if self.as_json:
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
        fields = self.tuning.request.fields  # some may have an effect in other runs only
        one = min(
            left,
            key=lambda spec: (
                len(without_effect(spec, fields)),
                any(getattr(spec, name) != value for name, value in usual),
            ),
        )
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
        refuse_misfits(self.store.home, standing)
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
        yield from tuning_plan_lines(self.tuning, self.tuning.grid or self.full, standing)
        if self.place.settings is None:
            yield "time", time_text(cost, devices_of(self.store))
        yield "disk", disk_text(standing.study, cost)
        yield "where", self.place.told
        for line in features_cautions(cost.features):
            yield "caution", line
        for line in weights_lines(absent_from(self.store.home, standing)):
            yield "weights", line
        if standing.study.absent:
            yield "missing", f"data sets not on this machine: {', '.join(standing.study.absent)}"

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
        """Report failed or stopped runs; see :func:`refuse_unfinished`."""
        refuse_unfinished(
            runs, total, name=self.tuning.name, command=self._command,
            is_interrupted=is_interrupted, has_more=True,
        )  # fmt: skip

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
            say_wrapped(f"Not compared: {left_out_text(self.tuning)}.")
        say("")

    def _tell(self, state: TuningState) -> None:
        """Print the networks, and what to do with the selected one."""
        for line in network_lines(state, terminal_cells()):
            say(line)
        say("")
        say_wrapped(selection_sentence(state))
        say("")
        selected = state.networks[0].run
        run, form = selected.run_id, "onnx" if why_run_is_not_timm(selected.spec) else "timm"
        suggest(
            [
                (f"vld predict {run} FOLDER", "classify new images"),
                (f"vld evaluate {run} FOLDER", "test it on labelled images"),
                (f"vld export {run} --to {form} DIR", "hand over the network"),
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
