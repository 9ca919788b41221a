"""What of two packages of pictures becomes the data set `objects`."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from benchmarks.objects_set import belongs, draw, package_images, write_domain


@pytest.mark.parametrize(
    ("domain", "class_name", "path", "expected"),
    [
        ("photo", "animal", "animals/birds/owl.png", True),
        ("photo", "animal", "animals/birds/owl_mirror.png", False),
        ("photo", "animal", "animals/birds/cartoon/owl.png", False),
        ("photo", "food", "food/fruit/plastic_grapes.png", False),
        ("clipart", "tool", "tools/toys/hammer.png", True),
        ("clipart", "tool", "tools/weapons/sword.png", False),
        ("clipart", "vehicle", "transportation/roadsigns/stop.png", False),
        ("clipart", "clothing", "people/clothing/hats/cap.png", True),
    ],
)
def test_images_of_other_things_and_mirrored_ones_are_left_out(
    domain: str, class_name: str, path: str, expected: bool
) -> None:
    assert belongs(domain, class_name, Path(path)) is expected


def test_an_image_is_drawn_in_the_middle_of_a_white_square() -> None:
    drawn = draw(Image.new("RGBA", (20, 10), (255, 0, 0, 255)))

    assert drawn.size == (128, 128)
    assert [drawn.getpixel((64, y)) for y in (2, 64, 125)] == [
        (255, 255, 255), (255, 0, 0), (255, 255, 255),
    ]  # fmt: skip


def test_what_is_transparent_is_white() -> None:
    assert draw(Image.new("RGBA", (4, 4), (255, 0, 0, 0))).getpixel((64, 64)) == (255, 255, 255)


def test_a_drawing_filed_under_two_classes_is_in_the_first(tmp_path: Path) -> None:
    clip_art = tmp_path / "usr/share/openclipart/png"
    for folder, colour in (("plants", "red"), ("food/fruit", "red"), ("food", "blue")):
        (clip_art / folder).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), colour).save(clip_art / folder / "pepper.png")

    count = write_domain(package_images(tmp_path, "clipart"), tmp_path / "out")

    written = sorted(str(each.relative_to(tmp_path / "out")) for each in tmp_path.glob("out/*/*"))
    assert (count, written) == (2, ["food/food-pepper.png", "plant/plants-pepper.png"])
