"""Situations with images: what other tools take for classes, drop, or let leak."""

from __future__ import annotations

import shutil
import zipfile
import zlib

import numpy as np
from PIL import Image

from engine.protocol import DataPrepared
from tests.hunt.workplace import CLASSES, DOMAINS, Workplace
from tests.small_runs import read_events


def class_numbers_and_folders_disagree(place: Workplace) -> None:
    names = ("-x", "1", "10", "2")
    run = place.train(place.images(classes=names))
    prepared = next(e for e in read_events(run) if isinstance(e, DataPrepared))
    assert prepared.classes == list(names)
    predictions = run.read_predictions()
    assert predictions is not None
    assert list(predictions.classes) == list(names)


def the_target_lacks_a_class(place: Workplace) -> None:
    folder = place.images()
    shutil.rmtree(folder / "red" / "cross")
    refused = place.add("plain", folder)
    assert refused.exit_code == 2
    assert "red" in refused.stderr
    assert "cross" in refused.stderr
    assert place.add("kept", folder, "--keep-missing-classes").exit_code == 0
    assert place.prepared("kept").classes == list(CLASSES)


def classes_are_named_like_splits(place: Workplace) -> None:
    for name, classes in (("vehicles", ("test", "train")), ("glasses", ("empty", "full"))):
        folder = place.images(name, classes=classes)
        added = place.add(name, folder)
        assert added.exit_code == 0, added.stderr
        code, report, _ = place.check(folder)
        assert (code, report["classes"]) == (0, list(classes))
        assert place.prepared(folder).classes == list(classes)
        assert place.prepared(name).classes == list(classes)


def splits_have_many_names(place: Workplace) -> None:
    for number, (train, held_out) in enumerate(
        (("train", "validation"), ("training", "valid"), ("Train", "dev"), ("TRAIN", "Testing"))
    ):
        folder = place.path / f"splits{number}"
        for domain in DOMAINS:
            for split in (train, held_out):
                place.images(f"splits{number}/{domain}", (split,), CLASSES, 2)
        name = f"set{number}"
        added = place.add(name, folder)
        assert added.exit_code == 0, added.stderr
        assert train in added.output
        assert place.prepared(name).classes == list(CLASSES)


def split_folders_are_no_labels(place: Workplace) -> None:
    folder = place.path / "splits"
    for domain in DOMAINS:
        place.images(f"splits/{domain}", ("train", "val"), CLASSES, 3)
    code, report, spoken = place.check(folder)
    assert report["classes"] == list(CLASSES), spoken
    assert code == 0, spoken
    assert "--layout plain" in spoken
    prepared = place.prepared(folder)
    assert prepared.classes == list(CLASSES)
    assert {domain.images for domain in prepared.domains} == {18}


def a_notebook_leaves_its_checkpoints(place: Workplace) -> None:
    folder = place.images()
    place.picture(folder / "blue" / ".ipynb_checkpoints" / "0-checkpoint.png")
    place.picture(folder / "red" / "circle" / ".ipynb_checkpoints" / "0-checkpoint.png")
    place.picture(folder / ".ipynb_checkpoints" / "circle" / "0-checkpoint.png")
    _only_the_images_count(place, folder)


def a_nas_leaves_thumbnails(place: Workplace) -> None:
    folder = place.images()
    for image in sorted(folder.rglob("*.png")):
        for size in ("M", "XL"):
            place.picture(image.parent / "@eaDir" / image.name / f"SYNOPHOTO_THUMB_{size}.jpg")
        place.picture(image.parent.parent / "@eaDir" / image.name / "SYNOPHOTO_THUMB_M.jpg")
    spoken = _only_the_images_count(place, folder)
    assert "@eaDir" in spoken


def a_mac_leaves_a_file_beside_each(place: Workplace) -> None:
    folder = place.images()
    for image in sorted(folder.rglob("*.png")):
        image.with_name(f"._{image.name}").write_bytes(b"\0\x05\x16\x07\0\x02\0\0Mac OS X")
    _only_the_images_count(place, folder)


def an_archive_was_made_on_a_mac(place: Workplace) -> None:
    folder = place.images()
    beside = [
        path.relative_to(folder).with_name(f"._{path.name}") for path in folder.rglob("*.png")
    ]
    archive = place.path / "images.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(folder.rglob("*.png")):
            packed.write(path, path.relative_to(folder))
        for path in beside:
            packed.writestr(f"__MACOSX/{path}", b"\0\x05\x16\x07")
    _only_the_images_count(place, archive)
    for path in beside:
        (folder / "__MACOSX" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "__MACOSX" / path).write_bytes(b"\0\x05\x16\x07")
    _only_the_images_count(place, folder)


