"""Networks: a pre-trained backbone, the masks of very large dropout, and their weights."""

from engine.model.backbone import build_network
from engine.model.dropout import mask_features, masked_cross_entropy, masked_logits
from engine.model.network import FineTunedNetwork
from engine.model.weights import PACKAGED_WEIGHTS

__all__ = [
    "PACKAGED_WEIGHTS",
    "FineTunedNetwork",
    "build_network",
    "mask_features",
    "masked_cross_entropy",
    "masked_logits",
]
