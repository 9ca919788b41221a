"""Reading and writing of ``predictions.bin``, the predictions of every evaluation of a run.

The file is a sequence of blocks: the images, then the predictions of one evaluation each. A block
has a head (:data:`HEAD`: a mark, the step or -1, the number of bytes that follow and their CRC-32).
An incomplete block at the end is what a killed process leaves; it is ignored and overwritten.
"""

from __future__ import annotations

import bisect
import errno
import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, NamedTuple

from engine.machine.disk import plain_file, write_atomic
from engine.protocol import PredictionsError
from engine.protocol.step_predictions import (
    MOST_STEP_PREDICTION_BYTES,
    EvaluatedImages,
    StepPredictions,
    decode_images,
    decode_step,
    encode_images,
    encode_step,
)

HEAD: Final = struct.Struct("<4sqII")
"""Mark, step, number of bytes of the content, CRC-32 of the content."""
MARK: Final = b"vldp"
IMAGES: Final = -1
"""The step of the block of the images."""
FEWEST: Final = 4
"""Minimum number of evaluations that must fit."""


class Block(NamedTuple):
    """Where the content of a block is in the file, and its CRC-32."""

    start: int
    size: int
    crc: int

    @property
    def end(self) -> int:
        """Return the offset of the next block."""
        return self.start + self.size


@dataclass(frozen=True)
class StepPredictionsFile:
    """The stored evaluations of a run: ``images`` and each step's block, by step."""

    path: Path
    images: Block | None = None
    blocks: Mapping[int, Block] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path) -> StepPredictionsFile:
        """Return what a file contains, without reading it; nothing if it cannot be read."""
        try:
            with open(path, "rb", buffering=0, opener=plain_file) as file:
                found = _find_blocks(file)
        except OSError:
            return cls(path)
        images = found.pop(IMAGES, None)
        return cls(path, images, dict(sorted(found.items())) if images is not None else {})

    @property
    def end(self) -> int:
        """Return the offset after the last complete block."""
        return max((each.end for each in (self.images, *self.blocks.values()) if each), default=0)

    def read_images(self) -> EvaluatedImages:
        """Return the images of every evaluation.

        Raises:
            PredictionsError: if they cannot be read or are damaged.
        """
        if self.images is None:
            raise PredictionsError("no images are stored")
        return decode_images(self._content(self.images))

    def read(self, step: int, images: EvaluatedImages) -> StepPredictions:
        """Return the predictions after ``step`` updates, one of ``blocks``.

        Raises:
            PredictionsError: if they cannot be read or are damaged.
        """
        return decode_step(self._content(self.blocks[step]), images)

    def _content(self, block: Block) -> bytes:
        try:
            with open(self.path, "rb", buffering=0, opener=plain_file) as file:
                file.seek(block.start)
                content = file.read(block.size)
        except OSError as error:
            raise PredictionsError(error.strerror or str(error)) from None
        if zlib.crc32(content) != block.crc:
            raise PredictionsError("damaged, or being replaced")
        return content


class StepPredictionsWriter:
    """Adds evaluations to a run's file; the predictions of a repeated step replace earlier ones.

    If the file would become larger than ``most_bytes``, only evaluations at about equal distances
    are kept, in half of that; none if fewer than :data:`FEWEST` fit.
    """

    def __init__(
        self, path: Path, images: EvaluatedImages, most_bytes: int = MOST_STEP_PREDICTION_BYTES
    ) -> None:
        """Continue the file if it is of the same images, otherwise start it again.

        Raises:
            OSError: if it cannot be written.
        """
        self._path, self._most_bytes = path, most_bytes
        self._first = _block(IMAGES, encode_images(images))
        stored = StepPredictionsFile.open(path)
        if _images_of(stored) == images:
            self._end = stored.end
            os.truncate(path, self._end)
        else:
            write_atomic(path, self._first)
            self._end = len(self._first)

    def add(self, predictions: StepPredictions) -> None:
        """Write the predictions of an evaluation.

        Raises:
            OSError: if they cannot be written; the earlier ones are unchanged.
        """
        block = _block(predictions.step, encode_step(predictions))
        if len(self._first) + FEWEST * len(block) > self._most_bytes:
            return
        if self._end + len(block) > self._most_bytes:
            self._thin_out(len(block))
        descriptor = plain_file(self._path, os.O_WRONLY)
        try:
            if os.pwrite(descriptor, block, self._end) != len(block):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(descriptor)
        self._end += len(block)

    def _thin_out(self, block_bytes: int) -> None:
        """Keep evaluations at about equal distances."""
        stored = StepPredictionsFile.open(self._path)
        most = (self._most_bytes // 2 - len(self._first)) // block_bytes
        content = [self._first]
        with open(self._path, "rb", opener=plain_file) as file:
            for step in evenly_spaced(tuple(stored.blocks), max(FEWEST - 1, most)):
                block = stored.blocks[step]
                file.seek(block.start - HEAD.size)
                content.append(file.read(HEAD.size + block.size))
        write_atomic(self._path, b"".join(content))
        self._end = sum(map(len, content))


def evenly_spaced(steps: Sequence[int], most: int) -> list[int]:
    """Return at most ``most`` (at least 2) of some ascending steps, with the first and last."""
    if len(steps) <= most:
        return list(steps)
    first, last = steps[0], steps[-1]
    wanted = (first + (last - first) * at / (most - 1) for at in range(most))
    return sorted({_nearest(steps, each) for each in wanted})


def _nearest(steps: Sequence[int], step: float) -> int:
    at = bisect.bisect_left(steps, step)
    return min(steps[max(0, at - 1) : at + 1], key=lambda each: abs(each - step))


def _images_of(stored: StepPredictionsFile) -> EvaluatedImages | None:
    try:
        return stored.read_images()
    except PredictionsError:
        return None


def _block(step: int, content: bytes) -> bytes:
    return HEAD.pack(MARK, step, len(content), zlib.crc32(content)) + content


def _find_blocks(file: IO[bytes]) -> dict[int, Block]:
    """Return the last complete block of each step."""
    found: dict[int, Block] = {}
    at, end = 0, os.fstat(file.fileno()).st_size
    while at + HEAD.size <= end:
        file.seek(at)
        head = file.read(HEAD.size)
        if len(head) < HEAD.size:  # another process cut off an incomplete block
            break
        mark, step, size, crc = HEAD.unpack(head)
        block = Block(at + HEAD.size, size, crc)
        if mark != MARK or block.end > end or step < IMAGES:
            break
        found[step] = block
        at = block.end
    return found
