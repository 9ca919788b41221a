"""Recognition of image files by suffix or content, and of other programs' files and folders."""

from __future__ import annotations

import fnmatch
import importlib.util
import io
import os
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

from PIL import Image, features

IMAGE_EXTENSIONS: Final = (
    ".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp",
)  # fmt: skip
"""As in ``torchvision.datasets.folder.IMG_EXTENSIONS``."""
MORE_EXTENSIONS: Final = (
    ".jfif", ".jpe", ".gif", ".jp2", ".j2k", ".pbm", ".pnm", ".dib", ".apng",
)  # fmt: skip
"""Other suffixes of supported formats."""
AVIF: Final = (".avif", ".avifs")
HEIC: Final = (".heic", ".heif", ".hif")
FOREIGN_EXTENSIONS: Final = frozenset(
    [
        ".tga", ".ico", ".icns", ".cur", ".svg", ".svgz", ".psd", ".xcf", ".ai", ".eps", ".ps",
        ".pdf", ".exr", ".hdr", ".dds", ".pcx", ".jxl", ".jxr", ".emf", ".wmf", ".xpm", ".fits",
        ".raw", ".cr2", ".cr3", ".crw", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf", ".pef",
        ".srw", ".sr2", ".dcm", ".nii", ".npy", ".npz", ".mat", ".svs", ".ndpi", ".mrxs", ".czi",
        ".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".3gp", ".insv",
    ]
)  # fmt: skip
"""Suffixes of unsupported images and videos; some start like TIFF files."""
TEXT_EXTENSIONS: Final = frozenset(
    [
        ".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml",
        ".toml", ".ini", ".html", ".htm", ".py", ".ipynb", ".sh", ".log", ".lst", ".xmp", ".aae",
        ".db", ".zip", ".tar", ".gz", ".tgz", ".parquet", ".pkl", ".pt", ".pth", ".h5", ".docx",
    ]
)  # fmt: skip
"""Suffixes of files that are not images; they are not opened."""
OTHER_FILES: Final = "other files"
"""Kind of files that are not images."""
HEAD_BYTES: Final = 32
"""Number of bytes that identify a file's format."""

SIGNATURES: Final[Mapping[str, re.Pattern[bytes]]] = {
    ".jpg": re.compile(rb"\xff\xd8\xff"),
    ".png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    ".webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
    ".bmp": re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL),
    ".tif": re.compile(rb"II\*\0|MM\0\*"),
    ".gif": re.compile(rb"GIF8[79]a"),
    ".pgm": re.compile(rb"P5\s"),
    ".ppm": re.compile(rb"P6\s"),
    ".jp2": re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"),
    ".avif": re.compile(rb"....ftypavi[fs]", re.DOTALL),
    ".heic": re.compile(rb"....ftyp(?:hei[cxms]|hev[cx]|mif1|msf1)", re.DOTALL),
}
"""Pattern of the first bytes by suffix."""

IMAGE_FORMATS: Final = (
    "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP",
    *(["AVIF"] if features.check("avif") else []),
)  # fmt: skip
"""Supported PIL formats, independent of the file name. Formats that PIL reads with external
programs, such as PostScript, are excluded. HEIC needs an extra."""
THUMBNAIL_FOLDERS: Final = ("@eadir", "@__thumb", ".@__thumb", ".thumbnails", ".thumbs")
"""Lower-case names of thumbnail folders: Synology, QNAP, file managers."""
HIDDEN_FOLDERS: Final = "hidden folders"
JUNK_FOLDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "macOS folders": ("__macosx", ".appledouble", ".appledb", ".appledesktop"),
    "Jupyter checkpoint folders": (".ipynb_checkpoints",),
    "recycle bins": (
        "#recycle", "@recycle", "$recycle.bin", "recycler", "recycled", ".trash*",
        "network trash folder",
    ),
    "system folders": (
        "system volume information", "lost+found", "temporary items", ".temporaryitems",
        ".spotlight-v100", ".fseventsd", ".documentrevisions-v100", "@tmp", "@sharebin",
        "#snapshot", ".snapshot", ".snapshots", "~snapshot", "@recently-snapshot", ".zfs",
        "@appdata", "@appstore", "@sharesnap", "@transcode", "found.[0-9][0-9][0-9]",
        "config.msi", "onedrivetemp",
    ),
    "version control folders": (".git", ".hg", ".svn", ".bzr", ".dvc"),
    "photo libraries": ("*.photoslibrary", "*.aplibrary", "*.lrdata", "captureone"),
    "cache folders": ("__pycache__", ".cache", ".dropbox.cache", ".stversions", ".stfolder"),
    HIDDEN_FOLDERS: (".*",),
}  # fmt: skip
"""Patterns of lower-case folder names by kind; the first match applies."""
JUNK_FILES: Final[Mapping[str, tuple[str, ...]]] = {
    "macOS ._ files": ("._*",),
    "system files": (
        ".ds_store", "thumbs.db", "thumbs.db:*", "ehthumbs*.db", "desktop.ini", ".directory",
        "icon\r", ".nomedia", "*picasa.ini", "*:zone.identifier",
    ),
    "Synology files": ("synophoto_*", "synoindex_*", "synofile_*", "*@synoeastream",
                       "*@synoresource"),
    "unfinished downloads": ("*.crdownload", "*.part", "*.partial", "*.filepart", "*.download",
                             "*.tmp", "*.temp", "*.aria2", "*.!ut", "*.opdownload", "*.td",
                             "*.bc!", "*.icloud", "*.rclone-partial"),
    "backup files": ("*~", "~$*", "*.bak", "*.swp", ".~*", "#*#", "*.orig", "*.old",
                     "*.~[0-9a-z]*"),
    "hidden files": (".*",),
}  # fmt: skip
"""Patterns of lower-case file names by kind; the first match applies."""


