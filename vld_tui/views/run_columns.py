"""The columns of a table of runs, for single runs and groups. Imports no Rich, so that listing runs
is fast."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from engine.protocol import FIELDS, MEASURES, shown_value, value_in
from engine.protocol.evaluated import BALANCED, Unit
from vld_tui.runs.run import QUEUED, Run
from vld_tui.runs.statistics import Estimate
from vld_tui.views.phase import brief_activity
from vld_tui.words.columns import Column, styled_table, table_lines
from vld_tui.words.numbers import (
    UNKNOWN,
    age,
    bar,
    decimal,
    duration,
    in_unit,
    percent,
    plain_number,
    rate,
    signed_points,
    sparkline,
)
from vld_tui.words.palette import (
    COLLAPSED_SIGN,
    HEADING_STYLE,
    ID_STYLE,
    OOD_STYLE,
    QUIET_STYLE,
    STATUS_SIGNS,
    status_label,
    status_style,
)
from vld_tui.words.text import plain_text, shorten

if TYPE_CHECKING:
    from rich.text import Text

    from vld_tui.runs.run import GroupRow

NOTE_SIGN: Final = "✎"
BAR_CELLS: Final = 6
LIVE_CELLS: Final = BAR_CELLS + 11
"""The bar, a space and the longest word for a phase."""
SPARK_CELLS: Final = 8
FEWEST_TO_FOLD: Final = 2
_CHOSEN_RANK: Final = 50
_LISTED_RANK: Final = 3
"""Of columns that are listed by default where there is room."""
TAIL: Final = " → "
"""Between the data set, which may be cut, and the target."""

OfRun = Callable[[Run, Sequence[float], float], str]
OfGroup = Callable[["GroupRow", float], str]


class RunColumn(NamedTuple):
    """A column: its layout, its text for a run (with its OOD trail, scaled to 0..1 over all
    listed runs, at Unix time now) and for a group. ``field`` is the one to sort by; ``is_status``:
    it has the status's colour. ``fields`` are those of the specification that determine its text,
    and ``folded`` that text with a noun, for lists in which all runs agree; None: the column is
    always shown.
    """

    about: str
    column: Column
    of_run: OfRun
    of_group: OfGroup
    field: str | None = None
    is_status: bool = False
    fields: tuple[str, ...] = ()
    folded: str | None = None


def trained_cell(run: Run, name: str) -> str:
    """Format a field of training, unless the parents of a combining run differ in it."""
    value: object = getattr(run.spec, name)
    if name in run.mixed_fields:
        return UNKNOWN
    return plain_text(shown_value(value))


def estimate_text(found: Estimate | None, unit: Unit = "share") -> str:
    """Format a mean and its standard deviation over seeds, those of a share in percent."""
    if found is None:
        return UNKNOWN

    def shown(value: float) -> str:
        return f"{100 * value:z.1f}" if unit == "share" else plain_number(value)

    spread = "" if found.deviation is None else f"±{shown(found.deviation)}"
    return f"{shown(found.mean)}{spread}".replace("-", "−")


def note_line(note: str) -> str:
    """Return the first line of a note after its sign; empty for no note."""
    first, *more = note.strip().splitlines() or [""]
    return f"{NOTE_SIGN} {plain_text(first)}{' …' if more else ''}" if first else ""


def _data_cell(run: Run) -> str:
    """Format a run's data set and the domain left out."""
    if not run.has_spec:
        return UNKNOWN
    return plain_text(f"{run.dataset}{TAIL}{run.target or UNKNOWN}")


def _spec_column(name: str, column: Column, of_run: Callable[[Run], str]) -> RunColumn:
    """Return the column of a field of the specification, which a group may share."""

    def of_group(group: GroupRow, _now: float) -> str:
        is_common = group.grouping.is_by_configuration or group.grouping.name == name
        return of_run(group.summary.newest) if is_common else ""

    return RunColumn(
        FIELDS[name].help, column, lambda run, _, __: of_run(run), of_group, name, fields=(name,)
    )


def _any_field(name: str) -> RunColumn:
    """Return the column of a field without a default column."""
    info = FIELDS[name]
    heading = info.label
    is_number = not isinstance(info.default, str) and not info.choices
    column = Column(heading, right=is_number, rank=_CHOSEN_RANK, shrinks=not is_number, narrowest=8)

    return _spec_column(name, column, lambda run: trained_cell(run, name))


