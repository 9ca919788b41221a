"""The run of another seed that diagnostics compare a run with."""

from __future__ import annotations

from engine.protocol import resolve_spec
from tests.vld_tui.study.test_standing_and_cost import tell_failed, tell_finished
from vld_tui.control.diagnose import run_of_other_seed
from vld_tui.store.store import Store

SPEC = {"dataset": "emoji", "target": "noto"}


def test_it_is_the_finished_one_with_the_lowest_other_seed(store: Store) -> None:
    run = tell_finished(store, resolve_spec({**SPEC, "seed": 1}))
    assert run_of_other_seed(store, run) is None
    tell_failed(store, resolve_spec({**SPEC, "seed": 0}))
    tell_finished(store, resolve_spec({**SPEC, "seed": 3}))
    second = tell_finished(store, resolve_spec({**SPEC, "seed": 2}))
    tell_finished(store, resolve_spec({**SPEC, "seed": 0, "dropout_rate": 0.5}))
    found = run_of_other_seed(store, run)
    assert found is not None
    assert found.run_id == second.run_id
