"""Make the images that `selection.csv` was measured on: different things in every domain.

The data set `objects` of the program (`vld data fetch objects`) has the same sources, but leaves
out images that show something else. Use that one for anything new.

    apt-get download tuxpaint-stamps-default openclipart-png
    python benchmarks/objects_set.py FOLDER OUT

FOLDER holds the two Debian packages, as .deb files or unpacked with `dpkg-deb -x` (no root is
needed for either). OUT is a new folder of 8 classes in four domains:

| domain | from | licence | images |
|---|---|---|---|
| photo | Debian's tuxpaint-stamps-default | GPL-2 | 301 |
| clipart | Debian's openclipart-png | public domain | 1,132 |
| noto, mono | the embedded emoji styles noto and fluent-mono | Apache-2.0, MIT | 551, 545 |

The photographs are under GPL-2, so the set is made where it is used and is no part of this program.

Each image is drawn on white, padded to a square and scaled to 128 px (Lanczos). Of images of a
domain with the same pixels the first stays; a drawing that is filed under two classes is therefore
only in the class that is named first in `CLASSES`. Classes are unequal: 127 photographs show
animals, 9 show sport.

The emoji of `noto` and `mono` show the same things; photographs and clip art show other ones.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from PIL import Image

from engine.datasets.catalog import find_image_set
from engine.protocol import resolve_spec

IMAGE_SIZE: Final = 128
MOST_PIXELS: Final = 170_000_000
"""Eleven drawings of food have 169 million; drawing one takes 1.4 GB."""

CLASSES: Final = ("animal", "plant", "food", "vehicle", "tool", "music", "clothing", "sport")
FOLDERS: Final[dict[str, tuple[str, dict[str, tuple[str, ...]]]]] = {
    "photo": (
        "usr/share/tuxpaint/stamps",
        {
            "animal": ("animals",),
            "plant": ("plants",),
            "food": ("food",),
            "vehicle": ("vehicles", "military/vehicles"),
            "tool": ("household/tools", "household/dishes", "household/arttools", "medical"),
            "music": ("hobbies/music",),
            "clothing": ("clothes",),
            "sport": ("sports",),
        },
    ),
    "clipart": (
        "usr/share/openclipart/png",
        {
            "animal": ("animals",),
            "plant": ("plants",),
            "food": ("food",),
            "vehicle": ("transportation",),
            "tool": ("tools",),
            "music": ("recreation/music",),
            "clothing": ("people/clothing",),
            "sport": ("recreation/sports",),
        },
    ),
}
"""Domain → folder of its images in its package, and the folders of each class below that."""
EMOJI_STYLES: Final = {"noto": "noto", "mono": "fluent-mono"}
"""Domain → style of the embedded emoji. Their classes have the same names as these."""
PHOTO_WORDS: Final = ("cartoon", "toys", "plastic")
"""Parts of paths of photographs that do not show the object itself."""
OTHER_FOLDERS: Final = frozenset({"roadsigns", "aiga-symbols", "weapons", "stickmen", "smilies"})
COUNTS: Final = {"photo": 301, "clipart": 1132, "noto": 551, "mono": 545}


def belongs(domain: str, class_name: str, path: Path) -> bool:
    """Return whether an image belongs to a class, by its path below the domain's images."""
    folders = set(path.parts[:-1])
    mirrored = path.name.endswith("_mirror.png") or "_flip" in path.name
    other_thing = domain == "photo" and any(word in str(path).lower() for word in PHOTO_WORDS)
    elsewhere = "clothing" in folders and class_name != "clothing"
    return not (mirrored or other_thing or elsewhere or folders & OTHER_FOLDERS)


def package_images(packages: Path, domain: str) -> Iterator[tuple[str, Path, Image.Image]]:
    """Yield class, path below the domain's images, and image."""
    below, folders = FOLDERS[domain]
    for class_name in CLASSES:
        for folder in folders[class_name]:
            for file in sorted((packages / below / folder).rglob("*.png")):
                path = file.relative_to(packages / below)
                if belongs(domain, class_name, path):
                    with Image.open(file) as image:
                        yield class_name, path, image


def emoji_images(style: str) -> Iterator[tuple[str, Path, Image.Image]]:
    """Yield class, path and image of a style of the embedded emoji."""
    emoji = find_image_set(resolve_spec({"dataset": "emoji"}))
    for index, file in enumerate(emoji.files):
        if file.domain == style and file.class_name in CLASSES:
            yield file.class_name, Path(Path(file.path).name), emoji.open_image(index)


def draw(image: Image.Image) -> Image.Image:
    """Return the image on white, padded to a square, at 128 px."""
    image = image.convert("RGBA")
    side = max(image.size)
    square = Image.new("RGB", (side, side), "white")
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2), image)
    return square.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.LANCZOS)


def write_domain(images: Iterator[tuple[str, Path, Image.Image]], folder: Path) -> int:
    """Write the images of one domain without duplicates; return their number."""
    seen = set()
    for class_name, path, image in images:
        drawn = draw(image)
        digest = hashlib.sha256(drawn.tobytes()).digest()
        if digest not in seen:
            seen.add(digest)
            place = folder / class_name / "-".join(path.with_suffix(".png").parts)
            place.parent.mkdir(parents=True, exist_ok=True)
            drawn.save(place)
    return len(seen)


def unpacked(folder: Path, temporary: Path) -> Path:
    """Unpack .deb files if there are any; return the folder of the unpacked packages."""
    archives = sorted(folder.glob("*.deb"))
    for archive in archives:
        subprocess.run(["dpkg-deb", "-x", str(archive), str(temporary)], check=True)
    return temporary if archives else folder


def main() -> int:
    """Make the set and print the number of images of each domain."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="folder with the two packages")
    parser.add_argument("out", type=Path, help="folder to create")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True)
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as temporary:
        packages = unpacked(asked.folder, Path(temporary))
        for domain in FOLDERS:
            found[domain] = write_domain(package_images(packages, domain), asked.out / domain)
    for domain, style in EMOJI_STYLES.items():
        found[domain] = write_domain(emoji_images(style), asked.out / domain)
    return tell_counts(found, COUNTS)


def tell_counts(found: Counter[str], expected: Mapping[str, int]) -> int:
    """Print the number of images of each domain; return the exit status, 1 if one is another."""
    for domain, count in expected.items():
        note = "" if found[domain] == count else f", but {count:,} were expected"
        print(f"{domain}: {found[domain]:,} images{note}")
    return 0 if found == Counter(expected) else 1


if __name__ == "__main__":
    sys.exit(main())
