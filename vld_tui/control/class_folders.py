"""Copies of images, or links to them, sorted into a folder for each class."""

from __future__ import annotations

import contextlib
import errno
import filecmp
import itertools
import os
import shutil
from pathlib import Path
from typing import Final

from engine.protocol import UserError
from engine.rundir import describe_disk
from vld_tui.control.new_files import give_new_name
from vld_tui.words.numbers import plural

UNSURE_FOLDER: Final = "_unsure"
"""Folder of images whose class is left out because of its low probability."""
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class ClassFolderError(UserError):
    """An image could not be copied or linked; the earlier ones are complete."""

    exit_code = 1


class ClassFolders:
    """Sorts images into ``ROOT/CLASS/NAME``.

    No file is ever overwritten: an image whose name is taken becomes ``NAME-2``. A copy appears
    under its name when it is complete. An image that is already there from an earlier time is not
    copied again.

    Attributes:
        made: number of images copied or linked.
        present: number of images that were there already.
    """

    def __init__(self, root: Path, *, links: bool = False) -> None:
        """``links``: make symbolic links in place of copies."""
        self.root = root
        self.made = self.present = 0
        self._links = links
        self._folders: dict[str | None, Path] = {}
        self._next: dict[Path, int] = {}
        self._own: set[Path] = set()

    def place(self, path: str, class_name: str | None) -> None:
        """Copy or link an image into the folder of its class, None for an unsure one.

        Raises:
            ClassFolderError: when it cannot; no incomplete file is left.
        """
        source = Path(path)
        try:
            place = self._folder(class_name) / source.name
            for number in itertools.count(self._next.get(place, 1)):
                end = "" if number == 1 else f"-{number}"
                target = place.with_name(f"{place.stem}{end}{place.suffix}")
                if self._make(source, target):
                    self.made += 1
                    self._own.add(target)
                    self._next[place] = number + 1
                    return
                if target not in self._own and self._is_same(source, target):
                    self.present += 1
                    self._own.add(target)  # of this image: another one gets another name
                    self._next[place] = number + 1
                    return
        except OSError as error:
            raise ClassFolderError(self._message(source, error)) from None

    def _folder(self, class_name: str | None) -> Path:
        """Return a class's folder, made on first use."""
        if class_name not in self._folders:
            name = UNSURE_FOLDER if class_name is None else _folder_name(class_name)
            taken = {each.name for each in self._folders.values()}
            numbered = itertools.chain([name], (f"{name}-{at}" for at in itertools.count(2)))
            folder = self.root / next(each for each in numbered if each not in taken)
            folder.mkdir(parents=True, exist_ok=True)
            self._folders[class_name] = folder
        return self._folders[class_name]

    def _make(self, source: Path, target: Path) -> bool:
        """Copy or link an image; return False if the name is taken."""
        if os.path.lexists(target):
            return False
        if self._links:
            with contextlib.suppress(FileExistsError):
                target.symlink_to(os.path.abspath(source))
                return True
            return False
        temporary = target.with_name(f".vld-{os.getpid()}.tmp")
        try:
            shutil.copyfile(source, temporary)
            with contextlib.suppress(OSError):
                shutil.copystat(source, temporary)
            return give_new_name(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)

    def _is_same(self, source: Path, target: Path) -> bool:
        if target.is_symlink() or self._links:
            return target.is_symlink() and os.readlink(target) == os.path.abspath(source)
        return target.is_file() and filecmp.cmp(source, target, shallow=False)

    def _message(self, source: Path, error: OSError) -> str:
        what = "linked" if self._links else "copied"
        reason = error.strerror or str(error)
        if error.errno in _FULL:
            reason = f"the disk {describe_disk(self.root)} is full"
        return (
            f"{source} could not be {what} into {self.root}: {reason}.\n"
            f"{plural(self.made, 'image')} {what} before that. Fix this, then run the command "
            "again: it skips them."
        )


def _folder_name(class_name: str) -> str:
    """Return a class's name as that of a folder."""
    name = "".join("_" if each in "/\\\0" else each for each in class_name).strip()
    return f"_{name.lstrip('.')}" if not name or name.startswith(".") else name
