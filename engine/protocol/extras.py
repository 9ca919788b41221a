"""The command that installs an optional dependency (extra) of this program."""

from __future__ import annotations

import re
import shlex
from typing import Final

_PROGRAM: Final = "vld-tui"
_OF_EXTRA: Final = re.compile(r"""extra\s*==\s*['"]([\w-]+)['"]""")


def install_command(extra: str) -> str:
    """Return the command that installs an extra's packages.

    It names the packages themselves because the program may not be on a package index.
    """
    from importlib import metadata  # slow to import, and rarely needed

    try:
        requirements = metadata.requires(_PROGRAM) or []
    except metadata.PackageNotFoundError:  # run from source
        requirements = []
    needed = []
    for requirement in requirements:
        package, _, marker = requirement.partition(";")
        found = _OF_EXTRA.search(marker)
        if found is not None and found[1] == extra:
            needed.append(shlex.quote(package.strip()))
    return f"pip install {' '.join(needed)}" if needed else f"pip install '.[{extra}]'"
