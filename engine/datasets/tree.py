"""Listing of a folder or archive: image files, folders, and what was ignored."""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from engine.datasets.formats import (
    HEAD_BYTES,
    HIDDEN_FOLDERS,
    holds_thumbnails,
    junk_file,
    junk_folder,
    not_an_image,
    readable_extensions,
)
from engine.protocol.datasets import LeftOut

FolderParts = tuple[str, ...]
"""Path components of a folder relative to the root."""
NAMED_FOLDERS: Final = 3
"""Maximum number of hidden folders that are named, because they may be domains or classes."""
UPWARD_LINKS: Final = "links to a folder above"
REPEATED: Final = "earlier members of the same name"


@dataclass(frozen=True)
class TreeFile:
    """An image file: folder, name, path for reading, size in bytes, and stamp.

    ``stamp`` is the modification time of a file in ns, or the CRC-32 of an archive's member.
    """

    folder: FolderParts
    name: str
    path: str
    size: int
    stamp: int


class Omissions:
    """Counts ignored files and folders by kind."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, list[str]] = {}

    def add(self, kind: str, example: str, count: int = 1) -> None:
        """Add files or folders of a kind."""
        self._counts[kind] += count
        examples = self._examples.setdefault(kind, [])
        if len(examples) < (NAMED_FOLDERS if kind == HIDDEN_FOLDERS else 1):
            examples.append(example)

    def all(self) -> tuple[LeftOut, ...]:
        """Return the kinds, most frequent first."""
        kinds = sorted(self._counts, key=lambda kind: (-self._counts[kind], kind))
        return tuple(
            LeftOut(kind, self._counts[kind], ", ".join(sorted(self._examples[kind])))
            for kind in kinds
        )


@dataclass
class Tree:
    """The files and folders within a root.

    Attributes:
        files: images, unordered.
        folders: all folders, including empty ones, except those of other programs.
        omissions: files that are not images, and files and folders of other programs.
    """

    files: list[TreeFile] = field(default_factory=list)
    folders: set[FolderParts] = field(default_factory=set)
    omissions: Omissions = field(default_factory=Omissions)

    def omit_folder(self, parts: FolderParts, thumbnails: int) -> None:
        """Count an ignored folder, or its thumbnails if it is a thumbnail folder."""
        kind = junk_folder(parts[-1]) or ""
        if holds_thumbnails(parts[-1]):
            if thumbnails:
                self.omissions.add(f"thumbnails in {parts[-1]}", "/".join(parts), thumbnails)
        else:
            self.omissions.add(kind, "/".join(parts))


def is_junk(name: str) -> bool:
    """Return whether a folder of this name belongs to another program."""
    return holds_thumbnails(name) or junk_folder(name) is not None


def folder_tree(root: Path) -> Tree:
    """Return the tree of a folder; follow links, except to parent folders.

    Raises:
        OSError: if a folder cannot be read.
    """
    tree = Tree()
    waiting = [(str(root), FolderParts(), _identities_above(root))]
    while waiting:
        waiting.extend(_take_folder(tree, *waiting.pop()))
    return tree


_Identity = tuple[int, int]


def _identity(path: str | Path) -> _Identity:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _identities_above(folder: str | Path) -> frozenset[_Identity]:
    """Return the identities of a folder and its parents, with links resolved."""
    real = Path(os.path.realpath(folder))
    return frozenset(_identity(path) for path in (real, *real.parents))


def _take_folder(
    tree: Tree, folder: str, parts: FolderParts, above: frozenset[_Identity]
) -> Iterator[tuple[str, FolderParts, frozenset[_Identity]]]:
    """Add a folder's files to a tree and yield its subfolders."""
    with os.scandir(folder) as found:
        entries = list(found)
    for entry in entries:
        inner = (*parts, entry.name)
        if not entry.is_dir():
            _add_file(tree, entry, parts)
        elif is_junk(entry.name):
            is_counted = holds_thumbnails(entry.name)
            tree.omit_folder(inner, _images_within(entry.path) if is_counted else 0)
        elif (identity := _identity(entry.path)) in above:
            tree.omissions.add(UPWARD_LINKS, "/".join(inner))
        else:
            tree.folders.add(inner)
            further = _identities_above(entry.path) if entry.is_symlink() else {identity}
            yield entry.path, inner, above | further


def _images_within(folder: str) -> int:
    return sum(_is_named_image(name) for _, _, names in os.walk(folder) for name in names)


def _is_named_image(name: str) -> bool:
    return name.lower().endswith(tuple(readable_extensions()))


def _add_file(tree: Tree, entry: os.DirEntry[str], parts: FolderParts) -> None:
    path = "/".join((*parts, entry.name))
    kind = junk_file(entry.name) or not_an_image(entry.name, lambda: _head(entry.path))
    if kind is not None:
        tree.omissions.add(kind, path)
        return
    try:
        status = entry.stat()
        size, stamp = status.st_size, status.st_mtime_ns
    except OSError:  # such as a dangling link; reported when it is decoded
        size, stamp = 0, 0
    tree.files.append(TreeFile(parts, entry.name, path, size, stamp))


def _head(path: str) -> bytes:
    """Return a file's first bytes; empty if it cannot be read or is not a regular file."""
    try:
        if not Path(path).is_file():
            return b""
        with open(path, "rb") as file:
            return file.read(HEAD_BYTES)
    except OSError:
        return b""


def archive_tree(archive: zipfile.ZipFile) -> Tree:
    """Return the tree of a zip archive.

    Raises:
        OSError: if it is damaged.
    """
    tree = Tree()
    thumbnails: dict[FolderParts, int] = {}
    files: dict[FolderParts, TreeFile] = {}
    for info in archive.infolist():
        parts = _member_parts(info.filename)
        folder = parts if info.is_dir() else parts[:-1]
        junk = _outermost_junk(folder)
        if junk is not None:
            is_image = not info.is_dir() and _is_named_image(parts[-1])
            thumbnails[junk] = thumbnails.get(junk, 0) + is_image
            continue
        tree.folders.update(folder[:depth] for depth in range(1, len(folder) + 1))
        if info.is_dir() or not parts:
            continue
        name = parts[-1]
        kind = junk_file(name) or not_an_image(name, lambda: _member_head(archive, info))  # noqa: B023
        if kind is not None:
            tree.omissions.add(kind, info.filename)
        else:
            if parts in files:  # the later one is used, as when unpacking
                tree.omissions.add(REPEATED, info.filename)
            files[parts] = TreeFile(folder, name, info.filename, info.file_size, info.CRC)
    for parts, count in thumbnails.items():
        tree.omit_folder(parts, count)
    tree.files = list(files.values())
    return tree


def _member_parts(name: str) -> FolderParts:
    """Return the components of a member's path; some Windows programs write backslashes."""
    return tuple(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))


def _outermost_junk(folder: FolderParts) -> FolderParts | None:
    return next((folder[: depth + 1] for depth, name in enumerate(folder) if is_junk(name)), None)


def _member_head(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Return a member's first bytes; empty if it cannot be read."""
    try:
        with archive.open(info) as file:
            return file.read(HEAD_BYTES)
    except (OSError, RuntimeError, ValueError, EOFError, zipfile.BadZipFile):
        return b""