def _measured(
    about: str,
    heading: str,
    field: str | None,
    shown: Callable[[Run], str],
    rank: int = _CHOSEN_RANK,
) -> RunColumn:
    """Return the column of a number that is empty for groups."""
    return _of_run(about, Column(heading, right=True, rank=rank), field, shown)


def _of_run(
    about: str, column: Column, field: str | None, shown: Callable[[Run], str]
) -> RunColumn:
    """Return a column that is empty for groups."""
    return RunColumn(about, column, lambda run, _, __: shown(run), lambda *_: "", field)


def _accuracy(heading: str, field: str, style: str) -> RunColumn:
    """Return the column of an accuracy, or of a group's mean."""
    return RunColumn(
        f"{heading} accuracy at the selected step.",
        Column(heading, right=True, rank=97, style=style),
        lambda run, _, __: percent(getattr(run, field)),
        lambda group, _: _estimate_cell(getattr(group.summary, field)),
        field,
    )


def _measures() -> Iterator[tuple[str, RunColumn]]:
    """Yield the columns of the ID and OOD value of each measure."""
    for name, measure in MEASURES.items():
        for index, which in measure.places:
            style = (ID_STYLE, OOD_STYLE)[index]
            yield (
                f"{which}_{name}",
                RunColumn(
                    f"{which.upper()}: {measure.help}",
                    Column(
                        f"{which.upper()} {measure.label}",
                        right=True,
                        rank=_LISTED_RANK if name == BALANCED else _CHOSEN_RANK,
                        style=style,
                    ),
                    partial(_measure_of_run, name=name, index=index),
                    partial(_measure_of_group, name=name, index=index),
                    f"{which}_{name}",
                ),
            )


def _measure_of_run(run: Run, _trail: Sequence[float], _now: float, name: str, index: int) -> str:
    return in_unit(value_in(run.measures, name, index), MEASURES[name].unit)


def _measure_of_group(group: GroupRow, _now: float, name: str, index: int) -> str:
    found = group.summary.measures.get(name)
    return _estimate_cell(found[index] if found else None, MEASURES[name].unit)


def _estimate_cell(found: Estimate | None, unit: Unit = "share") -> str:
    if found is None:
        return UNKNOWN
    return f"{estimate_text(found, unit)}{'%' if unit == 'share' else ''}"


def _seeds(group: GroupRow, _now: float) -> str:
    is_common = group.grouping.name == "seed"
    return str(group.summary.newest.seed) if is_common else f"×{group.summary.runs}"


def progress_cell(run: Run) -> str:
    """Format a live run's progress and time left, or how a run ended."""
    if run.status == QUEUED:
        return "held" if run.is_held else "queued"
    if not run.is_live:
        return run.status
    doing = brief_activity(run)
    if doing and run.step == 0:
        return doing
    done = bar(run.step / max(1, run.steps), BAR_CELLS)
    return f"{done:<{BAR_CELLS}} {doing.partition(' ')[0] or duration(run.seconds_left)}"


def _steady_progress(run: Run) -> str:
    """Return a run's progress, as wide while it is live, so that no other column moves."""
    return progress_cell(run).ljust(LIVE_CELLS if run.is_live else 0)


def _step(run: Run) -> str:
    """Format the steps taken, or what a live run does before the first."""
    doing = brief_activity(run) if run.step == 0 else ""
    return doing or f"{run.step}/{run.steps}"


def _gap(run: Run) -> str:
    return signed_points(run.accuracy_gap)


def _worst(run: Run) -> str:
    return percent(min(run.domains.values(), default=None))


