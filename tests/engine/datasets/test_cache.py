import errno
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import Resize

from engine.datasets.cache import TASK_IMAGES, CachedImages, cache_key, cached_images
from engine.datasets.folders import open_image_set
from engine.errors import DataError
from tests.engine.damaged_entries import DAMAGES, damage_entry
from tests.engine.datasets.image_folders import MakeFolder

TWO_DOMAINS = {"photo": ("cat", "dog"), "art": ("cat", "dog")}


def build(root: Path, cache_dir: Path, image_size: int = 32) -> CachedImages:
    return cached_images(open_image_set("mine", root), image_size, cache_dir)


def pixel_files(cache_dir: Path) -> list[Path]:
    return sorted((cache_dir / "images").glob("*/pixels.bin"))


@pytest.mark.parametrize("image_size", [32, 64])
def test_images_are_exactly_what_torchvision_resizes(
    make_folder: MakeFolder, tmp_path: Path, image_size: int
) -> None:
    root = make_folder(TWO_DOMAINS, size=(50, 41))
    image_set = open_image_set("mine", root)
    cached = build(root, tmp_path / "cache", image_size)
    assert cached.pixels.shape == (24, image_size, image_size, 3)
    assert cached.unreadable == {}
    transform = Resize((image_size, image_size))
    for index in range(24):
        expected = np.asarray(transform(image_set.open_image(index)))
        assert np.array_equal(cached.pixels[index], expected)


def test_a_second_call_decodes_nothing(make_folder: MakeFolder, tmp_path: Path) -> None:
    root = make_folder(TWO_DOMAINS)
    first = np.array(build(root, tmp_path / "cache").pixels)
    image_set = open_image_set("mine", root)
    shutil.rmtree(root)
    again = cached_images(image_set, 32, tmp_path / "cache")
    assert np.array_equal(again.pixels, first)


def test_pixels_cannot_be_written_through_the_map(make_folder: MakeFolder, tmp_path: Path) -> None:
    cached = build(make_folder(TWO_DOMAINS), tmp_path / "cache")
    with pytest.raises(ValueError, match="read-only"):
        cached.pixels[0] = 0


def test_a_changed_file_is_decoded_anew(make_folder: MakeFolder, tmp_path: Path) -> None:
    root = make_folder(TWO_DOMAINS)
    before = np.array(build(root, tmp_path / "cache").pixels)
    changed = root / "art" / "cat" / "0.png"
    shutil.copy(root / "photo" / "dog" / "5.png", changed)
    os.utime(changed, ns=(1, 1))
    after = build(root, tmp_path / "cache").pixels
    assert np.array_equal(after[0], before[23])
    assert np.array_equal(after[1:], before[1:])


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_noticed_and_built_again(
    make_folder: MakeFolder, tmp_path: Path, damage: str
) -> None:
    root = make_folder(TWO_DOMAINS)
    expected = np.array(build(root, tmp_path / "cache").pixels)
    (file,) = pixel_files(tmp_path / "cache")
    damage_entry(file, damage)
    assert np.array_equal(build(root, tmp_path / "cache").pixels, expected)
    assert len(pixel_files(tmp_path / "cache")) == 1


def test_what_a_dead_builder_left_is_in_nobodys_way(
    make_folder: MakeFolder, tmp_path: Path
) -> None:
    root = make_folder(TWO_DOMAINS)
    expected = np.array(build(root, tmp_path / "cache").pixels)
    (file,) = pixel_files(tmp_path / "cache")
    left = file.parent.with_name(f".{file.parent.name}.tmp")
    file.parent.rename(left)
    file.parent.with_name(f".{file.parent.name}.tmp").joinpath("manifest.json").unlink()
    assert np.array_equal(build(root, tmp_path / "cache").pixels, expected)
    assert not left.exists()


def test_runs_that_build_at_once_share_one_cache(small_emoji: Path, tmp_path: Path) -> None:
    expected = np.array(build(small_emoji, tmp_path / "other").pixels)
    start = Barrier(8)

    def build_with_the_others(_: int) -> CachedImages:
        start.wait()
        return build(small_emoji, tmp_path / "cache")

    with ThreadPoolExecutor(8) as pool:  # a lock on a file holds between threads as well
        found = list(pool.map(build_with_the_others, range(8)))
    assert all(np.array_equal(cached.pixels, expected) for cached in found)
    assert len(pixel_files(tmp_path / "cache")) == 1


