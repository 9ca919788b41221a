"""Diagnoses of runs: a summary of several, and one run's in full."""

from __future__ import annotations

import itertools
import re
import shlex
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from rich.text import Text

from engine.protocol import MEASURES, value_in
from engine.protocol.data_shift import DataShift
from engine.protocol.diagnostics import (
    DIAGNOSED,
    DIAGNOSTICS,
    OF_START,
    Cell,
    Diagnosed,
    Diagnosis,
    Finding,
    FindingTable,
    Topic,
    diagnostics_of,
)
from engine.rundir import StoredDiagnoses
from vld_tui.runs.run import Run
from vld_tui.study.results.groups import distinctions
from vld_tui.words.columns import Column, fits, lay_out, styled_table, whole_table
from vld_tui.words.numbers import UNKNOWN, in_unit, percent, plain_number, plural
from vld_tui.words.palette import ALARM_STYLE, HEADING_STYLE, ID_STYLE, OOD_STYLE, QUIET_STYLE
from vld_tui.words.text import plain_text, shorten_apart

MOST_ALIKE: Final = 5
"""Runs that fail for the same reason and are listed; more are summed up in a line."""
GAP_CELLS: Final = 3
FEWEST_NAME_CELLS: Final = 12
"""Minimum width of the names of runs."""
LEAST_TABLE_CELLS: Final = 58
"""Minimum width of tables with a drawing to their right."""
MOST_ROWS: Final = 30
"""Longer tables are not printed."""
_PLACES: Final = (("ID", ID_STYLE), ("OOD", OOD_STYLE))


def scratch_lines(run: Run, robustness: Diagnosis | None) -> Iterator[str]:
    """Yield why there is no effective robustness, and how to train runs from scratch for it."""
    if not run.has_spec or not run.has_ood:
        return
    if robustness is not None:
        yield from map(plain_text, robustness.notes)
    data = shlex.quote(run.spec.data_dir or run.spec.dataset)
    yield "To train 5 runs from scratch for each target:"
    yield f"  vld sweep paper-ask --data {data}"


def shift_heading(found: DataShift) -> Text:
    """Return which domains were compared, and in which network's features."""
    sources = ", ".join(map(plain_text, found.sources))
    text = Text(f"{plain_text(found.target)} compared with {sources}", HEADING_STYLE)
    text.append(f"\n{plain_text(found.model)}, weights {found.weights}", QUIET_STYLE)
    if found.unreadable:
        unreadable = plural(found.unreadable, "image")
        text.append(f"\n! {unreadable} cannot be read and were left out", ALARM_STYLE)
    return text.append("\n")


def run_line(run: Run) -> Text:
    """Return a run's name, λ and accuracies."""
    rate = f"  λ {run.spec.dropout_rate:g}" if run.has_spec else ""
    text = Text(plain_text(run.label) + rate, HEADING_STYLE)
    text.append(f"  ID {percent(run.id_accuracy)}", ID_STYLE)
    return text.append(f"  OOD {percent(run.ood_accuracy)}", OOD_STYLE)


def has_measures(run: Run, topic: Topic) -> bool:
    """Return whether a run has a value of any measure of a topic."""
    measures = (measure for each in diagnostics_of(topic) for measure in each.measures)
    return any(measure.name in run.measures for measure in measures)


