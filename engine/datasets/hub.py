"""Download of data sets from the Hugging Face hub, as parquet files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from engine.datasets.progress import Progress
from engine.errors import DataError
from engine.machine.disk import is_full
from engine.text import without_secrets

BLOCK_BYTES: Final = 8 * 2**20
"""Bytes read from the hub at a time; an interrupt loses at most these."""


class Download(NamedTuple):
    """Parquet files, sorted by name, and their revision."""

    files: tuple[Path, ...]
    revision: str


class _Table(NamedTuple):
    """A parquet file on the hub: path, size in bytes, and SHA-256 if known."""

    address: str
    size: int
    sha256: str | None


def download_tables(hub_id: str, into: Path, on_progress: Progress) -> Download:
    """Download a data set's parquet files into ``into``, resuming an earlier download.

    All files are of the newest revision at the start; each is checked against the hub's size and
    checksum. The hub client's variables ``HF_ENDPOINT`` and ``HF_HUB_OFFLINE`` apply. Its
    ``hf_hub_download`` is not used because it restarts a file after an interrupt.

    Raises:
        DataError: if the hub is unreachable or refuses, or the data set has no parquet files. The
            partial download is kept, and the next call resumes it.
        OSError: if the disk is full or cannot be written.
    """
    import huggingface_hub  # half a second

    try:
        revision = str(huggingface_hub.HfApi().dataset_info(hub_id).sha)
        hub = huggingface_hub.HfFileSystem()
        tables = _find_tables(hub, hub_id, revision)
    except Exception as error:  # noqa: BLE001 - any error of the client: always reported
        raise _unreachable(hub_id, error) from None
    if not tables:
        raise DataError(f"{hub_id} no longer has parquet files on the hub.")
    folder = into / revision
    folder.mkdir(parents=True, exist_ok=True)
    total = sum(table.size for table in tables)
    before, files = 0, []
    for number, table in enumerate(tables):
        file = folder / f"{number:05}.parquet"

        def progress(done: int, before: int = before) -> None:
            on_progress(before + done, total)

        if not file.exists():
            _download(hub, hub_id, table, file, progress)
        before += table.size
        on_progress(before, total)
        files.append(file)
    return Download(tuple(files), revision)


def _find_tables(hub: Any, hub_id: str, revision: str) -> list[_Table]:
    found = hub.find(f"datasets/{hub_id}@{revision}", detail=True)
    return [
        _Table(address, facts["size"], facts["lfs"].sha256 if facts.get("lfs") else None)
        for address, facts in sorted(found.items())
        if address.endswith(".parquet")
    ]


def _download(
    hub: Any, hub_id: str, table: _Table, file: Path, on_progress: Callable[[int], None]
) -> None:
    """Download one file, resuming an earlier download, and verify it."""
    part = file.with_suffix(".part")
    with part.open("ab") as local:
        while (done := local.tell()) < table.size:
            try:
                with hub.open(table.address, "rb", cache_type="none") as remote:
                    remote.seek(done)
                    block = remote.read(BLOCK_BYTES)
            except Exception as error:  # noqa: BLE001 - as above
                raise _unreachable(hub_id, error) from None
            if not block:
                raise _unreachable(hub_id, EOFError(f"{table.address} ends early"))
            local.write(block)
            local.flush()
            on_progress(local.tell())
    if part.stat().st_size != table.size or not _has_checksum(part, table.sha256):
        part.unlink()
        raise DataError(
            f"{table.address} was damaged in the download and deleted. Run the command again."
        )
    part.rename(file)


def _has_checksum(file: Path, sha256: str | None) -> bool:
    if sha256 is None:
        return True
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest() == sha256


def _unreachable(hub_id: str, error: Exception) -> Exception:
    """Return the error to raise; a full disk is not the hub's fault."""
    if is_full(error):
        return error
    text = without_secrets(str(error).strip()) or type(error).__name__
    reason = text.splitlines()[0].rstrip(".")
    return DataError(
        f"{hub_id} cannot be downloaded from the Hugging Face hub: {reason}. The partial download "
        "is kept; run the command again to resume."
    )
