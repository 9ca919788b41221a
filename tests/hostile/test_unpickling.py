"""Every place that may unpickle, or run what a file or a connection holds, is known, with a reason.

A pickle runs what whoever wrote it put into it. A new entry needs a reason why nobody but the user,
or a process of the same run, can have written what is read there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("engine", "vld_tui")

MODULES = frozenset(
    ("cloudpickle", "dill", "joblib", "marshal", "multiprocessing", "pickle", "shelve", "submitit",
     "torch.multiprocessing", "yaml")
)  # fmt: skip
"""Modules that unpickle somewhere."""
NAMES = frozenset(
    ("DataLoader", "DelayedSubmission", "ProcessPoolExecutor", "TCPStore", "Unpickler",
     "all_gather_object", "allow_pickle", "broadcast_object_list", "elastic_launch", "eval", "exec",
     "gather_object", "init_rpc", "read_pickle", "recv_object_list", "scatter_object_list",
     "send_object_list", "torch.load", "torch.hub", "np.load", "numpy.load", "torch.jit.load")
)  # fmt: skip
"""Functions and parameters that may unpickle or run what they are given."""

KNOWN: Mapping[tuple[str, str], str] = {
    ("engine/model/weight_files.py", "pickle"): "for the name of an error",
    ("engine/model/weight_files.py", "torch.load weights_only"): "torch's loader of tensors alone",
    ("engine/datasets/shift.py", "multiprocessing"): "pipes between a process and its children",
    ("engine/datasets/shift.py", "ProcessPoolExecutor"): "pipes between a process and its children",
    ("vld_tui/launch/slurm/jobs.py", "pickle"): "writes what a job is to do, and reads none",
    ("vld_tui/launch/slurm/jobs.py", "submitit"): "writes a job's task if it is installed",
    ("vld_tui/launch/slurm/jobs.py", "DelayedSubmission"): "writes a job's task, and reads none",
    ("vld_tui/launch/slurm/submit.py", "submitit"): "writes jobs' tasks into a folder it just made",
    ("vld_tui/launch/slurm/pack.py", "submitit"): "in the job, which is what was unpickled",
    ("vld_tui/launch/slurm/pack.py", "DelayedSubmission"): "writes the task of a requeued job",
}  # fmt: skip


def found_in(tree: ast.AST) -> Iterator[str]:
    """Yield what of a module may unpickle."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (module for alias in node.names if (module := module_of(alias.name)))
        elif isinstance(node, ast.ImportFrom):
            if module := module_of(node.module or ""):
                yield module
            yield from (alias.name for alias in node.names if alias.name in NAMES)
            yield from (
                f"{node.module}.{alias.name}"
                for alias in node.names
                if f"{node.module}.{alias.name}" in NAMES
            )
        elif isinstance(node, ast.Attribute):
            dotted = ast.unparse(node)
            yield from (name for name in {dotted, node.attr} if name in NAMES - {"eval", "exec"})
        elif isinstance(node, ast.Name) and node.id in NAMES:
            yield node.id
        elif isinstance(node, ast.keyword) and node.arg in NAMES:
            yield node.arg


def module_of(name: str) -> str | None:
    """Return the module of ours to watch that a dotted name is or is in."""
    parts = name.split(".")
    prefixes = (".".join(parts[: end + 1]) for end in range(len(parts)))
    return next((each for each in prefixes if each in MODULES), None)


def careful_loads(tree: ast.AST) -> set[ast.AST]:
    """Return the ``torch.load`` that load tensors alone."""
    return {
        call.func
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) == "torch.load"
        and any(
            each.arg == "weights_only" and ast.unparse(each.value) == "True"
            for each in call.keywords
        )
    }


def unpickling(source: str) -> set[str]:
    """Return what of a module's source may unpickle; loads of tensors alone by their own name."""
    tree = ast.parse(source)
    careful = careful_loads(tree)
    for node in careful:
        assert isinstance(node, ast.Attribute)
        node.attr = "load weights_only"
    return {*found_in(tree), *(ast.unparse(node) for node in careful)}


def test_what_may_unpickle_is_known_with_a_reason() -> None:
    found = {
        (str(path.relative_to(ROOT)), what)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for what in unpickling(path.read_text(encoding="utf-8"))
    }
    assert found == KNOWN.keys()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import pickle", "pickle"),
        ("from pickle import loads", "pickle"),
        ("import torch.multiprocessing as mp", "torch.multiprocessing"),
        ("from submitit.core.utils import DelayedSubmission", "DelayedSubmission"),
        ("torch.load(path)", "torch.load"),
        ("torch.load(path, weights_only=False)", "torch.load"),
        ("torch.load(path, weights_only=True)", "torch.load weights_only"),
        ("from torch import load", "torch.load"),
        ("load = torch.load", "torch.load"),
        ("np.load(path, allow_pickle=True)", "allow_pickle"),
        ("numpy.load(path)", "numpy.load"),
        ("dist.broadcast_object_list(box)", "broadcast_object_list"),
        ("from torch.distributed import all_gather_object", "all_gather_object"),
        ("dist.TCPStore(host, port)", "TCPStore"),
        ("eval(text)", "eval"),
        ("network.eval()", ""),
        ("json.load(file)", ""),
    ],
)
def test_each_way_to_unpickle_is_found(source: str, found: str) -> None:
    assert found in unpickling(source) | {""}
    assert bool(unpickling(source)) == bool(found)
