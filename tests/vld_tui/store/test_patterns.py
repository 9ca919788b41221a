"""Regular expressions mean the same, whichever module matches them."""

from __future__ import annotations

import pytest
import regex

from vld_tui.store.patterns import Matcher, check_pattern

TEXTS = (
    "", "base", "Base 1", "try-2 [b]", "a.b", "A\nbase", "é", "ÉTÉ", "x" * 2000, "ſ", "12%", "a|b",
    "naïve_1", "tab\there", "x(y)", "{3}",
)  # fmt: skip


@pytest.mark.parametrize(
    "pattern",
    [
        "base", "^base", r"\d$", "a.b", r"a\.b", "é", "été", "b.*e", "[a-c]1?", r"[^\w\s]", "a|é",
        r"\[b\]", r"^\W", "x+$", "(a|b)", "[[:alpha:]]", r"\p{L}", "a{2}", r"x\(y", r"\bhere", "s",
        r"\K", "%", "", "^$",
    ],
)  # fmt: skip
def test_an_expression_matches_as_regex_does(pattern: str) -> None:
    for flags in ("i", "im"):
        whole = check_pattern(pattern, flags)
        expected = [regex.search(whole, text) is not None for text in TEXTS]
        assert [Matcher().matches(whole, text) for text in TEXTS] == expected