_USUAL: Final = {
    "status": RunColumn(
        "Status symbol.",
        Column("", rank=100),
        lambda run, _, __: COLLAPSED_SIGN if run.collapsed else STATUS_SIGNS.get(run.status, "?"),
        lambda *_: "≡",
        "status",
        is_status=True,
    ),
    "name": RunColumn(
        "Name.",
        Column("name", rank=99, shrinks=True, narrowest=8, steps=((90, 24), (60, 48))),
        lambda run, _, __: plain_text(run.label),
        lambda group, _: plain_text(group.name),
        "name",
    ),
    "data": _spec_column(
        "target",
        Column(
            "data → target",
            rank=98,
            shrinks=True,
            narrowest=12,
            steps=((59, 40),),
            keeps_after=TAIL,
        ),
        _data_cell,
    )._replace(about="Data set and target.", fields=("dataset", "target"), folded="{}"),
    "model": _spec_column(
        "model",
        Column("model", rank=2, shrinks=True, narrowest=10, steps=((2, 24),)),
        lambda run: plain_text(run.model or UNKNOWN),
    )._replace(folded="{}"),
    "dropout_rate": _spec_column(
        "dropout_rate",
        Column("λ", right=True, rank=80),
        lambda run: trained_cell(run, "dropout_rate"),
    )._replace(folded="λ {}"),
    "masks": _spec_column(
        "masks", Column("masks", right=True, rank=5), lambda run: trained_cell(run, "masks")
    )._replace(folded="{} masks"),
    "seed": RunColumn(
        FIELDS["seed"].help,
        Column("seed", right=True, rank=6),
        lambda run, _, __: trained_cell(run, "seed"),
        _seeds,
        "seed",
        fields=("seed",),
        folded="seed {}",
    ),
    "progress": RunColumn(
        "Progress and time left, or how the run ended.",
        Column("progress", rank=85),
        lambda run, _, __: _steady_progress(run),
        lambda group, _: " ".join(
            f"{count}{STATUS_SIGNS[status]}" for status, count in group.summary.statuses.items()
        ),
        "status",
        is_status=True,
    ),
    "id": _accuracy("ID", "id_accuracy", ID_STYLE),
    "ood": _accuracy("OOD", "ood_accuracy", OOD_STYLE),
    "trail": RunColumn(
        "OOD accuracy at each evaluation, on one scale for all listed runs.",
        Column("OOD trail", rank=3, style=f"dim {OOD_STYLE}"),
        lambda _, trail, __: sparkline(trail, SPARK_CELLS, (0.0, 1.0)),
        lambda *_: "",
    ),
    "age": RunColumn(
        "Time since the run was created.",
        Column("age", right=True, rank=4, style=QUIET_STYLE),
        lambda run, _, now: age(now - run.created_at),
        lambda group, now: age(now - group.summary.newest.created_at),
        "created",
    ),
    "tags": _of_run(
        "Tags.",
        Column("tags", rank=4, shrinks=True, narrowest=6, style=QUIET_STYLE),
        "tag",
        lambda run: plain_text(" ".join(run.tags)),
    ),
    "note": _of_run(
        "First line of the note.",
        Column("note", rank=3, shrinks=True, narrowest=6, style=QUIET_STYLE),
        "note",
        lambda run: note_line(run.note),
    ),
}
FOLDED_FIELDS: Final = frozenset(
    name for column in _USUAL.values() if column.folded is not None for name in column.fields
)
"""The fields of columns that are folded into the heading of a list in which all runs agree."""
USUAL_COLUMNS: Final = tuple(_USUAL)
"""Default columns of the dashboard's table; those that fit are shown."""
LISTED_COLUMNS: Final = (
    "state",
    "name",
    "data",
    "model",
    "arm",
    "dropout_rate",
    "masks",
    "seed",
    "step",
    "id",
    "ood",
    "id_balanced_accuracy",
    "ood_balanced_accuracy",
    "age",
    "tags",
    "run",
)
"""Columns of ``vld ls``."""

RUN_COLUMNS: Final[dict[str, RunColumn]] = {
    **_USUAL,
    "state": _of_run(
        "Status in words.", Column("status", rank=100), "status",
        lambda run: status_label(run.status, collapsed=run.collapsed),
    )._replace(is_status=True),
    "step": _measured(
        "Latest step, of all steps.", "step", "step",
        lambda run: _step(run) if run.has_spec else UNKNOWN, rank=7,
    ),
    "gap": _measured("OOD minus ID accuracy (percentage points).", "OOD − ID", None, _gap),
    **dict(_measures()),
    "worst": _measured("Accuracy on the worst domain.", "worst", None, _worst),
    "loss": _measured("Training loss.", "loss", "loss", lambda run: decimal(run.loss)),
    "selected_step": _measured(
        "Best step on ID validation, see --select-on.", "selected", "selected_step",
        lambda run: UNKNOWN if run.selected_step is None else f"{run.selected_step:,}",
    ),
    "wall": _measured("Wall time.", "time", "wall_s", lambda run: duration(run.wall_s)),
    "speed": _measured(
        "Images per second.", "images/s", "images_per_s", lambda run: rate(run.images_per_s)
    ),
    "attempts": _measured(
        "Number of attempts.", "attempts", "attempts", lambda run: str(run.attempts)
    ),
    "arm": _of_run(
        "How the run makes predictions.", Column("prediction", rank=1), "arm",
        lambda run: plain_text(run.arm.replace("_", " ")),
    ),
    "gpu": _measured("Assigned GPU.", "gpu", None, lambda run: plain_text(run.gpu or "")),
    "run": _of_run(
        "Run id.", Column("run", rank=97, style=QUIET_STYLE), "run",
        lambda run: plain_text(run.run_id),
    ),
    **{name: _any_field(name) for name in FIELDS if name not in {*_USUAL, "target"}},
    "target": _any_field("target"),
}  # fmt: skip
"""Every column the table can have, by name."""


