"""Damage of the kinds that the cache must notice."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from engine.cache import MANIFEST

DAMAGES: Final = ("truncated", "overwritten", "lost", "manifest", "empty")


def damage_entry(file: Path, damage: str) -> None:
    """Damage the entry that contains this array file; "overwritten" changes only four bytes."""
    content = file.read_bytes()
    if damage == "truncated":
        file.write_bytes(content[:-1])
    elif damage == "overwritten":
        middle = len(content) // 2
        inverted = bytes(byte ^ 0xFF for byte in content[middle : middle + 4])
        file.write_bytes(content[:middle] + inverted + content[middle + 4 :])
    elif damage == "lost":
        file.unlink()
    elif damage == "manifest":
        (file.parent / MANIFEST).write_bytes(b'{"format_version": 1')
    else:
        shutil.rmtree(file.parent)
        file.parent.mkdir()
