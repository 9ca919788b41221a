"""The interface: command line, views, history of runs and their processes.

Knows the engine only by its protocol and its run folders; imports no torch.

For Python, ``import vld_tui as vld`` offers what :mod:`vld_tui.api` defines: ``vld.runs``,
``vld.run``, ``vld.study``, ``vld.imported`` and ``vld.load``. They are imported when
they are first used.
"""

from __future__ import annotations

import importlib
from types import ModuleType

TYPE_CHECKING = False  # not from typing, whose import takes longer than all else here
if TYPE_CHECKING:
    from typing import Any

    from engine.protocol import UserError
    from vld_tui.api import (
        Rows,
        RunHandle,
        RunPredictions,
        imported,
        imported_curves,
        load,
        run,
        runs,
        study,
    )

    __version__: str

__all__ = [
    "Rows",
    "RunHandle",
    "RunPredictions",
    "UserError",
    "__version__",
    "imported",
    "imported_curves",
    "load",
    "run",
    "runs",
    "study",
]


class FunctionPackage(ModuleType):
    """A subpackage that can be called: it has the name of a function of :mod:`vld_tui.api`.

    Importing a subpackage sets the attribute of this package with its name, so that
    ``vld_tui.runs`` is the subpackage, whatever else has been assigned to it.
    """

    @property
    def __wrapped__(self) -> Any:
        """Return the function, whose signature is shown."""
        return getattr(importlib.import_module("vld_tui.api"), self.__name__.rpartition(".")[2])

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Call the function."""
        return self.__wrapped__(*arguments, **options)


if not TYPE_CHECKING:  # a type checker knows the names above

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            from importlib import metadata  # slow to import

            return metadata.version("vld-tui")
        if name in ("runs", "study"):
            return importlib.import_module(f"{__name__}.{name}")
        if name in __all__:
            return getattr(importlib.import_module(f"{__name__}.api"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
