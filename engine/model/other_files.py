"""What a file is that was given as weights and holds none."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_HEAD_BYTES: Final = 4096
_SHOWN_LETTERS: Final = 30
_LFS: Final = b"version https://git-lfs.github.com/spec/"
_MAGIC: Final[Sequence[tuple[int, bytes, str]]] = (
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras and TensorFlow write"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"GGUF", "a GGUF file"),
    (0, b"\x89PNG\r\n", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"GIF8", "a GIF image"),
    (0, b"BM", "a BMP image"),
    (0, b"II*\x00", "a TIFF image"),
    (0, b"MM\x00*", "a TIFF image"),
    (8, b"WEBP", "a WebP image"),
    (4, b"TFL3", "a TensorFlow Lite model"),
    (257, b"ustar", "a tar archive: unpack it first"),
    (0, _LFS, "a Git LFS pointer, not the file itself: fetch it with git lfs pull"),
    (0, b"%PDF", "a PDF document"),
    (0, b"SQLite format 3", "an SQLite database"),
    (0, b"\x7fELF", "a program"),
    (0, b"\x1f\x8b", "a gzip archive: unpack it first"),
    (0, b"BZh", "a bzip2 archive: unpack it first"),
    (0, b"\xfd7zXZ", "an xz archive: unpack it first"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive: unpack it first"),
    (0, b"7z\xbc\xaf", "a 7z archive: unpack it first"),
    (0, b"Rar!", "a RAR archive: unpack it first"),
)
_SUFFIXES: Final = {
    ".onnx": "an ONNX model",
    ".pb": "a TensorFlow graph",
    ".tflite": "a TensorFlow Lite model",
    ".index": "the index of a TensorFlow checkpoint",
    ".msgpack": "a Flax checkpoint",
    ".mlmodel": "a Core ML model",
}
_KINDS_OF_ZIP: Final = (
    (re.compile(r"(^|/)constants\.pkl$"), "a TorchScript archive: a program, not a state dict"),
    (re.compile(r"\.npy$"), "a NumPy archive (.npz)"),
    (re.compile(r"(^|/)model\.weights\.h5$"), "a Keras model"),
    (re.compile(r"(^|/)models/.*\.json$|archive_format$"), "an exported PyTorch program (.pt2)"),
    (re.compile(r"^\[Content_Types\]\.xml$"), "an office document"),
)


def describe_folder(folder: Path) -> str:
    """Say that this is a folder, and which file of weights lies in it, if any."""
    patterns = (
        "checkpoints/best.safetensors",
        "*.safetensors",
        "*.pth*",
        "*.pt",
        "*.bin",
        "*.ckpt",
    )
    inside = [path for pattern in patterns for path in sorted(folder.glob(pattern))]
    return "a folder" + (f": name a file in it, such as {inside[0]}" if inside else "")


def describe_file(path: Path) -> str | None:
    """Say what a file is; None: nothing is known of it, or PyTorch wrote it.

    Raises:
        OSError: when it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        return "empty (0 bytes): the copy or download was interrupted"
    if head.startswith(b"PK"):
        return _describe_zip(path)
    found = (kind for offset, magic, kind in _MAGIC if head[offset:].startswith(magic))
    if (kind := next(found, None)) is not None:
        return kind
    if path.suffix.lower() in _SUFFIXES:
        return _SUFFIXES[path.suffix.lower()]
    if head[:1] == b"\x08" and head[2:3] in (b"\x12", b"\x1a", b":"):
        return _SUFFIXES[".onnx"]  # its first fields: the version, then who made it
    return _describe_text(path, head, size)


def _describe_zip(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile, ValueError):
        return "incomplete: it begins as a file of PyTorch does, but its end is missing"
    for pattern, kind in _KINDS_OF_ZIP:
        if any(pattern.search(name) for name in names):
            return kind
    if any(name.rpartition("/")[2] == "data.pkl" for name in names):
        return None
    return f"a zip archive that PyTorch did not write (it holds {_listed(names)})"


def _describe_text(path: Path, head: bytes, size: int) -> str | None:
    try:
        text = head.decode("utf-8-sig", errors="strict" if size <= len(head) else "ignore")
    except UnicodeDecodeError:
        return None
    if any(not (letter.isprintable() or letter.isspace()) for letter in text):
        return None
    begins = f"begins with {text.strip()[:_SHOWN_LETTERS]!r}"
    start = text.lstrip().lower()
    if start.startswith(("<!doctype html", "<html")):
        return (
            f"an HTML page ({begins}): download the file itself, not the page that shows it, or "
            "log in first"
        )
    if start.startswith("<"):
        return f"an XML document ({begins})"
    if start.startswith(("{", "[")):
        return _describe_json(path, begins)
    return f"a text file ({begins})"


def _describe_json(path: Path, begins: str) -> str:
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return f"a text file ({begins})"
    if isinstance(content, dict) and isinstance(content.get("weight_map"), dict):
        files = sorted({str(name) for name in content["weight_map"].values()})
        return f"the index of weights in several files ({_listed(files)}): join them into one"
    return f"a JSON document ({begins})"


def _listed(names: Sequence[str], shown: int = 3) -> str:
    rest = f" and {len(names) - shown} more" if len(names) > shown else ""
    return (", ".join(names[:shown]) or "nothing") + rest
