"""The runs from scratch that effective robustness compares a run with."""

from __future__ import annotations

from engine.protocol import resolve_spec
from tests.vld_tui.study.test_standing_and_cost import tell_finished
from vld_tui.control.diagnose import runs_from_scratch
from vld_tui.store.store import Store


def test_weights_in_a_file_are_not_a_random_start(store: Store) -> None:
    of_data = {"dataset": "emoji", "target": "noto"}
    run = tell_finished(store, resolve_spec(of_data))
    scratch = tell_finished(store, resolve_spec({**of_data, "weights": "none"}))
    tell_finished(store, resolve_spec({**of_data, "weights": "/data/none-v2.safetensors"}))
    assert [each.run_id for each in runs_from_scratch(store, run)] == [scratch.run_id]