def measures_table(runs: Sequence[Run], topic: Topic, cells: int | None) -> Text:
    """Return a line for each run with its accuracies and the measures of a topic.

    Where that is too wide: a column for each run if these fit, else several tables. ``cells``
    None: unlimited width.
    """
    places = _known_places(runs, topic)
    columns = [
        Column("run", rank=1000, shrinks=True, narrowest=FEWEST_NAME_CELLS),
        Column("λ", right=True, rank=999),
        Column("ID", right=True, rank=998, style=ID_STYLE),
        Column("OOD", right=True, rank=997, style=OOD_STYLE),
    ]
    for number, (name, at) in enumerate(places):
        which, style = _PLACES[at]
        heading = f"{which} {MEASURES[name].label}"
        columns.append(Column(heading, right=True, rank=990 - number, style=style))
    rows = [
        [
            label,
            f"{run.spec.dropout_rate:g}" if run.has_spec else UNKNOWN,
            percent(run.id_accuracy),
            percent(run.ood_accuracy),
            *(
                in_unit(value_in(run.measures, name, at), MEASURES[name].unit)
                for name, at in places
            ),
        ]
        for label, run in zip(_labels(runs), runs, strict=True)
    ]
    if cells is None:
        return whole_table(columns, rows, cells)
    has_room = fits(columns, rows, cells)
    room = lay_out(columns, rows, cells).widths[0] if has_room else cells // 3
    short = shorten_apart([row[0] for row in rows], max(FEWEST_NAME_CELLS, room))
    rows = [[label, *row[1:]] for label, row in zip(short, rows, strict=True)]
    return (None if has_room else _turned(columns, rows, cells)) or whole_table(
        columns, rows, cells
    )


def _known_places(runs: Sequence[Run], topic: Topic) -> list[tuple[str, int]]:
    """Return the measures of a topic, with 0 for ID and 1 for OOD, of which a run has a value."""
    return [
        (measure.name, at)
        for each in diagnostics_of(topic)
        for measure in each.measures
        for at in (0, 1)
        if any(value_in(run.measures, measure.name, at) is not None for run in runs)
    ]


def _turned(columns: Sequence[Column], rows: Sequence[Sequence[str]], cells: int) -> Text | None:
    """Return the table with a column for each row; None if that does not fit."""
    turned = [[column.heading, *cell] for column, *cell in zip(columns, *rows, strict=True)]
    heads = [Column(name, right=at > 0) for at, name in enumerate(turned[0])]
    if not fits(heads, turned[1:], cells):
        return None
    return styled_table(heads, turned[1:], cells, row_styles=[each.style for each in columns[1:]])


def _labels(runs: Sequence[Run]) -> list[str]:
    """Return the labels of runs; those of equal names end in the settings in which they differ."""
    if not all(run.has_spec for run in runs):
        return [plain_text(run.label) for run in runs]
    told = distinctions([run.name for run in runs], runs)
    return [
        plain_text(run.label + each.removesuffix(run.suffix))
        for run, each in zip(runs, told, strict=True)
    ]


def diagnoses_text(diagnoses: Iterable[Diagnosis], cells: int | None) -> Text:
    """Return diagnoses in full: what each is, its values by domain, its tables and notes.

    ``cells`` None: unlimited width.
    """
    parts = [_whole(each, cells) for each in diagnoses if each.diagnostic in DIAGNOSTICS]
    return Text("\n\n").join(parts)


def _whole(each: Diagnosis, cells: int | None) -> Text:
    """Return a diagnosis in full; where there is room, its drawing is right of its tables."""
    from vld_tui.views.diagnosis_drawing import (  # imports numpy
        MOST_CELLS,
        SHOWN_BY_DRAWING,
        diagnosis_drawing,
    )

    declared = DIAGNOSTICS[each.diagnostic]
    title = Text(declared.title, HEADING_STYLE)
    about = [Text(line, QUIET_STYLE) for line in _lines(declared.help, cells)]
    drawing = diagnosis_drawing(each, MOST_CELLS if cells is None else cells)
    drawn = "" if drawing is None else SHOWN_BY_DRAWING.get(each.diagnostic, "")
    has_room = drawing is not None and cells is not None and cells >= MOST_CELLS + LEAST_TABLE_CELLS
    room = cells - MOST_CELLS - GAP_CELLS if has_room and cells is not None else cells
    findings = [_findings(each.findings, room)] if each.findings else []
    tables = [*_tables(each, drawn, room)]
    if has_room and drawing is not None and room is not None:
        body = [_next_to(Text("\n").join([*findings, *tables]), drawing, room)]
    else:
        body = [*findings, *([] if drawing is None else [drawing]), *tables]
    notes = [
        Text(line, QUIET_STYLE) for note in each.notes for line in _lines(plain_text(note), cells)
    ]
    return Text("\n", no_wrap=True, overflow="crop").join([title, *about, *body, *notes])


