"""What programs leave behind in folders of images: never a domain, a class or an image."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from typing import Final

THUMBNAIL_FOLDERS: Final = ("@eadir", "@__thumb", ".@__thumb", ".thumbnails", ".thumbs")
"""Folders of small copies, by their names in lower case: Synology, QNAP, file managers."""

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
"""Kind of folder → patterns of its name in lower case; the first that matches counts."""

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
"""Kind of file → patterns of its name in lower case; the first that matches counts."""


def _pattern(kinds: Mapping[str, tuple[str, ...]]) -> re.Pattern[str]:
    return re.compile("|".join(fnmatch.translate(each) for part in kinds.values() for each in part))


_ANY_FOLDER: Final = _pattern(JUNK_FOLDERS)
_ANY_FILE: Final = _pattern(JUNK_FILES)


def junk_folder(name: str) -> str | None:
    """Return the kind of folder that a program left behind; None for a folder of the user."""
    return _kind(name, JUNK_FOLDERS) if _ANY_FOLDER.match(name.lower()) else None


def junk_file(name: str) -> str | None:
    """Return the kind of file that a program left behind; None for a file of the user."""
    return _kind(name, JUNK_FILES) if _ANY_FILE.match(name.lower()) else None


def holds_thumbnails(name: str) -> bool:
    """Say whether a folder of this name holds small copies of other images."""
    return name.lower() in THUMBNAIL_FOLDERS


def _kind(name: str, kinds: Mapping[str, tuple[str, ...]]) -> str:
    lower = name.lower()
    return next(
        kind
        for kind, patterns in kinds.items()
        if any(fnmatch.fnmatchcase(lower, pattern) for pattern in patterns)
    )
