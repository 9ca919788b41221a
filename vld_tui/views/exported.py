"""An exported network: its files, how it was verified, and how to load it."""

from __future__ import annotations

from collections.abc import Iterator

from engine.protocol.export import ExportedNetwork, Verification
from vld_tui.words.numbers import plural, size
from vld_tui.words.text import plain_text


def exported_lines(exported: ExportedNetwork) -> Iterator[str]:
    """Yield the folder and its files, what was verified, and the code that loads them."""
    yield f"{plain_text(exported.folder)}: {size(exported.size_bytes)}"
    for file in exported.files:
        yield f"  {plain_text(file.name)}  {size(file.size_bytes)}"
    yield from _verified(exported)
    yield "Load it with:"
    for line in exported.code:
        yield f"  {plain_text(line)}"
    if exported.url is not None:
        yield f"uploaded to {plain_text(exported.url)}"


def _verified(exported: ExportedNetwork) -> Iterator[str]:
    """Yield what the comparison with the run's network showed."""
    found = exported.verification
    images = plural(found.images, "image" if found.are_real else "generated image")
    yield (
        f"verified on {images}: same class for {found.same_class}, logits differ by at most "
        f"{found.logit_difference:.1g}"
    )
    yield _transform(found)
    yield (
        "probabilities: not calibrated"
        if exported.temperature == 1
        else f"probabilities: calibrated, temperature {exported.temperature:.4g}"
    )


def _transform(found: Verification) -> str:
    if found.transform_difference == 0:
        return "image transform: identical"
    return (
        f"image transform: differs by up to {found.transform_difference:.2g} of the normalised "
        "values"
    )