def _tables(each: Diagnosis, drawn: str, cells: int | None) -> Iterator[Text]:
    """Yield the tables of a diagnosis below their titles, except the one that is drawn."""
    topic = DIAGNOSTICS[each.diagnostic].topic
    for name, table in each.tables.items():
        if name == drawn:
            continue
        if len(table.rows) > MOST_ROWS:
            yield Text(f"{plain_text(table.title)}: see vld {topic} --json", QUIET_STYLE)
            continue
        for line in _lines(plain_text(table.title), cells):
            yield Text(line, QUIET_STYLE)
        yield _table(table, cells)


def _next_to(left: Text, right: Text, cells: int) -> Text:
    """Return a text of at most ``cells`` cells with another one to its right."""
    lines = []
    for one, other in itertools.zip_longest(left.split("\n"), right.split("\n")):
        line = Text() if one is None else one
        if other is not None:
            line.pad_right(max(0, cells + GAP_CELLS - line.cell_len))
            line.append_text(other)
        lines.append(line)
    return Text("\n").join(lines)


def _lines(words: str, cells: int | None) -> list[str]:
    return [words] if cells is None else textwrap.wrap(words, cells)


def _findings(findings: Sequence[Finding], cells: int | None) -> Text:
    """Return a line for each split of a domain, with a column for each measure."""
    names = list(dict.fromkeys(each.name for each in findings))
    places: dict[tuple[str, str], dict[str, Finding]] = {}
    for each in findings:
        places.setdefault((each.domain, each.split), {})[each.name] = each
    columns = [
        Column("domain", rank=1000, shrinks=True, narrowest=8),
        Column("split", rank=990),
        *(Column(_label(name), right=True, rank=980 - at) for at, name in enumerate(names)),
        Column("images", right=True, rank=900, style=QUIET_STYLE),
    ]
    rows = [
        [
            plain_text(domain),
            split,
            *(_value(of_place.get(name)) for name in names),
            f"{max(each.images for each in of_place.values()):,}",
        ]
        for (domain, split), of_place in places.items()
    ]
    return whole_table(columns, rows, cells, keys=2)


def _label(name: str) -> str:
    base = name.removesuffix(OF_START)
    label = MEASURES[base].label if base in MEASURES else base.replace("_", " ")
    return f"{label} before training" if base != name else label


def _value(finding: Finding | None) -> str:
    if finding is None:
        return UNKNOWN
    measure = MEASURES.get(finding.name.removesuffix(OF_START))
    if measure is None and finding.unit == "number":  # a count, such as that of mistakes
        return UNKNOWN if finding.value is None else f"{finding.value:,.0f}"
    unit = finding.unit if measure is None else measure.unit
    shown = in_unit(finding.value, unit)
    if finding.interval is None:
        return shown
    low, high = (in_unit(end, unit) for end in finding.interval)
    between = " to " if finding.interval[0] < 0 else "–"  # no dash before a minus
    return f"{shown} ({low}{between}{high})".replace("-", "−")


def _table(table: FindingTable, cells: int | None) -> Text:
    columns = [
        Column(name, right=at > 0, rank=1000 - at, shrinks=at == 0)
        for at, name in enumerate(table.columns)
    ]
    return whole_table(columns, [[*map(_cell, row)] for row in table.rows], cells)


def _cell(value: Cell) -> str:
    if isinstance(value, str):
        return plain_text(value)
    shown = f"{value:,}" if isinstance(value, int) else plain_number(value)
    return shown.replace("-", "−")


def damaged_lines(stored: StoredDiagnoses) -> Iterator[Text]:
    """Yield a line for each stored diagnosis that cannot be read."""
    for name, why in stored.damaged.items():
        yield Text(f"{plain_text(name)}.json cannot be read: {plain_text(why)}", ALARM_STYLE)


