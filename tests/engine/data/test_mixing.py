"""Pairs of images: partners of the same source, shares from a Beta distribution, and the mix."""

from __future__ import annotations

import pytest
import torch

from engine.data.mixing import Pairs, whole_sources


def draw(seed: int = 0, domains: int = 3, of_each: int = 4, alpha: float = 0.2) -> Pairs:
    return Pairs.draw(domains, of_each, alpha, torch.Generator().manual_seed(seed))


def test_a_partner_is_another_image_of_the_same_source_each_as_likely() -> None:
    partners = torch.stack([draw(seed).partners for seed in range(600)])
    places = torch.arange(12)
    assert not (partners == places).any()
    assert torch.equal(partners // 4, (places // 4).expand(600, -1))
    for place in range(12):
        counts = partners[:, place].bincount(minlength=12)
        others = [at for at in range(place // 4 * 4, place // 4 * 4 + 4) if at != place]
        assert [*counts[others]] == pytest.approx([200] * 3, abs=55)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_shares_have_the_moments_of_the_beta_distribution(alpha: float) -> None:
    shares = torch.cat([draw(seed, alpha=alpha).shares for seed in range(600)]).double()
    assert float(shares.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(shares.var()) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.06)
    assert 0 <= float(shares.min()) < float(shares.max()) <= 1


def test_a_slice_of_a_batch_is_mixed_as_the_whole_is() -> None:
    pairs = draw()
    images = torch.randn(12, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    expected = torch.stack(
        [
            pairs.shares[at] * images[at] + (1 - pairs.shares[at]) * images[pairs.partners[at]]
            for at in range(12)
        ]
    )
    torch.testing.assert_close(pairs.mix(images, slice(0, 12), slice(0, 12)), expected)
    for share in (slice(0, 3), slice(3, 7), slice(7, 8), slice(5, 10)):
        loaded = whole_sources(share, 4)
        assert loaded.start % 4 == loaded.stop % 4 == 0
        mixed = pairs.mix(images[loaded], share, loaded)
        torch.testing.assert_close(mixed, expected[share])


def test_a_slice_needs_the_sources_that_it_has_images_of() -> None:
    assert whole_sources(slice(4, 8), 4) == slice(4, 8)
    assert whole_sources(slice(3, 9), 4) == slice(0, 12)
    assert whole_sources(slice(5, 6), 4) == slice(4, 8)
