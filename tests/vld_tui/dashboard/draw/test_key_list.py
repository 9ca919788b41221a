"""Keys in columns."""

from __future__ import annotations

import pytest

from vld_tui.dashboard.draw.key_list import KeyGroup, key_list

GROUPS = (
    KeyGroup("here", [("a", "one"), ("ctrl+shift+end k", "two"), ("c", "three")]),
    KeyGroup("nowhere", []),
)


@pytest.mark.parametrize(("cells", "rows"), [(20, 3), (67, 3), (68, 2), (102, 1)])
def test_entries_take_as_many_columns_as_find_room(cells: int, rows: int) -> None:
    lines = key_list(GROUPS, cells).plain.splitlines()
    assert lines[0] == "here"
    assert lines[1].split()[:2] == ["a", "one"]
    assert lines.index("nowhere") == rows + 2
    assert "ctrl+shift+end k" in "".join(lines)


def test_no_keys_are_no_text() -> None:
    assert key_list((), 80).plain == ""
