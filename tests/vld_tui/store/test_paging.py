"""Pages of a long history."""

from __future__ import annotations

from engine.protocol import resolve_spec
from tests.vld_tui.store.told_runs import Teller, evaluated, started
from vld_tui.store.query import Query
from vld_tui.store.store import Store


def test_pages_put_together_are_the_whole_list(store: Store) -> None:
    for seed in range(7):
        store.runs.create(resolve_spec({"seed": seed}))
    query = Query.parse("seed>=1", sort="-seed")
    whole = store.runs.find(query)
    assert [run.seed for run in whole] == [6, 5, 4, 3, 2, 1]
    pages = [store.runs.find(query, offset=offset, limit=4) for offset in (0, 4)]
    assert [len(page) for page in pages] == [4, 2]
    assert pages[0] + pages[1] == whole
    assert store.runs.count(query) == 6
    assert store.runs.count() == 7


def test_what_is_in_the_trash_is_counted_apart(store: Store) -> None:
    run = store.runs.create(resolve_spec({}))
    store.runs.create(resolve_spec({}))
    Teller(store.runs.run_dir(run.run_id)).says(started())
    store.live.refresh()
    assert store.runs.count_statuses() == {"starting": 1, "running": 1}
    assert (store.runs.count(), store.runs.count(trashed=True)) == (2, 0)


def test_points_are_the_evaluated_runs_that_match(store: Store) -> None:
    for seed in range(3):
        fields = {"seed": seed, "dropout_rate": 0.5, "augment_validation": seed == 2}
        run = store.runs.create(resolve_spec(fields))
        if seed:
            events = evaluated(10, id_accuracy=0.7, ood_accuracy=0.4 + seed / 10)
            Teller(store.runs.run_dir(run.run_id)).says(started(), *events)
    store.live.refresh()
    (point,) = store.runs.points(Query.parse("seed<2"), limit=10)
    assert (point.id_accuracy, point.ood_accuracy, point.dropout_rate) == (0.7, 0.5, 0.5)
    assert [each.is_augmented for each in store.runs.points(limit=10)] == [True, False]
    assert len(store.runs.points(limit=1)) == 1
