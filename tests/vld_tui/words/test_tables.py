import pytest

from engine.protocol.datasets import DatasetListing, DomainListing
from vld_tui.views.inventory import Check, check_lines, dataset_detail, model_lines
from vld_tui.words.columns import Column, table_lines
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
