"""``vld sweep STUDY``: launch a study's missing runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, NamedTuple

import typer

from vld_tui.cli.command import JsonOption, StudyArgument
from vld_tui.cli.dry_run import planned_lines
from vld_tui.cli.errors import USAGE_EXIT, CommandError, YesOption, ask, check_choice
from vld_tui.cli.output import print_json, print_text, say, suggest
from vld_tui.cli.queue import GpusOption
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
from vld_tui.cli.sweep.launched import standing_record
from vld_tui.control.queue import set_slots
from vld_tui.control.study import launch as launch_study
from vld_tui.home import Home, absolute_path
from vld_tui.launch.datasets import DatasetError
from vld_tui.launch.queue import queue_settings
from vld_tui.launch.slurm.settings import SlurmSettings
from vld_tui.launch.slurm.submit import Cluster, ClusterPlan, plan_jobs
from vld_tui.store.store import Store
from vld_tui.study.define.datasets import HomeDatasets
from vld_tui.study.define.definition import Study
from vld_tui.study.define.files import (
    SMALL,
    StudyText,
    find_text,
    study_preset_names,
    study_preset_text,
)
from vld_tui.study.features import feature_key
from vld_tui.study.forecast import StudyCost
from vld_tui.study.planner import LocalPlanner
from vld_tui.study.preflight import AbsentWeights, absent_weights
from vld_tui.study.standing import (
    MOST_UNASKED,
    Standing,
    devices_of,
    find_strays,
    last_place,
    refuse_misfits,
    runs_left_behind,
    standing_of,
    without_final_weights,
)
from vld_tui.views.study import (
    counts_text,
    disk_text,
    features_cautions,
    going_on,
    gone_text,
    plan_lines,
    stray_text,
    study_heading,
    time_text,
    weights_lines,
)
from vld_tui.words.numbers import plural

NOTHING_LAUNCHED: Final = "Nothing was launched."

DataOption = Annotated[
    list[str] | None,
    typer.Option(
        "--data", metavar="NAME|DIR",
        help="Data set to use instead of the study's. [repeatable]",
    ),
]  # fmt: skip
NameOption = Annotated[
    str | None, typer.Option("--name", metavar="WORD", help="Save the study under another name.")
]
ScaleOption = Annotated[
    str | None,
    typer.Option(
        "--scale",
        metavar="small|full",
        help="Scale of a preset; small is a miniature version. [default: full]",
        show_default=False,
    ),
]
PrintOption = Annotated[bool, typer.Option("--print", help="Print the study as TOML and exit.")]
SlotsOption = Annotated[
    int | None,
    typer.Option(
        "--slots",
        metavar="N",
        help="Concurrent runs from now on; 0: one per GPU, or one without GPUs.",
    ),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Print runs, hours and disk space without launching.")
]


@with_slurm_options
def launch(
    ctx: typer.Context,
    study: StudyArgument,
    data: DataOption = None,
    name: NameOption = None,
    scale: ScaleOption = None,
    slots: SlotsOption = None,
    gpus: GpusOption = None,
    prints: PrintOption = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
    on: OnOption = None,
    profile: ProfileOption = None,
    **given: Any,
) -> None:
    """Queue a study's missing runs, or submit them if it last went to a cluster."""
    home = this_home(ctx, to_look=prints or dry_run)
    asked = Asked.take(on, profile, given)
    text = _text(home, study, scale, data or (), name, prefers_preset=prints or bool(data))
    datasets = HomeDatasets(home)
    known = text.read(home, datasets)
    if prints:
        print_text(text.text)
        return
    place = place_of(home, known, asked)
    if place.settings is not None and (slots is not None or gpus is not None):
        flag = "--slots" if slots is not None else "--gpus"
        raise CommandError(
            f"{flag} applies to this machine's queue, not to a cluster. Drop it, or add --on local."
        )
    queue_settings(slots, gpus)  # refused before anything is asked or done
    with open_store(ctx, to_look=dry_run, may_be_new=dry_run) as store:
        refresh(store)
        standing = standing_of(store, known)
        refuse_misfits(home, standing)
        if dry_run:
            gone = runs_left_behind(home, known, text)
            specs = [spec for spec, _ in standing.to_launch]
            plan = (
                plan_jobs(place.settings, specs) if place.settings is not None and specs else None
            )
            _tell_plan(store, standing, datasets, gone, place, plan, as_json=as_json)
            if plan is not None and plan.problems:
                raise typer.Exit(USAGE_EXIT)
            return
        cluster = None if place.settings is None else Cluster(place.settings, tell_slow)
        absent = absent_from(home, standing)
        if datasets.refusal is not None:
            raise DatasetError(datasets.refusal)
        cost = _features_first(store, standing, datasets, place, as_json=as_json)
        if not yes:
            ask_to_launch(store, standing, datasets, absent, place, cost)
        set_slots(store, slots, gpus)
        launched = launch_study(store, known, text, cluster)
        standing, submission = launched.before, launched.submission
        cautions = _cautions(store, standing)
    if as_json and submission is not None:
        print_submission(submission, standing_record(standing) | place_record(place.settings))
        return
    _tell_launch(standing, launched.gone, cautions, absent, place, as_json=as_json)
    if submission is not None:
        tell_submission(submission, f"vld sweep {known.name}  # run again later to submit the rest")


