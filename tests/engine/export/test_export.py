"""An exported network predicts as its run does, in programs that do not have this package."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from engine.datasets.catalog import EMOJI_ARCHIVE
from engine.datasets.folders import decode_image
from engine.errors import InputError
from engine.export import hub_folder, onnx_file, pt2_file
from engine.export.folder import MANIFEST, Manifest
from engine.export.form import Loaded
from engine.export.network import FORMS, export_network
from engine.export.verify import find_sample, verify
from engine.inference.classifier import Classifier, load_classifier
from engine.model import FineTunedNetwork, build_network
from engine.protocol import (
    Combination,
    CombinationSpec,
    Evaluated,
    Parent,
    encode_event,
    resolve_spec,
)
from engine.protocol.export import TARGETS, ExportedNetwork, ExportNetwork, Target
from engine.rundir import RunDir, UserData
from tests.small_runs import SMALL_RUN, MakeRun, read_events, run_here

IMAGES: Final = 200
DOCS: Final = Path(__file__).parents[3] / "docs" / "export.md"
WITHOUT_PACKAGE: Final = """
import sys
sys.modules["engine"] = sys.modules["vld_tui"] = None  # importing them fails
import glob
{load}
step = compile({classify!r}.replace('"photo.jpg"', "path"), "docs", "exec")
found = []
for path in sorted(glob.glob("photos/*.webp")):
    exec(step)
    found.append([name, [float(each) for each in logits], [float(each) for each in probabilities]])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory, small_emoji: Path) -> RunDir:
    """Return a small run with an averaged arm, done."""
    spec = resolve_spec(
        {
            "data_dir": str(small_emoji),
            **SMALL_RUN,
            "arms": ("averaged",),
            "average_from": 8,
            "freeze_batchnorm": False,
            "lr": 1e-2,
            "dropout_rate": 0.0,
        }
    )
    made = RunDir(tmp_path_factory.mktemp("home") / "runs" / "run")
    made.create(spec, UserData())
    run_here(made)
    return made


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ``photos`` of the embedded emoji."""
    root = tmp_path_factory.mktemp("elsewhere")
    (root / "photos").mkdir()
    with zipfile.ZipFile(EMOJI_ARCHIVE) as archive:
        names = sorted(archive.namelist())
        for index, name in enumerate(names[:: len(names) // IMAGES][:IMAGES]):
            (root / "photos" / f"{index:03}.webp").write_bytes(archive.read(name))
    return root


def _export(run_dir: RunDir, to: Target, destination: Path, **options: Any) -> ExportedNetwork:
    request = ExportNetwork(
        run_dir=str(run_dir.path), to=to, destination=str(destination), **options
    )
    return export_network(request, lambda _report: None)


def _documented(form: str) -> tuple[str, str]:
    """Return the code of the documentation that loads a form, and that classifies an image."""
    section = DOCS.read_text(encoding="utf-8").split(f"\n### {form}\n")[1].split("\n### ")[0]
    load, classify = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    return load, classify


def _expected(run_dir: RunDir, photos: Path) -> tuple[list[str], Tensor, Tensor]:
    """Return classes, logits and probabilities of the photos by the run's network."""
    classifier = load_classifier(run_dir)
    images = [
        classifier.transform(decode_image(path.read_bytes()))
        for path in sorted((photos / "photos").glob("*.webp"))
    ]
    assert len(images) == IMAGES
    with torch.inference_mode():
        logits = torch.cat([classifier(image[None]) for image in images])
        probabilities = (logits / classifier.temperature).softmax(dim=1)
    return [classifier.classes[at] for at in logits.argmax(dim=1)], logits, probabilities


