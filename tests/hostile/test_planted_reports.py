"""Hostile names in a study and its runs: no file of its report obeys them."""

from __future__ import annotations

import csv
import html.parser
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.filled_study import fill_study
from tests.hostile.planted import HOSTILE, LATEX, TEXT, WORD, obeyed_in
from tests.vld_tui.cli.conftest import Vld
from vld_tui.home import open_home
from vld_tui.store.store import Store
from vld_tui.study.define.files import find_text, keep_study

NAME = "\x1b[31m\x9b2J\u202e<script>alert(1)<⁄script>\"'><img src=x>&\\input{x}$\\frac%#_^~"
DOMAINS = [f"{letter} {NAME}" for letter in "abc"]
STUDY = f"""
name = "planted"
title = {json.dumps(TEXT)}
seeds = 2
fields = {{ steps = 20, data_dir = DATA, model = {json.dumps(f"m {TEXT}")} }}
cross = {{ target = "all", dropout_rate = [0.0, 0.9] }}
"""
OF_TABLES = re.compile(
    r"\\(usepackage|begin|end|centering|caption|label|toprule|midrule|bottomrule|textbackslash|"
    r"textasciicircum|textasciitilde|textless|textgreater|textbar|textquotedbl|lambda|pm|cdot|"
    r"times|dots)\b"
)
"""All that a table says to LaTeX."""


class Tags(html.parser.HTMLParser):
    """Collects what a page has beside text."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {tag, *(f"{name}=" for name, _ in attrs)}
        self.found |= {f"{value}"[:11] for name, value in attrs if name in ("src", "href")}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Write the report of a study of hostile names; return its folder and what was printed."""
    root = tmp_path_factory.mktemp("planted")
    home, file = open_home(root / "home"), root / "planted.toml"
    images = root / f"d {NAME}"
    for domain in DOMAINS:
        for name in (f"{letter} {NAME}" for letter in "xy"):
            (images / domain / name).mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(images / domain / name / "1.png")
    file.write_text(STUDY.replace("DATA", json.dumps(str(images))))
    text = find_text(home, str(file))
    study = text.read(home)
    keep_study(home, study, text)
    fill_study(home, study, domains=DOMAINS, arms=("averaged",))
    with Store.open(home) as store:
        for number, run in enumerate(store.runs.find()):
            store.labels.rename(run.run_id, f"{number} {HOSTILE}"[:100])
            store.labels.set_note(run.run_id, TEXT)
            store.labels.change_tags(run.run_id, lambda _: (WORD[:64],))
    told = Vld(home.path)("report", "planted", "--out", str(root / "report"))
    assert told.exit_code == 0, told.stderr
    return root / "report", told.stdout + told.stderr


def read(report: tuple[Path, str], kind: str) -> list[str]:
    return [path.read_bytes().decode() for path in sorted(report[0].glob(f"*.{kind}"))]


def test_the_terminal_is_not_steered(report: tuple[Path, str]) -> None:
    assert not obeyed_in(report[1])


def test_the_page_shows_them_as_text(report: tuple[Path, str]) -> None:
    (page,) = read(report, "html")
    tags = Tags()
    tags.feed(page)
    assert not {"script", "iframe", "object", "link", "form"} & tags.found
    assert not [found for found in tags.found if re.fullmatch(r"on\w+=", found)]
    assert "x" not in tags.found  # the source of the planted image
    assert "&lt;script&gt;alert(1)" in page
    assert not obeyed_in(page)


def test_latex_sets_them_as_text(report: tuple[Path, str]) -> None:
    tables = read(report, "tex")
    assert any("alert(1)" in table for table in tables)
    for table in tables:
        assert LATEX not in table
        rest = OF_TABLES.sub("", table).replace("\\\\\n", "\n")  # without the ends of rows
        assert re.findall(r"\\(?![\\{}&%$#_])\S*", rest) == []
        assert not obeyed_in(table)


def test_csv_keeps_them_in_their_cells(report: tuple[Path, str]) -> None:
    tables = [list(csv.reader(text.splitlines(keepends=True))) for text in read(report, "csv")]
    assert any(cell in DOMAINS for rows in tables for row in rows for cell in row)
    for rows in tables:
        assert {len(row) for row in rows} == {len(rows[0])}
