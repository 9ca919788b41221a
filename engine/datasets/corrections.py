"""Exclude lists of data sets: images to leave out, and images with another class.

A list is a CSV file, see :mod:`engine.protocol.exclude_lists`, or has one path to leave out per
line. Lines that start with ``#`` are comments.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from engine.datasets.reading import Reading
from engine.datasets.sources import ImageFile, ImageSource
from engine.datasets.tables import SEPARATORS, encoding_of, is_separator_line, read_columns
from engine.datasets.tree import Omissions
from engine.errors import DataError
from engine.machine.disk import LinkError, read_plain
from engine.protocol.datasets import LeftOut
from engine.protocol.exclude_lists import ACTIONS, COLUMNS, EXCLUDED, NEAR_DOMAIN, RELABELLED
from engine.protocol.fields import nearest
from engine.text import listed, quoted

COMMENT: Final = "#"
NAME_PATHS: Final = "Name the column of the paths: path."
COMPARED_PATHS: Final = 2_000
"""Maximum number of paths that a wrong path is compared with."""


@dataclass(frozen=True)
class Corrections:
    """What an exclude list changes.

    Attributes:
        excluded: paths of images to leave out.
        relabelled: classes by paths of images.
        chosen_on: domains of the data set that images were chosen by their distance to.
        origin: the list, as the subject of error messages.
        must_match: whether a path that is not in the data set is an error.
    """

    excluded: frozenset[str] = frozenset()
    relabelled: Mapping[str, str] = field(default_factory=dict)
    chosen_on: frozenset[str] = frozenset()
    origin: str = "The exclude list"
    must_match: bool = True

    def __bool__(self) -> bool:
        return bool(self.excluded or self.relabelled)

    @property
    def paths(self) -> frozenset[str]:
        """Return all paths."""
        return self.excluded.union(self.relabelled)


def read_corrections(file: str) -> Corrections:
    """Read an exclude list.

    A byte-order mark, Windows line ends and separators, and a leading ``./`` are ignored.

    Returns:
        The corrections; ``must_match`` is true for a table of decisions.

    Raises:
        DataError: if it cannot be read, or a line is invalid.
    """
    path = Path(os.path.expanduser(file))
    origin = f"The exclude list {file}"
    lines = _lines(path, origin)
    first = next((line for line in lines if line and not is_separator_line(line)), "")
    if not _is_header(first):
        excluded = frozenset(map(_normalized, filter(None, lines)))
        return Corrections(excluded, origin=origin, must_match=False)
    actions: dict[str, tuple[str, str]] = {}
    chosen_on: set[str] = set()
    defaults = {"action": ACTIONS[0], "class": "", NEAR_DOMAIN: ""}
    for listed_path, action, class_name, domain in read_columns(
        path, (*COLUMNS, NEAR_DOMAIN), NAME_PATHS, defaults, comment=COMMENT
    ):
        chosen_on.update(filter(None, [domain]))
        name = _normalized(listed_path)
        decided = _decided(name, action, class_name, origin)
        if actions.setdefault(name, decided) != decided:
            raise DataError(f"{origin} has two different lines for {name}. Remove one.")
    return Corrections(
        frozenset(name for name, (action, _) in actions.items() if action == "exclude"),
        {name: label for name, (action, label) in actions.items() if action == "relabel"},
        frozenset(chosen_on),
        origin,
    )


def _decided(path: str, action: str, class_name: str, origin: str) -> tuple[str, str]:
    """Return the action and the new class of a line."""
    action = action.casefold()
    if action not in ACTIONS:
        raise DataError(
            f"{origin} has the action {action!r} for {path}, but must have one of "
            f"{', '.join(ACTIONS)}.{nearest(action, ACTIONS)}"
        )
    if action != "relabel":
        return action, ""
    if not class_name:
        raise DataError(f"{origin} relabels {path} without a class. Add one in the column class.")
    return action, class_name


def _lines(path: Path, origin: str) -> list[str]:
    """Return the stripped lines of a text file, comments as empty lines."""
    if os.path.isdir(path):
        raise DataError(f"{origin} is a folder. --exclude takes a CSV file.")
    try:
        text = read_plain(path).decode(encoding_of(path))
    except LinkError as error:
        raise DataError(f"{origin} is {error.what}. --exclude takes a regular CSV file.") from None
    except OSError as error:
        raise DataError(
            f"{origin} cannot be read: {error.strerror or error}. Restore it, or give another one."
        ) from None
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise DataError(f"{origin} is not UTF-8 text. Give a CSV file or a list of paths.")
    stripped = (line.strip() for line in text.splitlines())
    return ["" if line.startswith(COMMENT) else line for line in stripped]


def _is_header(line: str) -> bool:
    """Return whether a line names columns of a table."""
    cells = {
        cell.strip(' "').casefold() for separator in SEPARATORS for cell in line.split(separator)
    }
    return not cells.isdisjoint(COLUMNS)


def _normalized(path: str) -> str:
    return path.strip().replace("\\", "/").removeprefix("./")


class CorrectedSource:
    """A source without the images that an exclude list leaves out, with its labels.

    Args:
        source: all images.
        corrections: of the list.
        may_lack_classes: whether a class may be left without images in a domain.
    """

    def __init__(
        self, source: ImageSource, corrections: Corrections, *, may_lack_classes: bool = False
    ) -> None:
        self.whole = source
        self._corrections = corrections
        self._may_lack_classes = may_lack_classes

    @property
    def location(self) -> Path:
        """Return the folder, the archive or the table."""
        return self.whole.location

    @property
    def reading(self) -> Reading | None:
        """Return the folder layout; None for a table."""
        return self.whole.reading

    @property
    def problems(self) -> tuple[str, ...]:
        """Return what keeps runs from using the images."""
        return (*self.whole.problems, *self._problems())

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """Return what was ignored, and how many images and labels the list changes."""
        found = {each.kind: each for each in self.whole.left_out}
        for each in self._corrected.omissions:  # of a second list, in addition to the first
            before = found.get(each.kind, LeftOut(each.kind, 0, each.example))
            found[each.kind] = LeftOut(each.kind, before.count + each.count, before.example)
        return tuple(found.values())

    @property
    def chosen_on(self) -> frozenset[str]:
        """Return the domains that images were chosen by their distance to."""
        inner = self.whole.chosen_on if isinstance(self.whole, CorrectedSource) else frozenset()
        return self._corrections.chosen_on | inner

    @property
    def matched(self) -> Corrections:
        """Return the corrections that match an image, by the paths of the source."""
        return self._corrected.matched

    @property
    def unmatched(self) -> tuple[str, ...]:
        """Return the listed paths that match no image."""
        return self._corrected.unmatched

    def class_folders(self) -> dict[str, set[str]]:
        """Return each domain's class folders, including empty ones and new labels."""
        folders: dict[str, set[str]] = defaultdict(set, self.whole.class_folders())
        for image in self._corrected.files:
            folders[image.domain].add(image.class_name)
        return dict(folders)

    def files(self) -> list[ImageFile]:
        """Return the image files by domain and class."""
        return list(self._corrected.files)

    def names(self, path: str) -> tuple[str, ...]:
        """Return the ways to write an image's path."""
        return self.whole.names(path)

    def read(self, path: str) -> bytes:
        """Return the content of a file."""
        return self.whole.read(path)

    def mismatch(self) -> str:
        """Return an error message on the listed paths that match no image; empty: all do."""
        wrong = self.unmatched
        if not wrong:
            return ""
        where = self.location
        known = _similar_paths(wrong[0], self.whole.files())
        hint = nearest(wrong[0], known)
        if not hint and known:
            hint = (
                f" An image is {known[0]}; paths are relative to the folder of domains. A table "
                "needs a column path."
            )
        what = "is not an image" if len(wrong) == 1 else "are not images"
        return f"{self._corrections.origin} lists {listed(wrong)}, which {what} of {where}.{hint}"

    @cached_property
    def _corrected(self) -> _Corrected:
        corrections = self._corrections
        paths, seen = corrections.paths, set[str]()
        excluded, relabelled = set[str](), dict[str, str]()
        omissions, files = Omissions(), dict[ImageFile, None]()
        for original in self.whole.files():
            image = original
            names = paths.intersection(self.whole.names(image.path)) if paths else paths
            seen |= names
            if names & corrections.excluded:
                excluded.add(image.path)
                omissions.add(EXCLUDED, image.path)
                continue
            for name in sorted(names):
                label = relabelled[image.path] = corrections.relabelled[name]
                if label != image.class_name:
                    omissions.add(RELABELLED, f"{image.path}: {image.class_name} → {label}")
                    image = replace(image, class_name=label, is_relabelled=True)
            files[image] = None
        ordered = sorted(files, key=lambda image: (image.domain, image.class_name))
        matched = replace(corrections, excluded=frozenset(excluded), relabelled=relabelled)
        return _Corrected(
            tuple(ordered), omissions.all(), matched, tuple(sorted(paths.difference(seen)))
        )

    def _problems(self) -> Iterator[str]:
        """Yield why the list does not fit the images."""
        if self._corrections.must_match and (problem := self.mismatch()):
            yield problem
        yield from self._unknown_classes()
        before = Counter((image.domain, image.class_name) for image in self.whole.files())
        after = Counter((image.domain, image.class_name) for image in self._corrected.files)
        origin = self._corrections.origin
        gone = sorted({domain for domain, _ in before} - {domain for domain, _ in after})
        if gone:
            yield (
                f"{origin} leaves no images in {_named('domain', gone)}. Keep some, or leave out "
                "the domain with: vld data add NAME PATH --domains"
            )
        elif emptied := sorted(before.keys() - after.keys()):
            classes = {name for _, name in before} - {name for _, name in after}
            if classes or not self._may_lack_classes:
                cells = [f"{domain}/{name}" for domain, name in emptied]
                yield f"{origin} leaves no images in {_named('class', cells)}. Keep some."

    def _unknown_classes(self) -> Iterator[str]:
        known = set[str]().union(*self.whole.class_folders().values())
        for path, label in self.matched.relabelled.items():
            if label not in known:
                yield (
                    f"{self._corrections.origin} relabels {path} as {quoted(label)}, which is not "
                    f"a class of {self.location}.{nearest(label, known)}"
                )
                return


class _Corrected(NamedTuple):
    """The files of a corrected source; see its properties."""

    files: tuple[ImageFile, ...]
    omissions: tuple[LeftOut, ...]
    matched: Corrections
    unmatched: tuple[str, ...]


def _named(what: str, names: list[str]) -> str:
    plural = "classes" if what == "class" else f"{what}s"
    return f"{what} {quoted(names[0])}" if len(names) == 1 else f"{plural} {listed(names)}"


def _similar_paths(path: str, files: list[ImageFile]) -> list[str]:
    """Return paths worth comparing with a wrong one: of the same file name or folder, or any."""
    wrong = PurePosixPath(path)
    same_name: list[str] = []
    same_folder: list[str] = []
    for file in files:
        place = PurePosixPath(file.path)
        if place.name == wrong.name:
            same_name.append(file.path)
        elif place.parent == wrong.parent:
            same_folder.append(file.path)
    others = [file.path for file in files[:COMPARED_PATHS]]
    return list(dict.fromkeys([*same_name, *same_folder, *others]))[:COMPARED_PATHS]


def without_corrections(source: ImageSource) -> ImageSource:
    """Return a source without its exclude lists."""
    while isinstance(source, CorrectedSource):
        source = source.whole
    return source
