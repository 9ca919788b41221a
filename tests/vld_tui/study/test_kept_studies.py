"""Studies are found by path, by the name they were launched under, and among the presets."""

from __future__ import annotations

import importlib.resources
import re
import tomllib
from pathlib import Path

import pytest

from engine.protocol import evaluation_steps, resolve_spec
from engine.protocol.identity import run_identity
from tests.vld_tui.study.known_datasets import ask_once
from vld_tui.home import Home
from vld_tui.launch.datasets import DatasetError
from vld_tui.store.labels import default_name
from vld_tui.study.define.files import (
    SMALL,
    StudyText,
    find_study,
    find_text,
    keep_study,
    kept_names,
    kept_path,
    study_preset_names,
    study_preset_text,
    study_preset_titles,
    without_local_folder,
)
from vld_tui.study.define.grid import StudyError

TEXT = """\
# mine
name = "mine"
data = ["emoji"] # the embedded ones

[cross]
target = "all"
weights = ["none", "net.pth"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere" / "mine.toml"
    path.parent.mkdir()
    path.write_text(TEXT)
    return path


def test_a_kept_study_has_the_same_runs_from_anywhere(
    home: Home, file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(file.parent)
    study = find_study(home, "mine.toml")
    assert {spec.weights for spec in study.specs} == {"none", str(file.parent / "net.pth")}
    keep_study(home, study, find_text(home, "mine.toml"))
    assert kept_names(home) == ["mine"]
    monkeypatch.chdir(tmp_path)
    kept = find_study(home, "mine")
    assert (kept.specs, kept.title, kept.compare) == (study.specs, "mine", ("weights",))
    assert (
        kept_path(home, "mine")
        .read_text()
        .endswith('\n\n[domains]\nemoji = ["fluent", "fluent-mono", "noto", "twemoji"]\n')
    )
    keep_study(home, kept, find_text(home, "mine"))
    assert find_study(home, "mine").specs == study.specs, "kept again as it is"


NO_DATA = 'name = "mine"\n[fields]\nsteps = 20\n[cross]\ntarget = ["{target}"]\n'


def test_a_study_kept_without_its_data_is_of_the_emoji(home: Home) -> None:
    home.studies.mkdir()
    kept_path(home, "mine").write_text(NO_DATA.format(target="noto"))
    (spec,) = find_study(home, "mine").specs
    assert (spec.dataset, spec.target, spec.image_size) == ("emoji", "noto", 96)


def test_a_study_is_kept_with_its_data(home: Home, file: Path) -> None:
    file.write_text(NO_DATA.format(target="lineart"))
    study = find_study(home, str(file))
    assert study.specs[0].dataset == "objects-drawn"
    keep_study(home, study, find_text(home, str(file)))
    assert find_study(home, "mine").specs == study.specs
    assert 'data = ["objects-drawn"]' in kept_path(home, "mine").read_text()


@pytest.mark.parametrize(
    "text",
    [
        'name = "mine"\n[fields]\ndata = "/photos"\n',
        'name = "mine"\n[cross]\ndataset = ["emoji", "objects-drawn"]\n',
        'name = "mine"\n[[zip]]\ndata-dir = ["/a", "/b"]\nseed = [0, 1]\n',
    ],
)
def test_a_study_that_sets_its_images_field_by_field_gets_no_others(text: str) -> None:
    study = StudyText(text, "x.toml", None)
    assert study.with_default_data("objects-drawn") is study
    with pytest.raises(StudyError, match="--data cannot replace its data"):
        study.with_data(["emoji"])


def test_a_value_is_replaced_and_all_else_stays() -> None:
    text = StudyText(TEXT, "mine", None)
    assert text.with_value("data", ["A", "/b c"]).text == TEXT.replace(
        'data = ["emoji"]', 'data = ["A", "/b c"]'
    )
    assert text.with_value("title", 'a "b" é\\').text == 'title = "a \\"b\\" é\\\\"\n' + TEXT
    several = StudyText('name = "x"\n"data" = [\n  "a",\n] # two\n', "x.toml", None)
    assert several.with_value("data", ["b"]).text == 'name = "x"\n"data" = ["b"] # two\n'
    for broken in ('name = "x"\n[fields\n', f"seeds = [{'9' * 5000}]"):
        with pytest.raises(StudyError, match=r"x\.toml: not valid TOML: "):
            StudyText(broken, "x.toml", None).with_data(["b"])
    below = StudyText('[fields]\ndata = "a"\n', "x.toml", None)
    assert tomllib.loads(below.with_value("data", ["b"]).text) == {
        "data": ["b"], "fields": {"data": "a"},
    }  # fmt: skip


def test_data_sets_do_not_replace_what_fields_say() -> None:
    text = StudyText('name = "x"\n[fields]\ndataset = "PACS"\n', "x.toml", None)
    with pytest.raises(StudyError, match="--data cannot replace its dataset") as refused:
        text.with_data(["Sketches"])
    assert 'data = ["Sketches"]' in str(refused.value)


def test_what_is_not_there_is_told_with_the_nearest(
    home: Home, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StudyError, match="No study or preset 'paper-fig33'. Did you mean paper"):
        find_study(home, "paper-fig33")
    with pytest.raises(
        StudyError, match="List them with: vld sweep ls\nFor your own study, pass a TOML"
    ):
        find_study(home, "qqq")
    monkeypatch.chdir(file.parent)
    with pytest.raises(StudyError, match="No study or preset 'mine'. Did you mean mine.toml?"):
        find_study(home, "mine")
    with pytest.raises(StudyError, match="Cannot read .*none.toml: No such file"):
        find_study(home, "none.toml")
    with pytest.raises(StudyError, match="Cannot read .*~nosuchuser/x.toml: No such file"):
        find_study(home, "~nosuchuser/x.toml")
    (file.parent / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(StudyError, match="bytes.toml is not UTF-8 text"):
        find_study(home, "bytes.toml")
    file.write_text('name = "x"\ndata = ["~nosuchuser/pets"]')
    with pytest.raises(DatasetError, match="~nosuchuser/pets"):
        find_study(home, "mine.toml")
    file.write_text('name = "x"\n[fields]\ndataset = "emojo"')
    with pytest.raises(DatasetError, match="no data set named 'emojo'. Did you mean emoji?"):
        find_study(home, "mine.toml")


RUNS = {
    "paper-fig2": 2 * 72 * 4, "paper-fig3": 4 * 72 * 4, "paper-fig4": 4 * 108,
    "paper-fig5": 4 * 72, "paper-fig6": 2 * 72 * 4, "paper-fig7": 72 * 4,
    "paper-fig8": 2 * 2 * 72 * 4, "paper-fig9": 4 * 48 * 4,
    "paper-fig2-small": 16, "paper-fig3-small": 32, "paper-fig4-small": 32,
    "paper-fig5-small": 32, "paper-fig6-small": 16, "paper-fig7-small": 8,
    "paper-fig8-small": 32, "paper-fig9-small": 32,
    "demo": 3 * 2 * 5,
    "pays-linear": 2 * 4 * 2 * 6 * 2 * 10, "pays-short": 2 * 4 * 3 * 3, "pays-long": 2 * 2 * 2,
    "richness": 4 * 4 * 2, "paper-ask": 4 * 5,
    "paper-b": 2 * 4 * 3, "paper-c": 2 * 2 * 4 * 3, "paper-d": 2 * 2 * 2 * 3,
    "paper-e": 2 * 2 * 4 * 3, "paper-f": 4 * 4 * 2, "paper-g": 3 * 2 * 4 * 3,
    "paper-h": 2 * 2 * 4 * 3,
    "neighbours": 18 * 2 * (4 + 6), "neighbours-small": 16 * 2 * (4 + 6),
}  # fmt: skip


COMBINED = ("paper-fig2", "paper-fig6", "paper-fig7")
"""Figures with averages and ensembles of the final weights of all runs."""
SGD: dict[str, set[object]] = {"lr": {1e-3, 5e-4}, "weight_decay": {1e-4, 5e-5, 1e-5}}
OF_THE_FIGURES: dict[str, dict[str, set[object]]] = {
    "paper-fig2": {**SGD, "dropout_rate": {0.0, 0.9}},
    "paper-fig3": {**SGD, "dropout_rate": {0.0, 0.5, 0.9, 0.95}},
    "paper-fig4": {
        **SGD, "dropout_rate": {0.0, 0.5, 0.9, 0.95}, "lr": {3e-3, 5e-3}, "steps": {30_000},
        "lr_drops": {(15_000, 25_000)}, "eval_every": {1_000}, "dataset": {"DomainNet"},
    },
    "paper-fig5": {
        **SGD, "dropout_rate": {0.0, 0.5, 0.9, 0.95}, "lr": {5e-3, 1e-2}, "weights": {"none"},
        "dataset": {"VLCS"},
    },
    "paper-fig6": {**SGD, "dropout_rate": {0.0, 0.9}, "head_lr_factor": {10.0}},
    "paper-fig7": {**SGD, "dropout_rate": {0.9}},
    "paper-fig8": {
        **SGD, "dropout_rate": {0.0, 0.9}, "model": {"resnet50.tv_in1k", "resnet50.tv2_in1k"},
    },
    "paper-fig9": {
        **SGD, "dropout_rate": {0.0, 0.5, 0.9, 0.95}, "weight_decay": {1e-2, 5e-3},
        "tuning": {"linear"}, "views": {6},
    },
}  # fmt: skip
"""What the paper and its code say of each figure's runs; the rest is that of the recipe."""


