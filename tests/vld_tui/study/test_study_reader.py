"""Studies of a real home, read again and again."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.protocol import resolve_spec
from tests.vld_tui.store.told_runs import Teller, evaluated, finished, started
from vld_tui.dashboard.actions import Actions
from vld_tui.dashboard.feed import HistorySource, Interest
from vld_tui.home import Home, open_home
from vld_tui.launch.datasets import DatasetError
from vld_tui.store.store import Store
from vld_tui.study.define.files import kept_path
from vld_tui.study.define.grid import StudyError
from vld_tui.study.planner import LocalPlanner
from vld_tui.study.results.state import StudyState

STUDY = """\
name = "rates"
title = "Rates"
[fields]
target = "noto"
[cross]
dropout_rate = [0.0, 0.9]
[domains]
emoji = ["fluent", "fluent-mono", "noto", "twemoji"]
"""
NETWORK_BYTES = 1_000


def _answer(_subject: str, models: str, **_: object) -> object:
    """Answer as the engine does when it is asked how large networks are."""
    return dict.fromkeys(models.split(","), NETWORK_BYTES)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setattr("vld_tui.control.queue.start_supervisor", lambda *_: None)
    monkeypatch.setattr("vld_tui.study.planner.ask_engine", _answer)
    home = open_home(tmp_path / "home")
    keep(home, STUDY)
    return home


def keep(home: Home, text: str) -> None:
    home.studies.mkdir(exist_ok=True)
    kept_path(home, "rates").write_text(text)


def finish_first(home: Home) -> None:
    """Let the first run that waits end."""
    with Store.open(home) as store:
        run, *_ = store.queue.runs()
        store.live.mark_relaunched(run.run_id)
        teller = Teller(store.runs.run_dir(run.run_id))
        teller.says(started(), *evaluated(10, id_accuracy=0.8, ood_accuracy=0.5))
        teller.says(finished(20, selected_step=10, id_accuracy=0.8, ood_accuracy=0.5))


def opened(source: HistorySource) -> StudyState:
    state = source.take(Interest(study="rates")).study
    assert state is not None
    return state


def test_a_study_is_read_anew_when_something_happened_and_only_then(home: Home) -> None:
    source = HistorySource(home)
    before = opened(source)
    assert before.standing is not None
    assert len(before.standing.missing) == 2
    assert opened(source) is before
    Actions(home).launch_study("rates")
    launched = opened(source)
    assert launched.standing is not None
    assert len(launched.standing.queued) == 2
    finish_first(home)
    after = opened(source)
    assert after.standing is not None
    assert [run.ood_accuracy for run in after.standing.finished] == [0.5]
    assert opened(source) is after
    with Store.open(home) as store:
        store.runs.create(resolve_spec({}), is_queued=True)
    assert opened(source) is after, "a run that is none of its own"
    source.close()
    assert opened(source) is after, "the same, read by another connection"
    finish_first(home)
    assert opened(source) is not after
    source.close()


def test_a_study_that_grew_is_read_anew(home: Home) -> None:
    source = HistorySource(home)
    before = opened(source)
    keep(home, STUDY.replace("0.9]", "0.5, 0.9]"))
    after = opened(source)
    assert before.standing is not None
    assert after.standing is not None
    assert (len(before.standing.runs), len(after.standing.runs)) == (2, 3)
    keep(home, "name = ")
    assert "not valid TOML" in (opened(source).problem or "")
    keep(home, STUDY)
    assert opened(source).problem is None
    source.close()


def test_the_list_tells_how_far_each_study_is(home: Home) -> None:
    source, interest = HistorySource(home), Interest(studies=True)
    Actions(home).launch_study("rates")
    finish_first(home)
    (study,) = source.take(interest).studies or ()
    assert (study.name, study.title, study.problem) == ("rates", "Rates", None)
    assert (study.counts.finished, study.counts.queued, study.counts.runs) == (1, 1, 2)
    assert study.left.unknown == 1, "a run that told nothing of its pace"
    assert source.take(interest) is source.take(interest)
    assert source.take(Interest()).studies is None
    source.close()


def test_what_a_launch_would_do_is_what_it_does(home: Home) -> None:
    plan = LocalPlanner(home).study_plan("rates")
    assert (len(plan.standing.missing), plan.cost.runs, plan.refusal) == (2, 2, None)
    assert plan.cost.disk_bytes == 2 * NETWORK_BYTES, "one network a run"
    with Store.open(home) as store:
        assert not store.runs.find(), "nothing was made"
    actions = Actions(home)
    assert actions.launch_study("rates") == "rates: 2 new runs"
    assert actions.launch_study("rates") == "rates: nothing to launch, every run exists"


def test_what_cannot_be_launched_is_refused(home: Home) -> None:
    keep(home, STUDY.replace('target = "noto"', 'target = "photo"\ndataset = "PACS"'))
    plan = LocalPlanner(home).study_plan("rates")
    assert plan.refusal is not None
    with pytest.raises(DatasetError, match="PACS"):
        Actions(home).launch_study("rates")
    with pytest.raises(StudyError, match="No study or preset"):
        Actions(home).launch_study("rate-of-something")


def test_the_table_is_written_once(home: Home, tmp_path: Path) -> None:
    source, actions = HistorySource(home), Actions(home)
    state, path = opened(source), tmp_path / "table.csv"
    assert actions.export_study(state, str(path)) == f"2 lines in {path}"
    assert path.read_text().startswith("dataset,target,dropout_rate,arm,seeds,finished,runs,")
    with pytest.raises(Exception, match="Cannot write to"):
        actions.export_study(state, str(path))
    with pytest.raises(Exception, match=r"must end in \.csv"):
        actions.export_study(state, str(tmp_path / "table.txt"))
    source.close()
