"""Data sets of a home, as studies need them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from engine.protocol.datasets import STUDY_DATASETS, DatasetListing, DescribeDataset, ListDatasets
from engine.protocol.spec import Layout
from vld_tui.home import Home
from vld_tui.launch.datasets import (
    DatasetError,
    find_added,
    refuse_embedded_name,
    refuse_unfit,
    work_on_datasets,
)
from vld_tui.store.errors import StoreError
from vld_tui.store.store import Store
from vld_tui.study.define.teachers import OF_STUDY
from vld_tui.study.forecast import ImageCounts
from vld_tui.study.teacher import find_teacher_id


class HomeDatasets:
    """The data sets of a home, each read once and only when its domains are needed."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._listings: dict[tuple[str, str | None, Layout], DatasetListing] = {}
        self._absent: dict[str, str] = {}
        self._teachers: dict[str, str] = {}

    @property
    def absent(self) -> tuple[str, ...]:
        """Return the referenced data sets that are not on this machine."""
        return tuple(self._absent)

    @property
    def refusal(self) -> str | None:
        """Return why runs on an absent data set cannot start and what to do, or None."""
        return next(iter(self._absent.values()), None)

    def locate(self, values: Mapping[str, object]) -> dict[str, object]:
        """Return a run's values with the folder of its data set if it was added by name, and the
        id of its teacher, if that run still exists.

        A published data set that is missing gets the folder that it will be downloaded to.

        Raises:
            DatasetError: when no data set has that name.
        """
        if isinstance(teacher := values.get("teacher"), str) and teacher != OF_STUDY:
            values = {**values, "teacher": self._teacher_id(teacher)}
        try:
            return find_added(self._home, values)
        except DatasetError as error:
            name = values.get("dataset")
            if name not in STUDY_DATASETS:
                raise
            self._absent[str(name)] = str(error)
            return {**values, "data_dir": str(self._home.datasets / str(name))}

    def domains(
        self, dataset: str, data_dir: str | None, layout: Layout = "auto"
    ) -> tuple[str, ...]:
        """Return the domains of a data set; for a missing one, the published domains.

        Raises:
            DatasetError, LaunchError: when it cannot be read.
        """
        return tuple(domain.name for domain in self._listing(dataset, data_dir, layout).domains)

    def finished(self, identities: Sequence[str]) -> Mapping[str, str]:
        """Return the id of the first finished run of each identity that has one.

        Raises:
            StoreError: when history cannot be read.
        """
        if not self._home.is_made:
            return {}
        with Store.open(self._home) as store:
            known = store.runs.by_identity(identities)
        finished = {
            identity: next((run.run_id for run in runs if run.status == "finished"), None)
            for identity, runs in known.items()
        }
        return {identity: run_id for identity, run_id in finished.items() if run_id is not None}

    def _teacher_id(self, reference: str) -> str:
        if reference not in self._teachers:
            self._teachers[reference] = reference
            with contextlib.suppress(StoreError):  # reported when a run is to be started
                self._teachers[reference] = find_teacher_id(self._home, reference)
        return self._teachers[reference]

    def known_counts(self, dataset: str, data_dir: str | None) -> ImageCounts | None:
        """Return the counts of a data set that was read, or None."""
        looked_into = (
            listing for key, listing in self._listings.items() if key[:2] == (dataset, data_dir)
        )
        listing = next(looked_into, None)
        if listing is None or listing.where is None:
            return None
        return ImageCounts.of(listing.domains)

    def _listing(self, dataset: str, data_dir: str | None, layout: Layout) -> DatasetListing:
        key = dataset, data_dir, layout
        if key not in self._listings:
            if dataset in self._absent:
                nowhere = ListDatasets(str(self._home.path / "nowhere"))
                listings = work_on_datasets(nowhere, list[DatasetListing])
                self._listings |= {
                    (listing.name, str(self._home.datasets / listing.name), layout): listing
                    for listing in listings
                    if listing.where is None
                }
            else:
                refuse_embedded_name(dataset, data_dir)
                asked = DescribeDataset(data_dir or "", dataset, layout)
                listing = work_on_datasets(asked, DatasetListing)
                refuse_unfit(listing)
                self._listings[key] = listing
        return self._listings[key]
