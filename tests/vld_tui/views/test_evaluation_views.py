"""How evaluations on other data are shown."""

from __future__ import annotations

from msgspec.structs import replace

from engine.protocol import Confusion
from engine.rundir import StoredEvaluations
from tests.made_evaluations import make_evaluation
from vld_tui.views.evaluations import (
    cautions,
    evaluation_list,
    evaluation_text,
    evaluations_text,
    remarks,
)


def test_a_list_has_a_line_for_each_evaluation() -> None:
    stored = StoredEvaluations(
        (make_evaluation(), make_evaluation(name="later", at="last", step=None)),
        {"torn[b]": "truncated\x1b"},
    )
    _, first, second, damaged = evaluation_list(stored, 120).plain.splitlines()
    assert first.split()[:4] == ["photos", "80.0%", "73.9–85.0%", "80.0%"]
    assert "dropout, combined (last)" in second
    assert damaged == "torn[b].json cannot be read: truncated␛"


def test_nothing_to_list_names_the_command() -> None:
    text = evaluations_text(StoredEvaluations(), "run-1", 80).plain
    assert text == "No evaluations on other data. To add one:\nvld evaluate run-1 DATA"


def test_several_domains_have_a_mean_and_all_images() -> None:
    text = evaluation_text(make_evaluation({"a": 0.9, "b": 0.5}), 120).plain
    rows = {line.split("  ")[0]: line.split() for line in text.splitlines()}
    assert rows["a"][1] == "90.0%"
    assert rows["mean"][1] == "70.0%"
    assert rows["all images"][2] == "70.0%"
    alone = evaluation_text(make_evaluation({"a": 0.9}), 120).plain
    assert "mean " not in alone.partition("class ")[0]
    assert "all images" not in alone


def test_classes_are_listed_weakest_first_up_to_a_number() -> None:
    names = [f"class {at:02}" for at in range(40)]
    confusions = tuple(
        Confusion(at, at if hit else (at + 1) % 40, images)
        for at in range(40)
        for hit, images in ((True, 40 - at), (False, 1 + at))
    )
    made = make_evaluation(classes=names)
    made = replace(made, domains=(replace(made.domains[0], confusions=confusions),))
    shown = evaluation_text(made, 100).plain
    assert [line[:8] for line in shown.splitlines() if "class " in line][1] == "class 39"
    assert "… and 10 more classes with higher recall" in shown
    every = evaluation_text(made, 100, most_classes=None).plain
    assert "class 00" in every
    assert "more classes" not in every


def test_a_result_on_own_images_is_no_test() -> None:
    made = make_evaluation()
    known = replace(made.domains[0], known={"training": 3, "validation": 1, "target": 2})
    mixed = replace(made, domains=(known,), unreadable={"a.png": "is empty"})
    first, second = cautions(mixed)
    assert "Not a test: among the 200 images are 3 that the run was trained on and 1" in first
    assert second == "! 1 image cannot be read and is not evaluated."
    assert "2 images of the run's own data, from its target, which it was not trained on." in [
        *remarks(mixed)
    ]
    assert "not a test" in evaluation_list(StoredEvaluations((mixed,)), 120).plain
    assert not [*cautions(made)]


def test_remarks_say_what_the_numbers_cover() -> None:
    made = make_evaluation(known_problem="no folder\nor file", reading="train and test merged")
    first, folders, absent, unknown = remarks(made)
    assert folders == "Folders: train and test merged."
    assert "cover the sampling of images, not seeds or training" in first
    assert "No images of 1 class of the run: [b]dog␛" in absent
    assert unknown.endswith("trained on: no folder or file")
    grouped = replace(made, pooled=replace(made.pooled, groups=7))
    assert "sampling of groups of images" in next(remarks(grouped))


def test_what_a_foreign_file_lacks_is_unknown() -> None:
    made = make_evaluation({"a": 0.5, "b": 0.7})
    bare = replace(made.domains[0].scores, measures={}, calibrated={}, loss=None)
    made = replace(made, domains=(replace(made.domains[0], scores=bare), *made.domains[1:]))
    assert "–" in evaluation_text(made, 160).plain
