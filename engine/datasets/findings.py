"""Findings of a data set check: problems that would spoil a run, and remarks."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Final

import numpy as np

from engine.datasets.duplicates import NearDuplicates
from engine.datasets.folders import ImageSet
from engine.protocol import SpecError
from engine.protocol.datasets import Finding, check_splits
from engine.protocol.intervals import half_interval, uncertain_selection
from engine.text import counted, listed, quoted

LEAK_SHARE: Final = 0.01
"""Maximum fraction of a published domain's images that another domain may contain, and of smaller
copies within a domain. The user's own data sets must not share any."""
NEAR_LEAK_SHARE: Final = 0.1
"""Maximum fraction of images that may be nearly identical to training images."""
IMBALANCE: Final = 20
FEW_IMAGES: Final = 10
MOST_PAIRS_OF_DOMAINS: Final = 10
SHOWN_NAMES: Final = 5
_NUMBERED: Final = re.compile(r"(\D*)(\d+)(\D*)")

Counts = dict[str, dict[str, int]]
"""Images by domain and class."""


def file_findings(unreadable: int, missing: int) -> Iterator[Finding]:
    """Yield missing and unreadable files."""
    if missing:
        files = "file does not exist" if missing == 1 else "files do not exist"
        yield Finding(
            True,
            f"{missing:,} {files}; runs will refuse to start. Restore them, or remove the links or "
            "table rows.",
        )
    if unreadable:
        yield Finding(
            True,
            f"{counted(unreadable, 'image')} cannot be read; runs will refuse to start. Fix or "
            "delete them, or use --skip-bad-images.",
        )


def shared_findings(
    image_set: ImageSet, groups: Sequence[Sequence[int]], *, is_published: bool
) -> Iterator[Finding]:
    """Yield pairs of domains that share images.

    Args:
        image_set: the images.
        groups: groups of images with the same content.
        is_published: whether it is a published data set, whose few copies are known.
    """
    files = image_set.files
    sizes = Counter(file.domain for file in files)
    shared: Counter[tuple[str, str]] = Counter()
    members: Counter[tuple[str, str, str]] = Counter()
    for group in groups:
        of_domain = Counter(files[index].domain for index in group)
        for one, other in combinations(sorted(of_domain), 2):
            shared[one, other] += 1
            members[one, other, one] += of_domain[one]
            members[one, other, other] += of_domain[other]
    pairs = shared.most_common()
    for (one, other), count in sorted(pairs[:MOST_PAIRS_OF_DOMAINS]):
        shares = {each: members[one, other, each] / sizes[each] for each in (one, other)}
        most = max(shares, key=lambda each: shares[each])
        text = (
            f"{counted(count, 'image')} {'is' if count == 1 else 'are'} in both {quoted(one)} and "
            f"{quoted(other)} ({shares[most]:.1%} of {quoted(most)}): OOD accuracy would be "
            "measured on training images. Keep each in one domain."
        )
        yield Finding(not is_published or shares[most] > LEAK_SHARE, text)
    if more := pairs[MOST_PAIRS_OF_DOMAINS:]:
        share = "shares" if len(more) == 1 else "share"
        text = f"{counted(len(more), 'other pair')} of domains also {share} images."
        yield Finding(not is_published, text)


def label_findings(
    image_set: ImageSet,
    groups: Sequence[Sequence[int]],
    near: NearDuplicates,
    *,
    is_published: bool,
) -> Iterator[Finding]:
    """Yield how many images have two labels.

    Args:
        image_set: the images.
        groups: groups of images with the same content.
        near: similar images.
        is_published: whether it is a published data set, whose labels are known.
    """
    files = image_set.files
    of_group = [{files[index].class_name: files[index] for index in group} for group in groups]
    contradictory = [labels for labels in of_group if len(labels) > 1]
    if contradictory:
        first, second = (contradictory[0][name] for name in sorted(contradictory[0])[:2])
        images = "1 image has" if len(contradictory) == 1 else f"{len(contradictory):,} images have"
        same = "" if first.path == second.path else f"as {quoted(second.path)}, "
        text = (
            f"{images} two labels: {quoted(first.path)} is {quoted(first.class_name)} and "
            f"{same}{quoted(second.class_name)}. Keep the correct one."
        )
        yield Finding(not is_published, text)
    if near.other_label:
        pairs = "pair of images is" if near.other_label == 1 else "pairs of images are"
        text = f"{near.other_label:,} {pairs} nearly identical, with different labels."
        yield Finding(False, text)


