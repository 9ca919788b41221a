"""Ranks meet in a folder of their own, and talk to nobody who cannot read its secret."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import start_processes

from engine.distributed.agent import claim_number
from engine.distributed.exchange import Exchange
from engine.distributed.group import joined, verify
from engine.errors import TrainingError
from engine.ranks import Ranks
from tests.engine.distributed.rank_processes import START_METHOD

NOT_FINITE = float("inf")


def on_two(act: Callable[[int, str], None], folder: Path) -> None:
    start_processes(act, (str(folder),), nprocs=2, start_method=START_METHOD)


def send_and_verify(rank: int, folder: str) -> None:
    ranks, box = Ranks(rank, 2, rank, 2), Exchange(Path(folder))
    with joined(ranks, box, torch.device("cpu")):
        found = ranks.from_first(
            lambda: ("fp32", {"a": 0.1, "b": NOT_FINITE}), tuple[str, dict[str, float]]
        )
        assert found == ("fp32", {"a": 0.1, "b": NOT_FINITE})
        verify(box.read_secret(), ranks)
        with pytest.raises(TrainingError, match=f"Rank {1 - rank} failed authentication"):
            verify(b"mine" if rank else b"another", ranks)
        assert dist.is_initialized()


def test_ranks_hear_the_first_and_notice_one_that_does_not_know_the_secret(tmp_path: Path) -> None:
    Exchange(tmp_path / "ranks").clear()
    on_two(send_and_verify, tmp_path / "ranks")


def test_the_folder_and_its_secret_are_their_owners_alone_and_new_each_time(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path / "ranks")
    exchange.clear()
    first = exchange.read_secret()
    assert stat.S_IMODE(exchange.folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(each.stat().st_mode) for each in exchange.folder.iterdir()] == [0o600]
    (exchange.folder / "store").touch()
    exchange.clear()
    assert exchange.read_secret() != first
    assert not exchange.store.exists()


def test_a_folder_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path / "ranks")
    exchange.clear()
    exchange.folder.chmod(0o750)
    with pytest.raises(PermissionError, match=r"to its owner \(mode 0700\)"):
        exchange.read_secret()


def test_a_link_in_the_place_of_the_folder_is_replaced_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (elsewhere / "kept").touch()
    exchange = Exchange(tmp_path / "ranks")
    exchange.folder.symlink_to(elsewhere)
    exchange.clear()
    assert [each.name for each in elsewhere.iterdir()] == ["kept"]
    assert not exchange.folder.is_symlink()


def test_each_machine_has_the_number_of_slurm_or_the_next_that_is_free(tmp_path: Path) -> None:
    assert claim_number(tmp_path, 3, {"SLURM_PROCID": "1"}) == 1
    assert claim_number(tmp_path, 3, {}) == 0
    assert claim_number(tmp_path, 3, {"SLURM_PROCID": "1"}) == 2
    with pytest.raises(FileExistsError, match="More than 3 machines"):
        claim_number(tmp_path, 3, {})
    assert claim_number(tmp_path, 1, {"SLURM_PROCID": "7"}) == 0
