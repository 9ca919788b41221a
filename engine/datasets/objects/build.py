"""Build the embedded data set ``objects-drawn``: clip art, emoji and line art of objects.

Run ``python -m engine.datasets.objects.build DEB NPM_DIR``, where DEB is Debian's openclipart-png
(``apt-get download openclipart-png``), and NPM_DIR contains one ``npm pack`` archive each of
@iconify-json/noto, @iconify-json/fluent-emoji-high-contrast and emojibase-data. Requires the extra
``emoji`` and 2 GB of memory, and takes some minutes. It writes ``objects-drawn.zip`` (members
``domain/class/name.webp``, lossless, so that the same packages and renderer give the same bytes)
and ``LICENSES.md`` next to this file.

``vld data fetch objects`` adds photographs, which are under another licence, to the same drawings.
"""

from __future__ import annotations

import argparse
import sys
import tarfile
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PIL import Image

from engine.datasets.debian import DebianPackage
from engine.datasets.emoji.build import (
    STYLES,
    Package,
    Renderer,
    archive_of,
    kind_of_codepoint,
    licenses_markdown,
    notice_of,
    resvg_renderer,
    style_members,
)
from engine.datasets.objects import ARCHIVE
from engine.datasets.objects.selection import (
    CLIPART,
    EMOJI_KINDS,
    EMOJI_STYLES,
    EXCLUDED_EMOJI,
    IMAGE_SIZE,
    SUFFIX,
    Drawings,
    package_images,
)
from engine.errors import UserError
from engine.rundir import write_atomic

MOST_PIXELS: Final = 170_000_000
"""Eleven drawings of food have 169 million; drawing one takes 1.4 GB of memory."""
INTRODUCTION: Final = f"""\
# Licences of the embedded drawings of objects

`{ARCHIVE.name}` holds drawings of three sources, one domain each. They were changed: drawn on
white at {IMAGE_SIZE}×{IMAGE_SIZE} pixels, and sorted into classes; exact copies were removed.
Nothing else was changed, and none of the authors endorses this program. The program itself is
under the licence in the LICENSE file of its distribution.

## `clipart`: Open Clip Art Library

- Authors: the contributors of the Open Clip Art Library, http://www.openclipart.org
- Licence: public domain (Creative Commons Public Domain Dedication)
- Taken from the Debian package `{CLIPART.package}` {{version}}
"""


def draw_emoji(package: Package, emojibase: Package, render: Renderer) -> dict[str, bytes]:
    """Return the image files of a style of emoji by ``class/codepoint``."""
    excluded = {code for codes in EXCLUDED_EMOJI.values() for code in codes}
    drawings = Drawings()
    for path, svg in style_members(package, kind_of_codepoint(emojibase, EMOJI_KINDS), IMAGE_SIZE):
        class_name, _, code = path.partition("/")
        if code not in excluded:
            drawings.add(class_name, code + SUFFIX, render(svg))
    return drawings.files()


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the archive and ``LICENSES.md``; return the exit status."""
    parser = argparse.ArgumentParser(description="Build the embedded drawings of objects.")
    parser.add_argument("deb", metavar="DEB", type=Path, help="Debian package openclipart-png")
    parser.add_argument("npm_dir", metavar="NPM_DIR", type=Path, help="folder of npm archives")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent, help="output folder (default: here)"
    )
    options = parser.parse_args(arguments)
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    try:
        render = resvg_renderer()
        emojibase = Package.find(options.npm_dir, "emojibase-data")
        styles = {
            domain: Package.find(options.npm_dir, STYLES[style])
            for domain, style in EMOJI_STYLES.items()
        }
        images = {name: draw_emoji(each, emojibase, render) for name, each in styles.items()}
        clipart = DebianPackage(options.deb)
        images["clipart"] = package_images(CLIPART, clipart, lambda _done, _total: None)
        notices = [notice_of(name, each, EMOJI_STYLES[name]) for name, each in styles.items()]
        emojibase_version = emojibase.read("package.json")["version"]
    except (UserError, OSError, tarfile.TarError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    files = {f"{domain}/{path}": file for domain, of in images.items() for path, file in of.items()}
    archive = archive_of(files)
    write_atomic(options.output / ARCHIVE.name, archive)
    text = licenses_markdown(
        notices, emojibase_version, INTRODUCTION.format(version=clipart.version)
    )
    write_atomic(options.output / "LICENSES.md", text.encode())
    counts = Counter(name.partition("/")[0] for name in files)
    lines = [f"{domain}: {count} images" for domain, count in sorted(counts.items())]
    sys.stdout.write("\n".join([*lines, f"{counts.total()} images, {len(archive)} bytes", ""]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
