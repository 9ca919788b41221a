"""Detection of tables that list an image in two domains or with two labels."""

from __future__ import annotations

from engine.datasets.folders import ImageSet, quoted
from engine.datasets.sources import ImageFile
from engine.datasets.study_sets import STUDY_SETS
from engine.datasets.tables import TableSource
from engine.errors import DataError


def contradiction(image_set: ImageSet) -> str | None:
    """Return an error message if a table lists a file in two domains or with two labels.

    Compares paths only; ``vld data check`` compares contents, also of folders. Published data sets
    are exempt.
    """
    source = image_set.source
    if not isinstance(source, TableSource) or image_set.name in STUDY_SETS:
        return None
    first: dict[str, ImageFile] = {}
    shared: list[tuple[ImageFile, ImageFile]] = []
    relabelled: list[tuple[ImageFile, ImageFile]] = []
    for file in image_set.files:
        other = first.setdefault(source.place(file.path), file)
        if other.domain != file.domain:
            shared.append((other, file))
        elif other.class_name != file.class_name:
            relabelled.append((other, file))
    where = source.location
    if shared:
        one, other = shared[0]
        return (
            f"{where} lists {_files(shared)} in two domains: {one.path} is in "
            f"{quoted(one.domain)} and in {quoted(other.domain)}. Keep one row; otherwise OOD "
            "accuracy is measured on training images."
        )
    if relabelled:
        one, other = relabelled[0]
        return (
            f"{where} lists {_files(relabelled)} with two labels: {one.path} is "
            f"{quoted(one.class_name)} and {quoted(other.class_name)}. Keep the correct row."
        )
    return None


def refuse_contradiction(image_set: ImageSet) -> None:
    """Check that no table row contradicts another.

    Raises:
        DataError: if a file is in two domains or has two labels; names the first.
    """
    if problem := contradiction(image_set):
        raise DataError(problem)


def _files(pairs: list[tuple[ImageFile, ImageFile]]) -> str:
    return "a file" if len(pairs) == 1 else f"{len(pairs):,} files"
