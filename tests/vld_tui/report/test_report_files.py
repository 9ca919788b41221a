"""What a report becomes: figures, a page of one file, files beside it."""

from __future__ import annotations

import html.parser
import io
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from tests.vld_tui.report.test_report_tables import HOSTILE
from tests.vld_tui.study.made_outcomes import CELLS, result, setting, study
from vld_tui.report.accuracy import by_target, centres
from vld_tui.report.canvas import COLUMN_INCHES, DOTS_PER_INCH, fitting, looks
from vld_tui.report.choices import choice_tables
from vld_tui.report.content import Fact, Report, results_csv
from vld_tui.report.differences import differences
from vld_tui.report.figures import (
    chain_field,
    chain_picture,
    cloud_picture,
    target_picture,
    way_picture,
)
from vld_tui.report.tables import Table, TableColumn, records
from vld_tui.report.terminal import report_texts
from vld_tui.report.write import draw, file_names, page, write_report
from vld_tui.study.results.interpolation import Curve, Way
from vld_tui.study.results.outcomes import Design, Outcome, Setting
from vld_tui.study.results.selection import clouds


def report_of(results: list[Outcome], *, name: str = "rates") -> Report:
    missing = Table("missing", "Missing", (TableColumn("a", name),), ((name,),))
    return Report(
        name=name,
        title=f"Title {name}",
        facts=(Fact("study", name),),
        missing=missing,
        tables=(by_target(results), centres(results)),
        clouds=tuple(clouds(results)),
        results=tuple(results),
        complete=tuple(results),
        ways=(),
        design=Design(("dropout_rate",), ("lr", "weight_decay")),
        definition=f'title = "{name}"\n[cross]\n',
    )


@pytest.fixture(scope="module")
def hostile() -> Report:
    results = [
        result(HOSTILE, dataset=HOSTILE, rate=rate, cell=CELLS[0], domains={HOSTILE: 0.5})
        for rate in (0.0, 0.9)
    ]
    return report_of(results, name=HOSTILE)