def order_sign(*, is_descending: bool) -> str:
    """Return the sign of an order."""
    return "▾" if is_descending else "▴"


def order_label(field: str) -> str:
    """Return the heading of the column of a field to sort by, or the field's name."""
    headings = (each.column.heading for each in RUN_COLUMNS.values() if each.field == field)
    return next(filter(None, headings), field)


def with_order(columns: Sequence[RunColumn], field: str, *, is_descending: bool) -> list[RunColumn]:
    """Return the columns with the sign of the order in the heading of the one it is by."""
    # The newest run, which is created last, has the lowest age.
    sign = order_sign(is_descending=is_descending != (field == "created"))
    return [
        each._replace(column=each.column._replace(heading=f"{each.column.heading} {sign}"))
        if each.field == field and each.column.heading
        else each
        for each in columns
    ]


def agreeing(
    columns: Sequence[RunColumn], rows: Sequence[Sequence[str]], agreed: Container[str] | None
) -> dict[int, str]:
    """Return the columns in which all listed runs agree, by index, the most important first, with
    what they agree on.

    ``rows`` are the cells of the loaded runs. ``agreed`` are fields in which all runs agree; None:
    every run is loaded.
    """
    if len(rows) < FEWEST_TO_FOLD:
        return {}
    found = {}
    for at in sorted(range(len(columns)), key=lambda at: -columns[at].column.rank):
        column, cell = columns[at], rows[0][at]
        is_known = agreed is None or all(name in agreed for name in column.fields)
        if column.folded is None or not is_known or cell.strip() in ("", UNKNOWN):
            continue
        if all(row[at] == cell for row in rows):
            found[at] = column.folded.format(cell)
    return found


def run_lines(
    runs: Sequence[Run], *, now: float, names: Sequence[str] = LISTED_COLUMNS
) -> Iterator[str]:
    """Yield a table of runs at Unix time ``now`` as plain lines with every column."""
    columns = [RUN_COLUMNS[name].column for name in names]
    yield from table_lines(columns, [run_row(run, now=now, names=names) for run in runs])


def run_table(
    runs: Sequence[Run], *, now: float, cells: int, names: Sequence[str] = LISTED_COLUMNS
) -> Text:
    """Return a table of runs in ``cells`` columns, leaving out the least important ones, below what
    all of them have in common."""
    columns = [RUN_COLUMNS[name] for name in names]
    rows = [run_row(run, now=now, names=names) for run in runs]
    folded = agreeing(columns, rows, None)
    kept = [at for at in range(len(columns)) if at not in folded]
    styles = [status_style(run.status, collapsed=run.collapsed) for run in runs]
    table = styled_table(
        [columns[at].column for at in kept],
        [[row[at] for at in kept] for row in rows],
        cells,
        row_styles=styles,
        heading_style=HEADING_STYLE,
    )
    if not folded:
        return table
    from rich.text import Text  # a pipe does without it

    common = shorten(f"all listed: {' · '.join(folded.values())}", cells)
    return Text("\n", no_wrap=True, overflow="crop").join([Text(common, QUIET_STYLE), table])


def run_row(run: Run, *, now: float, names: Sequence[str] = LISTED_COLUMNS) -> tuple[str, ...]:
    """Return a run's cells at Unix time ``now``, one for each of these columns."""
    return tuple(RUN_COLUMNS[name].of_run(run, (), now) for name in names)
