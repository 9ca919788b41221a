"""What of a study is there: its finished runs, each once, and what is missing."""

from __future__ import annotations

import msgspec
import pytest

from benchmarks.filled_study import fill_study
from engine.protocol import (
    Combination,
    CombinationSpec,
    Metric,
    Parent,
    RunSpec,
    resolve_spec,
    run_identity,
)
from tests.vld_tui.store.told_runs import Teller, arm_evaluated, data_prepared, evaluation, finished
from vld_tui.home import Home
from vld_tui.report.content import facts
from vld_tui.store.store import Store
from vld_tui.study.define.definition import Study
from vld_tui.study.results.interpolation import Curve, find_ways, read_ways
from vld_tui.study.results.outcomes import (
    Design,
    Outcome,
    Setting,
    field_words,
    gather,
    settings_of,
)

DOMAINS = ("fluent", "fluent-mono", "noto")


def make_study(specs: list[RunSpec], *, compare: tuple[str, ...] = ("dropout_rate",)) -> Study:
    return Study(
        name="rates", title="Rates", compare=compare, choose=("lr",), specs=tuple(specs),
        identities=tuple(map(run_identity, specs)), domains={"emoji": DOMAINS},
    )  # fmt: skip


def make_specs(**fields: object) -> list[RunSpec]:
    return [
        resolve_spec(
            {"dataset": "emoji", "target": target, "dropout_rate": rate, "steps": 20, **fields}
        )
        for target in DOMAINS[:2]
        for rate in (0.0, 0.9)
    ]


def test_each_way_of_predicting_of_a_finished_run_is_an_outcome(home: Home) -> None:
    study = make_study(make_specs())
    fill_study(home, study)
    with Store.open(home) as store:
        found = gather(store, study)
        arms = store.series.arms([run.run_id for run in found.runs])
    assert len(found.runs) == found.asked == 4
    own = [each for each in found.results if each.setting.arm is None]
    assert [(each.run_id, each.ood_accuracy, each.domains) for each in own] == [
        (run.run_id, run.ood_accuracy, run.domains) for run in found.runs
    ]
    assert all(each.last is not None and each.last.step == 20 for each in found.results)
    others = [each for each in found.results if each.setting.arm is not None]
    assert [(e.run_id, e.setting.arm, e.selected_step, e.ood_accuracy) for e in others] == [
        (run_id, each.arm, each.selected_step, each.ood_accuracy)
        for run_id, of_run in arms.items()
        for each in of_run
    ]


@pytest.mark.parametrize("augmented", [False, True])
def test_the_facts_of_a_report_have_both_id_accuracies(home: Home, augmented: bool) -> None:
    study = make_study(make_specs(augment_validation=augmented))
    fill_study(home, study)
    with Store.open(home) as store:
        found = gather(store, study)
    told = {fact.label: fact.text for fact in facts(found, [], made_at=0.0, version="1")}
    said = told.get("ID accuracy", "")
    assert said.startswith("on augmented validation images, which select the step:") is augmented
    assert said.endswith("% on plain images") is augmented


def test_of_the_same_run_the_newest_that_finished_counts(home: Home, store: Store) -> None:
    (spec, *_) = make_specs()
    accuracies = (0.5, 0.6, None)
    for accuracy in accuracies:
        run = store.runs.create(msgspec.structs.replace(spec, threads=1))
        if accuracy is not None:
            teller = Teller(home.run_dir(run.run_id))
            teller.starts()
            teller.says(
                data_prepared(str(spec.target)),
                evaluation(20, id_accuracy=0.7, ood_accuracy=accuracy),
                finished(20, selected_step=20, id_accuracy=0.7, ood_accuracy=accuracy),
            )
    store.live.refresh()
    found = gather(store, make_study([spec]))
    assert [each.ood_accuracy for each in found.results] == [0.6]


def test_what_is_missing_is_counted_by_place_and_status(home: Home) -> None:
    specs = [spec for seed in range(3) for spec in make_specs(seed=seed)]
    study = make_study(specs)
    fill_study(home, study, specs=specs[:7])
    with Store.open(home) as store:
        store.runs.create(specs[7])
        found = gather(store, study)
    counts = {
        (each.target, each.setting.value("dropout_rate")): (each.finished, dict(each.others))
        for each in found.coverage
    }
    assert counts == {
        ("fluent", 0.0): (2, {"not started": 1}),
        ("fluent", 0.9): (2, {"not started": 1}),
        ("fluent-mono", 0.0): (2, {"not started": 1}),
        ("fluent-mono", 0.9): (1, {"starting": 1, "not started": 1}),
    }
    assert found.asked == 12


def test_runs_that_leave_out_a_source_are_told_apart(home: Home) -> None:
    specs = make_specs()[:1]
    held_out = msgspec.structs.replace(specs[0], held_out_source="noto")
    study = make_study([*specs, held_out])
    fill_study(home, study, arms=())
    with Store.open(home) as store:
        found = gather(store, study)
    assert [each.held_out_source for each in found.results] == [None, "noto"]
    assert [each.has_held_out_source for each in found.coverage] == [False, True]
    assert "noto" in found.results[1].domains


def test_fields_that_nobody_named_are_compared_not_averaged() -> None:
    specs = [spec for masks in (1, 8) for spec in make_specs(masks=masks)]
    design = Design.of(specs, ("dropout_rate", "target"), ("lr",))
    assert design == Design(("dropout_rate", "masks"), ("lr",))
    tied = [*make_specs(masks=1)[::2], *make_specs(masks=8)[1::2]]
    assert Design.of(tied, ("dropout_rate",), ("lr",)).compared == ("dropout_rate",)
    where = [spec for threads in (1, 2) for spec in make_specs(threads=threads)]
    assert Design.of(where, ("dropout_rate",), ()).compared == ("dropout_rate",)


