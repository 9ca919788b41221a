"""Look a data set over: what would spoil a run on it, and what is worth knowing."""

from __future__ import annotations

import hashlib
import io
import os
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from engine.datasets.errors import DataError
from engine.datasets.folders import DAMAGE, ImageSet, decode_image
from engine.protocol.datasets import CheckReport, Duplicate, Finding

HASH_BITS: Final = 64
BLOCK: Final = 512
"""Images compared with all others at a time."""
MOST_DUPLICATES: Final = 1000
"""Pairs reported; more are counted."""
LEAK_SHARE: Final = 0.01
"""Share of a domain's images found again in another above which OOD accuracy means little."""
IMBALANCE: Final = 20
FEW_IMAGES: Final = 10


@dataclass(frozen=True)
class _Looked:
    """What one image file is: None where it cannot be read, for ``why``."""

    digest: str
    why: str | None = None
    mode: str = ""
    format: str = ""
    short_side: int = 0
    phash: int | None = None


def check_images(
    image_set: ImageSet, near_distance: int, on_progress: Callable[[int], None]
) -> CheckReport:
    """Read every image and compare them.

    Args:
        image_set: the images.
        near_distance: bits of a 64-bit perceptual hash in which near duplicates may differ; 0
            looks for exact duplicates only.
        on_progress: told how many images have been read.

    Raises:
        DataError: when near duplicates are asked for and ImageHash is not installed.
    """
    hasher = _perceptual_hash() if near_distance else None
    looked: list[_Looked] = []
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        indices = range(len(image_set))
        for each in threads.map(lambda index: _look(image_set, index, hasher), indices):
            looked.append(each)
            if len(looked) % 50 == 0 or len(looked) == len(image_set):
                on_progress(len(looked))
    counts: dict[str, dict[str, int]] = {domain: {} for domain in image_set.domains}
    for file in image_set.files:
        counts[file.domain][file.class_name] = counts[file.domain].get(file.class_name, 0) + 1
    exact = list(_exact_duplicates(image_set, looked))
    near = list(_near_duplicates(image_set, looked, near_distance)) if near_distance else []
    sides = [each.short_side for each in looked if each.why is None]
    report = CheckReport(
        name=image_set.name,
        where=str(image_set.location),
        classes=image_set.classes,
        counts=counts,
        unreadable={
            file.path: each.why
            for file, each in zip(image_set.files, looked, strict=True)
            if each.why is not None
        },
        modes=dict(Counter(each.mode for each in looked if each.mode).most_common()),
        formats=dict(Counter(each.format for each in looked if each.format).most_common()),
        short_sides=(min(sides), int(statistics.median(sides)), max(sides)) if sides else None,
        exact_duplicates=tuple(exact[:MOST_DUPLICATES]),
        near_duplicates=tuple(near[:MOST_DUPLICATES]),
        findings=(),
    )
    return _with_findings(report, image_set, exact)


def _look(image_set: ImageSet, index: int, hasher: Callable[[Image.Image], int] | None) -> _Looked:
    try:
        content = image_set.read(index)
    except OSError as error:
        return _Looked("", why=error.strerror or str(error))
    digest = hashlib.sha256(content).hexdigest()
    try:
        image = decode_image(content)
        with Image.open(io.BytesIO(content)) as original:
            mode, kind = original.mode, original.format or "?"
            if getattr(original, "n_frames", 1) > 1:
                mode += " animated"
    except (OSError, *DAMAGE) as error:
        return _Looked(digest, why=(str(error) or type(error).__name__).splitlines()[0])
    return _Looked(digest, None, mode, kind, min(image.size), hasher(image) if hasher else None)


def _perceptual_hash() -> Callable[[Image.Image], int]:
    try:
        import imagehash  # noqa: PLC0415 - only a check needs it, and it brings scipy
    except ImportError:
        raise DataError(
            "Near duplicates are found with ImageHash, which is not installed: "
            "pip install 'vld-tui[check-data]', or give --near 0 for exact duplicates only."
        ) from None

    def phash(image: Image.Image) -> int:
        return int(str(imagehash.phash(image)), 16)

    return phash


