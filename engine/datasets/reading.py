"""Detection of folder layouts: which folders are domains, classes or splits.

The structure decides: the depth of images and the names that folders share. Names of splits are
considered only where the structure allows splits. Each detected layout can be described in a
sentence, and ``--layout`` overrides it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Final

from engine.datasets.tree import FolderParts
from engine.protocol.spec import Layout

ONE_DOMAIN: Final = "all"
"""Name of the only domain in layouts without domains."""
WHOLE_SPLIT: Final = "full"
"""Name of a split that contains every image, next to the other splits."""
SPLIT_NAMES: Final = frozenset(
    [
        "train", "training", "trn", "val", "valid", "validation", "dev", "devel", "development",
        "eval", "evaluation", "test", "testing", "tst", "crossval", "trainval", "holdout",
        WHOLE_SPLIT,
    ]
)  # fmt: skip
"""Names of splits, case-insensitive."""
_SPLIT_ENDING: Final = re.compile(r"[ _-]?(set|split|data|images|imgs|dev|std|\d+|\(\d+\))$")
SHARED_SHARE: Final = 0.2
"""Minimum mean fraction of a domain's classes that other domains must share."""

FolderCounts = Counter[FolderParts]
"""Number of images directly in each folder."""
Placer = Callable[[FolderParts], tuple[str, str] | None]
"""Returns the domain and the class of a folder's images, or None."""


@dataclass(frozen=True)
class Reading:
    """A layout of a folder tree.

    Attributes:
        layout: not ``auto``.
        wrapper: nested single folders around the domains.
        splits: names of split folders, which are merged.
        is_given: whether the layout was given rather than detected.
        inner: folders within several classes of ``plain``, which may be the actual classes.
    """

    layout: Layout
    wrapper: FolderParts = ()
    splits: tuple[str, ...] = ()
    is_given: bool = False
    inner: tuple[str, ...] = ()

    @property
    def levels(self) -> int:
        """Return the number of folder levels above an image, without the wrapper."""
        return 2 if self.layout == "plain" else self.layout.count("/") + 1

    def placer(self, folders: Iterable[FolderParts]) -> Placer:
        """Return the function that maps a folder of a tree with ``folders`` to domain and class."""
        cut, splits = len(self.wrapper), set(self.splits)
        split_domains = {
            folder[cut] for folder in folders if len(folder) > cut + 1 and folder[cut + 1] in splits
        }

        def place(folder: FolderParts) -> tuple[str, str] | None:
            if folder[:cut] != self.wrapper:
                return None
            return _place(self.layout, folder[cut:], splits, split_domains)

        return place


def _place(
    layout: Layout, folder: FolderParts, splits: Collection[str], split_domains: Collection[str]
) -> tuple[str, str] | None:
    """Return the domain and class of a folder relative to the wrapper."""
    match layout, folder:
        case "class", (name, *_):
            return ONE_DOMAIN, name
        case "split/class", (split, name, *_) if split in splits:
            return ONE_DOMAIN, name
        case "split/domain/class", (split, domain, name, *_) if split in splits:
            return domain, name
        case "domain/split/class", (domain, split, *rest) if domain in split_domains:
            return (domain, rest[0]) if split in splits and rest else None
        case (("plain" | "domain/split/class"), (domain, name, *_)):
            return domain, name
    return None


def is_split(name: str) -> bool:
    """Return whether a folder is named like a split: ``Train``, ``valid``, ``test_set``."""
    lower = name.strip().casefold()
    return lower in SPLIT_NAMES or _SPLIT_ENDING.sub("", lower) in SPLIT_NAMES


def detect_reading(counts: FolderCounts, layout: Layout = "auto") -> Reading:
    """Return the layout of a tree.

    Args:
        counts: the folders with images.
        layout: ``auto`` or the given layout.
    """
    if layout == "auto":
        recognized = _detected(counts)
        if recognized.layout != "plain":
            return recognized
        return replace(recognized, inner=_shared_inner(counts, len(recognized.wrapper)))
    reading = Reading(layout, is_given=True)
    if layout in ("split/class", "split/domain/class"):
        return replace(reading, splits=tuple(sorted(_names(counts, 0))))
    if layout == "domain/split/class":
        return replace(reading, splits=_used_splits(_names(counts, 1)))
    return reading


