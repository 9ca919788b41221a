"""The processes that train one network together, and what they say to one another.

Each rank computes the features of its own share of a batch. All are gathered, so that every rank
then does the same on the whole batch: masks, last layer, objective, and their gradients. What flows
back into the backbone is each rank's own share again, and its weights' gradients are summed. The
result is that of one process on the whole batch, up to rounding. Gathering features before the loss
is how contrastive learning is done on many devices: Radford et al., arXiv 2103.00020, section 2.5.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from engine.model import FineTunedNetwork

T = TypeVar("T")

Backbone = Callable[[Tensor, int | None], Tensor]
"""Φ of images (B, 3, S, S), computed so many at a time (None: all): (B, D)."""


@dataclass(frozen=True)
class Ranks:
    """This process among those of a run; alone, it says nothing and hears itself.

    Attributes:
        rank: number of this process, from 0.
        size: how many there are.
        local_rank: its number among those of this machine.
        local_size: how many are on this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def is_first(self) -> bool:
        """Say whether this is the rank that writes."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Return which of so many things in a row are this rank's; all ranks' make the row."""
        return _share(self.rank, self.size, count)

    def gather(self, part: Tensor, count: int) -> Tensor:
        """Put the parts of all ranks in a row.

        Gradients of the whole, which every rank must have computed alike, go back to each part
        times the number of ranks, because ``DistributedDataParallel`` averages over ranks what
        are terms of a sum.

        Args:
            part: this rank's, (b, …): its share of ``count``.
            count: B, length of the row.

        Returns:
            (B, …).
        """
        if self.size == 1:
            return part
        whole: Tensor = _Gather.apply(part, self, count)
        return whole

    def of_first(self, compute: Callable[[], T], kind: type[T]) -> T:
        """Let the first rank compute something, and return it on all of them.

        It is sent as MessagePack: a pickle would run whatever another process put into it.

        Args:
            compute: what the first does.
            kind: type of the result, as msgspec decodes it.
        """
        if self.size == 1:
            return compute()
        data = bytearray(msgspec.msgpack.encode(compute()) if self.is_first else b"")
        length = torch.tensor([len(data)])
        dist.broadcast(length, src=0)
        sent = torch.frombuffer(data or bytearray(int(length)), dtype=torch.uint8)
        dist.broadcast(sent, src=0)
        return msgspec.msgpack.decode(sent.numpy().tobytes(), type=kind)

    def agree(self, flag: bool) -> bool:
        """Return, on every rank alike, whether any rank said so."""
        if self.size == 1:
            return flag
        said = torch.tensor([flag], dtype=torch.uint8)
        dist.all_reduce(said, op=dist.ReduceOp.MAX)
        return bool(said)

    def copy_first(self, tensors: Iterable[Tensor]) -> None:
        """Give tensors, of the same device and type, the first rank's values, bit for bit."""
        if self.size == 1:
            return
        with torch.no_grad():
            targets = list(tensors)
            values = torch.cat([each.flatten() for each in targets])
            dist.broadcast(values, src=0)
            parts = values.split([each.numel() for each in targets])
            for each, part in zip(targets, parts, strict=True):
                each.copy_(part.view_as(each))

    def parallel(self, network: FineTunedNetwork) -> Backbone:
        """Return the network's Φ, whose weights' gradients are summed over the ranks.

        All weights are the first rank's from here on.
        """
        if self.size == 1:
            return network.features
        head = list(network.head.parameters())
        for each in head:  # every rank has its whole gradient: nothing to sum
            each.requires_grad_(False)
        device = head[0].device
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # `broadcast_buffers` has a new name
            backbone = DistributedDataParallel(
                _Features(network),
                device_ids=[device] if device.type == "cuda" else None,
                broadcast_buffers=False,  # BatchNorm's are frozen
                gradient_as_bucket_view=True,
                static_graph=True,  # some networks have weights that Φ does not use
            )
        for each in head:
            each.requires_grad_(True)
        return backbone


ALONE = Ranks()
"""A run in one process."""


def _share(rank: int, size: int, count: int) -> slice:
    return slice(rank * count // size, (rank + 1) * count // size)


class _Features(nn.Module):
    """Φ as a module, for ``DistributedDataParallel``."""

    def __init__(self, network: FineTunedNetwork) -> None:
        super().__init__()
        self.module = network.module
        self._features = network.features

    def forward(self, images: Tensor, at_once: int | None) -> Tensor:
        """Return Φ(x), (B, D)."""
        return self._features(images, at_once)


class _Gather(torch.autograd.Function):
    """See :meth:`Ranks.gather`."""

    @staticmethod
    def forward(context: Any, part: Tensor, ranks: Ranks, count: int) -> Tensor:
        context.ranks, context.count = ranks, count
        shares = [_share(rank, ranks.size, count) for rank in range(ranks.size)]
        longest = max(each.stop - each.start for each in shares)
        padded = part.new_zeros(longest, *part.shape[1:])
        padded[: len(part)] = part
        parts = _all_gather(padded, ranks.size)
        return torch.cat(
            [each[: share.stop - share.start] for each, share in zip(parts, shares, strict=True)]
        )

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        ranks: Ranks = context.ranks
        return gradients[0][ranks.share(context.count)] * ranks.size, None, None


def _all_gather(tensor: Tensor, size: int) -> Sequence[Tensor]:
    """Return the tensors of all ranks, all of one shape, moved as bytes: any type will do."""
    mine = tensor.contiguous().flatten().view(torch.uint8)
    everyones = [torch.empty_like(mine) for _ in range(size)]
    dist.all_gather(everyones, mine)
    return [each.view(tensor.dtype).view_as(tensor) for each in everyones]
