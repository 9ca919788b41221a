"""A study as text: its cells, standing, cost and cautions."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from engine.protocol import fields_with, shown_value
from vld_tui.runs.run import Run
from vld_tui.store.fields import shown_name
from vld_tui.study.define.definition import Study
from vld_tui.study.features import FeaturesCost
from vld_tui.study.forecast import StudyCost, seconds_left, value_counts
from vld_tui.study.preflight import AbsentWeights
from vld_tui.study.results.cells import OWN_ARM, StudyCell, StudyGrid, grid_so_far
from vld_tui.study.results.groups import image_versions
from vld_tui.study.results.outcomes import AccuracyPair, accuracy_pairs
from vld_tui.study.standing import Standing, Strays
from vld_tui.views.run_columns import estimate_text
from vld_tui.words.columns import GAP, Column, table_lines
from vld_tui.words.numbers import UNKNOWN, duration, moment, plural, size
from vld_tui.words.text import plain_text, width

if TYPE_CHECKING:
    from vld_tui.control.stop import StoppedStudy

MISSING: Final = "·"
"""Stands for a missing result."""
NO_SETTING: Final = "all runs"
"""Name of the only row of a study that compares nothing."""
MOST_FAILURES: Final = 10
_NOUNS: Final[Mapping[str, str]] = {
    "dataset": "data set",
    "target": "target",
    "model": "network",
    "recipe": "recipe",
    "tuning": "tuning",
    "objective": "objective",
    "optimizer": "optimizer",
    "dropout_rate": "dropout rate",
    "lr": "learning rate",
    "weight_decay": "weight decay",
    "seed": "seed",
    "trial_seed": "trial seed",
}
"""Nouns for values of a field that can be counted."""
DIGEST_DIGITS: Final = 12
"""Number of digits of a digest to show."""


def shown_setting(name: str, value: object) -> str:
    """Format the value of a field for a study's tables; of a path, its end."""
    text = plain_text(shown_value(value))
    return text.rsplit("/", 1)[-1] if name in fields_with("path") else text


def mean_words(over: Sequence[str], seeds: Collection[int]) -> str:
    """Return what the numbers of cells and their ± are.

    ``over`` are the fields other than seeds that they average over, ``seeds`` the numbers of seeds
    of the cells, of which ± is the standard deviation.
    """
    if len(seeds) > 1:
        spread = "± sd over seeds (×n: n seeds)"
    elif seeds == {1}:
        spread = "1 seed"
    else:
        spread = f"± sd over {plural(min(seeds), 'seed') if seeds else 'seeds'}"
    return f"mean over {', '.join(over)}, {spread}" if over else f"mean {spread}"


def prediction_words(arm: str) -> str:
    """Return the name of an arm for headings: how the predictions were made."""
    return "own network" if arm == OWN_ARM else plain_text(arm)


def study_heading(study: Study) -> str:
    """Return a study's name and title."""
    return study.name if study.title == study.name else f"{study.name} · {study.title}"


def grid_text(study: Study) -> str:
    """Return the number of runs, and of values of each varying field."""
    specs = study.main_specs
    counts = value_counts(specs)
    varied = [
        name for name, count in counts.items() if count > 1 and name not in fields_with("implied")
    ]
    is_full = math.prod(counts[name] for name in varied) == len(specs)
    values = (" × " if is_full else ", ").join(_values(counts[name], name) for name in varied)
    text = f"{plural(len(study.specs), 'run')}{': ' if values else ''}{values}"
    held_out = len(study.specs) - len(specs)
    return f"{text}; {held_out:,} of them also leave out a source" if held_out else text


def _values(count: int, name: str) -> str:
    noun = _NOUNS.get(name)
    return plural(count, noun) if noun else f"{plural(count, 'value')} of {shown_name(name)}"


def counts_text(standing: Standing) -> str:
    """Return the number of runs in each state."""
    parts = [
        f"{len(runs):,} {word}"
        for word, runs in (
            ("finished", standing.finished),
            ("running", standing.live),
            ("queued", standing.queued),
        )
    ]
    broken_off = Counter(run.status for run in standing.broken_off)
    parts += [f"{count:,} {status}" for status, count in sorted(broken_off.items())]
    parts.append(f"{len(standing.missing):,} missing")
    if count := standing.study.untaught:
        parts.append(f"{count:,} need a teacher that has not finished: launch again later")
    return " · ".join(parts)