def _detected(counts: FolderCounts) -> Reading:
    deep: FolderCounts = Counter()
    direct: FolderCounts = Counter()
    for folder, count in counts.items():
        if folder:
            (direct if len(folder) == 1 else deep)[folder] = count
    if reading := _with_top_splits(deep, direct):
        return reading
    if direct.total() > deep.total() or not deep:
        return Reading("class")
    return _wrapped(deep) or _with_inner_splits(deep) or Reading("plain")


def _shared_inner(counts: FolderCounts, cut: int) -> tuple[str, ...]:
    """Return the subfolders shared by most classes, if there are at least two and not splits."""
    cells = {tuple(folder[cut + 1 : cut + 3]) for folder in counts if len(folder) > cut + 2}
    classes_with = Counter(name for _, name in cells)
    shared = tuple(sorted(name for name, count in classes_with.items() if count > 1))
    direct = sum(count for folder, count in counts.items() if len(folder) == cut + 2)
    if len(shared) < 2 or all(map(is_split, shared)) or 2 * direct > counts.total():
        return ()
    return shared if has_shared_classes((class_name, name) for class_name, name in cells) else ()


def _with_top_splits(deep: FolderCounts, direct: FolderCounts) -> Reading | None:
    """Return the layout ``split/class`` or ``split/domain/class`` if it matches, else None.

    A split such as ``test`` may contain images without classes, directly or in a single other
    folder; these are ignored. Splits may have different domains with the same classes. A folder
    with more direct images than images in subfolders is a class.

    Args:
        deep: image folders within another folder.
        direct: image folders at the top level.
    """
    tops = {top for top in _names(deep, 0) if direct[top,] <= _below(deep, top).total()}
    if not tops or not all(map(is_split, tops | _names(direct, 0))):
        return None
    inner = {top: _names(_below(deep, top), 0) for top in sorted(tops)}
    largest = max(inner.values(), key=len)
    classes = {top: _names(_below(deep, top), 1) for top in inner}
    used = [
        top
        for top in inner
        if len(inner[top] & largest) >= SHARED_SHARE * len(inner[top])
        or any(len(classes[top] & classes[other]) > 1 for other in inner if other != top)
    ]
    if any(len(inner[top]) > 1 for top in tops.difference(used)):
        return None
    labelled = Counter({folder: count for folder, count in deep.items() if folder[0] in used})
    layout: Layout = "split/domain/class" if has_domains(_below(labelled)) else "split/class"
    return Reading(layout, splits=tuple(used))


def _with_inner_splits(counts: FolderCounts) -> Reading | None:
    """Return the layout ``domain/split/class`` if it matches, else None.

    Some domains may contain their classes directly, without splits.
    """
    inner = {top: _below(counts, top) for top in _names(counts, 0)}
    split_domains = [top for top, below in inner.items() if _is_of_splits(below)]
    if not split_domains:
        return None
    classes = {top: _names(below, 1 if top in split_domains else 0) for top, below in inner.items()}
    if len(set().union(*classes.values())) < 2 or any(
        not names & set().union(*(classes[top] for top in split_domains))
        for names in classes.values()
    ):
        return None
    found = {
        folder[0] for top in split_domains for folder in inner[top] if len(folder) > 1
    }  # without splits whose images have no classes
    return Reading("domain/split/class", splits=_used_splits(found))


def _is_of_splits(counts: FolderCounts) -> bool:
    """Return whether a domain's folders are splits with class folders and few direct images."""
    direct = sum(count for folder, count in counts.items() if len(folder) == 1)
    names = _names(counts, 0)
    return bool(names) and all(map(is_split, names)) and 2 * direct < counts.total() and (
        _agree(Counter({folder: count for folder, count in counts.items() if len(folder) > 1}))
    )  # fmt: skip


def _used_splits(names: Collection[str]) -> tuple[str, ...]:
    """Return the splits to merge: only the one with all images, if there is one."""
    whole = [name for name in names if name.strip().casefold() == WHOLE_SPLIT]
    return tuple(sorted(whole or names))


def _wrapped(counts: FolderCounts) -> Reading | None:
    """Return the layout within a single top folder; None if that is itself a domain."""
    tops, below = _names(counts, 0), _below(counts)
    if len(tops) > 1:
        return None
    inner = _detected(below)
    is_domain = len(_names(below, 0)) == 1 and len(_names(below, 1)) > 1
    if inner.layout == "plain" and not (inner.wrapper or is_domain or has_domains(below)):
        return None
    if inner.layout == "class":
        return None
    return replace(inner, wrapper=(*tops, *inner.wrapper))


