"""BatchNorm with fixed statistics, folded into the convolution before it.

With fixed statistics, BatchNorm is an affine map of each channel, γ (y − μ) / σ + β, and a
convolution with weights w and bias b followed by it is one convolution: w′ = w γ/σ and
b′ = β + (b − μ) γ/σ. These are computed from w, b, γ and β whenever they are needed, so the
gradients are those of the two layers up to rounding, and all weights keep their names and meaning.

Folding is valid only if nothing else reads the convolution's weights or its output.
:func:`find_pairs` runs the network and observes every operation, so it does not depend on how the
network is written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Final

import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_CONVOLUTIONS: Final = (nn.Conv2d, Conv2dSame)
"""Exact types; a subclass may compute something else from the same weights."""


def _identity(_norm: Any, images: Tensor) -> Tensor:
    return images


def _activation(norm: Any, images: Tensor) -> Tensor:
    activated: Tensor = norm.act(norm.drop(images))
    return activated


_REMAINDERS: Final[Mapping[type[nn.Module], Callable[[Any, Tensor], Tensor]]] = {
    nn.BatchNorm2d: _identity,
    BatchNormAct2d: _activation,
}
"""What a BatchNorm layer still computes once its affine map is folded, by exact type."""


@dataclass(frozen=True)
class Pair:
    """A convolution and the BatchNorm that alone reads its output."""

    convolution: nn.Conv2d
    norm: nn.BatchNorm2d


class Folded:
    """A context in which a network computes with BatchNorm folded into its convolutions.

    The folded weights are computed once, from the current ones; the context can be entered any
    number of times. Parameters and buffers do not change. A BatchNorm in training mode, whose
    statistics change, is not folded.
    """

    def __init__(self, pairs: Iterable[Pair]) -> None:
        self._pairs = [pair for pair in pairs if not pair.norm.training]
        self._weights = list(_fold(self._pairs)) if self._pairs else []

    def __enter__(self) -> None:
        for pair, (weight, bias) in zip(self._pairs, self._weights, strict=True):
            # Attributes of an instance hide its parameters and the methods of its class.
            pair.convolution.__dict__.update(weight=weight, bias=bias)
            norm: Any = pair.norm
            norm.__dict__["forward"] = _REMAINDERS[type(norm)].__get__(norm)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for pair in self._pairs:
            for name in ("weight", "bias"):
                pair.convolution.__dict__.pop(name, None)
            pair.norm.__dict__.pop("forward", None)


def _fold(pairs: Sequence[Pair]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the weight and bias of each convolution with its BatchNorm folded in.

    The vectors of all layers are computed as one, because they are many and short.
    """
    norms: list[Any] = [pair.norm for pair in pairs]
    widths = [norm.num_features for norm in norms]
    deviations = torch.cat([norm.running_var + norm.eps for norm in norms]).sqrt()
    centres = torch.cat([norm.running_mean for norm in norms])
    if any(pair.convolution.bias is not None for pair in pairs):
        centres = centres - torch.cat([_or(0.0, pair.convolution.bias, pair) for pair in pairs])
    scales = torch.cat([_or(1.0, pair.norm.weight, pair) for pair in pairs]) / deviations
    biases = torch.cat([_or(0.0, pair.norm.bias, pair) for pair in pairs]) - centres * scales
    parts = zip(pairs, scales.split(widths), biases.split(widths), strict=True)
    for pair, scale, bias in parts:
        yield pair.convolution.weight * scale.view(-1, 1, 1, 1), bias


def _or(value: float, vector: Tensor | None, pair: Pair) -> Tensor:
    """Return a layer's vector, or one of constant ``value`` if the layer has none."""
    if vector is not None:
        return vector
    return pair.convolution.weight.new_full((pair.norm.num_features,), value)


