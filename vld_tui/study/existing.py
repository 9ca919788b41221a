"""The existing runs of a study, also those that were made while their home was another folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from engine.protocol import run_identity
from vld_tui.home import Home
from vld_tui.runs.run import BROKEN_OFF, Run
from vld_tui.store.store import Store
from vld_tui.study.define.definition import Study


def runs_of(store: Store, study: Study) -> list[Sequence[Run]]:
    """Return the runs of each of a study's specs, the oldest first.

    A run's identity contains the path of its images. The path of a data set of the home changes
    when the home is moved or copied, also by ``vld sync``. Where no run has a spec's identity,
    those count that differ in this only, except interrupted ones whose images are missing.

    Raises:
        StoreError: when history cannot be read.
    """
    known = store.runs.by_identity(study.identities)
    found = _made_elsewhere(store, study, known) | known
    return [found.get(each, ()) for each in study.identities]


def _made_elsewhere(
    store: Store, study: Study, known: Mapping[str, Sequence[Run]]
) -> dict[str, list[Run]]:
    """Return runs of specs without known runs, by the identity of the spec."""
    former: dict[str, list[str]] = {}
    identities: dict[str, str] = {}
    for spec, identity in zip(study.specs, study.identities, strict=True):
        if identity in known or spec.data_dir is None:
            continue
        folder = Path(spec.data_dir)
        if folder.parent != store.home.datasets:
            continue
        if spec.data_dir not in former:
            former[spec.data_dir] = [*_former_folders(store, folder)]
        for other in former[spec.data_dir]:
            moved = msgspec.structs.replace(spec, data_dir=other)
            identities[run_identity(moved)] = identity
    found: dict[str, list[Run]] = {}
    for other, runs in store.runs.by_identity([*identities]).items():
        if usable := [run for run in runs if _is_usable(run)]:
            found.setdefault(identities[other], []).extend(usable)
    return {each: sorted(runs, key=lambda run: run.created_at) for each, runs in found.items()}


def _former_folders(store: Store, folder: Path) -> Iterator[str]:
    """Yield the folders of a data set of this home in other homes, or in this one before it was
    moved, as its runs name them."""
    for name in store.runs.other_folders(folder):
        other = Path(name)
        if not other.exists() or Home(other.parent.parent).is_made:
            yield name


def _is_usable(run: Run) -> bool:
    """Return whether a run needs no images any more, or has them."""
    return run.status not in BROKEN_OFF or Path(run.spec.data_dir or "").exists()
