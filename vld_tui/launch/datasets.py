"""Run data set work in an engine process."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

from engine.protocol import RunSpec, UserError
from engine.protocol.datasets import (
    STUDY_DATASETS,
    DatasetListing,
    DatasetRequest,
    DescribeDataset,
    unknown_dataset,
)
from engine.protocol.embedded import EMBEDDED_DATASETS
from engine.protocol.work import WorkNote, WorkProgress
from vld_tui.home import Home, expanded
from vld_tui.launch.work import ask_engine, engine_package

Answer = TypeVar("Answer")

DATASETS_COMMAND: Final = engine_package("datasets")


class DatasetError(UserError):
    """Data set work that failed; the message says what to do."""


def work_on_datasets(
    request: DatasetRequest,
    answer_type: type[Answer],
    on_report: Callable[[WorkProgress | WorkNote], None] = lambda _report: None,
    command: Sequence[str] = DATASETS_COMMAND,
    *,
    on_start: Callable[[subprocess.Popen[bytes]], None] | None = None,
) -> Answer:
    """Run ``command REQUEST`` and return its answer.

    An exception from ``on_report``, or Ctrl-C, ends the process after it has cleaned up.
    ``on_start`` receives the process, so that the caller can end it.

    Raises:
        DatasetError: when the engine rejects the request.
        LaunchError: when the process cannot start, or dies.
    """
    return ask_engine(
        command, request, answer_type, on_report, on_start=on_start, refused=DatasetError
    )


def added_folder(home: Home, name: str) -> Path | None:
    """Return the folder of an added or downloaded data set, or None."""
    if not name or name.startswith(".") or "/" in name:
        return None
    folder = home.datasets / name
    return folder if folder.is_dir() else None


def values_of(home: Home, name_or_path: str) -> dict[str, object]:
    """Return a run's values for images given by name or path; a path takes precedence.

    Raises:
        DatasetError: when it is neither; the message says what to do.
    """
    path = expanded(name_or_path)
    if name_or_path and path.exists():
        return {"dataset": path.resolve().name, "data_dir": str(path.absolute())}
    try:
        return find_added(home, {"dataset": name_or_path})
    except DatasetError:
        if os.sep in name_or_path or path.suffix:
            raise DatasetError(
                f"no folder or file {name_or_path}. Pass a folder, table or archive of images, or "
                "the name of a data set; list them with: vld data ls"
            ) from None
        raise


def find_added(home: Home, values: Mapping[str, object]) -> dict[str, object]:
    """Return a run's values with the folder of their data set if it was added.

    Raises:
        DatasetError: when nothing has that name; the message says what to do.
    """
    name = values.get("dataset")
    if values.get("data_dir") is not None or not isinstance(name, str):
        return dict(values)
    folder = added_folder(home, name)
    if folder is not None:
        return {**values, "data_dir": str(folder)}
    if name in EMBEDDED_DATASETS:
        return dict(values)
    if name in STUDY_DATASETS:
        raise DatasetError(
            f"{name} is not on this machine. Download it with: vld data fetch {name}"
        )
    added = (path.name for path in home.datasets.glob("*") if not path.name.startswith("."))
    known = sorted({*EMBEDDED_DATASETS, *STUDY_DATASETS, *added})
    raise DatasetError(unknown_dataset(name, known))


def check_own_name(home: Home, spec: RunSpec) -> None:
    """Check that a run does not record other images under the name of a known data set.

    The images are read only if the name is published and they were not added under it.

    Raises:
        DatasetError: with how they differ.
        LaunchError: when they cannot be read.
    """
    if spec.data_dir is None:
        return
    refuse_embedded_name(spec.dataset, spec.data_dir)
    if spec.dataset in STUDY_DATASETS and Path(spec.data_dir) != home.datasets / spec.dataset:
        asked = DescribeDataset(spec.data_dir, spec.dataset, spec.layout)
        refuse_unfit(work_on_datasets(asked, DatasetListing))


def refuse_embedded_name(name: str, data_dir: str | None) -> None:
    """Check that a folder does not have the name of an embedded data set.

    Raises:
        DatasetError: when it does.
    """
    if data_dir is not None and name.lower() in EMBEDDED_DATASETS:
        raise DatasetError(
            f"{name} is the name of an embedded data set, but --data is {data_dir}. Use another "
            "name (--dataset), or drop --data."
        )


def refuse_unfit(listing: DatasetListing) -> None:
    """Check that a run can use the images under their name.

    Raises:
        DatasetError: with the reason.
    """
    if listing.problem is not None:
        raise DatasetError(listing.problem)
    if listing.mismatch is not None:
        raise DatasetError(
            f"The images in {listing.where} are not the published {listing.name}, which "
            f"{listing.mismatch}. Use another name: --dataset NAME with --data, or vld data "
            f"mv {listing.name} NAME"
        )
