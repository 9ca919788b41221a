"""The choice of a setting without a target, and the networks trained with it, as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from vld_tui.control.tune import Network, TuningState
from vld_tui.runs.statistics import FEWEST
from vld_tui.study.define.tuning import TuneGrid, Tuning
from vld_tui.study.results.tuning import Reason, SettingScore, TunedSetting, Verdict
from vld_tui.study.standing import Standing
from vld_tui.views.run_columns import estimate_text
from vld_tui.views.study import counts_text, shown_setting, study_heading
from vld_tui.words.columns import Column, table_lines
from vld_tui.words.numbers import UNKNOWN, duration, percent, plural, signed_points
from vld_tui.words.text import plain_text

RULE: Final = (
    "Rule: the setting with the best score on left-out domains is chosen, unless others cannot be "
    "distinguished from it (the 95% interval of the paired difference contains 0, or is unknown). "
    "Of all these, one with the paper's dropout rate of 0.9 is chosen if it is among them, else "
    "the one with the best ID validation."
)
_VERDICTS: Final[dict[Verdict, str]] = {
    "best": "best",
    "tied": "not distinguishable",
    "worse": "worse",
}
_REASONS: Final[dict[Reason, str]] = {
    "only": "it is the only setting",
    "best": "it is better than every other setting",
    "paper": "it has the paper's dropout rate",
    "id": "it has the best ID validation of them",
}


def tuning_plan_lines(
    tuning: Tuning, grid: TuneGrid, standing: Standing
) -> Iterator[tuple[str, str]]:
    """Yield which runs are compared, which follow and what is left out, as labelled lines;
    ``standing`` is of all of them."""
    runs = len(standing.study.specs) - grid.seeds
    domains = runs // (grid.settings * grid.seeds)
    rates = ", ".join(f"{rate:g}" for rate in grid.rates)
    cells = f", {plural(len(grid.cells), 'cell')}" if grid.cells else ""
    soups = ", and 2 soups of them" if grid.seeds > 1 else ""
    yield "study", study_heading(standing.study)
    yield (
        "compare",
        (
            f"{plural(runs, 'run')}: {domains} domains left out in turn × "
            f"{plural(grid.settings, 'setting')} × {plural(grid.seeds, 'seed')} (dropout rate "
            f"{rates}{cells})"
        ),
    )
    yield "final", f"{plural(grid.seeds, 'run')} on every domain with the chosen setting{soups}"
    if tuning.left_out:
        yield "left out", left_out_text(tuning)
    yield "state", counts_text(standing)


def left_out_text(tuning: Tuning) -> str:
    """Return what does not fit the budget."""
    return f"{'; '.join(tuning.left_out)} (budget {duration(tuning.request.budget_s)})"


def tuned_lines(tuned: TunedSetting, cells: int | None) -> Iterator[str]:
    """Yield the table of settings: score on left-out domains, ID score, and the difference from
    the best with its interval."""
    seeds = tuned.chosen.score.n
    domains = plural(len(tuned.domains), "domain")
    yield (
        f"{plain_text(tuned.dataset)}: {tuned.measure} on a domain left out of training, mean over "
        f"{domains}, % ± sd over {plural(seeds, 'seed')}"
    )
    names = [name for name, _ in tuned.chosen.setting.values]
    has_others = len(tuned.scores) > 1
    columns = [
        *map(Column, names),
        Column("left out", right=True),
        Column("ID", right=True),
        *([Column("less the best (95% interval)"), Column("", rank=101)] if has_others else []),
    ]
    rows = [
        [*_score_cells(each), *(_verdict_cells(each, tuned) if has_others else [])]
        for each in tuned.scores
    ]
    yield from table_lines(columns, rows, cells)


def _score_cells(each: SettingScore) -> list[str]:
    values = (shown_setting(name, value) for name, value in each.setting.values)
    return [*values, estimate_text(each.score), estimate_text(each.id_score)]


def _verdict_cells(each: SettingScore, tuned: TunedSetting) -> list[str]:
    chosen = ", chosen" if each is tuned.chosen else ""
    difference = "" if each.verdict == "best" else _difference_text(each)
    return [difference, f"{_VERDICTS[each.verdict]}{chosen}"]


def _difference_text(each: SettingScore) -> str:
    text = signed_points(each.difference)
    if each.interval is None:
        return f"{text} (unknown)"
    return f"{text} ({' to '.join(map(signed_points, each.interval))})"


def domain_lines(tuned: TunedSetting, cells: int | None) -> Iterator[str]:
    """Yield the table of scores on each left-out domain."""
    names = [name for name, _ in tuned.chosen.setting.values]
    columns = [
        *map(Column, names),
        *(Column(plain_text(each), right=True, rank=90) for each in tuned.domains),
    ]
    rows = [
        [
            *(shown_setting(name, value) for name, value in each.setting.values),
            *(f"{100 * each.of_domain[domain]:.1f}" for domain in tuned.domains),
        ]
        for each in tuned.scores
    ]
    yield "by left-out domain, %"
    yield from table_lines(columns, rows, cells)


def choice_sentences(tuned: TunedSetting) -> Iterator[str]:
    """Yield what was chosen and why, what the intervals are, and what the score is worth."""
    label, count = plain_text(tuned.chosen.setting.label), len(tuned.scores)
    others = [each for each in tuned.tied if each.verdict == "tied"]
    if others:
        named = " and ".join(plain_text(each.setting.label) for each in others)
        yield f"{named} cannot be distinguished from {plain_text(tuned.best.setting.label)}."
    yield f"Chosen: {label}, because {_REASONS[tuned.reason]}."
    if count > 1:
        yield RULE
        yield intervals_sentence(tuned)
    yield optimism_sentence(tuned)


def intervals_sentence(tuned: TunedSetting) -> str:
    """Return what the intervals are of."""
    seeds = tuned.chosen.score.n
    if seeds < FEWEST:
        return f"{plural(seeds, 'seed')} give no interval; at least {FEWEST} are needed."
    return (
        f"Intervals: Student's t over {seeds} seeds of differences paired by seed and domain, not "
        "adjusted for several comparisons; they do not cover other domains."
    )


def optimism_sentence(tuned: TunedSetting) -> str:
    """Return what the score of the chosen setting says about a new domain."""
    score, count = percent(tuned.chosen.score.mean), len(tuned.scores)
    if count == 1:
        return (
            f"The {score} on left-out domains estimates the {tuned.measure} on a new domain "
            "without bias from a choice, since only one setting was run."
        )
    return (
        f"The {score} of the chosen setting on left-out domains is not an unbiased estimate of "
        f"the {tuned.measure} on a new domain: the setting was chosen among {count} by this "
        "score, so it tends to be too high."
    )


def network_lines(state: TuningState, cells: int | None) -> Iterator[str]:
    """Yield the networks trained on every domain, the selected one first."""
    yield "trained on every domain; ID validation, %"
    columns = [Column("run"), Column("network"), Column("ID", right=True), Column("", rank=101)]
    rows = [
        [
            each.run.run_id,
            network_words(each),
            UNKNOWN if each.score is None else f"{100 * each.score:.1f}",
            "selected" if at == 0 else "",
        ]
        for at, each in enumerate(state.networks)
    ]
    yield from table_lines(columns, rows, cells)


def network_words(network: Network) -> str:
    """Return what a network is: a seed, or a soup of several."""
    combined = network.run.combination
    if combined is None:
        return f"seed {network.run.spec.seed}"
    method = combined.method.replace("_", " ")
    word = "from" if combined.method == "greedy_soup" else "of"
    return f"{method} {word} {plural(len(combined.parents), 'seed')}"


def selection_sentence(state: TuningState) -> str:
    """Return how the network was selected."""
    networks = state.networks
    words = f"Selected by ID validation: {network_words(networks[0])}"
    if len(networks) == 1:
        return f"{words}, the only network."
    return (
        f"{words}, the best of {len(networks)} networks (of equals, a soup). Every domain was "
        "trained on, so it has no OOD accuracy."
    )


def score_records(scores: Sequence[SettingScore]) -> list[dict[str, Any]]:
    """Return the scores of settings for scripts, as shares."""
    return [
        {
            **dict(each.setting.values),
            "left_out_score": each.score.mean,
            "deviation": each.score.deviation,
            "seeds": each.score.n,
            "id_score": each.id_score.mean,
            "difference": each.difference,
            "interval": each.interval,
            "interval_over_domains": each.domains_interval,
            "verdict": each.verdict,
            "domains": each.of_domain,
        }
        for each in scores
    ]


def network_records(state: TuningState) -> list[dict[str, Any]]:
    """Return the networks trained on every domain for scripts, the selected one first."""
    return [
        {
            "run": each.run.run_id,
            "arm": each.run.arm,
            "seed": None if each.run.combination else each.run.spec.seed,
            "parents": [parent.run_id for parent in each.run.combination.parents]
            if each.run.combination
            else [],
            "id_score": each.score,
        }
        for each in state.networks
    ]