def sniff(head: bytes) -> str | None:
    """Return the suffix of the image format that starts with ``head``; None if unknown."""
    return next((suffix for suffix, begin in SIGNATURES.items() if begin.match(head)), None)


def not_an_image(name: str, head: Callable[[], bytes]) -> str | None:
    """Return the kind of a file that is not a supported image; None for an image.

    Args:
        name: of the file.
        head: returns its first bytes; called only if the suffix is ambiguous.
    """
    suffix = os.path.splitext(name)[1].lower()
    if suffix in readable_extensions():
        return None
    if suffix in (*AVIF, *HEIC) or suffix in FOREIGN_EXTENSIONS:
        return suffix
    if suffix in TEXT_EXTENSIONS:
        return OTHER_FILES
    found = sniff(head())
    if found is None:
        return OTHER_FILES
    return None if found in readable_extensions() else found


@cache
def readable_extensions() -> frozenset[str]:
    """Return the suffixes of the formats supported on this machine."""
    avif = AVIF if "AVIF" in IMAGE_FORMATS else ()
    heic = HEIC if reads_heic() else ()
    return frozenset((*IMAGE_EXTENSIONS, *MORE_EXTENSIONS, *avif, *heic))


@cache
def reads_heic() -> bool:
    """Return whether HEIC images can be read (with the extra ``heic``)."""
    return importlib.util.find_spec("pillow_heif") is not None


def formats_of(content: bytes) -> tuple[str, ...]:
    """Return the PIL formats to try for an image, including HEIC if needed and supported."""
    if sniff(content[:HEAD_BYTES]) == ".heic" and reads_heic():
        _register_heic()
        return (*IMAGE_FORMATS, "HEIF")
    return IMAGE_FORMATS


@cache
def _register_heic() -> None:
    import pillow_heif  # an extra

    pillow_heif.register_heif_opener()
    Image.init()


def lossless_webp(image: Image.Image) -> bytes:
    """Return an RGB image as a WebP file that decodes to the same pixels."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=True, quality=75, method=6)
    return buffer.getvalue()


def _pattern(kinds: Mapping[str, tuple[str, ...]]) -> re.Pattern[str]:
    return re.compile("|".join(fnmatch.translate(each) for part in kinds.values() for each in part))


_ANY_FOLDER: Final = _pattern(JUNK_FOLDERS)
_ANY_FILE: Final = _pattern(JUNK_FILES)


def junk_folder(name: str) -> str | None:
    """Return the kind of a program's folder; None for the user's own."""
    return _kind(name, JUNK_FOLDERS) if _ANY_FOLDER.match(name.lower()) else None


def junk_file(name: str) -> str | None:
    """Return the kind of a program's file; None for the user's own."""
    return _kind(name, JUNK_FILES) if _ANY_FILE.match(name.lower()) else None


def holds_thumbnails(name: str) -> bool:
    """Return whether this is the name of a thumbnail folder."""
    return name.lower() in THUMBNAIL_FOLDERS


def _kind(name: str, kinds: Mapping[str, tuple[str, ...]]) -> str:
    lower = name.lower()
    return next(
        kind
        for kind, patterns in kinds.items()
        if any(fnmatch.fnmatchcase(lower, pattern) for pattern in patterns)
    )
