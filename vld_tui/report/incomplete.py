"""Withhold the numbers of settings with missing runs: they cannot be compared with others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from engine.protocol import NO_TARGET
from vld_tui.report.tables import Absent, CellValue, Share, Spread, Table
from vld_tui.study.results.outcomes import Coverage, Outcome, Setting, grouped, in_full
from vld_tui.study.results.selection import Cloud
from vld_tui.words.numbers import plural

NOTE: Final = (
    "Numbers of a setting on a target appear when all its runs there are finished, and means over "
    "targets when all its runs are. The results of single runs are in runs.csv."
)


class Progress(NamedTuple):
    """How many runs have results, and how many the study has."""

    known: int
    asked: int


class Incomplete(NamedTuple):
    """The settings with missing runs: on each target, and over all targets of a data set."""

    on_target: dict[tuple[str, str, Setting], Progress]
    over_targets: dict[tuple[str, Setting], Progress]

    @classmethod
    def of(cls, results: Sequence[Outcome], coverage: Sequence[Coverage]) -> Incomplete:
        """Return those of results, given how many runs the study has."""
        asked = {
            (each.dataset, each.target, each.setting): each.asked
            for each in coverage
            if not each.has_held_out_source
        }
        known = {
            place: len({each.run_id for each in found})
            for place, found in grouped(
                in_full(results), lambda each: (each.dataset, each.target, each.setting)
            ).items()
        }
        on_target: dict[tuple[str, str, Setting], Progress] = {}
        sums: dict[tuple[str, Setting], list[Progress]] = {}
        for setting in dict.fromkeys(setting for _, _, setting in known):
            for (dataset, target, own), count in asked.items():
                if own.values != setting.values:
                    continue
                progress = Progress(known.get((dataset, target, setting), 0), count)
                if progress.known < count:
                    on_target[dataset, target, setting] = progress
                if target != NO_TARGET:
                    sums.setdefault((dataset, setting), []).append(progress)
        totals = {
            place: Progress(sum(each.known for each in found), sum(each.asked for each in found))
            for place, found in sums.items()
        }
        over = {place: each for place, each in totals.items() if each.known < each.asked}
        return cls(on_target, over)

    def complete(self, results: Sequence[Outcome]) -> list[Outcome]:
        """Return the results of settings with all runs on their target."""
        return [
            each for each in results
            if (each.dataset, each.target, each.setting) not in self.on_target
        ]  # fmt: skip

    def complete_clouds(self, clouds: Sequence[Cloud]) -> list[Cloud]:
        """Return the clouds of settings with all runs."""
        return [each for each in clouds if (each.dataset, each.setting) not in self.over_targets]

    def withheld(self, table: Table) -> Table:
        """Return a table by setting, and possibly target, without the numbers of incomplete
        ones."""
        keys = [column.key for column in table.columns]
        at_target = keys.index("target") if "target" in keys else None
        on_target = {(d, t, s.label): found for (d, t, s), found in self.on_target.items()}
        over = {(d, s.label): found for (d, s), found in self.over_targets.items()}
        rows, is_any = [], False
        for row in table.rows:
            dataset, label = str(row[keys.index("dataset")]), str(row[keys.index("setting")])
            target = None if at_target is None else str(row[at_target])
            is_mean = target is None or target.startswith("mean of ")
            if is_mean:
                found = over.get((dataset, label))
            else:
                found = on_target.get((dataset, target or "", label))
            at_mean = at_target if is_mean else None
            rows.append(row if found is None else _without_numbers(row, found, at_mean))
            is_any |= found is not None
        if not is_any:
            return table
        return table._replace(rows=tuple(rows), notes=(*table.notes, NOTE))


def _without_numbers(
    row: tuple[CellValue, ...], progress: Progress, at_mean: int | None
) -> tuple[CellValue, ...]:
    """Return a row with how many runs have results instead of its first accuracy, and no others.
    Changes are kept: they are of the runs that both settings have.

    ``at_mean`` is the place of the name of a mean over targets, which has numbers too.
    """
    why = Absent(f"{progress.known} of {plural(progress.asked, 'run')}")
    cells: list[CellValue] = []
    for at, cell in enumerate(row):
        if isinstance(cell, Spread | Share):
            cells.append(why if why not in cells else None)
        elif at == at_mean:
            cells.append(str(cell).partition(" (")[0])
        else:
            cells.append(cell)
    return tuple(cells)
