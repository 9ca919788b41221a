"""Build the embedded data set, four styles of emoji, from npm packages.

Run ``python -m engine.datasets.emoji.build NPM_DIR``, where NPM_DIR contains one ``npm pack``
archive each of @iconify-json/noto, @iconify-json/twemoji, @iconify-json/fluent-emoji-flat,
@iconify-json/fluent-emoji-high-contrast and emojibase-data. Requires the extra ``emoji``. It writes
``emoji.zip`` (members ``domain/class/codepoint.webp``, stored, lossless, sorted, with a fixed date,
so that the same packages and renderer give the same bytes) and ``LICENSES.md`` next to this file.

A domain is a style, a class is a kind of object. The same emoji appear in every style, in training
domains and target, so results measure a shift in style, not generalisation to new objects.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from PIL import Image

from engine.datasets.formats import lossless_webp
from engine.errors import UserError
from engine.protocol.extras import install_command
from engine.rundir import write_atomic

IMAGE_SIZE: Final = 96
"""Side of the rendered images in pixels."""

STYLES: Final[dict[str, str]] = {
    "noto": "noto",
    "twemoji": "twemoji",
    "fluent": "fluent-emoji-flat",
    "fluent-mono": "fluent-emoji-high-contrast",
}
"""Package names within @iconify-json by domain."""

KINDS: Final[dict[str, tuple[str, ...]]] = {
    "face": (
        "face-smiling", "face-affection", "face-tongue", "face-hand", "face-neutral-skeptical",
        "face-sleepy", "face-unwell", "face-hat", "face-glasses", "face-concerned",
        "face-negative",
    ),
    "person": ("person", "person-gesture", "person-role", "person-activity", "person-sport"),
    "hand": (
        "hand-fingers-open", "hand-fingers-partial", "hand-single-finger", "hand-fingers-closed",
        "hands",
    ),
    "animal": ("animal-mammal", "animal-bird", "animal-reptile", "animal-marine", "animal-bug"),
    "plant": ("plant-flower", "plant-other"),
    "food": ("food-fruit", "food-vegetable", "food-prepared", "food-asian", "food-sweet"),
    "drink": ("drink", "dishware"),
    "building": ("place-building", "place-religious", "place-other"),
    "vehicle": ("transport-ground", "transport-water", "transport-air"),
    "clock": ("time",),
    "weather": ("sky-weather",),
    "sport": ("sport", "game", "event"),
    "clothing": ("clothing",),
    "music": ("sound", "music", "musical-instrument"),
    "office": ("book-paper", "money", "mail", "writing", "office"),
    "tool": ("tool", "science", "medical", "household"),
    "electronics": ("phone", "computer", "light-video"),
    "heart": ("heart",),
}  # fmt: skip
"""Subgroups of emojibase-data by class."""

VARIATION_SELECTOR: Final = "-fe0f"
ZIP_DATE: Final = (1980, 1, 1, 0, 0, 0)

Renderer = Callable[[str], bytes]
"""Turns SVG text into PNG bytes on white."""

COPYRIGHTS: Final[dict[str, str]] = {
    "noto": "Copyright Google Inc. and the Noto Emoji authors",
    "twemoji": "Copyright Twitter, Inc and other contributors",
    "fluent": "Copyright (c) Microsoft Corporation.",
    "fluent-mono": "Copyright (c) Microsoft Corporation.",
}
"""Copyright lines by domain."""
EMOJIBASE_COPYRIGHT: Final = "Copyright (c) 2017-2019 Miles Johnson"
MIT_TEXT: Final = """\
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or
substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM,
DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT
OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""
CREATIVE_COMMONS: Final = (
    "Creative Commons Attribution 4.0 International is at "
    "https://creativecommons.org/licenses/by/4.0/legalcode.",
    "",
)
INTRODUCTION: Final = """\
# Licences of the embedded emoji images

`emoji.zip` holds drawings of four open emoji sets, one domain each. They were changed: rendered
from SVG to images of 96×96 pixels on white, and sorted into classes. Nothing else was changed,
and none of the authors endorses this program. The program itself is under the licence in the
LICENSE file of its distribution.
"""