def topic_text(
    run: Run, stored: StoredDiagnoses, topic: Topic, cells: int, key: str | None
) -> Text:
    """Return the diagnoses of a topic: in words, a line for each measure, then each in full.

    ``key`` computes what is missing, and a line states that; None: it is being computed.
    """
    names = {each.name for each in diagnostics_of(topic)}
    of_topic = StoredDiagnoses(
        {name: each for name, each in stored.found.items() if name in names},
        {name: why for name, why in stored.damaged.items() if name in names},
    )
    found = of_topic.found.values()
    summary = " ".join(each.summary for each in found if each.summary)
    parts = [Text("\n".join(_lines(plain_text(summary), cells)))] if summary else []
    if missing := _missing_line(run, of_topic, topic, key):
        parts.append(Text("\n".join(_lines(missing, cells)), QUIET_STYLE))
    if found or of_topic.damaged:
        parts.append(diagnosis_list(of_topic, run.selected_step, cells))
        parts.append(diagnoses_text(found, cells))
    return Text("\n\n", no_wrap=True, overflow="crop").join(filter(None, parts))


def _missing_line(run: Run, stored: StoredDiagnoses, topic: Topic, key: str | None) -> str:
    """Return which diagnostics of a topic a run lacks, and what computes them."""
    missing = [each.title for each in diagnostics_of(topic) if each.name not in stored.found]
    if not missing:
        return ""
    if topic == "shift" and not run.has_ood:
        return "The run has no target domain, so there is no shift to measure."
    if key is None:
        return f"Being computed: {', '.join(missing)}."
    which = f"Not computed yet: {', '.join(missing)}." if stored.found else "Not computed yet."
    if run.selected_step is None:
        return f"{which} They need the network of an evaluated step."
    if run.is_live and {"all", topic} & {*(run.spec.diagnose if run.has_spec else ())}:
        return f"{which} The run computes them after training."
    return f"{which} To compute: {key}, or vld {topic} {plain_text(run.run_id)}"


def diagnosis_list(stored: StoredDiagnoses, selected_step: int | None, cells: int | None) -> Text:
    """Return a line for each stored measure of a run, then the damaged files."""
    rows = []
    for each in stored.found.values():
        is_current = each.step is None or each.step == selected_step
        for name, pair in each.values.items():
            if all(value is None for value in pair):
                continue
            unit = DIAGNOSED[name].unit if name in DIAGNOSED else "number"
            label = DIAGNOSED[name].label if name in DIAGNOSED else name
            remark = "" if is_current else f"of step {each.step:,}, not the selected one"
            rows.append([label, *(in_unit(value, unit) for value in pair), remark])
    columns = [
        Column("diagnostic", rank=1000, shrinks=True, narrowest=10),
        *(Column(name, right=True, rank=999, style=style) for name, style in _PLACES),
        Column("", rank=990, style=QUIET_STYLE),
    ]
    lines = [*([whole_table(columns, rows, cells)] if rows else []), *damaged_lines(stored)]
    return Text("\n", no_wrap=True, overflow="crop").join(lines)


def diagnosed_line(results: Sequence[tuple[Run, Diagnosed]]) -> str:
    """Return how many diagnostics of how many runs were computed."""
    computed = sum(len(done.computed) for _, done in results)
    which = results[0][0].label if len(results) == 1 else plural(len(results), "run")
    found = any(done.diagnoses for _, done in results)
    if not computed and found:
        return f"{which}: diagnostics are up to date"
    return f"{which}: {plural(computed, 'diagnostic')} computed"


def failure_lines(results: Sequence[tuple[Run, Diagnosed]]) -> Iterator[str]:
    """Yield a line for each problem of a run, and one for many runs with the same problem."""
    alike: dict[str, list[str]] = {}
    for run, done in results:
        named = re.compile(rf"(?<![\w-]){re.escape(run.run_id)}(?![\w-])")
        problems = (f"{DIAGNOSTICS[name].title}: {why}" for name, why in done.problems.items())
        for line in (*filter(None, [done.refused, done.unsaved]), *problems):
            reason, names = named.subn("RUN", line)
            shown = line if names else f"{run.run_id}: {line}"
            alike.setdefault(reason, []).append(shown)
    for lines in alike.values():
        if len(lines) > MOST_ALIKE:
            yield f"{plural(len(lines), 'run')} failed for the same reason. First: {lines[0]}"
        else:
            yield from lines
