"""Linear fine-tuning as in the file of the paper's authors, in our own words.

Repository: TjuJianyu/verylarge_dropout, ``domainbed/resnet50_unfold.py``, ``ResNet.forward`` and
``unfold_layers``; their ``networks.py`` has its import commented out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn


class UnfoldedResNet50(nn.Module):
    """The sum over the blocks of the last stage of v ⊙ their pooled outputs.

    Their BatchNorm1d of each pooled output is created but not used. Blocks are computed without
    gradients, so that of all weights only v gets one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.resnet = torchvision.models.resnet50()
        self.resnet.fc = nn.Identity()
        self.v = nn.Parameter(torch.randn(3, 2048))

    def forward(self, images: Tensor) -> Tensor:
        """Return the features that the last layer reads."""
        return (self.v * self.blocks(images)).sum(dim=1)

    @torch.no_grad()
    def blocks(self, images: Tensor) -> Tensor:
        """Return the pooled output of each block, (B, 3, 2048)."""
        net = self.resnet
        x = net.maxpool(net.relu(net.bn1(net.conv1(images))))
        x = net.layer3(net.layer2(net.layer1(x)))
        pooled = []
        for block in net.layer4:
            x = block(x)
            pooled.append(F.adaptive_avg_pool2d(x, output_size=1).flatten(1))
        return torch.stack(pooled, dim=1)