@pytest.mark.parametrize("name", OF_THE_FIGURES)
def test_a_preset_varies_and_fixes_what_its_figure_does(name: str, home: Home) -> None:
    usual = {
        "dataset": {"PACS", "VLCS", "OfficeHome", "TerraIncognita"}, "seed": {0, 1, 2},
        "trial_seed": {0}, "precision": {"fp32"}, "steps": {10_001}, "eval_from": {1},
        "lr_drops": {(5_000, 10_000)}, "eval_every": {300}, "head_lr_factor": {1.0},
        "model": {"resnet50.tv2_in1k"}, "weights": {"pretrained"}, "tuning": {"full"},
    }  # fmt: skip
    specs = find_study(home, name).specs
    for field, values in {**usual, **OF_THE_FIGURES[name]}.items():
        assert {getattr(spec, field) for spec in specs} == values, field


def test_domainnet_is_evaluated_as_often_as_by_the_authors(home: Home) -> None:
    spec = find_study(home, "paper-fig4").specs[0]
    # theirs: after the update of each step that 1,000 divides, and after the last
    assert evaluation_steps(spec) == (*range(1, 30_000, 1_000), 30_000)


def test_every_preset_has_the_runs_of_its_figure(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vld_tui.study.define.datasets.work_on_datasets", ask_once)
    assert set(study_preset_names()) == set(RUNS)
    known = {name: find_study(home, name) for name in RUNS}
    assert {name: len(study.specs) for name, study in known.items()} == RUNS
    assert {name: study.name for name, study in known.items()} == {name: name for name in RUNS}
    assert not {name: study.misfits for name, study in known.items() if study.misfits}
    for name, study in known.items():
        names = {default_name(spec, study.named_by) for spec in study.specs}
        assert len(names) == len(study.specs), f"every run of {name} has its own name"
        if not name.startswith("paper-fig"):
            continue
        is_small = name.endswith("-small")
        assert {spec.recipe for spec in study.specs} == {"default" if is_small else "paper"}
        combined = name.removesuffix("-small") in COMBINED
        kept = {spec.keep_checkpoints for spec in study.specs}
        assert kept == {"all" if combined else "best"}, "final weights are combined across runs"
        assert bool(study.absent) is not is_small
        if not is_small:
            assert study.choose == ("lr", "weight_decay")
    for scale in ("", "-small"):
        runs = {number: set(known[f"paper-fig{number}{scale}"].identities) for number in (2, 3, 7)}
        assert runs[7] < runs[2] < runs[3], "what one figure ran, another has"


def test_presets_are_listed_as_declared_each_before_its_miniature(home: Home) -> None:
    names = study_preset_names()
    assert names[:5] == ["demo", "pays-linear", "pays-short", "pays-long", "richness"]
    for name in names:
        if name.endswith(SMALL):
            assert names.index(name) == names.index(name.removesuffix(SMALL)) + 1
    folder = importlib.resources.files("vld_tui.study") / "studies"
    files = {file.name.removesuffix(".toml") for file in folder.iterdir()}
    assert files == {name.replace(SMALL, ".small") for name in names}, "every file is declared"
    assert list(study_preset_titles()) == names
    guide = (Path(__file__).parents[3] / "docs/studies.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z0-9-]+)`", guide, re.MULTILINE)
    full = [name for name in names if name != "demo" and not name.endswith(SMALL)]
    assert [name for name in rows if name in full] == full, "as in the documentation"


def test_presets_of_dropouts_gain_leave_out_every_domain_and_keep_the_default_recipe(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vld_tui.study.define.datasets.work_on_datasets", ask_once)
    linear, short, long = (find_study(home, f"pays-{name}") for name in ("linear", "short", "long"))
    assert {spec.target for spec in linear.specs} == {spec.target for spec in short.specs}
    assert {spec.target for spec in long.specs} == {"photo", "clipart"}
    assert {spec.views for spec in linear.specs} == {6}
    assert {spec.head_steps for spec in linear.specs} == {0}
    usual = resolve_spec({"dataset": "emoji", "precision": "fp32", "target": "noto"})
    (run,) = (
        spec
        for spec in short.specs
        if (spec.dataset, spec.target, spec.dropout_rate, spec.seed) == ("emoji", "noto", 0.9, 0)
    )
    assert run_identity(run) == run_identity(usual)


@pytest.mark.parametrize(
    ("name", "other", "field", "plain", "shared"),
    [
        ("paper-c", "pays-short", "objective", "erm", 24),
        ("paper-g", "pays-short", "sparsity", 0.0, 24),
        ("paper-f", "richness", "seed", 0, 16),
    ],
)
def test_a_neighbour_is_compared_with_runs_of_another_preset(
    name: str,
    other: str,
    field: str,
    plain: object,
    shared: int,
    home: Home,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vld_tui.study.define.datasets.work_on_datasets", ask_once)
    study, known = find_study(home, name), find_study(home, other)
    own = {run_identity(spec) for spec in study.specs if getattr(spec, field) == plain}
    assert len(own) == shared
    assert own == set(study.identities) & set(known.identities)


def test_a_published_data_set_that_is_not_here_is_taken_to_lie_where_it_will(home: Home) -> None:
    text = study_preset_text("paper-fig5")
    study = text.read(home)
    assert study.absent == ("VLCS",)
    folder = home.datasets / "VLCS"
    assert {spec.data_dir for spec in study.specs} == {str(folder)}
    folder.mkdir()
    known = text.with_value("title", "x").text + (
        '\n[domains]\nVLCS = ["Caltech101", "LabelMe", "SUN09", "VOC2007"]\n'
    )
    here = StudyText(known, "x", None).read(home)
    assert (here.identities, here.absent) == (study.identities, ())


def test_others_are_not_told_where_a_study_lay() -> None:
    rest = 'title = "x"\n[fields]\nmodel = "folder"\n'
    for local in ("/home/somebody", "~/studies"):
        assert without_local_folder(f'folder = "{local}"\n{rest}') == rest
    several_lines = f'"folder" = """\n/home/x"""\n# mine\n{rest}'
    assert without_local_folder(several_lines) == f"# mine\n{rest}"
    relative = f'folder = "data"\n{rest}'
    assert without_local_folder(relative) == relative
