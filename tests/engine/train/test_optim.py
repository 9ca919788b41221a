import pytest
import torch
from torch import nn

from engine.model import FineTunedNetwork, build_network
from engine.protocol import RunSpec, learning_rate_factor, spec_from_mapping
from engine.train.optim import head_learning_rate, make_optimizer, set_learning_rates


@pytest.fixture(scope="module")
def network() -> FineTunedNetwork:
    return build_network("resnet18", classes=3, weights="none", image_size=32, seed=0)


def factors(spec: RunSpec, *steps: int) -> list[float]:
    return [learning_rate_factor(spec, step) for step in steps]


def test_the_paper_divides_the_rate_by_ten_at_its_5000th_step() -> None:
    spec = RunSpec(schedule="step", lr_drops=(5_000,), steps=10_001)
    assert factors(spec, 0, 4_999, 5_000, 10_000) == pytest.approx([1, 1, 0.1, 0.1])


def test_domainnet_drops_twice() -> None:
    spec = RunSpec(schedule="step", lr_drops=(15_000, 25_000), steps=30_000)
    assert factors(spec, 14_999, 15_000, 25_000) == pytest.approx([1, 0.1, 0.01])


def test_warm_up_rises_linearly_to_the_peak() -> None:
    spec = RunSpec(schedule="constant", warmup_steps=4, steps=10)
    assert factors(spec, 0, 1, 3, 4, 9) == pytest.approx([0.25, 0.5, 1, 1, 1])


def test_cosine_starts_at_the_peak_after_warm_up_and_ends_near_zero() -> None:
    spec = RunSpec(schedule="cosine", warmup_steps=10, steps=110)
    assert factors(spec, 10, 60) == pytest.approx([1, 0.5])
    assert 0 < learning_rate_factor(spec, 109) < 0.001


def test_every_weight_is_in_one_group_and_the_head_has_its_own_rate(
    network: FineTunedNetwork,
) -> None:
    spec = RunSpec(lr=0.01, head_lr_factor=10, schedule="constant")
    optimizer = make_optimizer(spec, network, feature_rms=2.0)
    backbone, head = optimizer.param_groups
    in_groups = [id(p) for p in [*backbone["params"], *head["params"]]]
    assert sorted(in_groups) == sorted(id(p) for p in network.module.parameters())
    assert {id(p) for p in head["params"]} == {id(p) for p in network.head.parameters()}
    set_learning_rates(optimizer, spec, 0)
    assert (backbone["lr"], head["lr"]) == pytest.approx((0.01, 0.1))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_scaled_head_learns_alike_at_any_feature_scale(optimizer: str) -> None:
    """Features r times as large with weights 1/r as large are the same function: it must stay so
    after a step."""
    spec = spec_from_mapping(
        {"optimizer": optimizer, "lr": 0.1, "weight_decay": 0.0, "scale_head_lr": True}
    )
    features = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(16) % 3
    logits = []
    for rms in (1.0, 40.0):
        torch.manual_seed(0)
        head = nn.Linear(8, 3, bias=False)
        with torch.no_grad():
            head.weight /= rms
        lr = head_learning_rate(spec, rms)
        step = (torch.optim.SGD if optimizer == "sgd" else torch.optim.AdamW)(
            head.parameters(), lr=lr, weight_decay=0.0
        )
        nn.functional.cross_entropy(head(rms * features), labels).backward()
        step.step()
        logits.append(head(rms * features))
    assert torch.allclose(logits[0], logits[1], atol=1e-3)
