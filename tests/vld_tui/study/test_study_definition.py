"""A study's runs follow from what is written, and nonsense is refused by file and key."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.protocol import resolve_spec, run_identity
from engine.protocol.embedded import EMBEDDED_DOMAINS
from tests.vld_tui.study.known_datasets import KnownDatasets, read
from vld_tui.study.define.definition import Study, StudyError, read_study

EMOJI, DRAWN = EMBEDDED_DOMAINS["emoji"], EMBEDDED_DOMAINS["objects-drawn"]


def values_of(study: Study, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(getattr(spec, name) for name in names) for spec in study.specs]


def test_lists_are_crossed_and_one_seed_of_everything_comes_first() -> None:
    study = read(
        """
        name = "rates"
        title = "How much?"
        choose = ["lr"]
        seeds = [3, 1]
        [cross]
        lr = [1e-3, 1e-4]
        dropout_rate = [0, 0.9]
        target = ["lineart"]
        """
    )
    assert (study.name, study.title) == ("rates", "How much?")
    assert (study.compare, study.choose) == (("dropout_rate",), ("lr",))
    assert values_of(study, "seed", "dropout_rate", "lr") == [
        (seed, rate, lr) for seed in (3, 1) for rate in (0.0, 0.9) for lr in (1e-3, 1e-4)
    ]
    assert {(spec.target, spec.dataset, spec.image_size) for spec in study.specs} == {
        ("lineart", "objects-drawn", 96)
    }
    assert study.identities == tuple(map(run_identity, study.specs))


AUGMENTED = """
    name = "images"
    seeds = 1
    [cross]
    lr = [1e-3, 1e-4]
    augment_validation = [false, true]
    target = ["lineart"]
    """


def test_accuracies_of_other_images_are_never_chosen_among_or_averaged() -> None:
    assert read(f'compare = ["lr"]\n{AUGMENTED}').compare == ("lr", "augment_validation")
    with pytest.raises(StudyError, match="changes the images that ID accuracy is.*in compare"):
        read(f'choose = ["augment_validation"]\n{AUGMENTED}')


def test_specs_are_those_of_the_same_options_of_vld_run() -> None:
    study = read(
        'name = "one"\nseeds = 1\n[fields]\nrecipe = "paper"\ndevice = "cpu"\nthreads = 2\n'
        'target = "lineart"\nkeep_checkpoints = "all"\n'
    )
    given_values = {
        "recipe": "paper",
        "device": "cpu",
        "threads": 2,
        "target": "lineart",
        "seed": 0,
    }
    assert study.specs == (resolve_spec(given_values),)


def test_sparsity_may_be_crossed_with_the_dropout_rate() -> None:
    study = read(
        'name = "sparse"\n[fields]\ntarget = "lineart"\n'
        "[cross]\nsparsity = [0, 0.5]\ndropout_rate = [0, 0.9]\n"
    )
    found = [(spec.sparsity, spec.dropout_rate) for spec in study.specs]
    assert sorted(found) == [(0, 0), (0, 0.9), (0.5, 0), (0.5, 0.9)]


def test_checkpoints_to_go_on_from_are_not_kept_unless_the_study_says_so() -> None:
    text = 'name = "one"\n[fields]\ntarget = "lineart"\n'
    assert read(text).specs[0].keep_checkpoints == "best"
    assert read('keep = "none"\n' + text).specs[0].keep_checkpoints == "none"


def test_all_targets_are_those_of_each_data_set() -> None:
    study = read('name = "all"\ndata = ["emoji", "abc"]\n[cross]\ntarget = "all"\n')
    assert values_of(study, "dataset", "target") == [
        *(("emoji", domain) for domain in EMOJI),
        *(("abc", domain) for domain in ("a", "b", "c")),
    ]
    assert study.compare == ()
    assert study.domains == {"emoji": EMOJI, "abc": ("a", "b", "c")}


def test_domains_that_the_study_names_are_not_looked_up() -> None:
    datasets = KnownDatasets()
    text = 'name = "all"\n[cross]\ntarget = "all"\n[domains]\nobjects-drawn = ["x", "y"]\n'
    study = read_study(text, "my.toml", datasets, folder=Path())
    assert [spec.target for spec in study.specs] == ["x", "y"]
    assert not datasets.asked


def test_an_added_grid_may_be_on_other_images() -> None:
    study = read(
        'name = "two"\ndata = ["emoji"]\n[[add]]\nfields = { dataset = "objects-drawn" }\n'
    )
    assert values_of(study, "dataset", "target") == [
        ("emoji", "fluent-mono"), ("objects-drawn", "clipart"),
    ]  # fmt: skip


def test_zipped_lists_go_together() -> None:
    study = read(
        'name = "zip"\n[cross]\ndropout_rate = [0.0, 0.9]\n[[zip]]\nmodel = ["a", "b"]\n'
        "image_size = [64, 96]\n"
    )
    assert values_of(study, "image_size", "model", "dropout_rate") == [
        (64, "a", 0.0), (64, "a", 0.9), (96, "b", 0.0), (96, "b", 0.9),
    ]  # fmt: skip
    assert study.compare == ("image_size", "model", "dropout_rate")


def test_an_added_grid_is_the_studys_own_but_for_what_it_names() -> None:
    study = read(
        """
        name = "arms"
        seeds = 2
        [cross]
        lr = [1e-3, 1e-4]
        dropout_rate = [0.0, 0.9]
        [[add]]
        fields = { objective = "groupdro", dropout_rate = 0.0 }
        [[add]]
        fields = { objective = "groupdro" }
        cross = { dropout_rate = [0.5], lr = [0.1] }
        """
    )
    assert len(study.specs) == 2 * (4 + 2 + 1)
    assert set(values_of(study, "objective", "dropout_rate", "lr")) == {
        ("erm", 0.0, 1e-3), ("erm", 0.0, 1e-4), ("erm", 0.9, 1e-3), ("erm", 0.9, 1e-4),
        ("groupdro", 0.0, 1e-3), ("groupdro", 0.0, 1e-4), ("groupdro", 0.5, 0.1),
    }  # fmt: skip
    assert study.compare == ("objective", "dropout_rate", "lr")
    assert [spec.seed for spec in study.specs] == [0] * 7 + [1] * 7


def test_a_zip_is_dropped_whole_where_an_added_grid_names_one_of_its_fields() -> None:
    study = read(
        'name = "zip"\n[[zip]]\nmodel = ["a", "b"]\nmasks = [2, 3]\n'
        '[[add]]\nfields = { model = "c" }\n'
    )
    assert values_of(study, "model", "masks") == [("a", 2), ("b", 3), ("c", 8)]


def test_combinations_are_left_out() -> None:
    study = read(
        'name = "some"\nseeds = 2\n[cross]\ntarget = "all"\ndropout_rate = [0.0, 0.95]\n'
        '[[exclude]]\ndropout_rate = 0.95\ntarget = "lineart"\n'
        "[[exclude]]\nseed = 1\ndropout_rate = 0"
    )
    left = values_of(study, "dropout_rate", "target", "seed")
    assert len(left) == 12 - 2 - 3
    assert not {(0.95, "lineart", 0), (0.95, "lineart", 1), (0.0, "emoji", 1)}.intersection(left)


def test_runs_for_choosing_by_a_source_left_out_serve_both_domains_of_a_pair() -> None:
    study = read(
        'name = "lodo"\nseeds = 2\nleave_one_source_out = true\n[cross]\ntarget = "all"\n'
        "dropout_rate = [0.0, 0.9]\n"
    )
    assert len(study.main_specs) == 12
    assert study.specs[:12] == study.main_specs, "the study's own runs come first"
    pairs = set(itertools.combinations(sorted(DRAWN), 2))
    held_out = study.specs[12:]
    assert {(spec.target, spec.held_out_source) for spec in held_out} == pairs
    assert len(held_out) == len(pairs) * 2 * 2
    one = read(
        'name = "lodo"\nleave_one_source_out = true\n[fields]\ntarget = "emoji"\n'
    )  # a source that comes first by name is the target of the run
    assert [(spec.target, spec.held_out_source) for spec in one.specs] == [
        ("emoji", None), ("clipart", "emoji"), ("emoji", "lineart"),
    ]  # fmt: skip


def test_no_target_is_a_target() -> None:
    study = read('name = "none"\n[cross]\ntarget = ["none", "lineart"]\n')
    assert [spec.target for spec in study.specs] == ["none", "lineart"]
    unsaid = read('name = "one"\n[fields]\ndataset = "single"\n')
    assert [spec.target for spec in unsaid.specs] == ["none"], "there is no choice"


def test_without_a_target_each_domain_is_a_source_to_hold_out() -> None:
    study = read(
        'name = "lodo"\nleave_one_source_out = true\n[fields]\ndataset = "pair"\ntarget = "none"\n'
    )
    assert [(spec.target, spec.held_out_source) for spec in study.specs] == [
        ("none", None), ("none", "day"), ("none", "night"),
    ]  # fmt: skip


def test_paths_are_relative_to_the_folder_of_the_study() -> None:
    text = 'name = "paths"\ndata = ["abc", "./mine"]\n[fields]\nweights = "net.pth"\ntarget = "a"\n'
    study = read(text, Path("/here"))
    assert values_of(study, "dataset", "data_dir", "weights") == [
        ("abc", None, "/here/net.pth"), ("mine", "/here/mine", "/here/net.pth"),
    ]  # fmt: skip
    assert read(f'folder = "/there"\n{text}').specs[0].weights == "/there/net.pth"


def test_none_is_a_value_where_a_field_may_be_missing() -> None:
    study = read('name = "clip"\n[cross]\ngrad_clip = ["none", 1.0]\nweights = ["none"]\n')
    assert values_of(study, "grad_clip", "weights") == [(None, "none"), (1.0, "none")]


def test_what_is_named_is_compared() -> None:
    text = "[cross]\nlr = [1e-3, 1e-4]\ndropout_rate = [0.0, 0.9]\nmasks = [1, 8]\n"
    assert read(f'name = "x"\n{text}').compare == ("dropout_rate", "masks", "lr")
    assert read(f'name = "x"\nchoose = ["lr"]\n{text}').compare == ("dropout_rate", "masks")
    assert read(f'name = "x"\ncompare = ["masks"]\n{text}').compare == ("masks",)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name = ", "my.toml: not valid TOML: "),
        ("", "my.toml: name is missing: add a line such as name = "),
        ('name = "two words"', "name is 'two words', but must be one word of up to 60"),
        ('name = "status"', "name is 'status', but must be one word"),
        ("name = 3", "name is 3, but must be text"),
        ('name = "x"\nseed = 1', "unknown key 'seed'. Did you mean seeds?"),
        ('name = "x"\nlr = 1', "unknown key 'lr'. Fields of runs belong in [fields] or [cross]"),
        ('name = "x"\n[fields]\ndropuot = 0.9', "[fields] has an unknown field 'dropuot'. Did you"),
        (
            'name = "x"\n[cross]\ndropout = [0.9]\ndropout_rate = [0.9]',
            "[cross]: dropout and dropout_rate are the same field; give only one",
        ),
        (
            'name = "x"\n[fields]\nbatch = 4\n[cross]\nbatch-size = [4]',
            "batch_size is in both [fields] and [cross]",
        ),
        ('name = "x"\n[cross]\nqqqq = [1]', "unknown field 'qqqq'.  List them with: vld run"),
        ('name = "x"\n[cross]\nlr = []', "[cross] lr is an empty list"),
        ('name = "x"\n[cross]\nlr = 1.0', "[cross] lr is 1.0, but must be a list of values"),
        ('name = "x"\n[cross]\ndropout_rate = [0, 1.5]', "[cross] dropout_rate is 1.5, but must"),
        ('name = "x"\n[fields]\nseed = 1', "[fields] sets seed: use seeds = [0, 1, 2] above"),
        ('name = "x"\n[fields]\nlr = 1.0\n[cross]\nlr = [1.0]', "lr is in both [fields] and ["),
        ('name = "x"\nseeds = 0', "seeds is 0, but must be a number (1 to 1000) or a list"),
        ('name = "x"\nseeds = [0, -1]', "seeds: seed is -1, but must be a whole number from 0"),
        ('name = "x"\nseeds = [1, 1]', "two runs are identical: seed 1"),
        ('name = "x"\n[[zip]]\nlr = [1.0, 2.0]\nmasks = [1]', "[[zip]] 1 has lists of different "),
        ('name = "x"\n[[zip]]\n', "[[zip]] 1 is empty"),
        ('name = "x"\n[zip]\nlr = [1.0]', "zip must be a list of tables: write [[zip]]"),
        ('name = "x"\n[cross]\ntarget = ["linart"]', "target is 'linart', but objects-drawn has"),
        ('name = "x"\n[cross]\ntarget = ["linart"]', "emoji, lineart. Did you mean lineart"),
        ('name = "x"\n[fields]\ndataset = "abc"', 'target is missing: add target = "all"'),
        ('name = "x"\n[cross]\nlr = [1.0, 1]', "two runs are identical: seed 0, lr 1, "),
        (
            'name = "x"\n[cross]\nthreads = [1, 2]',
            "two runs differ only in threads, which does not change the result: seed 0",
        ),
        (
            'name = "x"\n[cross]\ndropout_rate = [0, 0.9]\nmask_basis = ["units", "pca"]',
            "two runs differ only in mask_basis, which does not change the result: seed 0, "
            "dropout_rate 0, keep_checkpoints best. Leave one out with [[exclude]].",
        ),
        ('name = "x"\n[[add]]\nfields = { }', "two runs are identical"),
        ('name = "x"\n[[add]]\nfield = { }', "[[add]] 1 has an unknown key 'field'. Did you mean "),
        ('name = "x"\n[[exclude]]\nlr = 7.0', "[[exclude]] 1 matches no remaining run"),
        ('name = "x"\n[[exclude]]\nseed = 0', "[[exclude]] removes every run"),
        ('name = "x"\n[[exclude]]\n', "[[exclude]] 1 is empty"),
        ('name = "x"\n[fields]\nrecipe = "papr"', "recipe is 'papr', but must be one of default, "),
        ('name = "x"\n[cross]\nlr = [1e-3, inf]', "[cross] lr is inf, but must be a finite numb"),
        ('name = "x"\n[fields]\nsteps = 1_000_000_000_000', "[fields] steps is 1000000000000, but"),
        ('name = "x"\n[fields]\nmasks = true', "[fields] masks is True, but must be a whole num"),
        (f'name = "x"\nseeds = [{"9" * 5000}]', "not valid TOML"),
        ('name = "x"\n[fields]\nschedule = "step"', "schedule is 'step', but lr_drops is empty"),
        ('name = "x"\nchoose = ["lrr"]', "choose has an unknown field 'lrr'. Did you mean lr?"),
        ('name = "x"\nchoose = ["lr"]\ncompare = ["lr"]', "'lr' is in both compare and choose"),
        ('name = "x"\nkeep = "some"', "keep is 'some', but must be one of all, best, "),
        ('name = "x"\nkeep = "all"\n[fields]\nkeep_checkpoints = "all"', "keep and keep_checkpoin"),
        ('name = "x"\ndata = []', "data is an empty list"),
        ('name = "x"\ndata = "PACS"', "data is 'PACS', but must be a list of data sets or folders"),
        ('name = "x"\ndata = ["a"]\n[fields]\ndataset = "b"', "data and dataset both set"),
        (
            'name = "x"\nleave_one_source_out = true\n[fields]\ndataset = "pair"\ntarget = "day"',
            "leave_one_source_out needs three domains; pair has fewer",
        ),
        ('name = "x"\n[fields]\ndataset = "single"\ntarget = "photo"', "only one domain, photo"),
        ('name = "x"\n[fields]\ndataset = "single"\n[cross]\ntarget = "all"', "but single has"),
        (
            'name = "x"\nleave_one_source_out = true\n[fields]\ndataset = "single"',
            "leave_one_source_out needs two domains with target none; single has fewer",
        ),
        (
            'name = "x"\n[domains]\nmine = ["none", "a"]\n[fields]\ndataset = "mine"\n'
            'target = "none"',
            "mine has a domain named 'none'",
        ),
        (
            'name = "x"\n[fields]\ntarget = "lineart"\nheld_out_source = "lineart"',
            "'lineart' is both target and held_out_source",
        ),
    ],
)  # fmt: skip
def test_nonsense_is_refused_by_file_and_key(text: str, told: str) -> None:
    with pytest.raises(StudyError) as refused:
        read(text)
    message = str(refused.value)
    assert message.startswith("my.toml: ")
    assert told in message
    assert message.count("\n") <= 1


def test_a_grid_of_millions_is_refused_before_it_is_made() -> None:
    many = ", ".join(str(1e-6 * number) for number in range(1, 1001))
    with pytest.raises(StudyError, match="1,000,000,000 runs"):
        read(f'name = "x"\nseeds = 1000\n[cross]\nlr = [{many}]\nweight_decay = [{many}]\n')


AXES = {
    "lr": st.sampled_from([1e-4, 3e-4, 1e-3, 1e-2]),
    "dropout_rate": st.sampled_from([0.0, 0.5, 0.9, 0.95]),
    "masks": st.sampled_from([1, 2, 8]),
    "target": st.sampled_from(DRAWN),
}


@st.composite
def grids(draw: st.DrawFn) -> tuple[dict[str, list[Any]], dict[str, Any], int]:
    """Return lists to cross, a combination to leave out of them (or none), and seeds."""
    names = draw(st.lists(st.sampled_from(sorted(AXES)), unique=True, min_size=1))
    cross = {
        name: draw(st.lists(AXES[name], unique=True, min_size=1, max_size=3)) for name in names
    }
    excluded = {
        name: draw(st.sampled_from(cross[name]))
        for name in draw(st.lists(st.sampled_from(names), unique=True))
    }
    return cross, excluded, draw(st.integers(1, 3))


@settings(deadline=None, max_examples=30)
@given(grids())
def test_as_many_runs_as_combinations_that_are_left(
    grid: tuple[dict[str, list[Any]], dict[str, Any], int],
) -> None:
    cross, excluded, seeds = grid
    combinations = [
        dict(zip(cross, values, strict=True)) for values in itertools.product(*cross.values())
    ]
    left = [each for each in combinations if not excluded or not excluded.items() <= each.items()]
    if not left:
        return
    study = read(as_toml(cross, excluded, seeds))
    assert len(study.specs) == len(set(study.identities)) == len(left) * seeds
    backwards = dict(reversed(cross.items()))
    assert read(as_toml(backwards, excluded, seeds)).specs == study.specs


def as_toml(cross: dict[str, list[Any]], excluded: dict[str, Any], seeds: int) -> str:
    lines = ['name = "x"', f"seeds = {seeds}", "[cross]"]
    lines += [f"{name} = {json.dumps(values)}" for name, values in cross.items()]
    if excluded:
        lines += ["[[exclude]]", *(f"{key} = {json.dumps(one)}" for key, one in excluded.items())]
    return "\n".join(lines)