def time_text(cost: StudyCost, devices: int) -> str:
    """Return the duration of runs, and the source of the estimate."""
    if not cost.runs:
        return "none"
    if cost.unknown == cost.runs:
        return remaining_text(0.0, cost.unknown)
    on_devices = f" on {devices} GPUs" if devices > 1 else ""
    text = remaining_text(cost.seconds(devices), cost.unknown, on_devices)
    if cost.wall_from is not None:
        text += f" (based on run {cost.wall_from.run_id})"
    elif cost.measured:
        text += " (measured on this machine now)"
    if cost.features is not None and cost.features.wall_s:
        text += f", of which {duration(cost.features.wall_s)} to compute features once"
    return text


def disk_text(study: Study, cost: StudyCost) -> str:
    """Return the size of the checkpoints that runs keep, and which are kept."""
    kept = ", ".join(sorted({spec.keep_checkpoints for spec in study.specs}))
    text = f"size of checkpoints unknown (keep = {kept})"
    if cost.disk_bytes is not None:
        text = f"about {size(cost.disk_bytes)} of checkpoints (keep = {kept})"
    return text if cost.features is None else f"{text} · {features_size(cost.features)}"


def features_size(features: FeaturesCost) -> str:
    """Return the size of cached features, and how much of it is still to be computed."""
    if not features.total_bytes and features.unknown:
        return "size of cached features unknown"
    text = f"{size(features.total_bytes)} of cached features"
    if not features.missing_bytes:
        return f"{text}, already computed"
    cached = features.total_bytes - features.missing_bytes
    done = f", {size(cached)} already computed" if cached else ""
    return f"{text}{done} (room for {size(features.room_bytes)})"


def features_text(features: FeaturesCost) -> str:
    """Return the size of cached features, and the time to compute the missing ones."""
    text = features_size(features)
    if not features.passes:
        return text
    takes = "unknown time" if features.wall_s is None else f"about {duration(features.wall_s)}"
    return f"{text}; {takes} to compute {features.passes:,} images and views, once"


def features_cautions(features: FeaturesCost | None) -> Iterator[str]:
    """Yield warnings about features that do not fit on the disk, and what to do."""
    if features is None:
        return
    remedy = (
        "Use fewer --views or another --home (VLD_HOME), or free space: vld data cache --remove, "
        "vld prune"
    )
    if not features.fits:
        yield (
            f"features need {size(features.missing_bytes)}, but the disk of the cache has room for "
            f"{size(features.room_bytes)} only: every run computes them again in memory, or fails. "
            f"{remedy}"
        )
    elif features.total_bytes > features.limit_bytes:
        yield (
            f"features take {size(features.total_bytes)}, more than the cache may use of its disk "
            f"({size(features.limit_bytes)}): those unused for a day can be removed before all "
            f"runs are done. {remedy}"
        )
    for name in features.unknown:
        yield f"the size of the features of {name} is unknown: its images are not on this machine"


def stray_text(study: Study, strays: Strays) -> str:
    """Return a warning about finished runs that a study does not count, and how to count them."""
    have, are = ("has", "is") if strays.runs == 1 else ("have", "are")
    values = ", ".join(f"{name} = {_toml(value)}" for name, value in strays.values.items())
    return (
        f"{plural(strays.runs, 'finished run')} {have} the tag {study.name} but {are} not in the "
        "study: its recipe has changed since. To count them, set below [fields]: "
        f"{values}"
    )


def _toml(value: object) -> str:
    """Format a field's value as in a study file."""
    return json.dumps("none" if value is None else value, ensure_ascii=False)


def remaining_text(seconds: float, unknown: int, ending: str = "") -> str:
    """Return a time until runs are finished, without that of ``unknown`` ones; ``ending`` follows
    the duration."""
    if unknown and not seconds:
        return "unknown (no comparable earlier run on this device)"
    others = f", not counting {plural(unknown, 'run')} without a comparable run" if unknown else ""
    return f"about {duration(seconds)}{ending}{others}"


def left_text(standing: Standing, cost: StudyCost, devices: int) -> str:
    """Return the time until the running and queued runs are finished; ``cost`` is that of the
    queued ones."""
    left_s = seconds_left(standing.live, cost, devices)
    if not cost.runs or (cost.unknown == cost.runs and left_s):
        return remaining_text(left_s, cost.unknown)
    return time_text(replace(cost, wall_s=left_s * devices, features=None), devices)


def plan_lines(standing: Standing, cost: StudyCost, devices: int) -> Iterator[tuple[str, str]]:
    """Yield what a launch would do, as labelled lines."""
    study = standing.study
    yield "study", study_heading(study)
    yield "runs", grid_text(study)
    yield "so far", counts_text(standing)
    todo = [f"{len(standing.missing):,} new"]
    if standing.broken_off:
        todo += going_on(standing.broken_off)
    yield "to launch", " · ".join(todo)
    yield "time", time_text(cost, devices)
    yield "disk", disk_text(study, cost)
    if cost.largest is not None:
        each = duration(cost.wall_s / cost.largest.values / devices)  # features are shared
        if cost.unknown or not cost.runs:
            each = plural(round(cost.runs / cost.largest.values), "run")
        noun = _NOUNS.get(cost.largest.name, f"value of {shown_name(cost.largest.name)}")
        yield "cost", f"each {noun} costs about {each}"
    for line in features_cautions(cost.features):
        yield "caution", line
    if cost.features is not None:
        for problem in cost.features.problems:
            yield "problem", problem
    if study.absent:
        yield "missing", f"data sets not on this machine: {', '.join(study.absent)}"


