"""The process group of a run's ranks: rendezvous and authentication.

The ranks find each other through a file in the run folder. Nothing received is unpickled, and each
rank proves to every other rank that it can read the run's secret.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import socket
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

import psutil
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import FileStore, Store  # type: ignore[attr-defined]

from engine.distributed.exchange import Exchange
from engine.errors import TrainingError
from engine.ranks import Ranks

PATIENCE: Final = timedelta(minutes=30)
"""How long ranks wait for one that writes a checkpoint or measures precisions."""
ARRIVAL_PATIENCE: Final = timedelta(minutes=10)
"""How long ranks wait for the others to start."""
_NONCE_BYTES: Final = 32
_DIGEST: Final = "sha256"
_LOOPBACK: Final = "127.0.0.1"


@contextlib.contextmanager
def joined(ranks: Ranks, exchange: Exchange, device: torch.device) -> Iterator[None]:
    """Join the process group of all ranks for the block.

    Raises:
        OSError: if other users can access the ranks' folder.
        TrainingError: if a rank does not start, or another process takes its place.
    """
    secret = exchange.read_secret()
    is_one_machine = ranks.local_size == ranks.size
    os.environ["NCCL_RAS_ENABLE"] = "0"  # an unused service that opens a port
    if is_one_machine:
        name = _loopback()
        os.environ["GLOO_SOCKET_IFNAME"] = name
        os.environ["NCCL_SOCKET_IFNAME"] = f"={name}"  # exact name, not a prefix
    backend = "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
        backend = "cpu:gloo,cuda:nccl"
    store = FileStore(str(exchange.store), ranks.size)
    _await_all(store, ranks)
    store.set_timeout(PATIENCE)
    dist.init_process_group(
        backend, store=store, rank=ranks.rank, world_size=ranks.size, timeout=PATIENCE
    )
    verify(secret, ranks)
    if not is_one_machine:
        if device.type == "cuda":  # opens NCCL's connections too
            dist.all_reduce(torch.zeros(1, device=device))
        print(_open_ports(ranks), file=sys.stderr, flush=True)  # noqa: T201 - the run's log
    yield
    dist.destroy_process_group()


def verify(secret: bytes, ranks: Ranks) -> None:
    """Check by challenge and response that every other rank knows the secret.

    Raises:
        TrainingError: if not; names the rank.
    """
    asked = [secrets.token_bytes(_NONCE_BYTES) for _ in range(ranks.size)]
    questions = _swap(asked)
    answers = _swap(
        [_answer(secret, question, ranks.rank, other) for other, question in enumerate(questions)]
    )
    for other, answer in enumerate(answers):
        if not hmac.compare_digest(answer, _answer(secret, asked[other], other, ranks.rank)):
            raise TrainingError(
                f"Rank {other} failed authentication: another process on this network took its "
                "place. Resume the run; see docs/distributed.md."
            )


def _answer(secret: bytes, question: bytes, by: int, to: int) -> bytes:
    return hmac.digest(secret, question + by.to_bytes(4, "big") + to.to_bytes(4, "big"), _DIGEST)


def _swap(mine: list[bytes]) -> list[bytes]:
    """Send each rank its entry, all of equal length, and return the entries received."""
    sent = torch.frombuffer(bytearray(b"".join(mine)), dtype=torch.uint8)
    received: Tensor = torch.empty_like(sent)
    dist.all_to_all_single(received, sent)
    data, size = received.numpy().tobytes(), len(mine[0])
    return [data[start : start + size] for start in range(0, len(data), size)]


def _await_all(store: Store, ranks: Ranks) -> None:
    """Wait until every rank has started.

    Raises:
        TrainingError: if one has not started in time.
    """
    store.set(f"started/{ranks.rank}", "")
    keys = {rank: f"started/{rank}" for rank in range(ranks.size)}
    try:
        store.wait([*keys.values()], ARRIVAL_PATIENCE)
    except dist.DistStoreError:
        missing = [str(rank) for rank, key in keys.items() if not store.check([key])]
        minutes = round(ARRIVAL_PATIENCE.total_seconds() / 60)
        raise TrainingError(
            f"Ranks {', '.join(missing)} did not start within {minutes} minutes. All machines need "
            "access to the run folder, on a file system with locks across machines."
        ) from None


def _loopback() -> str:
    """Return the name of this machine's loopback interface.

    Raises:
        OSError: if it has none.
    """
    for name, addresses in psutil.net_if_addrs().items():
        if any(each.address == _LOOPBACK for each in addresses):
            return name
    raise OSError(f"This machine has no network interface with the address {_LOOPBACK}.")


def _open_ports(ranks: Ranks) -> str:
    """Return a log line with the addresses on which this rank listens."""
    names = {
        address.address: name
        for name, addresses in psutil.net_if_addrs().items()
        for address in addresses
    }
    places = sorted(
        f"{each.laddr.ip} port {each.laddr.port} ({names.get(each.laddr.ip, 'all interfaces')})"
        for each in psutil.Process().net_connections("inet")
        if each.status == psutil.CONN_LISTEN
    )
    return f"Rank {ranks.rank} on {socket.gethostname()} listens on {', '.join(places)}."
