"""A cluster for the tests here, or the reason why they are skipped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import Options, SlurmCluster, why_missing
from tests.slurm.login import Login
from vld_tui.home import open_home


@pytest.fixture(scope="session", autouse=True)
def _slurm_is_here() -> None:
    if reason := why_missing():
        pytest.skip(f"NOT TESTED ON SLURM: {reason}")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """Start a cluster for all tests; one that breaks it, or wants other options, starts its own."""
    guarded = "EnforcePartLimits=ALL\nPartitionName=guarded Nodes=ALL AllowAccounts=physics"
    options = Options(max_array_size=4, extra=guarded)
    with SlurmCluster(tmp_path_factory.mktemp("slurm"), options) as started:
        yield started


@pytest.fixture
def login(cluster: SlurmCluster, tmp_path: Path, small_emoji: Path) -> Iterator[Login]:
    """Return ``vld`` in an empty home; its jobs end with the test."""
    yield Login(cluster, open_home(tmp_path / "home"), small_emoji)
    cluster.run("scancel", "--signal=KILL", "--state=RUNNING", "--user=root")
    cluster.run("scancel", "--user=root")
