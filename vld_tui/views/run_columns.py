"""The columns that the dashboard's table can have: of a run, and of several runs as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from engine.protocol import FIELDS
from vld_tui.runs.run import QUEUED, Run
from vld_tui.views.groups import estimate_text, statuses_text
from vld_tui.views.runs import data_cell, trained_cell
from vld_tui.words.columns import Column
from vld_tui.words.numbers import UNKNOWN, age, decimal, duration, percent, rate
from vld_tui.words.palette import (
    COLLAPSED_SIGN,
    ID_STYLE,
    OOD_STYLE,
    QUIET_STYLE,
    STATUS_SIGNS,
)
from vld_tui.words.sparkline import sparkline
from vld_tui.words.text import plain_text

if TYPE_CHECKING:
    from vld_tui.runs.summary import GroupRow

BAR_CELLS: Final = 6
SPARK_CELLS: Final = 8
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_CHOSEN_RANK: Final = 50

OfRun = Callable[[Run, Sequence[float], float], str]
OfGroup = Callable[["GroupRow", float], str]


class RunColumn(NamedTuple):
    """A column: how it looks, what it shows of a run (with its OOD trail, at Unix time now), and
    of a group. ``field`` is the one it is sorted by; ``is_status``: it has the status's colour.
    """

    about: str
    column: Column
    of_run: OfRun
    of_group: OfGroup
    field: str | None = None
    style: str = ""
    is_status: bool = False


def _spec_column(name: str, column: Column, of_run: Callable[[Run], str]) -> RunColumn:
    """Return the column of a field of the specification, which a group may have in common."""

    def of_group(group: GroupRow, _now: float) -> str:
        is_common = group.grouping.is_by_configuration or group.grouping.name == name
        return of_run(group.summary.newest) if is_common else ""

    return RunColumn(FIELDS[name].help, column, lambda run, _, __: of_run(run), of_group, name)


def _any_field(name: str) -> RunColumn:
    """Return the column of a field that is not among the usual ones."""
    info = FIELDS[name]
    heading = info.label
    is_number = not isinstance(info.default, str) and not info.choices
    column = Column(heading, right=is_number, rank=_CHOSEN_RANK, shrinks=not is_number, narrowest=8)

    return _spec_column(name, column, lambda run: trained_cell(run, name))


def _measured(
    about: str, heading: str, field: str | None, shown: Callable[[Run], str]
) -> RunColumn:
    """Return the column of something that a run found, which a group shows nothing of."""
    column = Column(heading, right=True, rank=_CHOSEN_RANK)
    return RunColumn(about, column, lambda run, _, __: shown(run), lambda *_: "", field)


def _accuracy(heading: str, field: str, style: str) -> RunColumn:
    """Return the column of an accuracy that a run is judged by, or of a group's mean."""
    return RunColumn(
        f"{heading} accuracy at the selected step.",
        Column(heading, right=True, rank=98),
        lambda run, _, __: percent(getattr(run, field)),
        lambda group, _: estimate_text(getattr(group.summary, field)),
        field,
        style,
    )


def _seeds(group: GroupRow, _now: float) -> str:
    is_common = group.grouping.name == "seed"
    return str(group.summary.newest.seed) if is_common else f"×{group.summary.runs}"


def progress_cell(run: Run) -> str:
    """Show how far a live run is and when it ends; how another one ended."""
    if run.status == QUEUED:
        return "held" if run.is_held else "queued"
    if run.status != "running":
        return run.status
    if run.step == 0:
        return "prepares"
    eighths = round(8 * BAR_CELLS * run.step / max(1, run.steps))
    bar = "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")
    return f"{bar:<{BAR_CELLS}} {duration(run.seconds_left)}"


def _gap(run: Run) -> str:
    gap = run.accuracy_gap
    return UNKNOWN if gap is None else f"{100 * gap:+z.1f}"


def _worst(run: Run) -> str:
    return percent(min(run.domains.values(), default=None))


