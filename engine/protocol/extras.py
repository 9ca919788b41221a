"""How to get what an extra of this program needs, wherever the program was installed from."""

from __future__ import annotations

import re
import shlex
from importlib import metadata
from typing import Final

_PROGRAM: Final = "vld-tui"
_OF_EXTRA: Final = re.compile(r"""extra\s*==\s*['"]([\w-]+)['"]""")


def install_command(extra: str) -> str:
    """Return the command that installs what an extra needs.

    It names the packages themselves: the program may be on no index, and its source elsewhere.
    """
    try:
        requirements = metadata.requires(_PROGRAM) or []
    except metadata.PackageNotFoundError:  # run from its source
        requirements = []
    needed = []
    for requirement in requirements:
        package, _, marker = requirement.partition(";")
        found = _OF_EXTRA.search(marker)
        if found is not None and found[1] == extra:
            needed.append(shlex.quote(package.strip()))
    return f"pip install {' '.join(needed)}" if needed else f"pip install '.[{extra}]'"
