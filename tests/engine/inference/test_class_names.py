"""Classes of other data are matched with those of a run by name, and by nothing else."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence

import pytest

from engine.errors import InputError
from engine.inference.class_names import ClassesOfData, match_classes

KNOWN = ("cat", "dog", "golden retriever")


def _match(
    classes: Sequence[str],
    class_map: Mapping[str, str] | None = None,
    known: Sequence[str] = KNOWN,
    domains: Sequence[str] = ("all",),
) -> dict[str, int | None]:
    return match_classes(ClassesOfData("run-1", known, "photos", classes, domains), class_map or {})


def test_the_same_names_match_in_any_order_and_number() -> None:
    assert _match(["dog", "cat"]) == {"dog": 1, "cat": 0}
    assert _match(["dog"]) == {"dog": 1}


def test_accents_match_in_either_encoding() -> None:
    name = "bébé"
    composed, decomposed = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
    assert composed != decomposed
    assert _match([decomposed], known=[composed, "cat"]) == {decomposed: 0}
    assert _match(["baby"], {"baby": decomposed}, known=[composed, "cat"]) == {"baby": 0}


def test_a_map_renames_merges_and_leaves_out() -> None:
    found = _match(["Dog", "puppy", "wolf", "cat"], {"Dog": "dog", "puppy": "dog", "wolf": ""})
    assert found == {"Dog": 1, "puppy": 1, "wolf": None, "cat": 0}
    assert _match(["cat"], {"cat": "dog"}) == {"cat": 1}
    with pytest.raises(InputError, match="leaves out every class of photos"):
        _match(["cat"], {"cat": ""})


def test_an_error_lists_both_and_suggests_what_was_likely_meant() -> None:
    with pytest.raises(InputError) as raised:
        _match(["Dog", "Golden_Retriever", "zebra", "cat"])
    text = str(raised.value)
    assert "photos has 3 classes unknown to run run-1: Dog, Golden_Retriever, zebra." in text
    assert "classes of photos: Dog, Golden_Retriever, zebra, cat" in text
    assert "classes of run run-1: cat, dog, golden retriever" in text
    assert "--map Dog=dog --map 'Golden_Retriever=golden retriever'" in text
    assert "zebra=" not in text
    with pytest.raises(InputError, match="has 1 class unknown to run run-1: cats"):
        _match(["cats", "dog"])


def test_a_map_names_classes_that_exist() -> None:
    with pytest.raises(InputError, match=r"'Dog'|Dog, which is no class of photos. Did you mean"):
        _match(["dogs"], {"Dog": "dog"})
    with pytest.raises(InputError, match="which is no class of run run-1. Did you mean dog"):
        _match(["Dog"], {"Dog": "Dog"})


def test_a_misread_layout_is_recognized() -> None:
    with pytest.raises(InputError, match="cat, dog were read as domains.*--layout class"):
        _match(["poodle", "siamese"], domains=("cat", "dog"))