def test_accuracies_of_other_images_are_compared_whatever_a_study_says() -> None:
    tied = [*make_specs()[::2], *make_specs(augment_validation=True)[1::2]]
    assert len({spec.dropout_rate for spec in tied}) == 2
    named = "augment_validation"
    assert Design.of(tied, ("dropout_rate",), ("lr", named)).compared == ("dropout_rate", named)
    assert Design.of(tied, (named, "dropout_rate"), ("lr",)).chosen == ("lr",)


def test_settings_are_told_in_words() -> None:
    setting = Setting((("dropout_rate", 0.9), ("model", "a net"), ("freeze_batchnorm", False)))
    assert setting.label == "λ 0.9 · model a net · freeze-batchnorm no"

    assert setting._replace(values=(), arm="averaged").label == "averaged"
    assert Setting(()).label == "as trained"
    assert field_words("lr_drops", (5, 10)) == "lr-drops 5, 10"
    assert field_words("grad_clip", None) == "grad-clip none"


def test_a_label_of_many_fields_leaves_out_words_at_their_default() -> None:
    plain = (("objective", "erm"), ("class_weights", "none"), ("dropout_rate", 0.9), ("masks", 8))
    assert Setting(plain).label == "λ 0.9 · masks 8"
    assert Setting(plain[:1] + plain[2:3]).label == "objective erm · λ 0.9", "of two, all"
    others = (("objective", "coral"), *plain[1:3], ("masks", "inf"))
    assert Setting(others, "averaged").label == "objective coral · λ 0.9 · masks inf · averaged"


def test_settings_are_ordered_by_numbers_and_declared_choices_the_default_first() -> None:
    def of(objective: str, masks: object, outliers: str | None, arm: str | None = None) -> Setting:
        return Setting((("objective", objective), ("masks", masks), ("outliers", outliers)), arm)

    wanted = [
        of("erm", 8, None), of("erm", 8, "emoji"), of("erm", 16, None), of("erm", "inf", None),
        of("groupdro", 8, None), of("coral", 8, None), of("coral+vrex", 8, None),
        of("erm", 8, None, "averaged"),
    ]  # fmt: skip
    results = [
        Outcome(dataset="d", target="t", setting=each, id_accuracy=0.5, ood_accuracy=0.5)
        for each in reversed(wanted)
    ]
    assert settings_of(results) == wanted


def test_interpolations_between_runs_of_the_study_are_found(home: Home, store: Store) -> None:
    (spec, *_) = make_specs()
    parents = tuple(Parent(name, f"/{name}") for name in ("one", "two"))
    run = store.runs.create(
        CombinationSpec(spec, Combination(method="interpolation", parents=parents))
    )
    store.runs.create(CombinationSpec(spec, Combination(method="soup", parents=parents)))
    teller = Teller(home.run_dir(run.run_id))
    teller.starts()
    teller.says(data_prepared(str(spec.target)))
    for step, accuracy in ((0, 0.7), (50, 0.2), (100, 0.8)):
        ood_accuracy = accuracy / 2
        teller.says(
            evaluation(step, id_accuracy=accuracy, ood_accuracy=ood_accuracy),
            arm_evaluated(step, "representations", id_accuracy=0.6, ood_accuracy=0.5),
        )
    store.live.refresh()
    assert [each.run_id for each in find_ways(store, {"one", "two", "three"})] == [run.run_id]
    assert find_ways(store, {"one"}) == []
    (way,) = read_ways(store, [run])
    shares = (0.0, 0.5, 1.0)
    assert set(way.curves) == {
        Curve("interpolation", "id", shares, (0.7, 0.2, 0.8)),
        Curve("interpolation", "ood", shares, (0.35, 0.1, 0.4)),
        Curve("representations", "id", shares, (0.6, 0.6, 0.6)),
        Curve("representations", "ood", shares, (0.5, 0.5, 0.5)),
    }
    assert read_ways(store, [store.runs.create(spec)]) == []


@pytest.mark.parametrize("augmented", [False, True])
def test_runs_selected_on_balanced_accuracy_have_its_values(home: Home, augmented: bool) -> None:
    spec = resolve_spec(
        {"target": "noto", "held_out_source": "fluent", "steps": 20, "select_on": "balanced",
         "augment_validation": augmented}
    )  # fmt: skip
    with Store.open(home) as store:
        run = store.runs.create(spec)
        told = evaluation(20, id_accuracy=0.9, ood_accuracy=0.8)
        balanced = [
            Metric(split, domain, "dropout", "balanced_accuracy", value)
            for split, domain, value in (
                ("in", "noto", 0.4), ("out", "noto", 0.3), ("in", "fluent", 0.5), ("out", "x", 0.6),
            )
        ]  # fmt: skip
        measures = {"balanced_accuracy": (0.6, 0.4)}
        told = msgspec.structs.replace(
            told, selection_score=0.55 if augmented else 0.6, measures=measures,
            metrics=[*told.metrics, *balanced, Metric("out", "noto", "dropout", "accuracy", 0.7)],
        )  # fmt: skip
        teller = Teller(home.run_dir(run.run_id))
        teller.starts()
        teller.says(
            data_prepared("noto"), told,
            finished(20, selected_step=20, id_accuracy=0.9, ood_accuracy=0.8),
        )  # fmt: skip
        store.live.refresh()
        [found] = gather(store, make_study([spec])).results
    assert found.selected_on == "balanced"
    assert found.id_score == (0.55 if augmented else 0.6)
    assert found.domain_scores == {"noto": 0.4, "fluent": 0.5}
    assert found.target_out_score == 0.3
