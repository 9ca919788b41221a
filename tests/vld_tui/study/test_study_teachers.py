"""A study whose runs learn from the study's own runs grows as these finish."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from benchmarks.filled_study import fill_study
from engine.protocol import run_identity
from tests.vld_tui.study.known_datasets import KnownDatasets
from vld_tui.home import Home
from vld_tui.report.content import facts
from vld_tui.store.store import Store
from vld_tui.study.define.datasets import HomeDatasets
from vld_tui.study.define.definition import Study, read_study
from vld_tui.study.define.files import StudyText
from vld_tui.study.define.grid import StudyError
from vld_tui.study.results.outcomes import Design, gather
from vld_tui.study.standing import standing_of
from vld_tui.views.study import counts_text

TEXT = """\
name = "mine"
data = ["emoji"]
seeds = 2
[fields]
teacher = "study"
[cross]
target = ["noto", "fluent"]
objective = ["erm", "confreg"]
dropout_rate = [0.0, 0.9]
"""


def read(datasets: KnownDatasets, text: str = TEXT) -> Study:
    return read_study(text, "my.toml", datasets, folder=Path("/studies"))


def test_runs_wait_for_their_teachers() -> None:
    study = read(KnownDatasets())
    assert {spec.objective for spec in study.specs} == {"erm"}
    assert {spec.teacher for spec in study.specs} == {None}, "no spec of a run says study"
    assert (len(study.specs), study.untaught) == (8, 8)
    assert study.compare == ("objective", "dropout_rate"), "as with all runs"


def test_a_finished_run_teaches_those_of_its_target_and_seed() -> None:
    datasets = KnownDatasets()
    (teacher,) = (
        spec
        for spec in read(datasets).specs
        if (spec.target, spec.seed, spec.dropout_rate) == ("noto", 1, 0.0)
    )
    datasets.runs = {run_identity(teacher): "the-teacher"}
    study = read(datasets)
    taught = [spec for spec in study.specs if spec.objective == "confreg"]
    assert [(spec.target, spec.seed, spec.teacher) for spec in taught] == [
        ("noto", 1, "the-teacher")
    ] * 2
    assert {spec.dropout_rate for spec in taught} == {0.0, 0.9}
    assert study.untaught == 6
    assert Design.of(study.specs, study.compare, ()).compared == study.compare, "not by teacher"
    named = msgspec.structs.replace(taught[0], teacher="another")
    assert run_identity(named) not in study.identities, "the identity has the teacher's id"


def test_a_study_without_any_teacher_is_refused() -> None:
    alone = TEXT.replace('["erm", "confreg"]', '["confreg"]')
    with pytest.raises(
        StudyError, match=r"no such run \(objective erm, dropout_rate 0\) has finished"
    ):
        read(KnownDatasets(), alone)


def test_a_home_knows_which_runs_have_finished(home: Home) -> None:
    study = read(KnownDatasets())
    assert HomeDatasets(home).finished(study.identities) == {}, "a home without history"
    fill_study(home, study, specs=study.specs[:2])
    with Store.open(home) as store:
        store.runs.create(study.specs[2])  # not finished
        first, second = (store.runs.by_identity([each])[each][0] for each in study.identities[:2])
    assert HomeDatasets(home).finished(study.identities[:3]) == {
        study.identities[0]: first.run_id,
        study.identities[1]: second.run_id,
    }


def test_a_study_shows_how_many_of_its_runs_are_to_come(home: Home) -> None:
    text = StudyText(TEXT, "mine", None)
    with Store.open(home) as store:
        standing = standing_of(store, text.read(home))
        assert counts_text(standing).endswith(
            "8 missing · 8 need a teacher that has not finished: launch again later"
        )
        fill_study(home, standing.study)
        store.live.refresh()
        grown = standing_of(store, text.read(home))
        told = facts(gather(store, grown.study), [], made_at=0.0, version="1")
    assert (len(grown.finished), len(grown.missing), grown.study.untaught) == (8, 8, 0)
    assert counts_text(grown).endswith("8 missing")
    teachers = {run.run_id for run in grown.finished if run.spec.dropout_rate == 0}
    assert {spec.teacher for spec in grown.missing} == teachers
    (fixed,) = (fact.text for fact in told if fact.label == "fixed")
    assert "teacher" not in fixed, "each run has its own"
