"""Runs that cannot be combined are refused, and the refusal says which and why."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from engine.errors import InputError
from engine.protocol import Combination, CombinationError, Parent, RunFailed, SpecError
from tests.engine.combine.conftest import NETWORK, OTHER_NETWORK, Family, do
from tests.small_runs import read_events, start_engine


def trained_with(family: Family, **fields: object) -> None:
    family.train("other", steps=1, **fields)


def test_another_network(family: Family) -> None:
    trained_with(family, model=OTHER_NETWORK, weights="none")
    with pytest.raises(InputError, match=f"model is {NETWORK} in run first but {OTHER_NETWORK}"):
        do(family.make("soup", "first", "other"))


def test_another_target(family: Family) -> None:
    trained_with(family, target="noto")
    with pytest.raises(InputError, match="target is fluent-mono in run first but noto in run oth"):
        do(family.make("ensemble", "first", "other"))


def test_images_of_another_size(family: Family) -> None:
    trained_with(family, image_size=64)
    with pytest.raises(InputError, match="image-size is 32 in run first but 64"):
        do(family.make("soup", "first", "other"))


def test_a_target_that_the_runs_were_trained_on(family: Family) -> None:
    with pytest.raises(InputError, match="target is fluent-mono in run first but noto"):
        do(family.make("soup", "first", "second", target="noto"))


def test_other_classes(family: Family, tmp_path: Path) -> None:
    images = tmp_path / "images"
    shutil.copytree(family.spec.data_dir or "", images)
    for folder in images.glob("*/food"):
        shutil.rmtree(folder)
    trained_with(family, data_dir=str(images))
    with pytest.raises(InputError, match="Run other was trained on other images"):
        do(family.make("soup", "first", "other"))


def test_images_that_changed_since(family: Family, tmp_path: Path) -> None:
    images = tmp_path / "images"
    shutil.copytree(family.spec.data_dir or "", images)
    for name in ("one", "two"):
        family.train(name, steps=1, data_dir=str(images))
    next(images.rglob("*.webp")).unlink()
    with pytest.raises(InputError, match="Run one was trained on other images"):
        do(family.make("soup", "one", "two"))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def without_state(path: Path) -> None:
    save_file(load_file(path), path)


def no_safetensors(path: Path) -> None:
    path.write_bytes(b"\x80\x05hello")


@pytest.mark.parametrize("damage", [truncate, without_state, no_safetensors])
def test_a_damaged_checkpoint(family: Family, damage: Callable[[Path], None]) -> None:
    damage(family["second"].best_checkpoint)
    with pytest.raises(InputError, match=r"best\.safetensors of run second is damaged.*--at last"):
        do(family.make("soup", "first", "second"))
    do(family.make("soup", "first", "second", at="last"))


def test_a_checkpoint_of_other_tensors(family: Family) -> None:
    other = family.train("other", steps=1, model=OTHER_NETWORK, weights="none")
    shutil.copy(other.best_checkpoint, family["second"].best_checkpoint)
    with pytest.raises(InputError, match=f"run second does not match the network {NETWORK}: "):
        do(family.make("ensemble", "first", "second"))


def test_a_checkpoint_that_is_gone_is_a_refusal_of_the_process(family: Family) -> None:
    family["second"].best_checkpoint.unlink()
    run_dir = family.make("soup", "first", "second")
    assert start_engine(run_dir).wait(timeout=120) == 2
    failed = read_events(run_dir)[-1]
    assert isinstance(failed, RunFailed)
    assert failed.refused
    assert "Run second has no checkpoint" in failed.message
    assert "was deleted" in failed.message


def test_a_run_that_combines_others(family: Family) -> None:
    soup = family.combine("soup", "first", "second")
    with pytest.raises(InputError, match=f"Run {soup.run_id} is itself a combination"):
        do(family.make("soup", "third", soup.run_id))


def test_no_pretrained_network_to_start_from(family: Family) -> None:
    trained_with(family, weights="none")
    for end in ("probe", "start"):
        with pytest.raises(InputError, match="Run other did not start from pre-trained weights"):
            do(family.make("interpolation", end, "other"))


def test_linear_networks_of_another_start(family: Family) -> None:
    fields = {"model": "test_vit", "weights": "none", "tuning": "linear", "steps": 1}
    family.train("ones", **fields)
    family.train("authors", linear_start="authors", **fields)
    with pytest.raises(InputError, match="linear-start is ones in run ones but authors in run"):
        do(family.make("soup", "ones", "authors"))


@pytest.mark.parametrize(
    ("method", "names", "words"),
    [
        ("soup", ["a"], "at least two runs"),
        ("soup", ["a", "b", "a"], "a is given twice"),
        ("interpolation", ["a", "b", "c"], "needs exactly two runs, not 3"),
        ("interpolation", ["a", None], "'pretrained' is only valid as the first"),
        ("ensemble", [None, "a"], "'pretrained' is only valid as the first"),
    ],
)
def test_what_is_no_combination(method: str, names: list[str | None], words: str) -> None:
    parents = tuple(Parent(name or "", name and f"/{name}") for name in names)
    with pytest.raises(CombinationError, match=words):
        Combination(method=method, parents=parents)  # type: ignore[arg-type]


def test_a_folder_with_a_combination_of_one_run(family: Family) -> None:
    run_dir = family.make("soup", "first", "second")
    text = run_dir.combination.read_text().replace('"second"', '"first"')
    run_dir.combination.write_text(text)
    with pytest.raises(SpecError, match=r"combination\.json.*first is given twice"):
        do(run_dir)
