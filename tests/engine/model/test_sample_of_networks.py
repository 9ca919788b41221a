"""A sample of what `make networks` tries: architectures of timm that are made in different ways."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from benchmarks.networks import make_images, try_network

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        ("coat_tiny", ""),
        ("convnext_zepto_rms", ""),
        ("ghostnet_050", ""),
        ("ghostnetv2_100", ""),
        ("mobilenetv3_small_050", ""),
        ("regnetx_002", ""),
        ("repghostnet_050", ""),
        ("vit_tiny_patch16_224", ""),
        ("efficientvit_m0", "2 parameters of it do not affect"),
        ("levit_128s", "has no linear last layer on pooled features"),
    ],
)
def test_an_architecture_trains_and_resumes_or_is_refused_for_a_reason(
    tmp_path: Path, network: str, reason: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tried = try_network(network, make_images(tmp_path / "images"), tmp_path)
    assert tried.reason.startswith(reason)
    assert bool(tried.reason) is bool(reason)
