import pytest

from vld_tui.words.text import fit, plain_text, shorten, shorten_middle, width


def test_ordinary_text_is_left_alone() -> None:
    text = "fluent-mono é 日本 👩‍🎨 [bold]x[/bold]"
    assert plain_text(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("a\rb\tc\nd", "a␍b␉c␊d"),
        ("\x07\x7f", "␇␡"),
        ("\x9b2J", "\\x9b2J"),
        ("run\u202egnp.exe", "run\\u202egnp.exe"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("line\u2028separator", "line\\u2028separator"),
        ("name\udcff", "name\\udcff"),
    ],
)
def test_what_could_steer_a_terminal_becomes_visible(text: str, shown: str) -> None:
    assert plain_text(text) == shown


def test_newlines_are_kept_on_request_and_nothing_else() -> None:
    assert plain_text("a\nb\r\n\x1b", keep_newlines=True) == "a\nb␍\n␛"


def test_result_can_always_be_encoded() -> None:
    everything = "".join(map(chr, range(0x3000))) + "\ud800\udfff\U000e0041"
    plain_text(everything).encode("utf-8")


def test_fit_counts_terminal_cells() -> None:
    assert width("日本") == 4
    assert fit("日本", 6) == "日本  "
    assert fit("ab", 5, right=True) == "   ab"
    assert fit("fluent-mono", 6) == "fluen…"
    assert width(fit("日本日本", 6)) == 6
    assert fit("abc", 0) == ""


def test_shorten_leaves_what_fits() -> None:
    assert shorten("abc", 3) == "abc"
    assert shorten("abcd", 3) == "ab…"


@pytest.mark.parametrize(
    ("text", "cells", "shown"),
    [
        ("abcdefgh", 8, "abcdefgh"),
        ("abcdefgh", 5, "ab…gh"),
        ("abcdefgh", 6, "abc…gh"),
        ("日本日本日本", 7, "日本…本"),
        ("abcdefgh", 1, "…"),
    ],
)
def test_the_middle_of_a_name_goes_first(text: str, cells: int, shown: str) -> None:
    short = shorten_middle(text, cells)
    assert short == shown
    assert width(short) <= cells