def has_domains(counts: FolderCounts) -> bool:
    """Return whether folders look like at least two domains with the same classes."""
    direct = sum(count for folder, count in counts.items() if len(folder) < 2)
    return (
        2 * direct < counts.total()
        and len(_names(counts, 0)) > 1
        and len(_names(counts, 1)) > 1
        and _agree(counts)
    )


def _agree(counts: FolderCounts) -> bool:
    """Return whether first-level folders share second-level folder names."""
    return has_shared_classes((folder[0], folder[1]) for folder in counts if len(folder) > 1)


def has_shared_classes(cells: Iterable[tuple[str, str]]) -> bool:
    """Return whether domains share enough classes, or there is only one domain.

    Args:
        cells: domain and class of folders with images.
    """
    classes_of: dict[str, set[str]] = {}
    for domain, class_name in cells:
        classes_of.setdefault(domain, set()).add(class_name)
    domains_with = Counter(name for names in classes_of.values() for name in names)
    shares = [
        sum(domains_with[name] > 1 for name in names) / len(names) for names in classes_of.values()
    ]
    return len(shares) == 1 or sum(shares) >= SHARED_SHARE * len(shares)


def _names(counts: FolderCounts, level: int) -> set[str]:
    return {folder[level] for folder in counts if len(folder) > level}


def _below(counts: FolderCounts, top: str | None = None) -> FolderCounts:
    """Return the counts within the first-level folders, or within one of them, merged."""
    below: FolderCounts = Counter()
    for folder, count in counts.items():
        if folder and top in (None, folder[0]):
            below[folder[1:]] += count
    return below


def describe_reading(reading: Reading, domains: Collection[str], classes: Collection[str]) -> str:
    """Return a sentence on the layout; empty for a plain ``domain/class/image``."""
    around = "".join(f"{name}/" for name in reading.wrapper)
    if reading.is_given:
        return f"reading {reading.layout.replace('plain', 'domain/class')}/image (--layout)"
    if reading.layout == "class":
        return f"reading {around}class/image as one domain; to create several: vld data shift"
    if reading.layout == "plain":
        return _plain_sentence(reading, around, domains, classes)
    named, is_only = join_names(reading.splits), len(reading.splits) == 1
    merged = "" if is_only else f"; {named} merged"
    levels = reading.layout.replace(
        "split", named if is_only else f"{{{','.join(reading.splits)}}}"
    )
    if reading.layout == "split/class":
        kind = "looks like a split, not a domain" if is_only else "look like splits, not domains"
        text = f"{named} {kind}: reading {around}{levels} as one domain{merged}"
        return text + _otherwise(reading, "it as a domain" if is_only else "them as domains")
    text = f"reading {around}{levels} as domains {join_names(sorted(domains))}{merged}"
    if reading.layout == "domain/split/class" and named.casefold() == WHOLE_SPLIT:
        text += "; the other splits are ignored"
    is_class = reading.layout == "domain/split/class"
    one, several = ("a class", "classes") if is_class else ("a domain", "domains")
    return text + _otherwise(reading, f"{named} as {one if is_only else several}")


def _plain_sentence(
    reading: Reading, around: str, domains: Collection[str], classes: Collection[str]
) -> str:
    """Return a sentence on unexpected readings of ``domain/class/image``."""
    if reading.inner:
        return (
            f"reading {join_names(sorted(classes))} as classes; the folders in them, "
            f"{join_names(reading.inner)}, are merged. If those are the classes: --layout "
            "domain/split/class"
        )
    if classes and all(map(is_split, classes)):
        return (
            f"reading {join_names(sorted(classes))} as classes. If they are splits: --layout "
            "domain/split/class"
        )
    if any(map(_mentions_split, domains)):
        return (
            f"reading {join_names(sorted(domains))} as domains. If they are splits: --layout "
            "split/class"
        )
    return f"reading {around}domain/class/image" if around else ""


def _mentions_split(name: str) -> bool:
    """Return whether a name contains the name of a split: ``test_unseen``, ``X_train``."""
    return any(map(is_split, re.split(r"[^a-zA-Z]+", name)))


def _otherwise(reading: Reading, what: str) -> str:
    """Return advice on the alternative layout; empty with a wrapper, where it does not apply."""
    return "" if reading.wrapper else f". Use --layout plain to read {what}"


def join_names(names: Collection[str], most: int = 6) -> str:
    """Return names as ``a, b and c``, or the first ones and the number of others."""
    shown = list(names)[:most]
    if len(names) > most:
        return f"{', '.join(shown)} and {len(names) - most} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))
