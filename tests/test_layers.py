"""The import contracts in pyproject.toml name everything that they are about."""

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


def test_every_part_of_the_interface_has_its_layer() -> None:
    layers = contract("The interface is built in layers")
    named = {f"vld_tui.{part.strip()}" for layer in layers["layers"] for part in layer.split("|")}

    assert layers["exhaustive"]
    assert named == modules_of("vld_tui") - {"vld_tui.slurm"}
