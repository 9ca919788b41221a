"""Files that try to run code when they are read: weights, arrays, and the calls that would."""

from __future__ import annotations

import ast
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.errors import InputError, TrainingError
from engine.model.weights import read_weights
from engine.train.checkpoint import load_last

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.filterwarnings("ignore:Detected pickle protocol")


class TouchesAFile:
    """A value whose pickle runs code when it is read."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (os.system, (f"touch '{self.witness}'",))


def write_hostile(path: Path, kind: str, witness: Path) -> None:
    state = {"conv1.weight": TouchesAFile(witness)}
    with path.open("wb") as file:
        if kind == "pickle":
            pickle.dump(state, file)
        elif kind == "torch":
            torch.save(state, file)
        elif kind == "old torch":
            torch.save(state, file, _use_new_zipfile_serialization=False)
        elif kind == "npy":
            np.save(file, np.array([state["conv1.weight"]], dtype=object), allow_pickle=True)
        else:
            np.savez(file, weight=np.array([state["conv1.weight"]], dtype=object))


KINDS = ("pickle", "torch", "old torch", "npy", "npz")
NAMES = ("w.pth", "w.pt", "w.bin", "w.npz", "w.npy", "w.safetensors", "w")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_hostile_weights_are_refused_whatever_they_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, name: str
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    witness = tmp_path / "ran"
    write_hostile(tmp_path / name, kind, witness)
    with pytest.raises(InputError, match="nothing that could execute code"):
        read_weights(tmp_path / name)
    assert not witness.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_hostile_checkpoint_is_damaged_and_not_run(tmp_path: Path, kind: str) -> None:
    write_hostile(tmp_path / "last.safetensors", kind, tmp_path / "ran")
    with pytest.raises(TrainingError, match="is damaged"):
        load_last(tmp_path / "last.safetensors")
    assert not (tmp_path / "ran").exists()


def test_the_hostile_pickle_would_run(tmp_path: Path) -> None:
    write_hostile(tmp_path / "w", "pickle", tmp_path / "ran")
    pickle.loads((tmp_path / "w").read_bytes())
    assert (tmp_path / "ran").exists()


FORBIDDEN_NAMES = frozenset({
    "allow_pickle", "extractall", "trust_remote_code", "unpack_archive", "unsafe_load", "shell",
})  # fmt: skip
FORBIDDEN_CALLS = frozenset({
    "eval", "exec", "joblib.load", "np.load", "numpy.load", "os.popen", "os.system",
    "pickle.load", "pickle.loads", "pickle.Unpickler", "yaml.load",
})  # fmt: skip


@pytest.mark.parametrize("package", ["engine", "vld_tui"])
def test_nothing_here_can_run_what_it_reads(package: str) -> None:
    paths = sorted((ROOT / package).rglob("*.py"))
    assert paths
    found = {path.relative_to(ROOT): runs for path in paths if (runs := what_runs(path))}
    assert not found


def what_runs(path: Path) -> list[str]:
    """Return what a module names or calls that may run what it reads."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        named = getattr(node, "arg", None) if isinstance(node, ast.keyword) else None
        named = node.attr if isinstance(node, ast.Attribute) else named
        if named in FORBIDDEN_NAMES:
            found.append(str(named))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
            called = ast.unparse(node.func)
            options = {word.arg: ast.unparse(word.value) for word in node.keywords}
            is_open = called == "torch.load" and options.get("weights_only") != "True"
            if is_open or called in FORBIDDEN_CALLS:
                found.append(called)
    return found


class Calls:
    """A value whose pickle calls a function when it is read."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call


@pytest.mark.parametrize("place", ["args", "state_dict"])
def test_code_beside_sound_weights_is_refused_and_not_run(tmp_path: Path, place: str) -> None:
    witness, path = tmp_path / "ran", tmp_path / "w.pth"
    text = f"open({str(witness)!r}, 'w')"
    for call in (Calls(exec, text), Calls(eval, text), Calls(subprocess.run, ["touch", witness])):
        checkpoint = {"state_dict": {"w": torch.zeros(2)}, "args": 1}
        torch.save({**checkpoint, place: call}, path)
        with pytest.raises(InputError, match="it would run code .*nothing that could execute code"):
            read_weights(path)
    assert not witness.exists()


def test_a_class_from_elsewhere_is_neither_imported_nor_called(tmp_path: Path) -> None:
    module = tmp_path / "elsewhere.py"
    module.write_text("import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n"
                      "class Settings(dict):\n    pass\n")  # fmt: skip
    code = "import torch, elsewhere\nw = {'state_dict': {'w': torch.ones(2)}}\n"
    kinds = ("elsewhere.Settings(a=1)", "elsewhere.Settings", "[elsewhere.Settings()]")
    paths = [tmp_path / f"{at}.pth" for at in range(len(kinds))]
    for kind, path in zip(kinds, paths, strict=True):
        code += f"torch.save(w | {{'config': {kind}}}, {str(path)!r})\n"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    (tmp_path / "ran").unlink()
    for path in paths:
        assert torch.equal(read_weights(path)["w"], torch.ones(2))
        assert not (tmp_path / "ran").exists()
        assert "elsewhere" not in sys.modules
