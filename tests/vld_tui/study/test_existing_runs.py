"""Which runs count for a study whose data set is in its home, after the home was moved."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from engine.protocol import RunSpec, resolve_spec
from tests.vld_tui.study.test_gather import make_study
from tests.vld_tui.study.test_standing_and_cost import tell_failed, tell_finished
from vld_tui.home import Home, open_home
from vld_tui.store.store import Store
from vld_tui.study.define.definition import Study
from vld_tui.study.results.outcomes import gather
from vld_tui.study.standing import standing_of


def spec_of(folder: Path) -> RunSpec:
    """Return the spec of a run on images in a folder."""
    return resolve_spec({"dataset": "PACS", "data_dir": str(folder), "target": "sketch"})


def study_of(home: Home) -> Study:
    """Return a study of one run on the data set that was downloaded to a home."""
    return make_study([spec_of(home.datasets / "PACS")])


def test_finished_runs_count_after_the_home_was_moved(tmp_path: Path) -> None:
    before = open_home(tmp_path / "before")
    with Store.open(before) as store:
        run = tell_finished(store, study_of(before).specs[0])
        assert standing_of(store, study_of(before)).runs == (run,)
    shutil.move(before.path, tmp_path / "after")
    after = open_home(tmp_path / "after")
    with Store.open(after) as store:
        study = study_of(after)
        assert study.identities != study_of(before).identities
        (found,) = standing_of(store, study).known
        assert (found.run_id, found.identity) == (run.run_id, run.identity)
        assert [each.run_id for each in gather(store, study).runs] == [run.run_id]
        own = tell_finished(store, study.specs[0])
        assert standing_of(store, study).runs == (own,)


@pytest.mark.parametrize("is_there", [True, False])
def test_an_interrupted_run_counts_if_its_images_are_still_there(
    store: Store, tmp_path: Path, is_there: bool
) -> None:
    other = open_home(tmp_path / "other")
    if is_there:
        (other.datasets / "PACS").mkdir(parents=True)
    run = tell_failed(store, spec_of(other.datasets / "PACS"))
    standing = standing_of(store, study_of(store.home))
    assert standing.broken_off == ((run,) if is_there else ())
    assert len(standing.missing) == (0 if is_there else 1)


def test_runs_on_other_images_of_the_same_name_do_not_count(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "PACS"  # in no home
    folder.mkdir(parents=True)
    tell_finished(store, spec_of(folder))
    tell_finished(store, spec_of(Path("/gone/data/VLCS")))
    assert standing_of(store, study_of(store.home)).runs == (None,)


def test_of_runs_from_several_other_homes_the_newest_counts(store: Store, tmp_path: Path) -> None:
    one, other = open_home(tmp_path / "one"), open_home(tmp_path / "other")
    for home in (one, other, one):
        newest = tell_finished(store, spec_of(home.datasets / "PACS"))
    assert [each.run_id for each in gather(store, study_of(store.home)).runs] == [newest.run_id]
