import itertools

import pytest

from engine.protocol.datasets import DatasetListing, DomainListing
from vld_tui.views.inventory import Check, check_lines, dataset_detail, model_lines
from vld_tui.words.columns import Column, align, lay_out, table_lines
from vld_tui.words.text import width

COLUMNS = (
    Column("name", rank=9, shrinks=True, narrowest=6),
    Column("note", rank=1),
    Column("value", right=True, rank=5),
)
ROWS = [("first", "something", "1"), ("日本語の名前です", "else", "20000")]


def test_columns_are_as_wide_as_they_need() -> None:
    assert list(table_lines(COLUMNS, ROWS)) == [
        "name              note       value",
        "first             something      1",
        "日本語の名前です  else       20000",
    ]


def test_where_room_is_short_names_shrink_then_columns_go() -> None:
    assert list(table_lines(COLUMNS, ROWS, 30)) == [
        "name          note       value",
        "first         something      1",
        "日本語の名 …  else       20000",
    ]
    assert list(table_lines(COLUMNS, ROWS, 16)) == [
        "name       value",
        "first          1",
        "日本語の…  20000",
    ]


@pytest.mark.parametrize("cells", range(5, 60))
def test_no_line_is_wider_than_the_room(cells: int) -> None:
    assert all(width(line) <= max(cells, 6) for line in table_lines(COLUMNS, ROWS, cells))


def test_networks_are_listed_with_where_their_weights_are() -> None:
    models = [
        {"name": "tf_efficientnet_lite0", "weights": "packaged"},
        {"name": "odd\x1b", "weights": "somewhere"},
    ]
    assert list(model_lines(models, cells=None)) == [
        "network                weights",
        "tf_efficientnet_lite0  packaged: works offline",
        "odd␛                   somewhere",
    ]


def test_data_sets_are_listed_with_domains_and_classes() -> None:
    dataset = DatasetListing(
        name="pets",
        domains=(DomainListing("photo", 1200), DomainListing("ske\ntch", 30)),
        classes=("cat", "d[o]g"),
        where="/data/pets",
        complete=False,
        size_bytes=2048,
    )
    assert list(dataset_detail(dataset)) == [
        "pets  1,230 images, 2 classes  (incomplete)",
        "     1,200  photo",
        "        30  ske␊tch",
        "  classes: cat d[o]g",
        "  where: /data/pets  2.0 KiB",
    ]


def test_checks_are_told_apart_by_their_sign() -> None:
    checks = [Check("disk", True, "10 GiB free"), Check("database", False, "damaged\nsee doctor")]
    assert list(check_lines(checks)) == [
        "✓ disk      10 GiB free",
        "✗ database  damaged",
        "            see doctor",
    ]


def test_a_wider_terminal_shows_every_column_that_a_narrower_one_does() -> None:
    columns = (
        Column("name", rank=9, shrinks=True, narrowest=6, steps=((3, 20),)),
        Column("where", rank=8, shrinks=True, narrowest=3, keeps_after=" → "),
        Column("long note", rank=2),
        Column("n", rank=1),
    )
    rows = [("a" * 30, "a long way → home", "something", "1"), ("b", "a → b", "", "2")]
    layouts = [lay_out(columns, rows, cells) for cells in range(1, 80)]
    for narrower, wider in itertools.pairwise(layouts):
        assert {*narrower.shown} <= {*wider.shown}
    assert layouts[-1].shown == (0, 1, 2, 3)
    for cells, layout in enumerate(layouts, 1):
        if 1 in layout.shown and cells > 15:
            assert "→ home" in " ".join(align(columns, layout, rows[0]))
