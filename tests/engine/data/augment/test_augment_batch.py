"""Whole batches as training draws them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import functional

from engine.data.augment import augment_batch
from tests.engine.data.augment.reference import GREY_LEVEL, SIZE, planar, square


def test_pixels_have_the_statistics_of_torchvisions_transforms(
    images: Tensor, threads: ThreadPoolExecutor
) -> None:
    repeats = 600
    compose = transforms.Compose(
        [
            transforms.RandomResizedCrop(SIZE, scale=(0.7, 1.0)),
            transforms.RandomHorizontalFlip(),
            transforms.ColorJitter(0.3, 0.3, 0.3, 0.3),
            transforms.RandomGrayscale(),
            transforms.ToTensor(),
        ]
    )
    image = images[2]
    generator = torch.Generator().manual_seed(5)
    batch = image.expand(repeats, -1, -1, -1)
    found = planar(augment_batch(batch, square(repeats), generator, threads))
    pil = functional.to_pil_image(image.permute(2, 0, 1))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(6)
        expected = torch.stack([compose(pil) for _ in range(repeats)])
    means = (found.mean(dim=(2, 3)), expected.mean(dim=(2, 3)))
    contrasts = (found.std(dim=(2, 3)), expected.std(dim=(2, 3)))
    for one, other in (means, contrasts):
        standard_error = ((one.var(dim=0) + other.var(dim=0)) / repeats).sqrt()
        difference = (one.mean(dim=0) - other.mean(dim=0)).abs()
        assert bool((difference < 4 * standard_error + 0.5 * GREY_LEVEL).all())
        assert float((one.std(dim=0) / other.std(dim=0) - 1).abs().max()) < 0.15


def test_the_generator_decides_everything(images: Tensor, threads: ThreadPoolExecutor) -> None:
    def augmented(seed: int) -> Tensor:
        return augment_batch(images, square(48), torch.Generator().manual_seed(seed), threads)

    global_state = torch.get_rng_state()
    assert torch.equal(augmented(7), augmented(7))
    assert not torch.equal(augmented(7), augmented(8))
    assert torch.equal(torch.get_rng_state(), global_state)


def test_images_are_augmented_apart_and_the_originals_stay(
    images: Tensor, threads: ThreadPoolExecutor
) -> None:
    before = images.clone()
    found = augment_batch(
        images[:1].expand(32, -1, -1, -1), square(32), torch.Generator().manual_seed(9), threads
    )
    assert len({tuple(image.flatten()[::97].tolist()) for image in found}) == 32
    assert torch.equal(images, before)
