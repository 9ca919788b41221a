"""Events with garbled numbers, and mangled logs: each costs its own line, and no other."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.protocol import (
    EVENT_TYPES,
    AnglesMeasured,
    BarrierMeasured,
    Cautioned,
    ParentMeasured,
    ParentTried,
    SystemSampled,
    encode_event,
)
from engine.rundir import RunDir
from tests.vld_tui.store.told_runs import (
    Teller,
    arm_evaluated,
    collapsed,
    data_prepared,
    dead_process,
    evaluated,
    evaluation,
    failed,
    finished,
    model_prepared,
    numbered,
    started,
    steps_taken,
    stopped,
)
from vld_tui.runs.run import Run
from vld_tui.runs.run_folder import read_events
from vld_tui.store import ingest
from vld_tui.store.record import in_sequence
from vld_tui.store.store import Store

LINES = 19
GARBLED = [
    {6: 96}, {6: 16}, {6: 5}, {6: 0}, {1: 9}, {12: 92}, {16: 96, 10: 90}, {3: 2**60},
]  # fmt: skip
_LINES = [encode_event(event) for event in (
    started(), data_prepared(), model_prepared(), steps_taken(5, 1.0), collapsed(5),
    *evaluated(10, id_accuracy=0.5, ood_accuracy=0.5), stopped(10), failed("x"),
    arm_evaluated(10, "averaged", id_accuracy=0.5, ood_accuracy=0.5),
    finished(20, selected_step=10, id_accuracy=0.5, ood_accuracy=0.5),
    BarrierMeasured(
        first="a", second="b", loss_barrier=None, accuracy_barrier=0.1, is_barrier=True
    ),
    ParentMeasured(parent="a", id_accuracy=0.5), Cautioned(message="x"),
    ParentTried(parent="a", soup_accuracy=0.5, is_kept=True),
    AnglesMeasured(tensors=3, mean_angle_deg=60.0, mean_share=0.5),
    SystemSampled(step=5, interval_s=10.0, cpu_share=0.5),
)]  # fmt: skip


def tell(teller: Teller) -> None:
    """Tell a run of 19 lines that is over: a start, 16 readings of the loss, two more."""
    dead_process(teller.run_dir, exit_code=0)
    teller.says(started(), *(steps_taken(step, float(step)) for step in range(1, LINES - 2)))
    teller.says(
        evaluation(LINES - 2, id_accuracy=0.5, ood_accuracy=0.25),
        finished(LINES - 2, selected_step=LINES - 2, id_accuracy=0.5, ood_accuracy=0.25),
    )


def renumber(run_dir: RunDir, numbers: dict[int, int]) -> None:
    """Write other numbers into lines of a log."""
    lines = run_dir.events.read_bytes().splitlines(keepends=True)
    for line, number in numbers.items():
        lines[line] = re.sub(rb'"seq":\d+', b'"seq":%d' % number, lines[line])
    run_dir.events.write_bytes(b"".join(lines))


@pytest.mark.parametrize(
    ("numbers", "batch_bytes"),
    [*((each, 300) for each in GARBLED), *((each, 2**20) for each in [*GARBLED, {6: 86, 7: 97}])],
)
def test_a_garbled_number_costs_its_line_only(
    store: Store, run: Run, teller: Teller, monkeypatch: pytest.MonkeyPatch, batch_bytes: int,
    numbers: dict[int, int],
) -> None:  # fmt: skip
    monkeypatch.setattr(ingest, "BATCH_BYTES", batch_bytes)
    tell(teller)
    renumber(teller.run_dir, numbers)
    store.folders.rebuild()
    seen = store.runs.get(run.run_id)
    assert (seen.status, seen.id_accuracy) == ("finished", 0.5)
    assert seen.damaged_lines == len(numbers)
    points = store.series.metrics(run.run_id, name="loss", split="train")
    told = [point.step for point in points]
    assert told == [step for step in range(1, LINES - 2) if step not in numbers]


@pytest.mark.parametrize("number", [98, 10**6])
def test_a_garbled_number_at_the_end_does_not_hide_what_comes_after(
    store: Store, run: Run, teller: Teller, number: int
) -> None:
    teller.run_dir.write_process(1)
    teller.says(started(), steps_taken(1, 1.0))
    teller.writes(numbered(steps_taken(2, 2.0), number))
    store.live.refresh()
    teller.writes(numbered(steps_taken(3, 3.0), 3) + numbered(steps_taken(4, 4.0), 4))
    store.live.refresh()
    assert [point.step for point in store.series.metrics(run.run_id, name="loss")][-2:] == [3, 4]


def test_lines_that_are_missing_are_no_damage_of_those_after_them(
    store: Store, run: Run, teller: Teller
) -> None:
    tell(teller)
    lines = teller.run_dir.events.read_bytes().splitlines(keepends=True)
    teller.run_dir.events.write_bytes(b"".join([*lines[:5], b"garbage\n", *lines[9:]]))
    store.folders.rebuild()
    seen = store.runs.get(run.run_id)
    assert (seen.status, seen.damaged_lines) == ("finished", 1)


def test_the_last_words_of_a_run_count_whatever_their_number(
    store: Store, run: Run, teller: Teller
) -> None:
    tell(teller)
    renumber(teller.run_dir, {LINES - 1: 98})
    store.folders.rebuild()
    assert store.runs.get(run.run_id).status == "finished"


@given(
    wrong=st.dictionaries(st.integers(0, 30), st.integers(0, 99), max_size=6),
    size=st.integers(20, 30),
)
def test_what_is_kept_ascends_and_is_as_much_as_can_be(wrong: dict[int, int], size: int) -> None:
    numbers = [wrong.get(at, at) for at in range(size)]
    kept = [number for number, fits in zip(numbers, in_sequence(numbers, -1), strict=True) if fits]
    assert kept == sorted(set(kept))
    assert len(kept) >= size - sum(at < size for at in wrong)


@pytest.mark.parametrize(
    ("numbers", "kept"),
    [
        ([5, 6, 7], [True, True, True]),
        ([4, 5, 6], [False, True, True]),
        ([4, 9, 5], [False, False, True]),
        ([5, 5, 6], [True, False, True]),
    ],
)
def test_a_number_that_was_read_before_is_not_read_again(
    numbers: list[int], kept: list[bool]
) -> None:
    assert in_sequence(numbers, last=4) == kept


def test_a_log_is_read_in_batches_of_whole_lines(tmp_path: Path) -> None:
    teller = Teller(RunDir(tmp_path))
    teller.says(started(), *(steps_taken(step, 1.0) for step in range(50)))
    teller.writes(b"x" * 5000 + b"\n" + b"torn")
    offset, seen, damaged, is_last = 0, [], 0, False
    while not is_last:
        batch = read_events(teller.run_dir.events, offset, most_bytes=1000)
        assert len(batch.events) < 10
        offset, is_last = batch.offset, batch.is_last
        seen += [event.seq for event in batch.events]
        damaged += batch.damaged_lines
    assert (seen, damaged) == (list(range(51)), 1)
    assert offset == teller.run_dir.events.stat().st_size - len(b"torn")


@st.composite
def _mangled_lines(draw: st.DrawFn) -> bytes:
    """Draw a log of real events, numbered, some with a part overwritten."""
    log = b""
    for seq, line in enumerate(draw(st.lists(st.sampled_from(_LINES), max_size=12))):
        content = line.replace(b'"seq":-1', b'"seq":%d' % seq)
        if draw(st.booleans()):
            at = draw(st.integers(0, len(content) - 1))
            junk = draw(st.binary(max_size=6) | st.sampled_from([b"9" * 25, b"null", b"-1", b"\n"]))
            content = content[:at] + junk + content[at + len(junk) :]
        log += content
    return log


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(log=_mangled_lines())
def test_no_event_log_stops_the_reading(store: Store, run: Run, teller: Teller, log: bytes) -> None:
    teller.run_dir.write_process(1)
    teller.run_dir.events.write_bytes(log)
    with closing(sqlite3.connect(store.home.database)) as connection, connection:
        connection.execute("DELETE FROM runs")
    report = store.folders.rebuild()
    assert report.runs == 1
    seen = store.runs.get(run.run_id)
    assert seen.spec == run.spec
    lines = [line for line in log.split(b"\n")[:-1] if line]
    assert 0 <= seen.damaged_lines <= len(lines)


def test_the_mangled_events_cover_the_protocol() -> None:
    told = {msgspec.json.decode(line)["type"] for line in _LINES}
    missing = {kind.__struct_config__.tag for kind in EVENT_TYPES} - told
    assert missing == {"head_trained", "head_refined", "features_computed", "phase_reported"}


@pytest.mark.parametrize("value", [b"[" * 100_000, b"\x00" * 100, b'{"seq": 1}'])
def test_odd_lines_are_only_damaged(store: Store, run: Run, teller: Teller, value: bytes) -> None:
    teller.writes(value + b"\n")
    store.live.refresh()
    assert store.runs.get(run.run_id).damaged_lines == 1