def test_a_run_waits_while_another_process_builds(make_folder: MakeFolder, tmp_path: Path) -> None:
    root = make_folder(TWO_DOMAINS)
    lock = tmp_path / "cache" / "images" / f"{cache_key(open_image_set('mine', root), 32)}.lock"
    lock.parent.mkdir(parents=True)
    hold = (
        "import fcntl, sys; file = open(sys.argv[1], 'ab'); fcntl.flock(file, fcntl.LOCK_EX); "
        "print('held', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(build, root, tmp_path / "cache")
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.3)
            assert pixel_files(tmp_path / "cache") == []
            other.kill()
            assert waiting.result(timeout=30).pixels.any()


def test_unreadable_images_are_found_and_mended_ones_taken(
    make_folder: MakeFolder, tmp_path: Path
) -> None:
    root = make_folder(TWO_DOMAINS)
    whole = (root / "art" / "dog" / "2.png").read_bytes()
    status = (root / "art" / "dog" / "2.png").stat()
    (root / "art" / "dog" / "2.png").write_bytes(b"\0" * len(whole))
    os.utime(root / "art" / "dog" / "2.png", ns=(1, status.st_mtime_ns))
    for _ in range(2):
        cached = build(root, tmp_path / "cache")
        assert list(cached.unreadable) == [8]
        assert not cached.pixels[8].any()
    (root / "art" / "dog" / "2.png").write_bytes(whole)
    os.utime(root / "art" / "dog" / "2.png", ns=(1, status.st_mtime_ns))
    mended = build(root, tmp_path / "cache")
    assert mended.unreadable == {}
    assert mended.pixels[8].any()


def test_a_full_disk_is_told_with_what_is_needed(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder(TWO_DOMAINS)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2**20))
    with pytest.raises(DataError, match=r"64\.1 MiB needed, 1\.0 MiB free.*--image-size"):
        build(root, tmp_path / "cache")
    assert pixel_files(tmp_path / "cache") == []


