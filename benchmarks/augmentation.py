"""Compare the training transforms ``batch`` and ``pil`` on the same images.

    python benchmarks/augmentation.py [--size 224] [--images 96]

The first table compares pixels of square images with the same parameters, computed as on a
processor and as on a GPU: differences from torchvision's on PIL images in levels of 0 … 255. The
second compares complete augmentations of images of several shapes with different draws: ratio of
``batch`` to ``pil`` of mean, standard deviation, and horizontal and vertical differences between
neighbouring pixels. "Photographs" are noise with a 1/f spectrum, as natural images have; "noise" is
uniform over all colours.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from engine.data.augment import augment_batch, augment_pixels, augment_tensors
from engine.data.transforms import AugmentParameters, PilDraw, PilTransform, draw_parameters
from engine.datasets.cache import resize
from engine.datasets.catalog import find_image_set
from engine.protocol import resolve_spec

SHAPES = ((500, 500), (640, 480), (480, 640), (500, 125), (100, 1000))
PERIOD = 1024
"""Period of the noise in pixels."""


def photograph(width: int, height: int, seed: int) -> Image.Image:
    """Return coloured noise with a 1/f spectrum."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(PERIOD)[:, None], np.fft.rfftfreq(PERIOD)[None])
    frequency[0, 0] = 1
    spectrum = random.normal(size=(2, 3, *frequency.shape)) / frequency
    noise = np.fft.irfft2(spectrum[0] + 1j * spectrum[1], s=(PERIOD, PERIOD))
    noise[1:] = 0.3 * noise[1:] + 0.7 * noise[0]
    pixels = 120 + 50 * (noise - noise.mean()) / noise.std()
    cut = pixels.transpose(1, 2, 0)[:height, :width]
    return Image.fromarray(cut.clip(0, 255).astype(np.uint8))


def stacked(images: list[Image.Image]) -> Tensor:
    """Stack images of the same size, (B, S, S, 3) uint8."""
    return torch.from_numpy(np.stack([np.asarray(image) for image in images]))


def pil_with(images: list[Image.Image], parameters: AugmentParameters) -> Tensor:
    """Transform square images as torchvision does with these parameters, (B, S, S, 3)."""
    transform = PilTransform(images[0].width)
    done = []
    for index, image in enumerate(images):
        top, left, height, width = map(int, parameters.box[index].tolist())
        brightness, contrast, saturation, hue = parameters.factors[index].tolist()
        jitter = parameters.order[index], brightness, contrast, saturation, hue
        grayscale = bool(parameters.grayscale[index])
        drawn = PilDraw((top, left, height, width), bool(parameters.flip[index]), jitter, grayscale)
        done.append(transform.apply(image, drawn))
    return torch.stack(done)


def compare_levels(
    name: str, images: list[Image.Image], parameters: AugmentParameters, threads: ThreadPoolExecutor
) -> None:
    """Print differences of pixels in levels, with the same parameters."""
    expected = pil_with(images, parameters).int()
    pixels = stacked(images)
    on_device = augment_tensors(pixels, parameters).mul(255).round().permute(0, 2, 3, 1).int()
    on_processor = torch.from_numpy(augment_pixels(pixels.numpy(), parameters, threads)).int()
    for path, found in (("processor", on_processor), ("device", on_device)):
        difference = (found - expected).float()
        off = difference.abs()
        print(f"| {name} | {path} | {off.mean():.2f} | {difference.mean():+.2f} "
              f"| {(off > 8).float().mean():.1%} | {off.max():.0f} |", flush=True)  # fmt: skip


def without_jitter(parameters: AugmentParameters) -> AugmentParameters:
    """Return the same parameters without changes of colour."""
    factors = torch.tensor([1.0, 1.0, 1.0, 0.0]).expand_as(parameters.factors)
    none = torch.zeros_like(parameters.grayscale)
    return AugmentParameters(parameters.box, parameters.flip, factors, parameters.order, none)


def statistics(images: Tensor) -> Tensor:
    """Return mean, deviation, and mean differences of neighbours across and down, (4,)."""
    pixels = images.float()
    across, down = pixels.diff(dim=2).abs().mean(), pixels.diff(dim=1).abs().mean()
    return torch.stack((pixels.mean(), pixels.std(dim=(1, 2, 3)).mean(), across, down))


def compare_shape(
    width: int, height: int, size: int, count: int, threads: ThreadPoolExecutor
) -> None:
    """Print statistics of augmented images, ``batch`` to ``pil``."""
    images = [photograph(width, height, seed) for seed in range(count)]
    squeezed = stacked([resize(image, size) for image in images])
    sizes = torch.tensor([[width, height]]).expand(count, 2)
    by_batch = augment_batch(squeezed, sizes, torch.Generator().manual_seed(0), threads)
    transform = PilTransform(size)
    torch.manual_seed(0)
    by_pil = torch.stack([transform.apply(image, transform.draw(image)) for image in images])
    ratios = statistics(by_batch) / statistics(by_pil)
    print(f"| {width}x{height} |", " | ".join(f"{ratio:.2f}" for ratio in ratios.tolist()), "|")


def main() -> None:
    """Print two Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--images", type=int, default=96)
    asked = parser.parse_args()
    size, count = asked.size, asked.images
    emoji_set = find_image_set(resolve_spec({"dataset": "emoji"}))
    chosen = range(0, len(emoji_set), max(1, len(emoji_set) // count))[:count]
    emoji = [resize(emoji_set.open_image(index), size) for index in chosen]
    photographs = [resize(photograph(500, 500, seed), size) for seed in range(count)]
    noise = [
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8))
        for seed in range(count)
    ]
    drawn = draw_parameters(torch.full((count, 2), size), size, torch.Generator().manual_seed(0))
    print("| images | path | mean difference | bias | above 8 levels | largest |")
    print("|---|---|---|---|---|---|")
    with ThreadPoolExecutor() as threads:
        kinds = {"photographs": photographs, "emoji": emoji, "noise": noise}
        for name, images in kinds.items():
            compare_levels(f"{name}, cropped only", images, without_jitter(drawn), threads)
            compare_levels(name, images, drawn, threads)
        print("\n| shape | mean | deviation | across | down |")
        print("|---|---|---|---|---|")
        for width, height in SHAPES:
            compare_shape(width, height, size, count, threads)


if __name__ == "__main__":
    main()
