"""Rows of text are filtered by the language of filters."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

from vld_tui.store import patterns
from vld_tui.store.errors import QueryError
from vld_tui.store.row_filter import RowFilter

COLUMNS = ("", "λ", "name", "free space", "done")
ROWS = (
    ("queued", "0.9", "Base", "1,200", "50%"),
    ("running", "0.50", "try [b]", "90", "5%"),
    ("queued", "0.0", "–", "", "step 3/4"),
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", [0, 1, 2]),
        ("queued", [0, 2]),
        ("base | [b]", [0, 1]),
        ("queued base", [0]),
        ("!queued", [1]),
        ("not (queued or base)", [1]),
        ("/^TRY/", [1]),
        ("name:as", [0]),
        ("name=as", []),
        ("name=base", [0]),
        ("name!=base", [1, 2]),
        ("name=b*", [0]),
        ("name=base|try*", [0, 1]),
        ("name=none", [2]),
        ("name~^t", [1]),
        ("name!~^t", [0, 2]),
        ("λ>=0.5", [0, 1]),
        ("dropout = 0.5", [1]),
        ("lambda<.5", [2]),
        ("free_space>100", [0]),
        ("done>10", [0]),
        ('"3/4"', [2]),
    ],
)
def test_rows_match_as_runs_do(text: str, found: list[int]) -> None:
    assert RowFilter.parse(text, COLUMNS).select(ROWS) == found


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("nam:x", "No field 'nam' in this list. Did you mean name?"),
        ("steps=3", "No field 'steps' in this list. Fields: λ, name, free_space, done."),
        ("done>much", "done is 'much', but must be a number."),
        ("name~(", "is not a regular expression"),
        ("a (", "Missing term after '('."),
    ],
)
def test_errors_name_what_is_wrong(text: str, error: str) -> None:
    with pytest.raises(QueryError) as caught:
        RowFilter.parse(text, COLUMNS)
    assert error in str(caught.value)


def test_an_expression_that_takes_too_long_is_refused() -> None:
    found = RowFilter.parse("name~^(a|aa)+$c", COLUMNS)
    with pytest.raises(QueryError, match="takes too long"):
        found.select([("", "", "a" * 60, "", "")])


def test_each_selection_has_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(0.0, 0.4)  # seconds; each match takes 0.4
    monkeypatch.setattr(patterns, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    found = RowFilter.parse("name~(b|t)(a|r)", COLUMNS)
    for _ in range(20):
        assert found.select(ROWS) == [0, 1]