def test_a_disk_that_fills_while_writing_leaves_no_cache(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder(TWO_DOMAINS)
    written = []

    def pwrite(descriptor: int, content: bytes, offset: int) -> int:
        written.append(offset)
        if len(written) == 10:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return len(content)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", pwrite)
        with pytest.raises(DataError, match="Not enough space"):
            build(root, tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache" / "images").iterdir()] == [".lock"]
    assert build(root, tmp_path / "cache").pixels.any()


def test_a_place_that_cannot_be_written_is_named(make_folder: MakeFolder, tmp_path: Path) -> None:
    root = make_folder(TWO_DOMAINS)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file/cache/images cannot be written.*--home"):
        build(root, tmp_path / "file" / "cache")


def test_few_images_stay_in_memory_however_many_are_taken(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder({"a": ("x", "y"), "b": ("x", "y")}, 20)
    cached = cached_images(open_image_set("mine", folder), 256, tmp_path / "cache")
    (pixels_file,) = pixel_files(tmp_path / "cache")
    expected = np.fromfile(pixels_file, dtype=np.uint8)
    monkeypatch.setattr("engine.cache.RESIDENT_BYTES", 2**20)

    def resident_kib() -> int:
        blocks = Path("/proc/self/smaps").read_text().split("Rss:")
        at = next(index for index, block in enumerate(blocks) if "pixels.bin" in block)
        return int(blocks[at + 1].split()[0])

    most = 0
    for _ in range(2):
        taken = []
        for start in range(0, 80, 4):
            taken.append(cached.take(np.arange(start, start + 4)))
            most = max(most, resident_kib())
        assert np.array_equal(np.concatenate(taken).reshape(-1), expected)
    assert most < 4_000 < cached.pixels.nbytes // 1024


def test_a_build_that_is_stopped_decodes_no_more_and_leaves_nothing(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_set = open_image_set("mine", make_folder(TWO_DOMAINS, 160))
    opened = []
    really_open = image_set.open_image

    def open_image(index: int) -> Image.Image:
        opened.append(index)
        return really_open(index)

    monkeypatch.setattr(image_set, "open_image", open_image)

    def stop(done: int, total: int) -> None:
        assert (done, total) == (TASK_IMAGES, 640)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_images(image_set, 32, tmp_path / "cache", stop)
    assert len(opened) < 640
    assert pixel_files(tmp_path / "cache") == []
    assert build(tmp_path / "images", tmp_path / "cache").unreadable == {}


def remove_sizes(cache_dir: Path) -> bytes:
    """Make a cache one of an earlier version, which kept no sizes; return them."""
    (file,) = (cache_dir / "images").glob("*/sizes.bin")
    content = file.read_bytes()
    file.unlink()
    return content


def size_files(cache_dir: Path) -> list[Path]:
    return sorted((cache_dir / "images").glob("*/sizes.bin"))


def test_sizes_are_those_of_the_decoded_originals(tmp_path: Path) -> None:
    """Whatever the format: none is turned by its EXIF orientation but those PIL turns itself."""
    root = tmp_path / "images"
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds: dict[str, dict[str, object]] = {
        "a.jpg": {"exif": exif}, "b.png": {"exif": exif}, "c.tif": {"tiffinfo": {0x0112: 6}},
        "d.webp": {"exif": exif}, "e.gif": {}, "f.bmp": {}, "g.ppm": {}, "h.jp2": {},
    }  # fmt: skip
    for place in ("photo/cat", "photo/dog"):
        (root / place).mkdir(parents=True)
        for number, (name, options) in enumerate(kinds.items()):
            Image.new("RGB", (30 + number, 50)).save(root / place / name, **options)  # type: ignore[arg-type]
    image_set = open_image_set("mine", root)
    expected = [image_set.open_image(index).size for index in range(len(image_set))]
    assert len(set(expected)) == len(kinds)
    cache_dir = tmp_path / "cache"
    assert cached_images(image_set, 32, cache_dir).sizes.tolist() == [list(s) for s in expected]
    remove_sizes(cache_dir)
    assert cached_images(image_set, 32, cache_dir).sizes.tolist() == [list(s) for s in expected]


def test_a_cache_of_an_earlier_version_gets_its_sizes_without_decoding(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_set = open_image_set("mine", make_folder(TWO_DOMAINS, size=(40, 36)))
    expected = np.array(cached_images(image_set, 32, tmp_path / "cache").pixels)
    stored = remove_sizes(tmp_path / "cache")
    told = []

    def decode(_: int) -> Image.Image:
        raise AssertionError("decoded")

    monkeypatch.setattr(image_set, "open_image", decode)
    for _ in range(2):
        cached = cached_images(
            image_set, 32, tmp_path / "cache", lambda *progress: told.append(progress)
        )
        assert np.array_equal(cached.pixels, expected)
        assert cached.sizes.tolist() == [[40, 36]] * 24
    assert told == [(24, 24)]
    assert size_files(tmp_path / "cache")[0].read_bytes() == stored


@pytest.mark.parametrize("place", [0, 100, -1, "cut", "empty", "longer"])
def test_damaged_sizes_are_read_from_the_images_again(
    make_folder: MakeFolder, tmp_path: Path, place: int | str
) -> None:
    root = make_folder(TWO_DOMAINS, size=(40, 36))
    build(root, tmp_path / "cache")
    (file,) = size_files(tmp_path / "cache")
    content = bytearray(file.read_bytes())
    if isinstance(place, int):
        content[place] ^= 1
    elif place == "longer":
        content += bytes(8)
    else:
        del content[-8 if place == "cut" else 0 :]
    file.write_bytes(content)
    assert build(root, tmp_path / "cache").sizes.tolist() == [[40, 36]] * 24


def test_an_image_whose_size_can_no_longer_be_read_is_found_unreadable(
    make_folder: MakeFolder, tmp_path: Path
) -> None:
    root = make_folder(TWO_DOMAINS, size=(40, 36))
    image_set = open_image_set("mine", root)
    cached_images(image_set, 32, tmp_path / "cache")
    remove_sizes(tmp_path / "cache")
    (root / "art" / "dog" / "2.png").write_bytes(b"\0" * 100)
    cached = cached_images(image_set, 32, tmp_path / "cache")
    assert list(cached.unreadable) == [8]
    assert cached.sizes.tolist() == [[0, 0] if index == 8 else [40, 36] for index in range(24)]
    remove_sizes(tmp_path / "cache")
    again = cached_images(image_set, 32, tmp_path / "cache")
    assert again.sizes.tolist() == cached.sizes.tolist()


def test_runs_that_look_for_sizes_at_once_find_them(
    make_folder: MakeFolder, tmp_path: Path
) -> None:
    root = make_folder(TWO_DOMAINS, size=(40, 36))
    build(root, tmp_path / "cache")
    remove_sizes(tmp_path / "cache")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: build(root, tmp_path / "cache"), range(8)))
    assert all(cached.sizes.tolist() == [[40, 36]] * 24 for cached in found)