class BuildError(UserError):
    """Missing or unusable packages."""


@dataclass(frozen=True)
class Notice:
    """One emoji set: its name, author, npm package and licence (SPDX)."""

    domain: str
    copyright: str
    title: str
    author: str
    source: str
    package: str
    version: str
    license: str
    license_url: str


@dataclass(frozen=True)
class Package:
    """An npm package archive written by ``npm pack``."""

    path: Path

    @classmethod
    def find(cls, folder: Path, name: str) -> Package:
        """Return the only version of the package ``name`` (without scope) in ``folder``.

        Raises:
            BuildError: if there is none or more than one.
        """
        pattern = re.compile(rf"(iconify-json-)?{re.escape(name)}-\d+\.\d+\.\d+\.tgz")
        found = sorted(path for path in folder.iterdir() if pattern.fullmatch(path.name))
        if len(found) != 1:
            raise BuildError(f"{folder} must contain one archive of {name}, but has {len(found)}.")
        return cls(found[0])

    def read(self, member: str) -> Any:
        """Return a JSON file of the package by its path."""
        with tarfile.open(self.path) as archive:
            file = archive.extractfile(f"package/{member}")
            if file is None:
                raise BuildError(f"{self.path.name} has no file {member}.")
            return json.load(file)


def kind_of_codepoint(
    emojibase: Package, subgroups: Mapping[str, tuple[str, ...]] = KINDS
) -> dict[str, str]:
    """Return the class of every emoji: code points as ``1f468-200d-1f33e`` → class.

    ``subgroups`` are those of each class.
    """
    class_of_subgroup = {subgroup: kind for kind, group in subgroups.items() for subgroup in group}
    names = emojibase.read("meta/groups.json")["subgroups"]
    kinds = {}
    for emoji in emojibase.read("en/data.json"):
        kind = class_of_subgroup.get(names.get(str(emoji.get("subgroup")), ""))
        if kind is not None:
            kinds[normalised(emoji["hexcode"])] = kind
    return kinds


def style_members(
    package: Package,
    kinds: Mapping[str, str],
    side: int = IMAGE_SIZE,
    names: Mapping[str, str] | None = None,
) -> Iterator[tuple[str, str]]:
    """Yield ``class/codepoint`` and the SVG text of every emoji of a style.

    ``side``: of the drawing in pixels. ``names``: of icons by code point; None: as in the package.
    """
    icons = package.read("icons.json")
    if names is None:
        names = icon_names(package)
    for codepoint, kind in kinds.items():
        icon = icons["icons"].get(names.get(codepoint, ""))
        if icon is not None:
            width, height = (icon.get(side, icons.get(side, 16)) for side in ("width", "height"))
            yield f"{kind}/{codepoint}", _svg(icon["body"], width, height, side)


def icon_names(package: Package) -> dict[str, str]:
    """Return the name of a package's icon for each code point that it lists."""
    return {normalised(code): name for code, name in package.read("chars.json").items()}


def build_archive(
    styles: dict[str, Package], kinds: dict[str, str], render: Renderer
) -> tuple[bytes, Counter[str]]:
    """Render all styles and return the zip archive and the number of images by domain."""
    members = {
        f"{domain}/{name}.webp": svg
        for domain, package in styles.items()
        for name, svg in style_members(package, kinds)
    }
    images = {name: _webp(render(svg)) for name, svg in members.items()}
    return archive_of(images), Counter(name.split("/")[0] for name in members)


