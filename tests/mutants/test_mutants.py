"""The bugs that ``make mutants`` puts into the program can still be put into it."""

from __future__ import annotations

import ast

import pytest

from tests.mutants.mutants import ROOT, Mutant, Part, StaleMutantError, read_parts

PARTS = list(read_parts())


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_each_bug_still_has_its_place_in_the_source(part: Part) -> None:
    for mutant in part.mutants:
        source = mutant.path(ROOT).read_text()
        mutated = mutant.apply(source, ROOT)
        assert ast.dump(ast.parse(mutated)) != ast.dump(ast.parse(source)), mutant.bug


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_the_tests_that_must_find_it_exist(part: Part) -> None:
    assert part.tests
    for test in part.tests:
        path, _, name = test.partition("::")
        assert (ROOT / path).exists(), path
        assert not name or f"def {name}(" in (ROOT / path).read_text(), test


def test_a_bug_without_a_place_is_named() -> None:
    source = "def one():\n    return 1 + 1\n\ndef two():\n    return 1\n"
    place = "tests.mutants.mutants"

    def apply(name: str, before: str) -> str:
        return Mutant(f"{place}.{name}", before, "2", "").apply(source, ROOT)

    assert apply("two", "1") == source[:-2] + "2\n"
    for name, before, times in (("two", "3", 0), ("three", "1", 0), ("one", "1", 2)):
        with pytest.raises(StaleMutantError, match=rf"{name}: '{before}' occurs {times} times"):
            apply(name, before)
    with pytest.raises(StaleMutantError, match="no such module"):
        Mutant("nothing.here", "", "", "").path(ROOT)
