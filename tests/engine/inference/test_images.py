"""Images are decoded in order, in batches, and never all at once."""

from __future__ import annotations

import io
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.inference.classifier import load_classifier
from engine.inference.images import classify, decoded_batches
from tests.small_runs import MakeRun, run_here


def _encoded(shade: int, size: tuple[int, int] = (40, 30)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (shade, shade, shade)).save(buffer, "PNG")
    return buffer.getvalue()


def test_batches_are_in_order_and_name_the_unreadable() -> None:
    def read(position: int) -> bytes:
        if position == 3:
            raise FileNotFoundError(2, "No such file or directory", "x.png")
        return b"text" if position == 20 else _encoded(position)

    batches = list(decoded_batches(30, read, 16, batch_size=12, threads=2))
    assert [len(each.positions) + len(each.unreadable) for each in batches] == [8, 12, 10]
    seen = [at for each in batches for at in each.positions]
    assert seen == [at for at in range(30) if at not in (3, 20)]
    for batch in batches:
        assert batch.pixels.shape == (len(batch.positions), 16, 16, 3)
        assert batch.pixels[:, 0, 0, 0].tolist() == list(batch.positions)
    reasons = {at: why for each in batches for at, why in each.unreadable.items()}
    assert reasons == {
        3: "No such file or directory",
        20: "is not an image (starts with 'text')",
    }


def test_few_images_wait_however_many_there_are() -> None:
    content, read_ahead, lock = _encoded(1), [0], threading.Lock()

    def read(_position: int) -> bytes:
        with lock:
            read_ahead[0] += 1
        return content

    tracemalloc.start()
    batches = decoded_batches(100_000, read, 64, batch_size=32, threads=2)
    taken = sum(len(next(batches).positions) for _ in range(4))
    peak = tracemalloc.get_traced_memory()[1]
    batches.close()
    tracemalloc.stop()
    assert read_ahead[0] <= taken + 3 * 32
    assert peak < 8 * 2**20


def test_an_error_in_reading_ends_it() -> None:
    def read(_position: int) -> bytes:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        list(decoded_batches(100, read, 16, batch_size=8, threads=2))
    assert not [each for each in threading.enumerate() if each.name.startswith("decode")]


def test_logits_are_those_of_single_images(make_run: MakeRun, small_emoji: Path) -> None:
    run_dir = make_run()
    run_here(run_dir)
    classifier = load_classifier(run_dir)
    files = sorted(small_emoji.rglob("*.webp"))[:20]
    found = list(
        classify(classifier, 20, lambda at: files[at].read_bytes(), batch_size=7, threads=2)
    )
    logits = torch.cat([each.logits for each in found])
    with torch.inference_mode():
        expected = [classifier(classifier.transform(Image.open(file))[None]) for file in files]
    np.testing.assert_allclose(logits, torch.cat(expected), rtol=1e-4, atol=1e-5)


def test_a_batch_without_readable_images_has_no_logits(make_run: MakeRun) -> None:
    run_dir = make_run()
    run_here(run_dir)
    [batch] = classify(load_classifier(run_dir), 2, lambda _: b"", batch_size=4, threads=1)
    assert batch.positions == ()
    assert batch.unreadable == {0: "is empty", 1: "is empty"}
