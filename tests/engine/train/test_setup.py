from __future__ import annotations

import pytest

from engine.data import load_data
from engine.stop_request import StopRequest, StopRequested
from engine.train.setup import prepare
from tests.small_runs import MakeRun, StopAfter


def test_a_stop_is_heeded_while_precisions_are_tried(make_run: MakeRun) -> None:
    run_dir = make_run(precision="auto", memory_format="auto")
    spec = run_dir.read_spec()
    data = load_data(spec, run_dir.cache)
    with pytest.raises(StopRequested):
        prepare(spec, data, run_dir, None, stop=StopAfter(3))
    assert not (run_dir.cache / "execution.json").exists()
    assert prepare(spec, data, run_dir, None, stop=StopRequest()).execution.precision
