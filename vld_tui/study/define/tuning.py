"""The study of ``vld tune``: what was asked, the grid that fits a budget, and its text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from engine.protocol import NO_TARGET, RunSpec
from engine.rundir import write_atomic
from vld_tui.home import Home
from vld_tui.runs.fields import command_line
from vld_tui.runs.statistics import FEWEST
from vld_tui.study.define.files import StudyText
from vld_tui.study.define.grid import ALL, DATA, StudyError
from vld_tui.words.numbers import plural
from vld_tui.words.toml_text import written_toml

PAPER_RATE: Final = 0.9
"""Dropout rate of Zhang & Bottou, "Fine-tuning with Very Large Dropout" (2024)."""
RATES: Final = (0.0, 0.5, PAPER_RATE)
SEEDS: Final = 3
CELL_FIELDS: Final = ("lr", "weight_decay")
_LR_SHARES: Final = (1, 2)
_DECAY_SHARES: Final = (1, 2, 10)
"""Divisors of learning rate and weight decay: the six cells of the paper, whose rates are 1e-3 and
5e-4 and whose decays 1e-4, 5e-5 and 1e-5."""
SET_BY_TUNING: Final = (
    "dataset", "data_dir", "target", "held_out_source", "dropout_rate", "seed",
)  # fmt: skip
"""Fields that cannot be given."""
TITLE: Final = (
    "Tuning: the OOD accuracy on left-out domains chooses the setting, so it is not a test result"
)
_SUFFIX: Final = ".tune.json"
_LONGEST_NAME: Final = 60
_DATA_SUFFIXES: Final = (".csv", ".tsv", ".zip")

Values = Mapping[str, Any]
Cell = tuple[float, float]
"""Learning rate and weight decay."""


class TuneGrid(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that are compared; ``cells`` are empty if only dropout rates are."""

    rates: tuple[float, ...]
    cells: tuple[Cell, ...] = ()
    seeds: int = SEEDS

    @property
    def compared(self) -> tuple[str, ...]:
        """Return the compared fields."""
        return ("dropout_rate", *(CELL_FIELDS if self.cells else ()))

    @property
    def settings(self) -> int:
        """Return the number of settings."""
        return len(self.rates) * max(1, len(self.cells))

    @property
    def usual(self) -> dict[str, float]:
        """Return the values of one setting: the paper's rate if compared, and the first cell."""
        rate = PAPER_RATE if PAPER_RATE in self.rates else self.rates[0]
        cell = zip(CELL_FIELDS, self.cells[0], strict=True) if self.cells else ()
        return {"dropout_rate": rate, **dict(cell)}

    def smaller(self) -> Iterator[TuneGrid]:
        """Yield ever smaller grids.

        First to go are cells, the last first; then dropout rates other than the lowest and the
        paper's; then seeds beyond those that an interval needs; then all settings but one; then
        the other seeds.
        """
        change = msgspec.structs.replace
        grid, usual = self, self.usual["dropout_rate"]
        while len(grid.cells) > 1:
            yield (grid := change(grid, cells=grid.cells[:-1]))
        while len(grid.rates) > 2:
            spare = [rate for rate in grid.rates if rate not in (usual, min(grid.rates))]
            left = tuple(rate for rate in grid.rates if rate != (spare or grid.rates)[-1])
            yield (grid := change(grid, rates=left))
        while grid.seeds > FEWEST:
            yield (grid := change(grid, seeds=grid.seeds - 1))
        if len(grid.rates) > 1:
            yield (grid := change(grid, rates=(usual,)))
        while grid.seeds > 1:
            yield (grid := change(grid, seeds=grid.seeds - 1))

    def without(self, smaller: TuneGrid) -> tuple[str, ...]:
        """Return in words what a smaller grid leaves out."""
        rates = [rate for rate in self.rates if rate not in smaller.rates]
        cells = [cell for cell in self.cells if cell not in smaller.cells]
        seeds = self.seeds - smaller.seeds
        named = ", ".join(f"{rate:g}" for rate in rates)
        return (
            *([f"dropout rate{'s' if len(rates) > 1 else ''} {named}"] if rates else []),
            *(f"learning rate {lr:g} with weight decay {decay:g}" for lr, decay in cells),
            *([plural(seeds, "seed")] if seeds else []),
        )


class TuneRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked: images, fields of every run, and what to compare.

    ``data`` is a data set's name or an absolute path. ``budget_s``: the time that everything may
    take; None: no limit.
    """

    data: str
    fields: dict[str, Any] = {}
    rates: tuple[float, ...] = RATES
    with_cells: bool = False
    seeds: int = SEEDS
    budget_s: float | None = None

    @property
    def is_linear(self) -> bool:
        """Return whether only a linear layer is trained."""
        return bool(self.fields.get("tuning") == "linear")

    def grid(self, lr: float, weight_decay: float) -> TuneGrid:
        """Return what is compared; learning rate and weight decay are those of the recipe."""
        cells = {
            (_rounded(lr / by), _rounded(weight_decay / decay_by))
            for by in _LR_SHARES
            for decay_by in _DECAY_SHARES
        }
        in_order = tuple(sorted(cells, reverse=True)) if self.with_cells else ()
        return TuneGrid(rates=self.rates, cells=in_order, seeds=self.seeds)

    def is_same(self, other: TuneRequest) -> bool:
        """Return whether the same is asked, whatever the budget."""
        one, two = (
            msgspec.json.encode(msgspec.structs.replace(each, budget_s=None), order="sorted")
            for each in (self, other)
        )
        return one == two

    def command(self, name: str) -> list[str]:
        """Return the words of the command that asks for this."""
        words = ["vld", "tune", self.data]
        if self.rates != RATES:
            words += ["--rates", ",".join(f"{rate:g}" for rate in self.rates)]
        if self.with_cells:
            words += ["--cells"]
        if self.seeds != SEEDS:
            words += ["--seeds", str(self.seeds)]
        if self.budget_s is not None:
            words += ["--budget", f"{round(self.budget_s)}s"]
        if name != study_name(self.data):
            words += ["--name", name]
        return words + command_line(self.fields)


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    """A study of ``vld tune`` as it is kept.

    ``grid`` None: not settled, because its time is not known yet. ``left_out`` names what the
    budget left out.
    """

    name: str
    request: TuneRequest
    grid: TuneGrid | None = None
    left_out: tuple[str, ...] = ()

    def text(self, grid: TuneGrid, final: Values | None = None) -> StudyText:
        """Return the study: each domain left out in turn, and with ``final``, the values that were
        chosen, runs that train on every domain."""
        values = self._values(grid, ALL, grid.seeds)
        if final is not None:
            fields, keep = values["fields"], values["keep"]
            # One split, so that seeds and their soups are compared on images none trained on.
            split = {"trial_seed": fields.get("trial_seed", 0)}
            kept = {"keep_checkpoints": "best" if keep == "none" else keep}
            values["add"] = [{"fields": {"target": NO_TARGET, **split, **kept, **final}}]
        return self._written(values)

    def trial_text(self, grid: TuneGrid, spec: RunSpec) -> StudyText:
        """Return a study of one run of the grid, to measure its time."""
        cells = ((spec.lr, spec.weight_decay),) if grid.cells else ()
        one = TuneGrid(rates=(spec.dropout_rate,), cells=cells, seeds=1)
        return self._written(self._values(one, [str(spec.target)], [spec.seed]))

    def _values(
        self, grid: TuneGrid, target: str | list[str], seeds: int | list[int]
    ) -> dict[str, Any]:
        fields = {
            name: _as_toml(value)
            for name, value in self.request.fields.items()
            if not (grid.cells and name in CELL_FIELDS)
        }
        keep = fields.pop("keep_checkpoints", "none")
        if self.request.is_linear:
            fields.setdefault("threads", 1)  # several run at once
        values: dict[str, Any] = {
            "name": self.name,
            "title": TITLE,
            DATA: [self.request.data],
            "compare": [*grid.compared],
            "seeds": seeds,
            "keep": keep,
            "fields": fields,
            "cross": {"target": target, "dropout_rate": [*grid.rates]},
        }
        if grid.cells:
            lists = zip(CELL_FIELDS, zip(*grid.cells, strict=True), strict=True)
            values["zip"] = [{name: [*each] for name, each in lists}]
        return values

    def _written(self, values: Values) -> StudyText:
        return StudyText(written_toml(values), f"vld tune {self.request.data}", None)


def _as_toml(value: object) -> Any:
    if value is None:
        return "none"
    return [*value] if isinstance(value, tuple) else value


def study_name(data: str) -> str:
    """Return the name of the study for a data set's name or path."""
    path = Path(data)
    stem = path.stem if path.suffix in _DATA_SUFFIXES else path.name
    word = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.") or DATA
    return f"tune-{word}"[:_LONGEST_NAME]


def read_tuning(home: Home, name: str) -> Tuning | None:
    """Return what is kept of a study of ``vld tune``; None: it is not one.

    Raises:
        StudyError: when it cannot be read.
    """
    path = _path(home, name)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Tuning)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise StudyError(f"Cannot read {path}: {error}.\nDelete it to start over.") from None


def keep_tuning(home: Home, tuning: Tuning) -> None:
    """Keep what was asked and settled.

    Raises:
        StudyError: when it cannot be written.
    """
    path = _path(home, tuning.name)
    try:
        home.studies.mkdir(exist_ok=True)
        write_atomic(path, msgspec.json.encode(tuning))
    except OSError as error:
        raise StudyError(f"Cannot write to {path}: {error.strerror}.") from None


def _path(home: Home, name: str) -> Path:
    return home.studies / f"{name}{_SUFFIX}"
