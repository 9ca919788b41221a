"""Import all modules of the packages that a fork server is given after this module's name."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from typing import Final

_RUN: Final = ("__main__", "engine.inspect")
"""Ends of the names of modules that are run, not imported."""

for package in sys.argv[sys.argv.index(__name__) + 1 : -1]:
    found = importlib.import_module(package)
    is_ours = package.startswith(("engine", "vld_tui"))
    for module in pkgutil.walk_packages(found.__path__, f"{package}.") if is_ours else ():
        if not module.name.endswith(_RUN):
            importlib.import_module(module.name)
importlib.import_module("tests.warm_processes")
