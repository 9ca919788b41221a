"""Keys that two actions would have."""

from __future__ import annotations

import pytest

from vld_tui.dashboard.keys import every_action, find_clash, find_clashes


def test_the_usual_keys_do_not_clash() -> None:
    assert not [action for action in every_action() if find_clash(action, {})]


@pytest.mark.parametrize(
    ("chosen", "left_out"),
    [
        ({"sort": "b", "group": "o"}, []),  # changed places
        ({"sort": "w", "group": "o"}, ["sort", "group"]),  # the usual key of sort is taken too
        ({"quit": "x", "help": "x"}, ["help", "quit"]),  # a chart has x
        ({"first": "/"}, []),  # of the table; slash is a key of charts and logs
        ({"filter": "/"}, ["filter"]),
        ({"sort": "", "not-known": "q"}, []),
    ],
)
def test_what_clashes_is_left_out_until_nothing_does(
    chosen: dict[str, str], left_out: list[str]
) -> None:
    assert [action for action, _ in find_clashes(chosen)] == left_out
