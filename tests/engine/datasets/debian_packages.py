"""Small Debian packages, and an ``apt-get`` that offers them."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

STAMPS = "usr/share/tuxpaint/stamps"
APT_GET = """#!/bin/sh
# Usage: apt-get -q download [--print-uris] NAME
echo "$@" >> "{log}"
if [ "$4" = tuxpaint-stamps-default ]; then
    echo "'{address}' {file} {size} {checksum}"
elif [ "$3" = tuxpaint-stamps-default ] && [ -e "{copy}" ]; then
    cp "{copy}" "{file}"
else
    echo "W: a warning" >&2
    echo "E: Unable to locate package" >&2
    exit 100
fi
"""


def png(seed: int = 0, size: tuple[int, int] = (60, 30), *, mode: str = "RGBA") -> bytes:
    """Return an opaque image of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, "PNG")
    return file.getvalue()


def photographs() -> dict[str, bytes]:
    """Return the files of a small package of stamps: two photographs of each class."""
    folders = (
        "animals/birds", "plants/trees", "food", "vehicles/auto", "household/tools",
        "hobbies/music/string", "sports",
    )  # fmt: skip
    paths = [f"{STAMPS}/{folder}/{number}.png" for folder in folders for number in range(2)]
    return {path: png(seed) for seed, path in enumerate(paths)}


def _tar(files: Mapping[str, bytes], compression: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{compression}") as archive:  # type: ignore[call-overload]
        for path, content in files.items():
            info = tarfile.TarInfo(f"./{path}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def archive_of(members: Mapping[str, bytes]) -> bytes:
    """Return an ``ar`` archive."""
    content = b"!<arch>\n"
    for name, data in members.items():
        content += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode()
        content += data + b"\n" * (len(data) % 2)
    return content


def package(
    files: Mapping[str, bytes],
    name: str = "tuxpaint-stamps-default",
    *,
    version: str = "2022.06.04-1",
    compression: str = "xz",
) -> bytes:
    """Return a Debian package."""
    control = f"Package: {name}\nVersion: {version}\nDescription: stamps\n more: text\n".encode()
    return archive_of(
        {
            "debian-binary": b"2.0\n",
            f"control.tar.{compression}": _tar({"control": control}, compression),
            f"data.tar.{compression}": _tar(files, compression),
        }
    )


def install_apt_get(
    folder: Path,
    content: bytes,
    *,
    address: str = "file:/mirror/stamps.deb",
    checksum: str | None = None,
    copy: Path | None = None,
) -> Path:
    """Write an ``apt-get`` into a folder and return its log of calls.

    Args:
        folder: to put on the PATH.
        content: of the offered package.
        address: of the package, as apt prints it.
        checksum: SHA-256 to print; None: the true one.
        copy: file that ``apt-get download`` copies; None: it fails.
    """
    log = folder / "apt-get.log"
    digest = checksum or hashlib.sha256(content).hexdigest()
    script = APT_GET.format(
        log=log, address=address, file="stamps_1_all.deb", size=len(content),
        checksum=f"SHA256:{digest}", copy=copy or "/nonexistent",
    )  # fmt: skip
    folder.mkdir(exist_ok=True)
    (folder / "apt-get").write_text(script)
    (folder / "apt-get").chmod(0o755)
    return log
