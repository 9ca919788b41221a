"""Networks: pre-trained backbone, very large dropout, and weight files."""

from engine.model.backbone import build_for, build_network, creation_options
from engine.model.basis import LastLayer
from engine.model.dropout import (
    gaussian_logits,
    mask_features,
    masked_cross_entropy,
    masked_logits,
)
from engine.model.network import FineTunedNetwork
from engine.model.tensor_file import NetworkCard
from engine.model.weights import NETWORK, packaged_file, packaged_networks

__all__ = [
    "NETWORK",
    "FineTunedNetwork",
    "LastLayer",
    "NetworkCard",
    "build_for",
    "build_network",
    "creation_options",
    "gaussian_logits",
    "mask_features",
    "masked_cross_entropy",
    "masked_logits",
    "packaged_file",
    "packaged_networks",
]
