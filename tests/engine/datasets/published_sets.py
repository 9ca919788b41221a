"""Small data sets in the forms they are published in, made on the spot."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.ipc
import pyarrow.parquet
from PIL import Image


def image_bytes(shade: int, kind: str = "PNG", size: tuple[int, int] = (8, 8)) -> bytes:
    """Return a file of one shade of grey."""
    file = io.BytesIO()
    Image.new("RGB", size, (shade, shade, shade)).save(file, kind)
    return file.getvalue()


def image_rows(
    domains: Sequence[Any], labels: Sequence[Any], count: int = 2, kind: str = "PNG"
) -> list[dict[str, Any]]:
    """Return ``count`` rows of every label of every domain, each of another shade."""
    rows: list[dict[str, Any]] = []
    for domain in domains:
        for label in labels:
            for _ in range(count):
                image = {"bytes": image_bytes(len(rows), kind), "path": None}
                rows.append({"image": image, "domain": domain, "label": label})
    return rows


def image_table(
    rows: Sequence[Mapping[str, Any]],
    label_names: Sequence[str] | None = None,
    domain_names: Sequence[str] | None = None,
) -> pyarrow.Table:
    """Return rows as the ``datasets`` library writes them, labels named in the schema."""
    table = pyarrow.Table.from_pylist(list(rows))
    if label_names is None:
        return table
    features: dict[str, object] = {
        "image": {"_type": "Image"},
        "domain": {"dtype": "string", "_type": "Value"}
        if domain_names is None
        else {"names": list(domain_names), "_type": "ClassLabel"},
        "label": {"names": list(label_names), "_type": "ClassLabel"},
    }
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return table.replace_schema_metadata(metadata)


def write_parquet(path: Path, table: pyarrow.Table) -> Path:
    """Write a table as a parquet file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(table, path)
    return path


def write_saved(folder: Path, table: pyarrow.Table) -> Path:
    """Write a table as ``Dataset.save_to_disk`` does: an Arrow stream beside its description."""
    folder.mkdir(parents=True)
    with pyarrow.ipc.new_stream(str(folder / "data-00000-of-00001.arrow"), table.schema) as file:
        file.write_table(table)
    (folder / "dataset_info.json").write_text("{}")
    (folder / "state.json").write_text("{}")
    return folder