def copy_findings(
    image_set: ImageSet,
    groups: Sequence[Sequence[int]],
    near: NearDuplicates,
    validation_fraction: float,
    *,
    is_published: bool,
) -> Iterator[Finding]:
    """Yield domains with duplicate images, which leak from training into validation.

    Args:
        image_set: the images.
        groups: groups of images with the same content.
        near: similar images.
        validation_fraction: fraction of a domain that runs hold out.
        is_published: whether it is a published data set, whose copies are known.
    """
    domains = np.array([file.domain for file in image_set.files])
    identical = np.zeros(len(image_set), np.int64)
    for group in groups:
        of_domain = Counter(domains[group].tolist())
        identical[list(group)] = [of_domain[each] - 1 for each in domains[group].tolist()]
    for domain in image_set.domains:
        rows = np.flatnonzero(domains == domain)
        copies = identical[rows] + near.copies[rows]
        if copies.any():
            leaked = float((1 - validation_fraction**copies).mean())
            kinds = {"identical": identical[rows], "nearly identical": near.copies[rows]}
            of_kind = [f"{(n > 0).sum():,} {kind}" for kind, n in kinds.items() if n.any()]
            text = (
                f"{(copies > 0).sum():,} of the {len(rows):,} images of {quoted(domain)} have a "
                f"copy in the same domain ({', '.join(of_kind)}): about {leaked:.0%} of its "
                "validation images would also be trained on, so ID accuracy would be too high. "
                "Keep one of each."
            )
            yield Finding(leaked > NEAR_LEAK_SHARE and not is_published, text)
        if smaller := int(near.smaller[rows].sum()):
            are = "is a smaller copy" if smaller == 1 else "are smaller copies"
            text = (
                f"{counted(smaller, 'image')} of {quoted(domain)} {are} of others in the domain. "
                "Remove thumbnails and other smaller copies."
            )
            yield Finding(smaller > LEAK_SHARE * len(rows) and not is_published, text)


def look_alike_findings(image_set: ImageSet, near: NearDuplicates) -> Iterator[Finding]:
    """Yield pairs of domains with nearly identical images, and the number of similar pairs."""
    domains = np.array([file.domain for file in image_set.files])
    leaking = False
    for (number, one), (second, other) in combinations(enumerate(image_set.domains), 2):
        shares = {
            one: float(near.elsewhere[domains == one, second].mean()),
            other: float(near.elsewhere[domains == other, number].mean()),
        }
        most = max(shares, key=lambda each: shares[each])
        if shares[most] > NEAR_LEAK_SHARE:
            leaking = True
            yield Finding(
                True,
                f"{shares[most]:.0%} of the images of {quoted(most)} are nearly identical to "
                f"images of {quoted(other if most == one else one)}: OOD accuracy would be "
                "measured on training images.",
            )
    if near.across_count and not leaking:
        yield Finding(
            False,
            f"{counted(near.across_count, 'pair')} of images of different domains look similar. "
            "Check whether the domains share images.",
        )


def split_findings(
    name: str, counts: Counts, validation_fraction: float, *, is_published: bool
) -> Iterator[Finding]:
    """Yield domains and classes that are too small to split."""
    images = {domain: sum(of_class.values()) for domain, of_class in counts.items()}
    try:
        yield from _few_validation_images(check_splits(name, images, validation_fraction))
    except SpecError as error:
        yield Finding(True, str(error))
    single = _cells(counts, lambda count: count == 1)
    if single:
        text = (
            f"Only 1 image of a class in a domain: {listed(single, SHOWN_NAMES)}. It cannot be "
            "used for both training and validation. Add images or remove the class."
        )
        yield Finding(not is_published, text)


