"""The processes (ranks) that train one network together, and their communication.

Each rank computes the features of its share of a batch. The features are gathered, so that every
rank computes masks, last layer, objective and their gradients on the whole batch. The backbone
receives the gradients of each rank's own share, and its weights' gradients are summed. The result
is that of one process on the whole batch, up to rounding. Gathering features before the loss is
common in contrastive learning: Radford et al., arXiv 2103.00020, section 2.5.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import msgspec
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from engine.model import FineTunedNetwork
from engine.model.block_mask import BlockMask

T = TypeVar("T")

Backbone = Callable[[Tensor, int | None, BlockMask | None], Tensor]
"""Computes Φ (B, D) of images (B, 3, S, S), or of their frozen features, in chunks of a given size
(None: all), with a mask of a block's channels (None: nothing is masked)."""


@dataclass(frozen=True)
class Ranks:
    """This process's position among the processes of a run.

    With a single process, all operations are trivial.

    Attributes:
        rank: index of this process, from 0.
        size: number of processes.
        local_rank: index among the processes on this machine.
        local_size: number of processes on this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def is_first(self) -> bool:
        """Return whether this is the rank that writes."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Return this rank's slice of a sequence of length ``count``."""
        return _share(self.rank, self.size, count)

    def gather(self, part: Tensor, *counts: int) -> Tensor:
        """Concatenate the parts of all ranks, of one sequence or of several after each other.

        In the backward pass, each part receives its share of the gradient, which must be equal on
        all ranks, times the number of ranks, because ``DistributedDataParallel`` averages over
        ranks where a sum is needed.

        Args:
            part: this rank's part of each sequence, (b, …).
            counts: total length of each sequence, B together.

        Returns:
            (B, …).
        """
        if self.size == 1:
            return part
        shares = [self.share(count) for count in counts]
        parts = part.split([share.stop - share.start for share in shares])
        return torch.cat(
            [_Gather.apply(each, self, n) for each, n in zip(parts, counts, strict=True) if n]
        )

    def from_first(self, compute: Callable[[], T], kind: type[T]) -> T:
        """Run ``compute`` on the first rank and return its result on all ranks.

        The result is sent as MessagePack, because unpickling could run code from another process.

        Args:
            compute: function to run on the first rank.
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

    def any_rank(self, flag: bool) -> bool:
        """Return on every rank whether ``flag`` is true on any rank."""
        if self.size == 1:
            return flag
        shared = torch.tensor([flag], dtype=torch.uint8)
        dist.all_reduce(shared, op=dist.ReduceOp.MAX)
        return bool(shared)

    def copy_first(self, tensors: Iterable[Tensor]) -> None:
        """Copy the first rank's values into tensors of one device, bit-identically."""
        if self.size == 1:
            return
        of_dtype: dict[torch.dtype, list[Tensor]] = defaultdict(list)
        for tensor in tensors:
            of_dtype[tensor.dtype].append(tensor)
        with torch.no_grad():
            for targets in of_dtype.values():
                values = torch.cat([each.flatten() for each in targets])
                dist.broadcast(values, src=0)
                parts = values.split([each.numel() for each in targets])
                for each, part in zip(targets, parts, strict=True):
                    each.copy_(part.view_as(each))

    def parallel(self, network: FineTunedNetwork, *, folds: bool = False) -> Backbone:
        """Return the network's Φ, with its weights' gradients summed over the ranks.

        This copies the first rank's weights to all ranks. ``folds``: fold BatchNorm.
        """
        features = partial(network.features, folds=folds)
        head = list(network.head.parameters())
        trained = [each for each in network.module.parameters() if each.requires_grad]
        if self.size == 1 or len(trained) == len(head):  # only the last layer is trained
            return features
        for each in head:  # every rank computes the whole gradient, so it is not summed
            each.requires_grad_(False)
        device = head[0].device
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # `broadcast_buffers` has a new name
            backbone = DistributedDataParallel(
                _Features(network.module, features),
                device_ids=[device] if device.type == "cuda" else None,
                broadcast_buffers=False,  # BatchNorm statistics are frozen
                gradient_as_bucket_view=True,
                static_graph=True,  # some networks have weights not used by Φ
            )
        for each in head:
            each.requires_grad_(True)
        return backbone


ALONE = Ranks()
"""The ranks of a run with a single process."""


def _share(rank: int, size: int, count: int) -> slice:
    return slice(rank * count // size, (rank + 1) * count // size)


class _Features(nn.Module):
    """Φ as a module, for ``DistributedDataParallel``."""

    def __init__(self, module: nn.Module, features: Backbone) -> None:
        super().__init__()
        self.module = module
        self._features = features

    def forward(self, images: Tensor, at_once: int | None, mask: BlockMask | None) -> Tensor:
        """Return Φ(x), (B, D)."""
        return self._features(images, at_once, mask)


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
    """Return the tensors of all ranks, of equal shape; sent as bytes to support any dtype."""
    mine = tensor.contiguous().flatten().view(torch.uint8)
    everyones = [torch.empty_like(mine) for _ in range(size)]
    dist.all_gather(everyones, mine)
    return [each.view(tensor.dtype).view_as(tensor) for each in everyones]