def _exact_duplicates(image_set: ImageSet, looked: list[_Looked]) -> Iterator[Duplicate]:
    """Yield pairs of files of the same content, each file with the first of its kind."""
    first: dict[str, int] = {}
    for index, each in enumerate(looked):
        if not each.digest:
            continue
        before = first.setdefault(each.digest, index)
        if before != index:
            yield Duplicate(image_set.files[before].path, image_set.files[index].path, 0)


def _near_duplicates(
    image_set: ImageSet, looked: list[_Looked], most_bits: int
) -> Iterator[Duplicate]:
    """Yield pairs of images of different domains whose hashes differ in few bits."""
    members = [index for index, each in enumerate(looked) if each.phash is not None]
    hashes = np.array([looked[index].phash for index in members], dtype=np.uint64)
    domain_of = {domain: number for number, domain in enumerate(image_set.domains)}
    domains = np.array([domain_of[image_set.files[index].domain] for index in members])
    for start in range(0, len(members), BLOCK):
        block = slice(start, start + BLOCK)
        bits = np.bitwise_count(hashes[block, None] ^ hashes[None, :])
        is_pair = (bits <= most_bits) & (domains[block, None] < domains[None, :])
        for one, other in np.argwhere(is_pair).tolist():
            a, b = members[start + one], members[other]
            if looked[a].digest != looked[b].digest:
                paths = image_set.files[a].path, image_set.files[b].path
                yield Duplicate(*paths, int(bits[one, other]))


def _with_findings(
    report: CheckReport, image_set: ImageSet, exact: Iterable[Duplicate]
) -> CheckReport:
    """Return the report with what would spoil a run, then what is worth knowing."""
    findings = [*_spoiling(report, image_set, exact), *_worth_knowing(report)]
    return CheckReport(
        **{name: getattr(report, name) for name in report.__struct_fields__ if name != "findings"},
        findings=tuple(findings),
    )


def _spoiling(
    report: CheckReport, image_set: ImageSet, exact: Iterable[Duplicate]
) -> Iterator[Finding]:
    if report.unreadable:
        yield Finding(
            True,
            f"{len(report.unreadable)} images cannot be read: a run refuses them. Mend or remove "
            "them, or run with --skip-bad-images.",
        )
    domain_of = {file.path: file.domain for file in image_set.files}
    sizes = Counter(domain_of.values())
    shared: dict[tuple[str, str], int] = defaultdict(int)
    for pair in exact:
        domains = sorted((domain_of[pair.one], domain_of[pair.other]))
        shared[domains[0], domains[1]] += 1
    for (one, other), count in sorted(shared.items()):
        share = count / min(sizes[one], sizes[other])
        if one == other:
            text = (
                f"{count} files of {one} are copies of others: some may be trained on and held out."
            )
            yield Finding(False, text)
        else:
            text = f"{count} images are in both {one} and {other} ({share:.1%}): OOD accuracy would"
            yield Finding(share > LEAK_SHARE, f"{text} be measured on images that were trained on.")
    folded: dict[str, set[str]] = defaultdict(set)
    for name in report.classes:
        folded[name.casefold()].add(name)
    for names in folded.values():
        if len(names) > 1:
            text = f"Classes differ only in case: {', '.join(sorted(names))}. Put them together."
            yield Finding(True, text)


def _worth_knowing(report: CheckReport) -> Iterator[Finding]:
    for domain, classes in report.counts.items():
        few = [name for name in report.classes if classes.get(name, 0) < FEW_IMAGES]
        if few:
            shown = ", ".join(few[:5]) + (" …" if len(few) > 5 else "")
            text = f"{domain} has fewer than {FEW_IMAGES} images of {len(few)} classes: {shown}"
            yield Finding(False, text)
        most, least = max(classes.values()), min(classes.values())
        if most > IMBALANCE * least:
            yield Finding(
                False, f"{domain} has {most / least:.0f} times as many of one class as of another."
            )
    if report.near_duplicates:
        yield Finding(
            False,
            f"{len(report.near_duplicates)} pairs of images of different domains look alike: see "
            "whether the domains share pictures.",
        )
