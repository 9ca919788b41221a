"""Teachers that users name, and what is wrong with them before a run exists."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.protocol import FIELDS, RunSpec, SpecError, resolve_new_spec
from tests.small_runs import SMALL_RUN, run_here
from tests.vld_tui.cli.conftest import Vld
from tests.vld_tui.dashboard.fake_planner import PACS
from vld_tui.control.start import located
from vld_tui.runs.progress import Progress
from vld_tui.runs.run import Run
from vld_tui.store.store import Store
from vld_tui.study.define.datasets import HomeDatasets
from vld_tui.study.define.definition import Study, StudyError, read_study
from vld_tui.study.planner import LocalPlanner
from vld_tui.study.preflight import preflight
from vld_tui.study.standing import refuse_misfits, standing_of
from vld_tui.study.teacher import TeacherError, with_teacher
from vld_tui.views.plan import plan_rows


def small(images: Path, **fields: object) -> RunSpec:
    """Return a small run; by default one that learns from the run named ``master``."""
    taught = {"objective": "confreg", "teacher": "master"}
    return resolve_new_spec({**SMALL_RUN, "data_dir": str(images), **taught, **fields})


@pytest.fixture
def master(store: Store, small_emoji: Path) -> Run:
    """Return a finished run of this name."""
    spec = small(small_emoji, objective="erm", teacher=None, dropout_rate=0)
    run = store.runs.create(spec, name="master")
    run_here(store.runs.run_dir(run.run_id))
    store.live.refresh()
    return store.runs.get(run.run_id)


@pytest.mark.parametrize("reference", ["master", "id", "prefix", "@last"])
def test_a_teacher_is_named_as_any_run_and_kept_by_its_id(
    store: Store, master: Run, small_emoji: Path, reference: str
) -> None:
    named = {"id": master.run_id, "prefix": master.run_id[:-1]}.get(reference, reference)
    spec = located(store.home, small(small_emoji, teacher=named))
    assert spec.teacher == master.run_id
    assert f"confreg · teacher {master.run_id}" in dict(plan_rows(spec, Progress()))["method"]


def test_the_run_to_compare_with_has_the_same_teacher(
    store: Store, master: Run, small_emoji: Path
) -> None:
    fields = {
        **SMALL_RUN, "data_dir": small_emoji, "steps": 2, "warmup_steps": 1, "eval_every": 2,
        "log_every": 1, "head_steps": 0, "objective": "confreg", "teacher": "@last",
    }  # fmt: skip
    words = [word for name, value in fields.items() for word in (FIELDS[name].flag, str(value))]
    shown = Vld(store.home.path)("run", *words).stdout
    line = next(line for line in shown.splitlines() if "to compare" in line)
    assert f"--teacher {master.run_id} " in line


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"teacher": "mastre"}, r"^--teacher: No run 'mastre'\. Did you mean master\?"),
        ({"teacher": "../runs"}, r"^--teacher: No run '\.\./runs'\."),
        ({"target": "noto"}, "has target fluent-mono, not noto: it was trained on images that"),
        ({"seed": 1}, r"has the split seed 0, not 1: .* Give --trial-seed 0, or give another"),
    ],
)
def test_a_teacher_that_does_not_fit_is_a_problem_before_the_run_exists(
    store: Store, master: Run, small_emoji: Path, fields: dict[str, object], problem: str
) -> None:
    assert master.status == "finished"
    spec = small(small_emoji, **fields)
    with pytest.raises(TeacherError, match=problem):
        located(store.home, spec)
    planner = LocalPlanner(store.home)
    assert planner.teacher_problem(spec, None) is not None
    assert planner.teacher_problem(small(small_emoji), None) is None


def test_a_plan_shows_the_problem(store: Store, master: Run, small_emoji: Path) -> None:
    assert master.status == "finished"
    found = preflight(LocalPlanner(store.home), small(small_emoji, validation_fraction=0.4))
    [problem] = found.problems
    assert "the teacher, has validation-fraction 0.2, not 0.4: it was trained on" in problem
    assert preflight(LocalPlanner(store.home), small(small_emoji)).problems == ()


def test_a_teacher_of_other_classes_or_in_the_trash_does_not_fit(
    store: Store, master: Run, small_emoji: Path
) -> None:
    with pytest.raises(TeacherError, match="has the classes animal, face, food, not "):
        with_teacher(store.home, small(small_emoji), PACS)
    store.trash.move(master.run_id)
    with pytest.raises(TeacherError, match="the teacher, is missing: it was deleted, or is in the"):
        with_teacher(store.home, small(small_emoji))


def test_an_unfinished_run_does_not_teach(store: Store, small_emoji: Path) -> None:
    store.runs.create(small(small_emoji, objective="erm", teacher=None), name="master")
    with pytest.raises(TeacherError, match="the teacher, has not finished"):
        located(store.home, small(small_emoji))


def study_of(store: Store, images: Path, **fields: object) -> Study:
    values = {**SMALL_RUN, "data_dir": str(images), "teacher": "master", **fields}
    lines = [f"{name} = {value!r}" for name, value in values.items()]
    text = "\n".join(
        ['name = "s"', "[cross]", 'objective = ["erm", "confreg"]', "[fields]", *lines]
    )
    return read_study(text, "s.toml", HomeDatasets(store.home), folder=Path())


def test_a_study_names_a_teacher(store: Store, master: Run, small_emoji: Path) -> None:
    study = study_of(store, small_emoji)
    assert {spec.teacher for spec in study.specs} == {master.run_id}
    refuse_misfits(store.home, standing_of(store, study))
    other = study_of(store, small_emoji, validation_fraction=0.4)
    with pytest.raises(StudyError, match=r"^s: --teacher: .* has validation-fraction 0\.2, not"):
        refuse_misfits(store.home, standing_of(store, other))
    missing = study_of(store, small_emoji, teacher="mastre")
    with pytest.raises(StudyError, match="^s: --teacher: No run 'mastre'"):
        refuse_misfits(store.home, standing_of(store, missing))


def test_a_teacher_without_effect_is_refused(small_emoji: Path) -> None:
    with pytest.raises(SpecError, match="Give --objective confreg, or drop --teacher"):
        small(small_emoji, objective="erm")