class _Tags(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_asks_for_nothing_and_obeys_no_name(hostile: Report) -> None:
    written = page(hostile, draw(hostile))
    parser = _Tags()
    parser.feed(written)
    names = [tag for tag, _ in parser.tags]
    assert not {"script", "link", "iframe", "object"} & set(names)
    for tag, attributes in parser.tags:
        assert not [name for name in attributes if name.startswith("on")]
        source = attributes.get("src") or ""
        assert source.startswith("data:image/png;base64,") == (tag == "img")
        assert (attributes.get("href") or "#").startswith("#")
    assert "alert(1)" in parser.text
    assert "\x1b" not in written
    assert "default-src 'none'" in written


def test_the_page_folds_long_tables_and_keeps_the_lines_of_the_definition() -> None:
    report = report_of(study(seeds=(0,)))
    results, centre = report.tables
    long = [each._replace(rows=each.rows[:1] * 61) for each in (results, centre)]
    definition = 'name = "a<b"\n\n[fields]  # \x1b&\n'
    written = page(report._replace(tables=tuple(long), definition=definition), [])
    assert written.count("<details><summary>61 rows</summary>") == 1, "the results stay open"
    assert "<pre>name = &#34;a&lt;b&#34;\n\n[fields]  # ␛&amp;\n</pre>" in written


def test_figures_are_drawn_of_any_name_for_print_and_screen(hostile: Report) -> None:
    for picture in draw(hostile):
        assert picture.files["pdf"].startswith(b"%PDF")
        image = Image.open(io.BytesIO(picture.files["png"]))
        assert image.width == COLUMN_INCHES * DOTS_PER_INCH
        assert picture.caption


def test_the_terminal_is_told_no_escape(hostile: Report) -> None:
    for text in report_texts(hostile, 80):
        assert "\x1b" not in text.plain


def test_captions_tell_points_runs_and_seeds() -> None:
    found = clouds(study())
    assert "72 runs per setting (4 targets, 6 cells, 3 seeds) give 1,296 points." in (
        cloud_picture(found).caption
    )
    chain = chain_picture(found)
    assert chain is not None
    assert "72 runs per setting (4 targets, 6 cells, 3 seeds)." in chain.caption


def test_captions_say_what_bars_are_and_where_there_are_none() -> None:
    told = {}
    for seeds in ((0,), (0, 1), (0, 1, 2)):
        results = study(seeds=seeds)
        for picture in (chain_picture(clouds(results)), target_picture(results)):
            assert picture is not None
            told[picture.name, len(seeds)] = picture.caption
    for name in ("chain", "targets"):
        assert "no error bars: an interval needs 3 seeds that have every cell." in told[name, 1]
        assert "no error bars: an interval needs 3 seeds, not 2." in told[name, 2]
        assert "bars: 95% intervals over seeds on these targets (Student's t)" in told[name, 3]
        assert "an interval needs" not in told[name, 3]
    mixed = study(rates=(0.0,)) + study(rates=(0.9,), seeds=(0, 1))
    chain = chain_picture(clouds(mixed))
    assert chain is not None
    assert "no bar with only 2 seeds, since an interval needs 3" in chain.caption


def test_the_same_report_is_the_same_figure() -> None:
    found = clouds(study())
    assert cloud_picture(found).files == cloud_picture(found).files


def test_the_chain_follows_the_dropout_rate_else_another_number() -> None:
    rates = [setting(rate) for rate in (0.0, 0.9)]
    assert chain_field(rates) == "dropout_rate"
    assert chain_field(rates[:1]) is None
    masks = [Setting((("model", "m"), ("masks", masks))) for masks in (1, 8)]
    assert chain_field(masks) == "masks"
    both = [Setting((("masks", m), ("dropout_rate", r))) for m in (1, 8) for r in (0.0, 0.9)]
    assert chain_field(both) == "dropout_rate"
    models = [Setting((("model", model), ("freeze_batchnorm", model == "a"))) for model in "ab"]
    assert chain_field(models) is None
    assert chain_picture(clouds([result()])) is None


def test_a_compared_number_may_be_none() -> None:
    clips = [Setting((("grad_clip", clip),)) for clip in (None, 5.0, 1.0)]
    results = [
        msgspec.structs.replace(result(ood_accuracy=0.5 + 0.1 * at), setting=clip)
        for at, clip in enumerate(clips)
    ]
    assert chain_field(clips) == "grad_clip"
    chain = chain_picture(clouds(results))
    assert chain is not None
    assert "in order of grad_clip (those without a number are not joined)" in chain.caption
    assert {picture.name for picture in draw(report_of(results))} >= {"clouds", "chain", "targets"}


def test_settings_look_apart() -> None:
    settings = [setting(rate, arm) for rate in (0.0, 0.5, 0.9) for arm in (None, "averaged")]
    drawn = looks(settings)
    assert len({(look.colour, look.marker) for look in drawn.values()}) == len(settings)


def test_interpolations_are_drawn() -> None:
    curves = tuple(
        Curve(arm, domain, (0.0, 0.5, 1.0), (0.7, 0.2, 0.8))
        for arm in ("interpolation", "representations")
        for domain in ("id", "ood")
    )
    picture = way_picture([Way("a-run", HOSTILE, HOSTILE, "sketch", curves)])
    assert picture.files["png"]
    assert "run a-run." in picture.caption
    from_probe = Way("a-run", HOSTILE, HOSTILE, "sketch", curves, "linear_probe")
    assert "run a-run (interpolation from a linear probe)." in way_picture([from_probe]).caption


def test_files_are_written_and_written_again(tmp_path: Path) -> None:
    report = report_of(study(seeds=(0, 1)))
    written = write_report(report, tmp_path / "a" / "b")
    names = {path.name for path in written}
    assert names == {
        "index.html", "clouds.png", "clouds.pdf", "chain.png", "chain.pdf", "targets.png",
        "targets.pdf", "results.csv", "results.tex", "centres.csv", "centres.tex",
        "missing.csv", "missing.tex", "runs.csv",
    }  # fmt: skip
    assert {path.name for path in (tmp_path / "a" / "b").iterdir()} == names
    assert write_report(report, tmp_path / "a" / "b") == written
    again = write_report(report._replace(missing=None), tmp_path / "a" / "b")
    assert (
        {path.name for path in written} - {path.name for path in again}
        == {path.name for path in written if not path.exists()}
        == {"missing.csv", "missing.tex"}
    )
    lines = results_csv(report).splitlines()
    assert len(lines) == 1 + len(report.results)
    assert lines[0].startswith("run,dataset,target,held_out_source,dropout_rate,lr,weight_decay,")


def test_runs_without_a_target_are_in_the_table_of_accuracies_alone(tmp_path: Path) -> None:
    targeted = study(seeds=(0, 1), targets=("art", "photo"))
    nothing = [
        msgspec.structs.replace(
            each, target="none", ood_accuracy=None, domains={"art": 0.7, "photo": 0.6}, last=None
        )
        for each in targeted
        if each.target == "art"
    ]
    both = report_of(targeted + nothing)
    assert [each.targets for each in both.clouds] == [("art", "photo")] * 2
    rows = records(by_target([*targeted, *nothing]))
    (row, _) = (each for each in rows if each["target"] == "none")
    assert (row["ood_accuracy"], row["runs"], row["seeds"]) == (None, 12, "2")
    assert row["id_accuracy"] == pytest.approx(
        np.mean([e.id_accuracy for e in nothing if e.setting == setting(0.0)])
    )
    assert (row["worst_domain"], row["worst_source"]) == ("photo", "photo")
    of_both = {each["target"]: each for each in rows}
    assert [name for name in of_both if str(name).startswith("mean of 2 ")]
    assert choice_tables([*targeted, *nothing], both.design) == choice_tables(targeted, both.design)
    assert differences([*targeted, *nothing]) == differences(targeted)
    names = {path.name for path in write_report(both, tmp_path / "both")}
    assert names >= {"clouds.png", "targets.png", "results.csv"}

    alone = report_of(nothing)._replace(tables=(by_target(nothing),))
    assert (alone.clouds, draw(alone)) == ((), [])
    left = {path.name for path in write_report(alone, tmp_path / "both")}
    assert left == {
        "index.html", "results.csv", "results.tex", "missing.csv", "missing.tex", "runs.csv",
    }  # fmt: skip
    assert {path.name for path in (tmp_path / "both").iterdir()} == left
    assert choice_tables(nothing, alone.design) == []
    assert differences(nothing) is None


def test_tables_of_data_sets_that_left_the_study_go(tmp_path: Path) -> None:
    results = study(dataset="PACS", seeds=(0,)) + study(dataset="VLCS", seeds=(0,))
    report = report_of(results)
    design = Design(("dropout_rate",), ("lr", "weight_decay"))
    both = report._replace(tables=tuple(choice_tables(results, design)))
    of_pacs = [each for each in results if each.dataset == "PACS"]
    one = report_of(of_pacs)._replace(tables=tuple(choice_tables(of_pacs, design)))
    somebody_s = [tmp_path / name for name in ("settings-mine.csv", "cells-mine.tex", "cells-a.b")]
    for path in somebody_s:
        path.write_text("mine")
    before = write_report(both, tmp_path)
    left = {path.name for path in write_report(one, tmp_path)}
    gone = {path.name for path in before if not path.exists()}
    assert gone == {
        f"{kind}-VLCS.{end}" for kind in ("cells", "settings") for end in ("csv", "tex")
    }
    assert left == {path.name for path in tmp_path.iterdir()} - {each.name for each in somebody_s}


def test_names_from_outside_become_files_of_their_own() -> None:
    names = file_names(["cells-../../etc", "cells-a b", "cells-A/b", "..", "x" * 300])
    assert names[:4] == ["cells-..-..-etc", "cells-a-b", "cells-A-b-2", "table"]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,90}", name) for name in names)
    assert len({name.lower() for name in names}) == len(names)


@pytest.mark.parametrize(
    ("accuracies", "ends"),
    [
        ([50.0, 60.0], (44.0, 66.0)),
        ([50.0], (49.0, 51.0)),
        ([0.2, 99.9], (0.0, 100.0)),
        ([70.0, 70.1], (69.0, 71.1)),
    ],
)
def test_an_axis_shows_marks_with_room_around_them(
    accuracies: list[float], ends: tuple[float, float]
) -> None:
    assert fitting(accuracies) == pytest.approx(ends)
