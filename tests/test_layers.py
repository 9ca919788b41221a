"""The import contracts in pyproject.toml name everything that they are about."""

import ast
import builtins
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def contract(name: str) -> dict[str, Any]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found = [each for each in settings["tool"]["importlinter"]["contracts"] if each["name"] == name]
    assert len(found) == 1, f"no contract is called {name!r}"
    return dict(found[0])


def modules_of(package: str) -> set[str]:
    """Return the modules and packages directly in a package, by their dotted names."""
    folder = ROOT / package
    files = {path.stem for path in folder.glob("*.py") if path.stem != "__init__"}
    folders = {path.parent.name for path in folder.glob("*/__init__.py")}
    return {f"{package}.{name}" for name in files | folders}


def test_every_part_of_the_engine_is_open_or_closed_to_the_interface() -> None:
    closed = contract("The interface reaches the engine through protocol and rundir only")
    open_to_it = {"engine.protocol", "engine.rundir"}

    assert set(closed["forbidden_modules"]) == modules_of("engine") - open_to_it - {
        "engine.__main__"
    }


def test_only_the_python_interface_reaches_a_network() -> None:
    for name in (
        "The interface reaches the engine through protocol and rundir only",
        "The interface imports no torch",
    ):
        assert contract(name)["ignore_imports"] == ["vld_tui.api -> engine.inference.classifier"]


def test_every_part_of_the_interface_has_its_layer() -> None:
    layers = contract("The interface is built in layers")
    named = {f"vld_tui.{part.strip()}" for layer in layers["layers"] for part in layer.split("|")}

    assert layers["exhaustive"]
    assert named == modules_of("vld_tui") - {"vld_tui.slurm"}


def test_every_other_part_of_the_interface_is_kept_from_the_clients_of_trackers() -> None:
    closed = contract("Only vld_tui.trackers imports clients of other trackers")

    assert set(closed["source_modules"]) == modules_of("vld_tui") - {
        "vld_tui.slurm",
        "vld_tui.trackers",
    } | {"engine"}


def test_every_error_of_the_interface_is_one_that_the_user_can_fix() -> None:
    builtin = {
        name
        for name, value in vars(builtins).items()
        if isinstance(value, type) and issubclass(value, BaseException)
    }
    others = {
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in (ROOT / "vld_tui").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        and not node.name.startswith("_")
        and builtin & {ast.unparse(base) for base in node.bases}
    }
    assert others == set(), "derive them from engine.protocol.UserError"