class Place(NamedTuple):
    """Where a study runs: job settings (None: this machine) and a description."""

    settings: SlurmSettings | None
    told: str
    is_as_before: bool


def place_of(home: Home, study: Study, asked: Asked) -> Place:
    """Return where a study runs: as asked, else as last time."""
    last = last_place(home, study.name)
    settings = asked.settings(home, last)
    asked.refuse_contradiction(study.specs)
    return Place(settings, asked.where(settings, last), last is not None and asked.is_as_before)


def _text(
    home: Home,
    reference: str,
    scale: str | None,
    data: Sequence[str],
    name: str | None,
    *,
    prefers_preset: bool,
) -> StudyText:
    if scale is not None:
        check_choice("--scale", scale, ("small", "full"))
    presets = study_preset_names()
    if scale == "small" and reference + SMALL in presets:
        reference += SMALL
    elif scale is not None and reference not in presets:
        raise CommandError(f"--scale applies to presets, and {reference!r} is not a preset.")
    is_preset = prefers_preset and reference in presets
    text = study_preset_text(reference) if is_preset else find_text(home, reference)
    if data:
        text = text.with_data([named_data(each) for each in data])
    return text if name is None else text.with_value("name", name)


def named_data(given: str) -> str:
    """Return a data set name unchanged, and a folder as an absolute path."""
    path = absolute_path(given)
    return str(path) if path.is_dir() else given


def absent_from(home: Home, standing: Standing) -> tuple[AbsentWeights, ...]:
    """Return the weights that a launch needs and that are not on this machine."""
    return absent_weights(LocalPlanner(home), [spec for spec, _ in standing.to_launch])


def _features_first(
    store: Store, standing: Standing, datasets: HomeDatasets, place: Place, *, as_json: bool
) -> StudyCost | None:
    """Print time and disk space of runs that read cached features before they start on this
    machine, and return their cost; None for other runs."""
    if place.settings is not None or not any(feature_key(spec) for spec, _ in standing.to_launch):
        return None
    cost = LocalPlanner(store.home).cost(store, standing, datasets)
    if not as_json:
        say(f"time: {time_text(cost, devices_of(store))}")
        say(f"disk: {disk_text(standing.study, cost)}")
        for line in features_cautions(cost.features):
            say(f"caution: {line}")
    return cost