@pytest.mark.parametrize("to", TARGETS)
def test_a_fresh_process_without_this_package_predicts_the_same(
    run_dir: RunDir, photos: Path, to: Target
) -> None:
    exported = _export(run_dir, to, photos / "out", replaces=True)
    assert exported.verification.same_class == exported.verification.images == 16
    assert exported.verification.are_real
    assert exported.verification.transform_difference == 0
    assert exported.temperature != 1
    load, classify = _documented("timm" if to == "hub" else to)
    program = WITHOUT_PACKAGE.format(load=load, classify=classify)
    answer = subprocess.run(
        [sys.executable, "-I", "-c", program], cwd=photos, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    names, logits, probabilities = zip(*json.loads(answer.stdout), strict=True)
    expected_names, expected, shares = _expected(run_dir, photos)
    assert len(set(names)) > 1
    assert list(names) == expected_names
    torch.testing.assert_close(torch.tensor(logits), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(torch.tensor(probabilities), shares, atol=1e-4, rtol=1e-4)
    assert [exported.files[-1].name, exported.size_bytes > 10_000] == [
        {"timm": "model.safetensors", "hub": "model.safetensors"}.get(to, f"model.{to}"), True,
    ]  # fmt: skip


def test_the_code_that_is_shown_loads_the_network(run_dir: RunDir, tmp_path: Path) -> None:
    targets: tuple[Target, ...] = ("timm", "pt2")
    for to in targets:
        exported = _export(run_dir, to, tmp_path / to)
        variables: dict[str, Any] = {}
        exec("\n".join(exported.code), variables)
        images = torch.zeros(3, 3, 32, 32)
        ours = load_classifier(run_dir)
        with torch.inference_mode():
            torch.testing.assert_close(variables["model"](images), ours(images))


def test_the_arm_and_the_step_are_those_asked_for(run_dir: RunDir, tmp_path: Path) -> None:
    images = torch.rand(2, 3, 32, 32)
    for number, options in enumerate(({"arm": "averaged"}, {"at": "last"})):
        exported = _export(run_dir, "timm", tmp_path / str(number), **options)
        found = FORMS["timm"].load(tmp_path / str(number)).logits(images)
        wanted = load_classifier(run_dir, **options)  # type: ignore[arg-type]
        other = load_classifier(run_dir)
        with torch.inference_mode():
            torch.testing.assert_close(found, wanted(images))
            assert not torch.allclose(found, other(images))
        manifest = msgspec.json.decode(
            (tmp_path / str(number) / MANIFEST).read_bytes(), type=Manifest
        )
        assert (manifest.arm, manifest.at) == (exported.arm, exported.at)
    with pytest.raises(InputError, match="has no arm soup"):
        _export(run_dir, "timm", tmp_path / "soup", arm="soup")
    assert not (tmp_path / "soup").exists()


def test_an_exported_network_is_a_start_for_training(run_dir: RunDir, tmp_path: Path) -> None:
    _export(run_dir, "timm", tmp_path / "out")
    classes = load_classifier(run_dir).classes
    network = build_network(
        "test_resnet", classes=len(classes), weights=str(tmp_path / "out" / "model.safetensors"),
        image_size=32, seed=0, class_names=classes,
    )  # fmt: skip
    assert network.loaded is not None
    assert network.loaded.is_kept
    assert network.loaded.missing == []


KINDS: Final[dict[str, dict[str, Any]]] = {
    "vit": {"model": "test_vit", "image_size": 64},
    "penultimate": {"tuning": "linear", "linear_features": "penultimate"},
    "blocks": {"tuning": "linear", "model": "test_vit"},
    "side by side": {
        "tuning": "linear", "linear_features": "penultimate",
        "model": "test_resnet+test_efficientnet",
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", ["vit", "penultimate"])
def test_single_networks_are_networks_of_timm(make_run: MakeRun, tmp_path: Path, kind: str) -> None:
    run_dir = make_run(steps=8, **KINDS[kind])
    run_here(run_dir)
    exported = _export(run_dir, "timm", tmp_path / "out")
    assert exported.verification.transform_difference == 0
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["pretrained_cfg"]["input_size"] == [3, exported.image_size, exported.image_size]


@pytest.mark.parametrize("kind", ["blocks", "side by side"])
def test_other_networks_are_exported_by_their_operations(
    make_run: MakeRun, tmp_path: Path, kind: str
) -> None:
    run_dir = make_run(steps=8, **KINDS[kind])
    run_here(run_dir)
    with pytest.raises(InputError, match="Use --to onnx or --to pt2"):
        _export(run_dir, "timm", tmp_path / "timm")
    assert not (tmp_path / "timm").exists()
    if kind == "blocks":
        assert _export(run_dir, "onnx", tmp_path / "onnx").verification.same_class == 16
    assert _export(run_dir, "pt2", tmp_path / "pt2").verification.same_class == 16
    _export(run_dir, "hub", tmp_path / "hub")
    assert 'hf_hub_download("OWNER/NAME", "model.pt2")' in (tmp_path / "hub/README.md").read_text()


def test_an_ensemble_is_exported_as_one(make_run: MakeRun, tmp_path: Path) -> None:
    parents = [make_run(f"run{seed}", seed=seed, trial_seed=0, steps=8) for seed in range(2)]
    for each in parents:
        run_here(each)
    task = CombinationSpec.of(
        parents[0].read_spec(),
        Combination(
            method="ensemble",
            parents=tuple(Parent(each.run_id, str(each.best_checkpoint)) for each in parents),
        ),
    )
    ensemble = RunDir(parents[0].path.parent / "both")
    ensemble.create(task, UserData())
    run_here(ensemble)
    with pytest.raises(InputError, match="an ensemble of 2 networks"):
        _export(ensemble, "timm", tmp_path / "timm")
    exported = _export(ensemble, "hub", tmp_path / "hub")
    assert exported.arm == "ensemble"
    card = (tmp_path / "hub" / "README.md").read_text()
    assert "average of the logits) from 2 runs: run0, run1" in card


def test_without_the_data_generated_images_are_compared(run_dir: RunDir, tmp_path: Path) -> None:
    moved = RunDir(tmp_path / "runs" / "moved")
    moved.path.parent.mkdir()
    moved.create(
        msgspec.structs.replace(run_dir.read_spec(), data_dir=str(tmp_path / "gone")), UserData()
    )
    moved.checkpoints.mkdir()
    moved.best_checkpoint.write_bytes(run_dir.best_checkpoint.read_bytes())
    notes: list[Any] = []
    request = ExportNetwork(run_dir=str(moved.path), to="timm", destination=str(tmp_path / "out"))
    exported = export_network(request, notes.append)
    assert not exported.verification.are_real
    assert exported.verification.images == 16
    assert exported.temperature == 1
    assert any("not calibrated" in getattr(note, "text", "") for note in notes)


def test_a_different_transform_is_measured(run_dir: RunDir, tmp_path: Path) -> None:
    """PIL clips 16-bit greyscale images, of which runs use the higher 8 bits."""
    data = tmp_path / "grey"
    deep = Image.fromarray(np.full((40, 40), 30_000, dtype=np.uint16))
    for domain in ("one", "two"):
        for name in ("animal", "face", "food"):
            (data / domain / name).mkdir(parents=True)
            for number in range(5):
                deep.save(data / domain / name / f"{number}.png")
    spec = msgspec.structs.replace(run_dir.read_spec(), data_dir=str(data), target="one")
    deep_run = RunDir(tmp_path / "runs" / "deep")
    deep_run.create(spec, UserData())
    deep_run.checkpoints.mkdir()
    deep_run.best_checkpoint.write_bytes(run_dir.best_checkpoint.read_bytes())
    exported = _export(deep_run, "timm", tmp_path / "out", calibrates=False)
    assert exported.verification.are_real
    assert exported.verification.transform_difference > 0.5
    assert exported.verification.logit_difference < 1e-4


def test_runs_without_a_usable_network_are_refused(make_run: MakeRun, tmp_path: Path) -> None:
    unsaved = make_run(keep_checkpoints="none")
    with pytest.raises(InputError, match="has no checkpoints"):
        _export(unsaved, "timm", tmp_path / "out")
    unknown = make_run("unknown")
    run_here(unknown)
    unknown.spec.write_text(unknown.spec.read_text().replace("test_resnet", "test_resnet_of_2031"))
    with pytest.raises(InputError, match="timm has no network 'test_resnet_of_2031'"):
        _export(unknown, "timm", tmp_path / "out")
    assert list(tmp_path.glob("*out*")) == []


class _Unusual(nn.Module):
    """A network that computes something odd of images."""

    def __init__(self, compute: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.compute = compute

    def forward(self, images: Tensor) -> Tensor:
        return self.compute(images)


def _unusual(run_dir: RunDir, compute: Callable[[Tensor], Tensor]) -> Classifier:
    ours = load_classifier(run_dir)
    network = FineTunedNetwork(_Unusual(compute), nn.Linear(1, 1), (0, 0, 0), (1, 1, 1))
    return Classifier([network], ours.card, "erm")


def test_the_operator_that_onnx_lacks_is_named(run_dir: RunDir, tmp_path: Path) -> None:
    classifier = _unusual(run_dir, lambda images: torch.linalg.svdvals(images.mean(dim=1)))
    with pytest.raises(InputError, match=r"no operator for aten::_?linalg_svd.*Use --to pt2"):
        onnx_file.write(tmp_path, classifier)
    assert list(tmp_path.iterdir()) == []


def test_files_that_predict_otherwise_are_refused(run_dir: RunDir) -> None:
    ours = load_classifier(run_dir)
    sample = find_sample(run_dir.read_spec())
    right = Loaded(torch.inference_mode()(ours.forward), ours.transform)
    assert verify(right, ours, sample, "It").logit_difference < 1e-5
    for wrong in (lambda logits: logits + 1e-3, lambda logits: logits * float("nan")):
        loaded = Loaded(lambda images, wrong=wrong: wrong(right.logits(images)), ours.transform)  # type: ignore[misc]
        with pytest.raises(InputError, match="It was not written: its logits differ"):
            verify(loaded, ours, sample, "It")
    endless = _unusual(run_dir, lambda images: images.flatten(1)[:, :3] / 0)
    with pytest.raises(InputError, match="are not finite"):
        verify(right, endless, sample, "It")


def test_a_network_that_fixes_the_batch_is_refused(run_dir: RunDir, tmp_path: Path) -> None:
    classifier = _unusual(run_dir, lambda images: images.reshape(2, -1)[:, :3])
    with pytest.raises(InputError, match=r"cannot export .*Constraints violated.*--to timm"):
        pt2_file.write(tmp_path, classifier)


def test_a_repository_has_an_owner_and_a_name() -> None:
    for repository in ("a/b/c", "a b", "-a", "a/" + "b" * 97):
        with pytest.raises(InputError, match="--push .* Expected: OWNER/NAME"):
            hub_folder.check_access(repository)


def test_missing_packages_are_named(
    run_dir: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("onnxruntime", "onnxscript"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match="needs onnxscript and onnxruntime. Install with: pip"):
        _export(run_dir, "onnx", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_card_describes_the_network_that_was_loaded(
    run_dir: RunDir, tmp_path: Path
) -> None:
    _export(run_dir, "hub", tmp_path / "before")
    copy = RunDir(tmp_path / "runs" / "run")
    shutil.copytree(run_dir.path, copy.path)
    best = [each for each in read_events(copy) if isinstance(each, Evaluated) and each.is_best][-1]
    better = msgspec.structs.replace(best, step=1, id_accuracy=1.0, selection_score=None)
    with copy.events.open("ab") as log:
        log.write(encode_event(better))
    _export(copy, "hub", tmp_path / "after")
    card, expected = ((tmp_path / name / "README.md").read_text() for name in ("after", "before"))
    assert card == expected
