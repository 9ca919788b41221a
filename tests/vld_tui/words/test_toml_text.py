"""TOML files of the user are changed in one place, and stay as they are in all others."""

import tomllib

import pytest

from vld_tui.words.toml_text import change_toml, read_toml

TEXT = """\
# mine

name   = 'x' # short
list = [
  1, # one
]
a.b = 1

# below
[fields]
name = "other"
[[zip]]
lr = [1e-3]
"""


def test_one_value_changes_and_the_rest_stays() -> None:
    assert change_toml(TEXT, {"name": "y"}) == TEXT.replace("'x'", '"y"')
    assert change_toml(TEXT, {"name": "x", "list": [1]}) == TEXT, "nothing changes"
    assert change_toml(TEXT, {"list": None, "b": None}) == TEXT.replace(
        "list = [\n  1, # one\n]\n", ""
    )


def test_a_new_key_stands_above_the_tables_and_a_table_below() -> None:
    added = change_toml(TEXT, {"title": 'a "b"\n\x1b\\', "domains": {'a"\x1b é': ["b"], "c": []}})
    assert added.startswith(f'title = "a \\"b\\"\\n\\u001b\\\\"\n{TEXT}')
    assert tomllib.loads(added) == {
        "title": 'a "b"\n\x1b\\', **tomllib.loads(TEXT), "domains": {'a"\x1b é': ["b"], "c": []},
    }  # fmt: skip
    assert change_toml("a = 1\n", {"b": True}) == "a = 1\nb = true\n"
    assert change_toml("a = true\n", {"a": 1}) == "a = 1\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a = 1\nb = [\n", "at end of document"),
        ("a = 1\nb c\n", "line 2, column 3"),
        (f"a = {'9' * 5000}", "5000 digits"),
        ("a = " + "[" * 3000, "recursion"),
    ],
)
def test_what_is_not_toml_is_refused_with_its_place(text: str, told: str) -> None:
    for refused in (lambda: read_toml(text), lambda: change_toml(text, {"a": 2})):
        with pytest.raises(ValueError, match=f"not valid TOML: .*{told}"):
            refused()
