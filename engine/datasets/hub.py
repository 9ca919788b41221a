"""Data sets on the Hugging Face hub, downloaded as the parquet files they are published in."""

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
"""Read from the hub at a time: what an interrupt loses at most."""

"""Told how many bytes are here, and how many there are."""


class Download(NamedTuple):
    """Parquet files in the order of their names, and the revision they are of."""

    files: tuple[Path, ...]
    revision: str


class _Table(NamedTuple):
    """A parquet file on the hub: its address, its size, and its SHA-256 where the hub knows it."""

    address: str
    size: int
    sha256: str | None


def download_tables(hub_id: str, into: Path, on_progress: Progress) -> Download:
    """Download a data set's parquet files; what is in ``into`` from an earlier try is kept.

    All files are of the revision that is the newest when it begins; each is checked against the
    size and the checksum that the hub states. ``HF_ENDPOINT`` names another server, and
    ``HF_HUB_OFFLINE`` forbids the network: they are the hub client's own. Not its
    ``hf_hub_download``, which begins a file anew after an interrupt.

    Raises:
        DataError: when the hub cannot be reached or refuses, and when the set has no parquet
            files. What was downloaded stays, and the next call goes on from there.
        OSError: when the disk is full or cannot be written.
    """
    import huggingface_hub  # half a second

    try:
        revision = str(huggingface_hub.HfApi().dataset_info(hub_id).sha)
        hub = huggingface_hub.HfFileSystem()
        tables = _find_tables(hub, hub_id, revision)
    except Exception as error:  # noqa: BLE001 - the client's, its HTTP library's: all told
        raise _unreachable(hub_id, error) from None
    if not tables:
        raise DataError(f"{hub_id} has no parquet files on the hub any more.")
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
    """Download one file, from where an earlier try ended, and check it."""
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
            f"{table.address} arrived damaged and was thrown away: give the same command again."
        )
    part.rename(file)


def _has_checksum(file: Path, sha256: str | None) -> bool:
    if sha256 is None:
        return True
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest() == sha256


def _unreachable(hub_id: str, error: Exception) -> Exception:
    """Return the error to raise: a full disk is no fault of the hub's."""
    if is_full(error):
        return error
    told = without_secrets(str(error).strip()) or type(error).__name__
    reason = told.splitlines()[0].rstrip(".")
    return DataError(
        f"{hub_id} cannot be downloaded from the Hugging Face hub: {reason}. What has come is "
        "kept: the same command goes on from there."
    )
