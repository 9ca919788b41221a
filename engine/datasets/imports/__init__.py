"""Import of archives, parquet files and annotated images as ``domain/class/image``."""

from engine.datasets.imports.archives import is_archive, unpack
from engine.datasets.imports.camera_traps import arrange_camera_traps, find_annotations
from engine.datasets.imports.parquet import ImageColumns, find_tables, require_pyarrow, write_images
from engine.datasets.imports.staging import staged

__all__ = [
    "ImageColumns",
    "arrange_camera_traps",
    "find_annotations",
    "find_tables",
    "is_archive",
    "require_pyarrow",
    "staged",
    "unpack",
    "write_images",
]