def _only_the_images_count(place: Workplace, where: object) -> str:
    """Assert that just the images of ``place.images()`` are read; return what a check prints."""
    path = place.path / str(where)
    code, report, spoken = place.check(path)
    assert code == 0, spoken
    assert report["counts"] == {domain: dict.fromkeys(CLASSES, 6) for domain in DOMAINS}
    assert "left out" in spoken
    prepared = place.prepared(path)
    assert prepared.classes == list(CLASSES)
    assert {domain.name: domain.images for domain in prepared.domains} == dict.fromkeys(DOMAINS, 18)
    return spoken


def a_stray_folder_is_named(place: Workplace) -> None:
    folder = place.images()
    (folder / "raw" / "download").mkdir(parents=True)
    code, _, spoken = place.check(folder)
    assert code == 1
    assert "raw" in spoken


def a_class_folder_is_empty(place: Workplace) -> None:
    folder = place.images()
    for image in (folder / "green" / "cross").iterdir():
        image.unlink()
    code, _, spoken = place.check(folder)
    assert code == 1
    assert "green/cross" in spoken


def formats_are_told_by_content(place: Workplace) -> None:
    folder = place.images(count=4)
    for suffix, form in ((".jfif", "JPEG"), (".jpe", "JPEG"), (".gif", "GIF"), (".avif", "AVIF")):
        for number, domain in enumerate(DOMAINS):
            seed = zlib.crc32(f"{suffix}{number}".encode())
            place.picture(folder / domain / "circle" / f"x{suffix}", seed, format=form)
    (folder / "red" / "circle" / "notes.docx").write_bytes(b"PK")
    place.picture(folder / "red" / "overview.png")
    _, report, spoken = place.check(folder)
    assert report["counts"]["blue"]["circle"] == 8, spoken
    assert "red/circle/notes.docx" in spoken
    assert "1 image above its class folder (red/overview.png)" in spoken


def sixteen_bits_of_grey(place: Workplace) -> None:
    from engine.datasets.folders import decode_image

    grey = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    Image.fromarray(grey).save(place.path / "8.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(place.path / "16.png")
    eight, sixteen = (
        np.asarray(decode_image((place.path / f"{bits}.png").read_bytes())) for bits in (8, 16)
    )
    assert (eight == sixteen).all()


def pictures_are_turned_by_their_header(place: Workplace) -> None:
    folder = place.images(count=12)
    header = Image.Exif()
    header[0x0112] = 6
    for number in range(5):
        place.picture(folder / "red" / "circle" / f"turned{number}.jpg", number, exif=header)
    code, _, spoken = place.check(folder)
    assert code == 0, spoken
    assert "5 images" in spoken
    assert "EXIF" in spoken


def too_few_images_for_a_validation_part(place: Workplace) -> None:
    folder = place.images(count=1)
    code, _, spoken = place.check(folder)
    assert code == 1, spoken
    tried = place.vld("run", "--data", str(folder), "--target", "red", "--dry-run")
    assert tried.exit_code == 2, tried.output


def duplicates_leak_into_the_target(place: Workplace) -> None:
    folder = place.images()
    shutil.copy(folder / "blue" / "circle" / "0.png", folder / "red" / "circle" / "copy.png")
    code, _, spoken = place.check(folder)
    assert code == 1
    assert "both blue and red" in spoken
    paths = [f"blue/circle/{number}.png" for number in range(6)]
    other = [f"green/cross/{number}.png" for number in range(6)]
    table = place.table(
        [(path, "circle", domain) for path in paths for domain in ("blue", "red")]
        + [(path, "cross", "blue") for path in other]
        + [(f"red/cross/{number}.png", "cross", "red") for number in range(6)],
        "images/leak.csv",
    )
    code, _, spoken = place.check(table)
    assert code == 1, spoken
    assert "6 images" in spoken


def files_lie_in_another_order_on_another_disk(place: Workplace) -> None:
    from tests.hunt.workplace import results

    folder = place.images()
    elsewhere = place.path / "elsewhere"
    for path in sorted(folder.rglob("*.png"), reverse=True):
        (elsewhere / path.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, elsewhere / path.relative_to(folder))
    assert results(place.train(folder)) == results(place.train(elsewhere))
