"""Image files to classify: given as files, folders, globs, or tables of paths.

Found without importing torch.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from engine.datasets.parquet import read_parquet_column
from engine.datasets.tables import TABLE_SUFFIXES, read_columns
from engine.datasets.tree import folder_tree
from engine.errors import InputError
from engine.protocol.datasets import left_out_text
from engine.protocol.inference import PredictImages
from engine.rundir import RunDir
from engine.rundir.checkpoints import checkpoint_files, offering_other_step
from engine.text import listed as listed_names

PARQUET: Final = ".parquet"


def find_files(request: PredictImages) -> FoundImages:
    """Return the images to classify.

    Raises:
        InputError: as :class:`FoundImages`, or if the run has no such network.
    """
    run_dir = RunDir(Path(request.run_dir))
    with offering_other_step(run_dir):
        checkpoint_files(run_dir, request.arm, request.at)
    return FoundImages(
        request.paths,
        request.listed,
        path_column=request.path_column,
        skipped_folder=request.skipped_folder,
    )


class FoundImages:
    """The image files at some paths, in the order of the paths, and then ``listed`` ones.

    Folders are searched like those of data sets: files of other kinds and other programs' folders
    are left out. A file that several paths find is kept once; tables and ``listed`` are kept as
    they are.

    Attributes:
        files: as given: relative if the path was.
        left_out: a text on other files, for each folder with some.

    Raises:
        InputError: if a path does not exist or cannot be read, or no image is found.
    """

    def __init__(
        self,
        paths: Sequence[str],
        listed: Sequence[str] = (),
        *,
        path_column: str = "path",
        skipped_folder: str | None = None,
    ) -> None:
        """``path_column``: of tables; ``skipped_folder``: left out of folders that contain it
        and of matches of globs; files that are named stay."""
        self.left_out: list[str] = []
        self._path_column = path_column
        self._skipped = skipped_folder and os.path.join(os.path.realpath(skipped_folder), "")
        self._seen: set[str] = set()
        self._real: dict[str, str] = {}
        self.files = [file for path in paths for file in self._found(path)] + list(listed)
        if not self.files:
            where = f"in {listed_names(paths)}" if paths else "on standard input"
            raise InputError(f"No images found {where}.{self._others()}")

    def _found(self, path: str) -> Iterator[str]:
        if Path(path).suffix.lower() in (*TABLE_SUFFIXES, PARQUET) and os.path.isfile(path):
            yield from self._in_table(Path(path))
        elif os.path.isdir(path):
            yield from self._new(self._in_folder(path))
        elif os.path.lexists(path):
            yield from self._new([path])
        elif glob.has_magic(path):
            matches = sorted(glob.glob(path, recursive=True))
            if not matches:
                raise InputError(f"No file matches {path!r}.")
            for match in matches:
                if not self._is_skipped(match):
                    yield from self._found(match)
        else:
            raise InputError(f"No file or folder {path or repr(path)}.")

    def _new(self, files: Sequence[str]) -> Iterator[str]:
        for file in files:
            same = os.path.abspath(file)
            if same not in self._seen:
                self._seen.add(same)
                yield file

    def _in_folder(self, folder: str) -> list[str]:
        try:
            tree = folder_tree(Path(folder))
        except OSError as error:
            raise InputError(
                f"The folder {error.filename or folder} cannot be read: {error.strerror or error}."
            ) from None
        if text := left_out_text(tree.omissions.all()):
            self.left_out.append(f"{folder}: {text}")
        found = sorted(each.path for each in tree.files)
        files = (os.path.join(folder, each) for each in found)
        return [file for file in files if not self._is_skipped(file)]

    def _is_skipped(self, path: str) -> bool:
        """Return whether a path is in the skipped folder, wherever it leads if it is a link."""
        if self._skipped is None:
            return False
        folder, name = os.path.split(path)
        if folder not in self._real:
            self._real[folder] = os.path.realpath(folder)
        return os.path.join(self._real[folder], name, "").startswith(self._skipped)

    def _in_table(self, table: Path) -> Iterator[str]:
        """Yield a table's paths, which are relative to its folder, or absolute."""
        column = self._path_column
        advice = "Name the column of the image paths with --path-column."
        if table.suffix.lower() == PARQUET:
            paths = read_parquet_column(table, column, advice)
        else:
            paths = (path for (path,) in read_columns(table, (column,), advice))
        for path in paths:
            yield os.path.join(table.parent, os.path.expanduser(path))

    def _others(self) -> str:
        return f" {'; '.join(self.left_out)}." if self.left_out else ""