def gone_text(runs: int, name: str) -> str:
    """Return a caution about runs that a changed study no longer has."""
    are = "is" if runs == 1 else "are"
    return f"{plural(runs, 'run')} of the previous launch of {name} {are} no longer in the study"


def stopped_study_text(done: StoppedStudy) -> str:
    """Return the result of stopping a study; empty if nothing was running or queued."""
    parts = (
        (done.taken_out, "run", "removed from the queue", "removed from the queue"),
        (done.asked, "run", "stopping", "stopping"),
        (done.killed, "run", "killed", "killed"),
        (done.with_them, "other run", "killed with its job", "killed with their jobs"),
        (
            done.copies,
            "run",
            "is a read-only copy: stop it where it runs",
            "are read-only copies: stop them where they run",
        ),
    )
    return "; ".join(
        f"{plural(len(runs), noun)} {one if len(runs) == 1 else many}"
        for runs, noun, one, many in parts
        if runs
    )


def going_on(broken_off: Sequence[Run]) -> Iterator[str]:
    """Yield how many interrupted runs resume from a checkpoint, and how many restart."""
    anew = sum(run.step == 0 for run in broken_off)
    if on := len(broken_off) - anew:
        yield f"{on:,} {'resumes' if on == 1 else 'resume'} from the last checkpoint"
    if anew:
        yield f"{anew:,} {'restarts' if anew == 1 else 'restart'} from step 0"


def weights_lines(absent: Sequence[AbsentWeights]) -> Iterator[str]:
    """Yield warnings about weights that are not on this machine."""
    for weights in absent:
        name, runs = plain_text(weights.name), plural(weights.runs, "run")
        match weights.where:
            case "hub":
                yield (
                    f"{name} is not on this machine and will be downloaded; offline, {runs} will "
                    "fail"
                )
            case "none":
                yield (
                    f"{name} has no pre-trained weights: {runs} will fail unless --weights is a "
                    "file or none"
                )
            case "file":
                yield f"no such file: {name}: {runs} will fail"


def failure_lines(runs: Sequence[Run]) -> Iterator[str]:
    """Yield each reason why runs were interrupted, with their number and names."""
    reasons: dict[str, list[Run]] = {}
    for run in runs:
        reason = (run.error or run.status).strip().splitlines()[0]
        reasons.setdefault(f"{run.status}: {reason}" if run.error else run.status, []).append(run)
    for reason, alike in list(reasons.items())[:MOST_FAILURES]:
        others = f" and {len(alike) - 1:,} more" if len(alike) > 1 else ""
        yield f"{alike[0].run_id}{others}  {plain_text(reason)}"
    if len(reasons) > MOST_FAILURES:
        yield f"… and {plural(len(reasons) - MOST_FAILURES, 'other reason')}"


def result_lines(standing: Standing, cells: int | None) -> Iterator[str]:
    """Yield tables of accuracy and of balanced accuracy for each data set: compared settings by
    target; if the targets do not fit into ``cells``, several tables."""
    grid = grid_so_far(standing)
    for pair in accuracy_pairs(each for cell in grid.cells.values() for each in cell.results):
        yield from _result_lines(grid, standing.study.compare, pair, cells)


def _result_lines(
    grid: StudyGrid, compare: Sequence[str], pair: AccuracyPair, cells: int | None
) -> Iterator[str]:
    for dataset in dict.fromkeys(dataset for dataset, _ in grid.columns):
        by_cell = {
            (values, target): cell
            for (values, (of_set, target)), cell in grid.cells.items()
            if of_set == dataset
        }
        settings, targets = (list(dict.fromkeys(each[at] for each in by_cell)) for at in (0, 1))
        heads = [
            [shown_name(name), *(shown_setting(name, s[at]) for s in settings)]
            for at, name in enumerate(compare)
        ] or [["", NO_SETTING]]
        told = [
            [
                plain_text(target or UNKNOWN),
                *(accuracies_text(by_cell.get((s, target)), pair) for s in settings),
            ]
            for target in targets
        ]
        yield f"{plain_text(dataset)}: ID/OOD {pair.label} by target, % ± sd of OOD over seeds"
        of_all = [_runs([cell for (v, _), cell in by_cell.items() if v == s]) for s in settings]
        for some in _side_by_side([*heads, ["runs", *of_all]], told, cells):
            runs = [
                _runs([found for t in some if (found := by_cell.get((s, targets[t])))])
                for s in settings
            ]
            shown = [*heads, *(told[t] for t in some), ["runs", *runs]]
            columns = [Column(each[0], right=at >= len(heads)) for at, each in enumerate(shown)]
            rows = list(zip(*(each[1:] for each in shown), strict=True))
            yield from table_lines(columns, rows, cells)


