"""Images in a tar archive, which cannot be read in any order: unpacked while they are needed."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from engine.datasets.imports.archives import unpack
from engine.datasets.sources import TreeSource, read_image_file
from engine.datasets.tree import Tree, folder_tree


class TarSource(TreeSource):
    """Images in a tar archive, unpacked into a temporary folder that goes with this object.

    The stamp of every image is the archive's modification time in ns: what was decoded from it is
    found again for as long as the archive stays the same.
    """

    def read(self, path: str) -> bytes:
        """Return the content of a member."""
        return read_image_file(self._folder / path)

    def _tree(self) -> Tree:
        tree = folder_tree(self._folder)
        stamp = self._location.stat().st_mtime_ns
        tree.files = [replace(file, stamp=stamp) for file in tree.files]
        return tree

    @cached_property
    def _folder(self) -> Path:
        folder = tempfile.mkdtemp(prefix="vld-unpacked-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        unpack(self._location, Path(folder), lambda _done, _total: None)
        return Path(folder)
