"""Look a data set over: what would spoil a run on it, and what is worth knowing."""

from __future__ import annotations

import hashlib
import io
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from PIL import Image

from engine.datasets.duplicates import exact_duplicates, near_duplicates, perceptual_hash
from engine.datasets.folders import DAMAGE, ImageSet, counted, decode_image
from engine.datasets.formats import formats_of
from engine.datasets.progress import Progress
from engine.processor import usable_cores
from engine.protocol.datasets import CheckReport, Duplicate, Finding, left_out_text

MOST_DUPLICATES: Final = 1000
"""Pairs reported; more are counted."""
LEAK_SHARE: Final = 0.01
"""Share of a domain's images found again in another above which OOD accuracy means little."""
IMBALANCE: Final = 20
FEW_IMAGES: Final = 10

Counts = dict[str, dict[str, int]]
"""Images by domain and class."""


@dataclass(frozen=True)
class _Looked:
    """What one image file is: ``why`` it cannot be read, or what it is like."""

    digest: str
    why: str | None = None
    mode: str = ""
    format: str = ""
    short_side: int = 0
    phash: int | None = None


def check_images(image_set: ImageSet, near_distance: int, on_progress: Progress) -> CheckReport:
    """Read every image and compare them.

    Args:
        image_set: the images.
        near_distance: bits of a 64-bit perceptual hash in which near duplicates may differ; 0
            looks for exact duplicates only.
        on_progress: told how many images have been read, of how many.

    Raises:
        DataError: when near duplicates are asked for and ImageHash is not installed.
    """
    looked = _look_at_all(image_set, perceptual_hash() if near_distance else None, on_progress)
    counts = _count(image_set)
    digests = [each.digest for each in looked]
    exact = list(exact_duplicates(image_set, digests))
    hashes = [each.phash for each in looked]
    near = list(near_duplicates(image_set, digests, hashes, near_distance))
    unreadable = {
        file.path: each.why
        for file, each in zip(image_set.files, looked, strict=True)
        if each.why is not None
    }
    findings = (
        *_unreadable_finding(len(unreadable)),
        *_duplicate_findings(image_set, exact),
        *_count_findings(counts, image_set.classes),
        *_look_alike_finding(len(near)),
        *_left_out_finding(image_set),
    )
    sides = [each.short_side for each in looked if each.why is None]
    return CheckReport(
        name=image_set.name,
        where=str(image_set.location),
        classes=image_set.classes,
        counts=counts,
        unreadable=unreadable,
        modes=dict(Counter(each.mode for each in looked if each.mode).most_common()),
        formats=dict(Counter(each.format for each in looked if each.format).most_common()),
        short_sides=(min(sides), int(statistics.median(sides)), max(sides)) if sides else None,
        exact_duplicates=tuple(exact[:MOST_DUPLICATES]),
        near_duplicates=tuple(near[:MOST_DUPLICATES]),
        findings=tuple(sorted(findings, key=lambda finding: not finding.spoils)),
        layout=image_set.layout,
        reading=image_set.reading,
        left_out=image_set.left_out,
    )


def _look_at_all(
    image_set: ImageSet, hasher: Callable[[Image.Image], int] | None, on_progress: Progress
) -> list[_Looked]:
    looked: list[_Looked] = []
    with ThreadPoolExecutor(usable_cores()) as threads:
        try:
            indices = range(len(image_set))
            for each in threads.map(lambda index: _look(image_set, index, hasher), indices):
                looked.append(each)
                on_progress(len(looked), len(image_set))
        except BaseException:
            threads.shutdown(cancel_futures=True)  # not all the rest of them first
            raise
    return looked


def _look(image_set: ImageSet, index: int, hasher: Callable[[Image.Image], int] | None) -> _Looked:
    try:
        content = image_set.read(index)
    except OSError as error:
        return _Looked("", why=error.strerror or str(error))
    digest = hashlib.sha256(content).hexdigest()
    try:
        image = decode_image(content)
        with Image.open(io.BytesIO(content), formats=formats_of(content)) as original:
            mode, kind = original.mode, original.format or "?"
            if getattr(original, "n_frames", 1) > 1:
                mode += " animated"
    except (OSError, *DAMAGE) as error:
        return _Looked(digest, why=(str(error) or type(error).__name__).splitlines()[0])
    return _Looked(digest, None, mode, kind, min(image.size), hasher(image) if hasher else None)


def _count(image_set: ImageSet) -> Counts:
    counts: Counts = {domain: {} for domain in image_set.domains}
    for file in image_set.files:
        counts[file.domain][file.class_name] = counts[file.domain].get(file.class_name, 0) + 1
    return counts


def _unreadable_finding(count: int) -> Iterator[Finding]:
    if count:
        yield Finding(
            True,
            f"{counted(count, 'image')} cannot be read: a run refuses them. Mend or remove them, "
            "or run with --skip-bad-images.",
        )


def _duplicate_findings(image_set: ImageSet, exact: Sequence[Duplicate]) -> Iterator[Finding]:
    domain_of = {file.path: file.domain for file in image_set.files}
    sizes = Counter(domain_of.values())
    shared: Counter[tuple[str, str]] = Counter()
    for pair in exact:
        one, other = sorted((domain_of[pair.one], domain_of[pair.other]))
        shared[one, other] += 1
    for (one, other), count in sorted(shared.items()):
        share = count / min(sizes[one], sizes[other])
        if one == other:
            copies = "is a copy of another" if count == 1 else "are copies of others"
            text = f"{counted(count, 'file')} of {one} {copies}: "
            yield Finding(False, f"{text}some may be trained on and held out.")
        else:
            images = f"{counted(count, 'image')} {'is' if count == 1 else 'are'}"
            text = f"{images} in both {one} and {other} ({share:.1%}): OOD accuracy would"
            yield Finding(share > LEAK_SHARE, f"{text} be measured on images that were trained on.")


def _count_findings(counts: Counts, classes: Sequence[str]) -> Iterator[Finding]:
    for domain, of_class in counts.items():
        few = [name for name in classes if of_class.get(name, 0) < FEW_IMAGES]
        if few:
            shown = ", ".join(few[:5]) + (" …" if len(few) > 5 else "")
            classes_told = "1 class" if len(few) == 1 else f"{len(few)} classes"
            text = f"{domain} has fewer than {FEW_IMAGES} images of {classes_told}: {shown}"
            yield Finding(False, text)
        most, least = max(of_class.values()), min(of_class.values())
        if most > IMBALANCE * least:
            yield Finding(
                False, f"{domain} has {most / least:.0f} times as many of one class as of another."
            )


def _left_out_finding(image_set: ImageSet) -> Iterator[Finding]:
    if text := left_out_text(image_set.left_out):
        yield Finding(False, text)


def _look_alike_finding(count: int) -> Iterator[Finding]:
    if count:
        yield Finding(
            False,
            f"{count} pairs of images of different domains look alike: see whether the domains "
            "share pictures.",
        )