def ask_to_launch(
    store: Store,
    standing: Standing,
    datasets: HomeDatasets,
    absent: Sequence[AbsentWeights],
    place: Place,
    cost: StudyCost | None,
    *,
    refusal: str = NOTHING_LAUNCHED,
) -> None:
    """Ask before a large launch, and before one where every run may fail."""
    new, total = len(standing.missing), len(standing.to_launch)
    may_all_fail = total > 0 and sum(weights.runs for weights in absent) == total
    fits = cost is None or cost.features is None or cost.features.fits
    if new <= MOST_UNASKED and not may_all_fail and fits:
        return
    what = f"Launch {plural(new, 'new run')}" if new else f"Resume {plural(total, 'run')}"
    cost = cost or LocalPlanner(store.home).cost(store, standing, datasets)
    takes, disk = time_text(cost, devices_of(store)), disk_text(standing.study, cost)
    told = "".join(f"\nWeights: {line}." for line in weights_lines(absent))
    if strays := find_strays(store, standing):
        told += f"\nCaution: {stray_text(standing.study, strays)}."
    if place.is_as_before:
        told += f"\nOn {place.told}."
    ask(
        f"{what} of {standing.study.name}? Time: {takes}. Disk: {disk}.{told}",
        refusal=refusal,
    )


def _tell_plan(
    store: Store,
    standing: Standing,
    datasets: HomeDatasets,
    gone: int,
    place: Place,
    plan: ClusterPlan | None,
    *,
    as_json: bool,
) -> None:
    cost, devices = LocalPlanner(store.home).cost(store, standing, datasets), devices_of(store)
    absent = absent_from(store.home, standing)
    if not as_json:
        for label, line in plan_lines(standing, cost, devices):
            say(f"{label:<9} {line}")
        say(f"{'where':<9} {place.told}")
        for label, line in () if plan is None else planned_lines(plan):
            say(f"{label:<9} {line}")
        for line in weights_lines(absent):
            say(f"{'weights':<9} {line}")
        if gone:
            say(f"{'caution':<9} {gone_text(gone, standing.study.name)}")
        for line in _cautions(store, standing):
            say(f"{'caution':<9} {line}")
        return
    largest = cost.largest
    print_json(
        standing_record(standing)
        | place_record(place.settings)
        | {
            "seconds": None if cost.unknown == cost.runs else cost.seconds(devices),
            "runs_of_unknown_time": cost.unknown,
            "disk_bytes": cost.disk_bytes,
            "features": cost.features and cost.features.as_record(),
            "largest_cost": largest and {"field": largest.name, "values": largest.values},
            "left_behind": gone,
            "without_final_weights": without_final_weights(store, standing),
            "cautions": _cautions(store, standing),
            "absent_datasets": standing.study.absent,
            "absent_weights": [weights._asdict() for weights in absent],
        }
        | ({} if plan is None else {"cluster": plan})
    )


def _cautions(store: Store, standing: Standing) -> list[str]:
    """Return warnings about finished runs before others are launched."""
    without, strays = without_final_weights(store, standing), find_strays(store, standing)
    return [
        *([_without_final_weights(without)] if without else []),
        *([stray_text(standing.study, strays)] if strays else []),
    ]


def _without_final_weights(runs: int) -> str:
    have = "has" if runs == 1 else "have"
    return (
        f"{plural(runs, 'finished run')} {have} no last checkpoint although --keep is all, so "
        "vld combine --at last cannot use them. To get final weights, remove them (vld rm) and "
        "launch the study again"
    )


def _tell_launch(
    standing: Standing,
    gone: int,
    cautions: Sequence[str],
    absent: Sequence[AbsentWeights],
    place: Place,
    *,
    as_json: bool,
) -> None:
    name = standing.study.name
    if as_json:
        print_json(standing_record(standing) | place_record(place.settings))
        return
    say(study_heading(standing.study))
    if standing.missing or standing.broken_off:
        todo = [plural(len(standing.missing), "new run"), *going_on(standing.broken_off)]
        say(f"{', '.join(todo)} (before: {counts_text(standing)})")
    else:
        say(f"nothing to launch: {counts_text(standing)}")
    if place.is_as_before:
        say(f"on {place.told}")
    for line in weights_lines(absent):
        say(f"weights: {line}")
    if gone:
        say(gone_text(gone, name))
    for line in cautions:
        say(f"caution: {line}")
    suggest(
        [
            (f"vld sweep status {name}", "progress and results so far"),
            ("vld queue ls", "running and queued runs"),
            (f"vld report {name}", "tables and figures"),
        ]
    )