_USUAL: Final = {
    "status": RunColumn(
        "How it stands, as a sign.",
        Column("", rank=100),
        lambda run, _, __: COLLAPSED_SIGN if run.collapsed else STATUS_SIGNS.get(run.status, "?"),
        lambda *_: "≡",
        "status",
        is_status=True,
    ),
    "name": RunColumn(
        "Its name.",
        Column("name", rank=99, shrinks=True, narrowest=24),
        lambda run, _, __: plain_text(run.name),
        lambda group, _: plain_text(group.name),
        "name",
    ),
    "data": _spec_column(
        "target",
        Column("data → target", rank=6, shrinks=True, narrowest=12),
        data_cell,
    )._replace(about="Data set and the domain left out."),
    "model": _spec_column(
        "model",
        Column("model", rank=2, shrinks=True, narrowest=10),
        lambda run: plain_text(run.model or UNKNOWN),
    ),
    "dropout_rate": _spec_column(
        "dropout_rate",
        Column("λ", right=True, rank=8),
        lambda run: trained_cell(run, "dropout_rate"),
    ),
    "masks": _spec_column(
        "masks", Column("masks", right=True, rank=5), lambda run: trained_cell(run, "masks")
    ),
    "seed": RunColumn(
        FIELDS["seed"].help,
        Column("seed", right=True, rank=4),
        lambda run, _, __: trained_cell(run, "seed"),
        _seeds,
        "seed",
    ),
    "progress": RunColumn(
        "How far it is and how long it takes yet; how it ended.",
        Column("progress", rank=9),
        lambda run, _, __: progress_cell(run),
        lambda group, _: statuses_text(group.summary.statuses),
        "status",
        is_status=True,
    ),
    "id": _accuracy("ID", "id_accuracy", ID_STYLE),
    "ood": _accuracy("OOD", "ood_accuracy", OOD_STYLE),
    "trail": RunColumn(
        "OOD accuracy over the steps.",
        Column("OOD trail", rank=7),
        lambda _, trail, __: sparkline(trail, SPARK_CELLS),
        lambda *_: "",
        style=OOD_STYLE,
    ),
    "age": RunColumn(
        "How long ago it was made.",
        Column("age", right=True, rank=6),
        lambda run, _, now: age(now - run.created_at),
        lambda group, now: age(now - group.summary.newest.created_at),
        "created",
        QUIET_STYLE,
    ),
    "tags": RunColumn(
        "Its tags.",
        Column("tags", rank=1, shrinks=True, narrowest=6),
        lambda run, _, __: plain_text(" ".join(run.tags)),
        lambda *_: "",
        "tag",
        QUIET_STYLE,
    ),
}
USUAL_COLUMNS: Final = tuple(_USUAL)
"""Columns the table has unless a person chose others, as they find room."""

RUN_COLUMNS: Final[dict[str, RunColumn]] = {
    **_USUAL,
    "gap": _measured("OOD less ID accuracy, in points.", "OOD−ID", None, _gap),
    "worst": _measured("Accuracy of its worst domain.", "worst", None, _worst),
    "loss": _measured("Training loss.", "loss", "loss", lambda run: decimal(run.loss)),
    "selected_step": _measured(
        "The step with the best ID accuracy.", "selected", "selected_step",
        lambda run: UNKNOWN if run.selected_step is None else f"{run.selected_step:,}",
    ),
    "wall": _measured("Time it took.", "time", "wall_s", lambda run: duration(run.wall_s)),
    "speed": _measured(
        "Images a second.", "images/s", "images_per_s", lambda run: rate(run.images_per_s)
    ),
    "attempts": _measured(
        "Times a process took it up.", "attempts", "attempts", lambda run: str(run.attempts)
    ),
    "arm": _measured(
        "How it predicts.", "arm", "arm", lambda run: plain_text(run.arm.replace("_", " "))
    ),
    "gpu": _measured("The GPU it was given.", "gpu", None, lambda run: plain_text(run.gpu or "")),
    "note": _measured("Its note.", "note", "note", lambda run: plain_text(run.note))._replace(
        column=Column("note", rank=_CHOSEN_RANK, shrinks=True, narrowest=8)
    ),
    "run": _measured("Its id.", "run", "run", lambda run: plain_text(run.run_id)),
    **{name: _any_field(name) for name in FIELDS if name not in {*_USUAL, "target"}},
    "target": _any_field("target"),
}  # fmt: skip
"""Every column the table can have, by name."""