def find_pairs(module: nn.Module, forwards: Iterable[Callable[[], Tensor]]) -> tuple[Pair, ...]:
    """Return the pairs of a network whose BatchNorm can be folded.

    A forward pass must show that the convolution's weights are read once, by the convolution, and
    its output once, by BatchNorm with fixed statistics.

    Args:
        module: the network, in fp32.
        forwards: one forward pass of each kind and mode that will be made, on any images; each
            returns its result.
    """
    if not any(type(part) in _REMAINDERS for part in module.modules()):
        return ()
    found = [_pairs_in(module, forward) for forward in forwards]
    return tuple(pair for pair in found[0] if all(pair in others for others in found))


@dataclass(frozen=True, eq=False)
class _Operation:
    """An operation of a forward pass, and the BatchNorm whose ``forward`` made it, if any."""

    kind: Any
    arguments: Sequence[Any]
    result: Any
    norm: nn.Module | None


class _Observer(TorchDispatchMode):
    """Records the operations that read given tensors or the output of a convolution."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._readers: dict[int, list[_Operation]] = {_memory(each): [] for each in tensors}
        self._outputs: list[Tensor] = []
        self._norm: nn.Module | None = None

    def __torch_dispatch__(
        self, kind: Any, _types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        """Run an operation and record it."""
        result = kind(*arguments, **(options or {}))
        operation = _Operation(kind, arguments, result, self._norm)
        for memory in _memories((arguments, options)) & self._readers.keys():
            self._readers[memory].append(operation)
        if kind is torch.ops.aten.convolution.default:
            self._outputs.append(result)  # kept, so that its memory is not used again
            self._readers[_memory(result)] = []
        return result

    @contextlib.contextmanager
    def watching(self, norms: Sequence[nn.Module]) -> Iterator[None]:
        """During the block, note in which of these layers an operation is made.

        A layer's ``forward`` is replaced as by :class:`Folded`, which has no effect on a network
        that passes the layer's statistics to a function of its own.
        """

        def forward(norm: Any, images: Tensor) -> Tensor:
            self._norm = norm
            try:
                normalised: Tensor = type(norm).forward(norm, images)
            finally:
                self._norm = None
            return normalised

        for norm in norms:
            norm.__dict__["forward"] = partial(forward, norm)
        try:
            yield
        finally:
            for norm in norms:
                norm.__dict__.pop("forward", None)

    def only_reader(self, *tensors: Tensor | None) -> _Operation | None:
        """Return the operation that alone reads all of these tensors; None if there is none."""
        readers = [self._readers.get(_memory(each), []) for each in tensors if each is not None]
        found = {operation for operations in readers for operation in operations}
        are_read_once = all(len(operations) == 1 for operations in readers)
        return found.pop() if are_read_once and len(found) == 1 else None


def _pairs_in(module: nn.Module, forward: Callable[[], Tensor]) -> list[Pair]:
    """Return the pairs that one forward pass shows."""
    observer = _Observer([*module.parameters(), *module.buffers()])
    layers: list[Any] = [
        each
        for each in module.modules()
        if type(each) in _REMAINDERS and "forward" not in vars(each)  # computes as its type does
    ]
    with torch.no_grad(), observer, observer.watching(layers):
        results = _memories(forward())
    norms: dict[_Operation, Any] = {}
    for norm in layers:
        if norm.training or norm.running_mean is None:
            continue
        reader = observer.only_reader(norm.running_mean, norm.running_var, norm.weight, norm.bias)
        if reader is not None and reader.norm is norm:
            norms[reader] = norm
    pairs = []
    for convolution in module.modules():
        if not (isinstance(convolution, nn.Conv2d) and type(convolution) in _CONVOLUTIONS):
            continue
        operation = observer.only_reader(convolution.weight, convolution.bias)
        if operation is None or operation.kind is not torch.ops.aten.convolution.default:
            continue
        output = operation.result
        reader = observer.only_reader(output)
        is_read_whole = reader is not None and reader.arguments[0] is output
        if is_read_whole and reader in norms and _memory(output) not in results:
            pairs.append(Pair(convolution, norms[reader]))
    return pairs


def _memories(values: object) -> set[int]:
    return {_memory(each) for each in tree_leaves(values) if isinstance(each, Tensor)}


def _memory(tensor: Tensor) -> int:
    """Return what tensors that share memory have in common."""
    return tensor.untyped_storage().data_ptr()
