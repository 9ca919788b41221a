from __future__ import annotations

import sqlite3
from contextlib import closing

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.protocol import (
    EVENT_TYPES,
    BarrierMeasured,
    Cautioned,
    ParentMeasured,
    ParentTried,
    encode_event,
)
from tests.vld_tui.store.told_runs import (
    Teller,
    arm_evaluated,
    collapsed,
    data_prepared,
    evaluated,
    failed,
    finished,
    model_prepared,
    started,
    steps_taken,
    stopped,
)
from vld_tui.runs.run import Run
from vld_tui.store.store import Store

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
)]  # fmt: skip


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
    assert missing == {"head_trained"}


@pytest.mark.parametrize("value", [b"[" * 100_000, b"\x00" * 100, b'{"seq": 1}'])
def test_odd_lines_are_only_damaged(store: Store, run: Run, teller: Teller, value: bytes) -> None:
    teller.writes(value + b"\n")
    store.live.refresh()
    assert store.runs.get(run.run_id).damaged_lines == 1