def archive_of(images: Mapping[str, bytes]) -> bytes:
    """Return a zip archive of image files by name: stored, sorted, with a fixed date."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(images):
            info = zipfile.ZipInfo(name, ZIP_DATE)
            info.external_attr = 0o644 << 16
            info.create_system = 3
            archive.writestr(info, images[name])
    return buffer.getvalue()


def resvg_renderer() -> Renderer:
    """Return a renderer that uses resvg without system fonts.

    Raises:
        BuildError: if resvg-py is not installed.
    """
    try:
        import resvg_py
    except ImportError:
        raise BuildError(
            f"resvg-py is not installed. Install it: {install_command('emoji')}"
        ) from None

    def render(svg: str) -> bytes:
        return bytes(
            resvg_py.svg_to_bytes(svg_string=svg, background="#ffffff", skip_system_fonts=True)
        )

    return render


def licenses_markdown(
    notices: Sequence[Notice], emojibase_version: str, introduction: str = INTRODUCTION
) -> str:
    """Return the text of ``LICENSES.md``; ``introduction`` comes first."""
    licenses = {notice.license for notice in notices}
    return "\n".join(
        [
            introduction,
            *(_section(notice) for notice in notices),
            "## Classes: emojibase-data",
            "",
            "The classes follow the subgroups of emojibase-data by Miles Johnson "
            "(https://github.com/milesj/emojibase),",
            f"npm package `emojibase-data` {emojibase_version}, licence MIT. "
            f"{EMOJIBASE_COPYRIGHT}.",
            "",
            "## The MIT License",
            "",
            "It covers the sets marked MIT above, with the copyright lines given there.",
            "",
            MIT_TEXT,
            "## The other licences",
            "",
            "The Apache License 2.0 is in the LICENSE file of this distribution and at "
            "https://www.apache.org/licenses/LICENSE-2.0.",
            "",
            *(CREATIVE_COMMONS if "CC-BY-4.0" in licenses else ()),
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Build ``emoji.zip`` and ``LICENSES.md``; return the exit status."""
    parser = argparse.ArgumentParser(description="Build the embedded emoji images.")
    parser.add_argument("npm_dir", metavar="NPM_DIR", type=Path, help="folder of npm archives")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent, help="output folder (default: here)"
    )
    options = parser.parse_args(arguments)
    try:
        emojibase = Package.find(options.npm_dir, "emojibase-data")
        styles = {domain: Package.find(options.npm_dir, name) for domain, name in STYLES.items()}
        archive, counts = build_archive(styles, kind_of_codepoint(emojibase), resvg_renderer())
        notices = [notice_of(domain, package) for domain, package in styles.items()]
        emojibase_version = emojibase.read("package.json")["version"]
    except (BuildError, OSError, tarfile.TarError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    write_atomic(options.output / "emoji.zip", archive)
    text = licenses_markdown(notices, emojibase_version)
    write_atomic(options.output / "LICENSES.md", text.encode())
    lines = [f"{domain}: {count} images" for domain, count in counts.items()]
    sys.stdout.write("\n".join([*lines, f"{counts.total()} images, {len(archive)} bytes", ""]))
    return 0


def notice_of(domain: str, package: Package, style: str | None = None) -> Notice:
    """Return the notice of a domain; ``style``: key of its copyright line, if not the domain."""
    about, metadata = package.read("info.json"), package.read("package.json")
    return Notice(
        domain=domain,
        copyright=COPYRIGHTS[style or domain],
        title=about["name"],
        author=about["author"]["name"],
        source=about["author"]["url"],
        package=metadata["name"],
        version=metadata["version"],
        license=about["license"]["spdx"],
        license_url=about["license"]["url"],
    )


def _section(notice: Notice) -> str:
    return "\n".join(
        [
            f"## `{notice.domain}`: {notice.title}",
            "",
            f"- Author: {notice.author}, {notice.source}",
            f"- {notice.copyright}",
            f"- Licence: {notice.license}, {notice.license_url}",
            f"- Taken from the npm package `{notice.package}` {notice.version}",
            "",
        ]
    )


def normalised(codepoint: str) -> str:
    """Return a code point as ``1f468-200d-1f33e``, without variation selectors."""
    return codepoint.lower().replace(VARIATION_SELECTOR, "")


def _svg(body: str, width: float, height: float, side: int) -> str:
    """Wrap an icon's body in a square drawing, centred and with its proportions preserved."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{side}" height="{side}" viewBox="0 0 {width} {height}" '
        f'color="#000000">{body}</svg>'
    )


def _webp(png: bytes) -> bytes:
    with Image.open(io.BytesIO(png)) as image:
        return lossless_webp(image.convert("RGB"))


if __name__ == "__main__":
    sys.exit(main())