def _few_validation_images(held_out: Mapping[str, int]) -> Iterator[Finding]:
    """Yield the uncertainty of ID accuracy for the target that leaves the fewest images."""
    sources = {
        target: {name: count for name, count in held_out.items() if name != target}
        for target in held_out
    }
    if len(held_out) < 2:  # no domain can be a target
        sources = {"": dict(held_out)}
    texts = {target: uncertain_selection(of_target) for target, of_target in sources.items()}
    worst = max(sources, key=lambda target: half_interval([*sources[target].values()]))
    if text := texts[worst]:
        is_any = len(set(texts.values())) == 1
        when = "for every choice of target" if is_any else f"with {quoted(worst)} as the target"
        yield Finding(False, text if not worst else f"{text.removesuffix('.')}, {when}.")


def count_findings(counts: Counts) -> Iterator[Finding]:
    """Yield classes with few images and domains with very unequal classes."""
    few = _cells(counts, lambda count: count < FEW_IMAGES)
    if few:
        text = f"Fewer than {FEW_IMAGES} images of a class in a domain: {listed(few, SHOWN_NAMES)}."
        yield Finding(False, text)
    for domain, of_class in counts.items():
        most, least = max(of_class.values(), default=0), min(of_class.values(), default=0)
        if most > IMBALANCE * least:
            text = f"{most / least:.0f}× as many images of one class as of another."
            yield Finding(False, f"{quoted(domain)} has {text}")


def _cells(counts: Counts, is_wanted: Callable[[int], bool]) -> list[str]:
    """Return the ``domain/class`` pairs whose image counts satisfy a condition."""
    return [
        quoted(f"{domain}/{name}")
        for domain, of_class in counts.items()
        for name, count in of_class.items()
        if is_wanted(count)
    ]


def orientation_finding(rotated: int) -> Iterator[Finding]:
    """Yield how many images are stored rotated."""
    if rotated:
        have = "image has" if rotated == 1 else "images have"
        yield Finding(
            False,
            f"{rotated:,} {have} an EXIF orientation, which is ignored as in DomainBed, so the "
            "network sees them rotated or mirrored. Save them upright to avoid this.",
        )


def name_findings(domains: Sequence[str], classes: Sequence[str]) -> Iterator[Finding]:
    """Yield misleading names: numbers sorted as text, and names that look the same."""
    yield from _number_order_finding(classes)
    for single, kind, names in (("domain", "domains", domains), ("class", "classes", classes)):
        spellings: Mapping[str, list[str]] = defaultdict(list)
        for name in names:
            spellings["".join(re.split(r"[\s_-]+", name)).casefold()].append(name)
        alike = [" and ".join(map(repr, same)) for same in spellings.values() if len(same) > 1]
        if alike:
            count = sum(len(same) for same in spellings.values() if len(same) > 1)
            text = f"{count:,} {kind} differ only in case, spaces, '_' or '-': {listed(alike)}."
            yield Finding(False, f"{text} Merge them if they are the same {single}.")
        spaced = [repr(name) for name in names if name != name.strip()]
        if spaced:
            have = f"1 {single} has" if len(spaced) == 1 else f"{len(spaced):,} {kind} have"
            its = "its name" if len(spaced) == 1 else "their names"
            yield Finding(False, f"{have} leading or trailing spaces in {its}: {listed(spaced)}.")


def _number_order_finding(classes: Sequence[str]) -> Iterator[Finding]:
    """Yield a remark if numbered class names are sorted as text: 0, 1, 10, 11, 2."""
    parts = [_NUMBERED.fullmatch(name) for name in classes]
    if any(part is None for part in parts):
        return
    found = [part.groups() for part in parts if part is not None]
    numbers = [int(number) for _, number, _ in found]
    if len({(before, after) for before, _, after in found}) > 1 or numbers == sorted(numbers):
        return
    label = next(i for i, number in enumerate(sorted(numbers)) if number != numbers[i])
    yield Finding(
        False,
        f"{len(classes):,} numbered class names are sorted as text: "
        f"{', '.join(classes[:SHOWN_NAMES])}, …. Label {label} is {classes[label]!r}; tools that "
        "sort by number use another order. Match predictions by class name, not by label.",
    )
