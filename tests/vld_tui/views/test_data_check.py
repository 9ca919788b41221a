"""The lines of a check of a data set."""

from __future__ import annotations

from engine.protocol.datasets import CheckReport, Duplicate, Finding
from vld_tui.cli.data.check import check_report_lines
from vld_tui.words.text import width


def make_report(classes: tuple[str, ...], **more: object) -> CheckReport:
    counts = {
        domain: {name: number + 2 for number, name in enumerate(classes)}
        for domain in ("photo", "sketch")
    }
    values: dict[str, object] = {
        "unreadable": {}, "modes": {"RGB": 4}, "formats": {"PNG": 4}, "short_sides": (9, 9, 9),
        "exact_duplicates": (), "near_duplicates": (), "findings": (), **more,
    }  # fmt: skip
    return CheckReport("pets", "/d/pets", classes, counts, **values)  # type: ignore[arg-type]


def test_many_classes_are_summarized_unless_all_are_asked_for() -> None:
    report = make_report(tuple(f"class{number:03}" for number in range(1000)))
    lines = list(check_report_lines(report, cells=80))
    assert len(lines) < 20
    assert lines[2].split() == [
        "domain", "images", "classes", "smallest", "class", "median", "largest", "class",
    ]  # fmt: skip
    assert lines[3].split() == [
        "photo", "501,500", "1,000", "class000", "(2)", "501", "class999", "(1,001)",
    ]  # fmt: skip
    assert "1,000 classes; list them with --all" in lines
    everything = list(check_report_lines(report, cells=80, shows_all=True))
    assert sum(line.startswith("class") for line in everything) == 1001


def test_long_names_are_shortened_in_the_middle_to_fit() -> None:
    long = "a" + 60 * "very" + "long-name"
    pair = Duplicate(f"photo/{long}/1.png", f"sketch/{long}/22.png", 2, "photo/x", "sketch/x")
    report = make_report(("cat", long), near_duplicates=(pair,), near_duplicate_count=1)
    lines = list(check_report_lines(report, cells=80))
    assert max(map(width, lines)) <= 80
    (row,) = [line for line in lines if line.startswith("avery")]
    assert "…" in row
    assert "long-name" in row
    (listed,) = [line for line in lines if "≈" in line]
    assert "/1.png ≈ sketch" in listed
    assert listed.endswith("/22.png (2 bits)")


def test_pairs_beyond_those_shown_are_counted_and_the_last_line_is_the_verdict() -> None:
    twice = tuple(Duplicate("a.png", "a.png", 0, "photo/cat", "sketch/cat") for _ in range(12))
    report = make_report(("cat", "dog"), exact_duplicates=twice)
    lines = list(check_report_lines(report, cells=None))
    assert "  a.png in photo/cat and sketch/cat" in lines
    assert "  … and 2 more; list all with --all or --json" in lines
    assert lines[-1] == "✓ no errors"
    spoilt = make_report(("cat", "dog"), findings=(Finding(True, "12 images are in both"),))
    assert list(check_report_lines(spoilt, cells=None))[-1] == "✗ 12 images are in both"
