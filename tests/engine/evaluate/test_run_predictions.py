"""The predictions that a real run leaves beside its selected network."""

from __future__ import annotations

import io
from collections import Counter

from PIL import Image

from engine.protocol import DomainPredictions, Evaluated, Predictions, RunFinished, as_classes
from engine.rundir import RunDir
from tests.small_runs import SMALL_CLASSES, MakeRun, read_events, run_here


def predictions_of(run_dir: RunDir) -> Predictions:
    found = run_dir.read_predictions()
    assert found is not None
    return found


def accuracy(domain: DomainPredictions) -> float:
    right = sum(count.images for count in domain.confusions if count.label == count.predicted)
    return right / sum(count.images for count in domain.confusions)


def test_they_are_those_of_the_selected_step(make_run: MakeRun) -> None:
    run_dir = make_run()
    run_here(run_dir)
    predictions = predictions_of(run_dir)
    events = read_events(run_dir)
    finished = events[-1]
    assert isinstance(finished, RunFinished)
    assert predictions.step == finished.selected_step
    assert predictions.classes == SMALL_CLASSES
    evaluated = next(
        each for each in events if isinstance(each, Evaluated) and each.step == predictions.step
    )
    told = {(m.split, m.domain, m.name): m.value for m in evaluated.metrics}
    kept = {(each.split, each.domain): each for each in predictions.domains}
    assert len(kept) == 5
    for (split, domain), each in kept.items():
        assert accuracy(each) == told[split, domain, "accuracy"]
        assert each.loss == told[split, domain, "loss"]
        assert each.is_target is (domain == "fluent-mono")


def test_wrong_target_images_come_with_a_small_picture(make_run: MakeRun) -> None:
    run_dir = make_run(steps=1, head_steps=0, image_size=128)
    run_here(run_dir)
    predictions = predictions_of(run_dir)
    assert predictions.wrong
    confidences = [each.confidence for each in predictions.wrong]
    assert confidences == sorted(confidences, reverse=True)
    targets = [each for each in predictions.domains if each.is_target]
    images = sum(count.images for each in targets for count in each.confusions)
    right = round(sum(accuracy(d) * sum(c.images for c in d.confusions) for d in targets))
    assert len(predictions.wrong) == min(96, images - right)
    for each in predictions.wrong:
        assert each.label != each.predicted
        with Image.open(io.BytesIO(each.picture)) as picture:
            assert (picture.format, picture.size) == ("WEBP", (96, 96))
            assert picture.convert("L").getextrema() != (0, 0)


def test_the_same_run_leaves_the_same_predictions(make_run: MakeRun) -> None:
    first, second = make_run("first", steps=8), make_run("second", steps=8)
    run_here(first)
    run_here(second)
    assert first.predictions.read_bytes() == second.predictions.read_bytes()


def test_the_prediction_on_every_image_is_kept(make_run: MakeRun) -> None:
    run_dir = make_run(steps=1, head_steps=0)
    run_here(run_dir)
    predictions = predictions_of(run_dir)
    digests: dict[str, set[str]] = {}
    members: Counter[str] = Counter()
    for domain in predictions.domains:
        each = domain.each_image
        assert each is not None
        pairs = zip(as_classes(each.labels, 6), as_classes(each.predicted, 6), strict=True)
        assert Counter(pairs) == {(c.label, c.predicted): c.images for c in domain.confusions}
        digests.setdefault(domain.domain, set()).add(each.digest)
        members[domain.domain] += int.from_bytes(each.members, "big").bit_count()
        if domain.is_target:
            assert each.images == sum(d.images for d in predictions.domains if d.is_target)
    assert all(len(digest) == 1 for digest in digests.values())
    assert len(set.union(*digests.values())) == len(digests)


def test_mistakes_name_their_files_and_their_second_class(make_run: MakeRun) -> None:
    run_dir = make_run(steps=1, head_steps=0)
    run_here(run_dir)
    predictions = predictions_of(run_dir)
    names = {(d.domain, m.index): m.name for d in predictions.domains for m in d.mistakes}
    for domain in predictions.domains:
        assert len(domain.mistakes) == domain.wrong_images
        for mistake in domain.mistakes:
            assert mistake.second not in (None, mistake.predicted)
            assert 0 < mistake.second_confidence <= mistake.confidence
            assert SMALL_CLASSES[mistake.label] in mistake.name
            assert bool(mistake.picture) <= (not domain.is_target)
    for wrong in predictions.wrong:
        assert wrong.index is not None
        assert names[wrong.domain, wrong.index] == wrong.name
