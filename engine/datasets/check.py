"""Data set check: problems that would spoil a run, and remarks."""

from __future__ import annotations

import hashlib
import io
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from PIL import Image

from engine.datasets.card import DatasetCard
from engine.datasets.catalog import is_published, lost_images, misnamed
from engine.datasets.corrections import CorrectedSource
from engine.datasets.duplicates import (
    NearDuplicates,
    Signature,
    exact_duplicates,
    near_duplicates,
    same_content,
    signature_of,
)
from engine.datasets.findings import (
    Counts,
    copy_findings,
    count_findings,
    file_findings,
    label_findings,
    look_alike_findings,
    name_findings,
    orientation_finding,
    shared_findings,
    split_findings,
)
from engine.datasets.folders import DAMAGE, ImageSet, decode_image
from engine.datasets.formats import formats_of
from engine.machine.processor import usable_cores
from engine.protocol import FIELDS
from engine.protocol.datasets import CheckReport, Finding, left_out_text
from engine.work import Progress

ORIENTATION_TAG: Final = 0x0112
UPRIGHT: Final = 1


@dataclass(frozen=True)
class Inspected:
    """The inspection of one image file; ``why``: reason if it cannot be read."""

    digest: str
    why: str | None = None
    is_missing: bool = False
    mode: str = ""
    format: str = ""
    short_side: int = 0
    is_upright: bool = True
    signature: Signature | None = None


def check_images(
    image_set: ImageSet,
    near_distance: int,
    on_progress: Progress,
    validation_fraction: float = FIELDS["validation_fraction"].default,
    card: DatasetCard | None = None,
) -> CheckReport:
    """Read every image and compare them.

    Args:
        image_set: the images.
        near_distance: maximum number of differing bits of a 64-bit perceptual hash of near
            duplicates; 0: find only exact duplicates.
        on_progress: called with the number of images read and the total.
        validation_fraction: fraction of a domain that runs hold out.
        card: card of an added data set.
    """
    inspected = inspect_images(
        image_set, range(len(image_set)), on_progress, with_signatures=near_distance > 0
    )
    digests = [each.digest for each in inspected]
    groups = same_content(digests)
    signatures = [each.signature for each in inspected]
    near = near_duplicates(image_set, digests, signatures, near_distance)
    findings = [
        *_findings(image_set, inspected, groups, near, validation_fraction),
        *(Finding(False, text) for text in lost_images(image_set, card)),
        *(Finding(False, text) for text in _lost_exclusions(image_set, card)),
    ]
    sides = [each.short_side for each in inspected if each.why is None]
    return CheckReport(
        name=image_set.name,
        where=str(image_set.location),
        classes=image_set.classes,
        counts=_count(image_set),
        unreadable={
            file.path: each.why
            for file, each in zip(image_set.files, inspected, strict=True)
            if each.why is not None
        },
        modes=dict(Counter(each.mode for each in inspected if each.mode).most_common()),
        formats=dict(Counter(each.format for each in inspected if each.format).most_common()),
        short_sides=(min(sides), int(statistics.median(sides)), max(sides)) if sides else None,
        exact_duplicates=tuple(exact_duplicates(image_set, groups)),
        near_duplicates=tuple(near.across),
        near_copies=tuple(near.within),
        near_duplicate_count=near.across_count,
        near_copy_count=near.within_count,
        findings=tuple(sorted(findings, key=lambda finding: not finding.spoils)),
        layout=image_set.layout,
        reading=image_set.reading,
        left_out=image_set.left_out,
    )


def _findings(
    image_set: ImageSet,
    inspected: Sequence[Inspected],
    groups: Sequence[Sequence[int]],
    near: NearDuplicates,
    validation_fraction: float,
) -> Iterator[Finding]:
    counts = _count(image_set)
    published = is_published(image_set)
    yield from (Finding(True, problem) for problem in image_set.problems)
    missing = sum(each.is_missing for each in inspected)
    if name_problem := misnamed(image_set):
        yield Finding(True, name_problem)
    yield from file_findings(sum(each.why is not None for each in inspected) - missing, missing)
    yield from shared_findings(image_set, groups, is_published=published)
    yield from label_findings(image_set, groups, near, is_published=published)
    yield from copy_findings(image_set, groups, near, validation_fraction, is_published=published)
    yield from look_alike_findings(image_set, near)
    yield from split_findings(image_set.name, counts, validation_fraction, is_published=published)
    yield from count_findings(counts)
    yield from orientation_finding(sum(not each.is_upright for each in inspected))
    yield from name_findings(image_set.domains, image_set.classes)
    if text := left_out_text(image_set.left_out):
        yield Finding(False, text)


def _lost_exclusions(image_set: ImageSet, card: DatasetCard | None) -> Iterator[str]:
    """Yield what the exclude list of an added data set lists and is no longer there.

    With ``domains``, it may list images of the others.
    """
    source = image_set.source
    if card is not None and card.domains is None and isinstance(source, CorrectedSource):
        yield from filter(None, [source.mismatch()])


def inspect_images(
    image_set: ImageSet, rows: Sequence[int], on_progress: Progress, *, with_signatures: bool
) -> list[Inspected]:
    """Read and decode images by their rows, in order.

    Args:
        image_set: the images.
        rows: of the images to read.
        on_progress: called with the number of images read and the total.
        with_signatures: make the signatures that near duplicates are found by.
    """
    inspected: list[Inspected] = []
    if with_signatures:
        signature_of(Image.new("RGB", (8, 8)))  # import once, before the threads start
    with ThreadPoolExecutor(usable_cores()) as threads:
        try:
            for each in threads.map(
                lambda row: _inspect(image_set, row, with_signature=with_signatures), rows
            ):
                inspected.append(each)
                on_progress(len(inspected), len(rows))
        except BaseException:
            threads.shutdown(cancel_futures=True)  # do not run the remaining tasks
            raise
    return inspected


def _inspect(image_set: ImageSet, index: int, *, with_signature: bool) -> Inspected:
    try:
        content = image_set.read(index)
    except OSError as error:
        is_missing = isinstance(error, FileNotFoundError)
        return Inspected("", why=error.strerror or str(error), is_missing=is_missing)
    digest = hashlib.sha256(content).hexdigest()
    try:
        image = decode_image(content)
        with Image.open(io.BytesIO(content), formats=formats_of(content)) as original:
            mode, kind = original.mode, original.format or "?"
            if getattr(original, "n_frames", 1) > 1:
                mode += " animated"
            is_upright = _is_upright(original)
    except (OSError, *DAMAGE) as error:
        return Inspected(digest, why=(str(error) or type(error).__name__).splitlines()[0])
    return Inspected(
        digest,
        mode=mode,
        format=kind,
        short_side=min(image.size),
        is_upright=is_upright,
        signature=signature_of(image) if with_signature else None,
    )


def _is_upright(image: Image.Image) -> bool:
    try:
        return image.getexif().get(ORIENTATION_TAG, UPRIGHT) in (0, UPRIGHT)
    except (OSError, *DAMAGE):  # damaged EXIF data, which decoding ignores
        return True


def _count(image_set: ImageSet) -> Counts:
    counts: Counts = {domain: {} for domain in image_set.domains}
    for file in image_set.files:
        counts[file.domain][file.class_name] = counts[file.domain].get(file.class_name, 0) + 1
    return counts
