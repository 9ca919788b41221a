"""A cluster for the tests here, or the reason why they are skipped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.slurm.cluster import SlurmCluster, why_missing


@pytest.fixture(scope="session", autouse=True)
def _slurm_is_here() -> None:
    if reason := why_missing():
        pytest.skip(f"NOT TESTED ON SLURM: {reason}")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """Start a cluster for all tests; one that breaks it, or wants other options, starts its own."""
    with SlurmCluster(tmp_path_factory.mktemp("slurm")) as started:
        yield started