def _side_by_side(
    others: Sequence[Sequence[str]], told: Sequence[Sequence[str]], cells: int | None
) -> Iterator[list[int]]:
    """Yield the indices of targets in one table: as many as fit next to the other columns."""
    free = None if cells is None else cells + len(GAP) - sum(map(_widest, others))
    some: list[int] = []
    used = 0
    for at, column in enumerate(told):
        used += _widest(column)
        if some and free is not None and used > free:
            yield some
            some, used = [], _widest(column)
        some.append(at)
    yield some


def _widest(column: Sequence[str]) -> int:
    return max(map(width, column)) + len(GAP)


def cell_progress(cell: StudyCell) -> str:
    """Return how many of a cell's runs have results."""
    return f"{len(cell.results)}/{len(cell.specs)}"


def accuracies_text(cell: StudyCell | None, pair: AccuracyPair) -> str:
    """Format ID and OOD accuracy in percent, and the deviation of the latter; while runs are
    missing, how many have results."""
    if cell is None or not cell.results:
        return MISSING
    if not cell.is_complete:
        return cell_progress(cell)
    if (ids := cell.estimate(pair.id)) is None:
        return UNKNOWN
    oods = cell.estimate(pair.ood)
    return f"{100 * ids.mean:.1f}/{UNKNOWN if oods is None else estimate_text(oods)}"


def _runs(cells: Sequence[StudyCell]) -> str:
    """Return the number of finished runs, and of all runs if some are missing."""
    whole = StudyCell.joined(cells)
    finished, asked = len(whole.finished), len(whole.specs)
    return str(finished) if finished == asked else f"{finished}/{asked}"


def image_cautions(study: str, runs: Iterable[Run]) -> Iterator[str]:
    """Yield a caution for each data set whose images changed between runs of a study."""
    for dataset, versions in image_versions(runs).items():
        older, plainly = versions[:-1], "; ".join(map(_version_words, versions))
        lists = ", ".join(f"vld ls --where data_digest:{_digest(alike)}" for alike in older)
        yield (
            f"the images of {dataset} changed between runs: {plainly}. Their results are not "
            f"comparable. Trash the older runs ({lists}), then vld sweep {study} runs them again."
        )


def _version_words(alike: Sequence[Run]) -> str:
    first, last = (moment(run.created_at)[:16] for run in (alike[0], alike[-1]))
    when = first if first == last else f"{first} to {last}"
    return f"{plural(len(alike), 'run')} of {when} have {_digest(alike)}"


def _digest(alike: Sequence[Run]) -> str:
    return alike[0].data_digest[:DIGEST_DIGITS]


def precision_cautions(study: Study, runs: Iterable[Run]) -> Iterator[str]:
    """Yield a caution if the precision of training or of evaluations differs between runs.

    A study that compares precisions is not warned about its training.
    """
    known = [run for run in runs if run.precision is not None]
    trained = Counter(run.precision for run in known)
    if len(trained) > 1 and "precision" not in study.compare:
        yield (
            f"the precision of training differs between runs: {_precision_counts(trained)}"
            f"{_why_precisions_differ(known)}. This alone may change their results. To avoid this: "
            'precision = "fp32" below [fields] of the study (--precision fp32 of vld run).'
        )
    evaluated = Counter(run.evaluated_in for run in known)
    if len(evaluated) > 1:
        lists = ", ".join(
            f"vld ls --where 'tag:{study.name} evaluation_precision:{name}'"
            for name in evaluated
            if name != "fp32"
        )
        yield (
            f"the precision of evaluations differs between runs: {_precision_counts(evaluated)}. "
            f"New runs are evaluated in fp32. Trash the others ({lists}), then vld sweep "
            f"{study.name} runs them again."
        )


def _precision_counts(precisions: Counter[str | None]) -> str:
    return ", ".join(f"{plural(runs, 'run')} in {name}" for name, runs in precisions.most_common())


def _why_precisions_differ(runs: Sequence[Run]) -> str:
    chosen = any(run.spec.precision == "auto" for run in runs)
    return " (auto chooses the fastest on each machine)" if chosen else ""
