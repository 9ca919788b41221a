"""Rows on the training transforms: image by image, on validation images, and in whole batches."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from scipy import stats
from torch import Tensor
from torchvision import transforms
from torchvision.datasets.folder import default_loader
from torchvision.transforms import functional

from benchmarks.parity.data import IMAGE_SIZE, load, paper_spec
from benchmarks.parity.images import TARGET, save_domains, smooth_image
from benchmarks.parity.reference import data as theirs
from benchmarks.parity.row import Expected, Row, difference_text, largest_difference
from engine.data import RunData, ValidationAugmentation, evaluation_batches, seed_hash
from engine.data.augment import augment_tensors, augment_with
from engine.data.batches import PilAugmentation
from engine.data.transforms import AugmentParameters, draw_parameters, network_input
from engine.evaluate import Evaluation, evaluate_domains, network_predictor
from engine.execution import Execution
from engine.model import build_network

SIZES: Final = ((64, 64), (640, 480), (500, 125), (60, 300), (33, 47), (2000, 30), (1, 1))
SHAPES: Final = ((96, 96), (640, 480), (500, 125))
"""Widths and heights on which the fast path is compared."""
SIZE: Final = 96
DRAWS: Final = 10_000
LEAST_P: Final = 1e-4
"""The lowest p of some twenty tests does not fall below this by chance."""

_SHAPES_SHOWN: Final = ", ".join(f"{width}×{height}" for width, height in SHAPES)

Values = npt.NDArray[np.float64]


def pil_augmentation(folder: Path) -> Row:
    """Compare the training transforms with the same seed."""
    images = save_domains(folder / "images", per_class=14, sizes=SIZES)
    data = load(paper_spec(images), folder)
    rows = np.arange(len(data.image_set))
    with ThreadPoolExecutor(2) as threads:
        pixels = PilAugmentation(data, threads).augment(rows, torch.Generator().manual_seed(5))
    ours = network_input(pixels, theirs.IMAGENET_MEAN, theirs.IMAGENET_STD)
    seed = int(torch.randint(2**63 - 1, (), generator=torch.Generator().manual_seed(5)))
    transform = theirs.training_transform(IMAGE_SIZE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        files = [images / file.path for file in data.image_set.files]
        expected = torch.stack([transform(default_loader(str(file))) for file in files])
    difference = largest_difference([ours], [expected])
    return Row(
        "training images, `--transforms pil` (the paper recipe)",
        "`RandomResizedCrop`, `RandomHorizontalFlip`, `ColorJitter`, `RandomGrayscale` on the "
        "decoded file (DomainBed `datasets.py`)",
        "the same draws in the same order, computed by several threads",
        f"{len(rows)} images of {len(SIZES)} sizes up to 2000×30, the same seed for both",
        difference_text(difference),
        difference == 0,
    )


def validation_images(folder: Path) -> Row:
    """Compare the images of two evaluations."""
    images = save_domains(folder / "images", per_class=10, sizes=SIZES)
    spec = paper_spec(images)
    data = load(spec, folder)
    first, second = (_evaluated(data, step) for step in (1, 301))
    changed = [
        largest_difference([one.result.logits], [two.result.logits])
        for one, two in zip(first.augmented, second.augmented, strict=True)
        if one.result.logits is not None and two.result.logits is not None
    ]
    kept = [
        largest_difference([one.result.logits], [two.result.logits])
        for one, two in zip(first.measured, second.measured, strict=True)
        if one.domain.name == TARGET
        and one.result.logits is not None
        and two.result.logits is not None
    ]
    selects = np.mean([each.result.accuracy for each in first.augmented]) == first.id_accuracy
    difference = _validation_difference(images, data)
    return Row(
        "validation images of the sources",
        "augmented like training images, drawn again at each evaluation; the target's are not "
        "(`datasets.py`; both codes)",
        "the same under the paper recipe (`--augment-validation`), and used for selection; "
        "plain accuracy is measured as well",
        "evaluations at steps 1 and 301: logits of three sources and of both splits of the target; "
        "pixels of one domain with the seeds drawn for each image",
        f"logits of {sum(each > 0 for each in changed)} of 3 sources and "
        f"{sum(each > 0 for each in kept)} of 2 splits of the target changed; pixels: "
        f"{difference_text(difference)}",
        spec.augment_validation
        and len(changed) == 3
        and min(changed) > 0 == max(kept)
        and bool(selects)
        and difference == 0,
    )


def _evaluated(data: RunData, step: int) -> Evaluation:
    """Evaluate one network as a run does after a step."""
    network = build_network("test_resnet", classes=3, weights="none", image_size=IMAGE_SIZE, seed=0)
    execution = Execution(torch.device("cpu"), "fp32", "contiguous")
    augmentation = ValidationAugmentation(data, "pil", 0)
    predictor = network_predictor(network, 64, execution, augmentation, step)
    return evaluate_domains(predictor, data, "erm", keeps_logits=True, is_augmented=True)


def _validation_difference(images: Path, data: RunData) -> float:
    """Return the largest difference of a domain's augmented images from torchvision's."""
    domain, transform = data.sources[0], theirs.training_transform(IMAGE_SIZE)
    device = torch.device("cpu")
    batches = evaluation_batches(
        domain, domain.out_indices, 64, theirs.IMAGENET_MEAN, theirs.IMAGENET_STD, device,
        load=ValidationAugmentation(data, "pil", 0).of_step(301, domain, device),
    )  # fmt: skip
    ours = torch.cat([batch for batch, _ in batches])
    generator = torch.Generator().manual_seed(seed_hash("validation", 0, 301, domain.name))
    seeds = torch.randint(2**63 - 1, (len(ours),), generator=generator)
    expected = []
    with torch.random.fork_rng(devices=[]):
        for row, seed in zip(domain.rows[domain.out_indices], seeds.tolist(), strict=True):
            torch.manual_seed(seed)
            path = images / data.image_set.files[row].path
            expected.append(transform(default_loader(str(path))))
    return largest_difference([ours], [torch.stack(expected)])


def crop_sizes(_folder: Path) -> Row:
    """Compare the distributions of crop sizes."""
    tests = [
        stats.ks_2samp(ours[name], expected[name])
        for ours, expected in _crops_of_shapes()
        for name in ("width", "height", "area", "aspect")
    ]
    furthest = max(float(test.statistic) for test in tests)
    least = min(float(test.pvalue) for test in tests)
    return Row(
        "crop sizes, `--transforms batch`",
        "`RandomResizedCrop.get_params` on the original (torchvision)",
        "drawn for the original's shape, cut from the squeezed image in the cache",
        f"{DRAWS:,} draws each for images of {_SHAPES_SHOWN}: width, height, area, aspect ratio, "
        "to 0.01; two-sample Kolmogorov–Smirnov",
        f"largest distance between distributions {furthest:.3f}; lowest of {len(tests)} p-values "
        f"{least:.2f}",
        least > LEAST_P,
    )


def crop_places(_folder: Path) -> Row:
    """Compare the distributions of crop positions."""
    pairs = [
        (ours[name], expected[name])
        for ours, expected in _crops_of_shapes()
        for name in ("centre across", "centre down")
    ]
    furthest = max(float(stats.ks_2samp(*pair).statistic) for pair in pairs)
    away = max(abs(float(ours.mean() - expected.mean())) for ours, expected in pairs)
    return Row(
        "crop positions, `--transforms batch`",
        "uniform over the positions that fit (torchvision)",
        "the same, then shifted by up to half a pixel of the result unless the original is square",
        "centres of the same crops, to 0.01",
        f"largest distance between distributions {furthest:.3f}; means differ by up to "
        f"{away * SIZE:.2f} pixels of {SIZE}",
        furthest < 0.05 and away * SIZE < 0.5,
        Expected.NEAR,
    )


def _crops_of_shapes() -> Iterator[tuple[dict[str, Values], dict[str, Values]]]:
    for seed, shape in enumerate(SHAPES):
        yield _our_crops(shape, seed), _their_crops(shape, seed)


def _our_crops(shape: tuple[int, int], seed: int) -> dict[str, Values]:
    sizes = torch.tensor([shape]).repeat(DRAWS, 1)
    box = draw_parameters(sizes, SIZE, torch.Generator().manual_seed(seed)).box
    return _measures((box.double() / SIZE).numpy(), shape)


def _their_crops(shape: tuple[int, int], seed: int) -> dict[str, Values]:
    width, height = shape
    image = Image.new("RGB", shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        drawn = [
            transforms.RandomResizedCrop.get_params(image, [0.7, 1.0], [3 / 4, 4 / 3])
            for _ in range(DRAWS)
        ]
    return _measures(np.array(drawn) / [height, width, height, width], shape)


def _measures(boxes: Values, shape: tuple[int, int]) -> dict[str, Values]:
    """Return the compared quantities of crops (top, left, height, width as shares of the image).

    Shares are rounded to hundredths, about a pixel of the result: our crops start at whole pixels.
    """
    top, left, height, width = boxes.T
    found = {
        "width": width,
        "height": height,
        "area": width * height,
        "aspect": (width * shape[0]) / (height * shape[1]),
        "centre across": left + width / 2,
        "centre down": top + height / 2,
    }
    return {name: np.round(values, 2) for name, values in found.items()}


def colours(_folder: Path) -> Row:
    """Compare the distributions of all other draws."""
    sizes = torch.full((DRAWS, 2), SIZE)
    ours = draw_parameters(sizes, SIZE, torch.Generator().manual_seed(1))
    jitter = transforms.ColorJitter(0.3, 0.3, 0.3, 0.3)
    ranges = (jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        expected = [jitter.get_params(*ranges) for _ in range(DRAWS)]
    p_values = [
        float(
            stats.ks_2samp(ours.factors[:, at].numpy(), [each[1 + at] for each in expected]).pvalue
        )
        for at in range(4)
    ]
    orders = [
        np.unique([int("".join(map(str, order))) for order in drawn], return_counts=True)[1]
        for drawn in (ours.order.tolist(), [each[0].tolist() for each in expected])
    ]
    p_values.append(float(stats.chi2_contingency(np.array(orders)).pvalue))
    for drawn, share in ((ours.flip, 0.5), (ours.grayscale, 0.1)):
        p_values.append(float(stats.binomtest(int(drawn.sum()), DRAWS, share).pvalue))
    least = min(p_values)
    ends = torch.stack([ours.factors.amin(dim=0), ours.factors.amax(dim=0)], dim=1)
    beyond = float(((ends - torch.tensor(ranges)) * torch.tensor([-1, 1])).max())
    within = float((ends - torch.tensor(ranges)).abs().max())
    return Row(
        "other draws, `--transforms batch`",
        "`ColorJitter(0.3, 0.3, 0.3, 0.3)`, `RandomHorizontalFlip()`, `RandomGrayscale()`",
        "the same distributions, from one generator",
        f"{DRAWS:,} draws: four factors and their ranges, {len(orders[0])} orders, flips, grey "
        "images",
        f"lowest of {len(p_values)} p-values {least:.3f}; ends of the ranges are within "
        f"{within:.4f} of theirs, inside",
        least > LEAST_P and len(orders[0]) == 24 and beyond < 1e-6 and within < 2e-3,
    )


def pixels(_folder: Path) -> Row:
    """Compare pixels made with the same parameters."""
    levels = {
        shape: [_levels(shape, path) for path in (_on_processor, _on_device)] for shape in SHAPES
    }
    shown = "; ".join(
        f"{width}×{height}: {_level_text(of_processor)}, GPU code path {_level_text(of_device)}"
        for (width, height), (of_processor, of_device) in levels.items()
    )
    means = [float(each.mean()) for both in levels.values() for each in both]
    return Row(
        "pixels with the same parameters, `--transforms batch`",
        "PIL on the original, rounded to 8 bits after each operation (torchvision)",
        "OpenCV (floating point on a GPU) on the squeezed image",
        f"60 smooth images of each shape, {SIZE} px; differences in levels of 255 (mean, largest, "
        "share above 8)",
        shown,
        max(means) < 3,
        Expected.NEAR,
    )


def _level_text(levels: Values) -> str:
    above = 100 * float((levels > 8).mean())
    return f"{levels.mean():.1f}, {levels.max():.0f}, {above:.1f}%"


Augment = Callable[[Tensor, AugmentParameters], Tensor]
"""Transforms images (B, S, S, 3) uint8 with given parameters."""


def _on_processor(images: Tensor, parameters: AugmentParameters) -> Tensor:
    with ThreadPoolExecutor(2) as threads:
        return augment_with(images, parameters, threads)


def _on_device(images: Tensor, parameters: AugmentParameters) -> Tensor:
    """Compute as a GPU does."""
    augmented = augment_tensors(images, parameters)
    return augmented.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1)


def _levels(shape: tuple[int, int], augment: Augment, count: int = 60) -> Values:
    """Return the differences of pixels from PIL's, in levels."""
    random = np.random.default_rng(4)
    originals = [smooth_image(random, *shape) for _ in range(count)]
    parameters = draw_parameters(
        torch.tensor([shape]).repeat(count, 1), SIZE, torch.Generator().manual_seed(6)
    )
    ours = augment(_squeezed(originals), parameters).numpy().astype(float)
    expected = [
        np.asarray(_apply(image, parameters, at), dtype=float) for at, image in enumerate(originals)
    ]
    levels: Values = np.abs(ours - np.stack(expected))
    return levels


def _squeezed(originals: list[Image.Image]) -> Tensor:
    """Return images as the cache stores them."""
    squeezed = [functional.resize(image, [SIZE, SIZE]) for image in originals]
    return torch.stack([functional.pil_to_tensor(image) for image in squeezed]).permute(0, 2, 3, 1)


def _apply(image: Image.Image, parameters: AugmentParameters, at: int) -> Image.Image:
    """Transform an original as torchvision does with these parameters."""
    width, height = image.size
    scale = torch.tensor([height, width, height, width]) / SIZE
    box = (parameters.box[at].double() * scale).round().int().tolist()
    changed: Image.Image = functional.resized_crop(image, *box, [SIZE, SIZE])
    if parameters.flip[at]:
        changed = functional.hflip(changed)
    adjust = (
        functional.adjust_brightness,
        functional.adjust_contrast,
        functional.adjust_saturation,
        functional.adjust_hue,
    )
    for number in parameters.order[at].tolist():
        changed = adjust[number](changed, float(parameters.factors[at, number]))
    if parameters.grayscale[at]:
        changed = functional.rgb_to_grayscale(changed, num_output_channels=3)
    return changed


def channels(_folder: Path) -> Row:
    """Compare means and deviations of channels over many draws."""
    random, generator = np.random.default_rng(7), torch.Generator().manual_seed(8)
    originals = [smooth_image(random, *shape) for shape in SHAPES for _ in range(10)]
    transform = theirs.training_transform(SIZE)
    sizes = torch.tensor([image.size for image in originals])
    squeezed = _squeezed(originals)
    ours, expected = [], []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(8)
        for _ in range(30):
            drawn = _on_processor(squeezed, draw_parameters(sizes, SIZE, generator))
            ours.append(network_input(drawn, theirs.IMAGENET_MEAN, theirs.IMAGENET_STD))
            expected.append(torch.stack([transform(copy.copy(image)) for image in originals]))
    found = list(_moments(torch.cat(ours), torch.cat(expected)))
    (of_means, noise), (of_deviations, _) = found
    return Row(
        "channels, `--transforms batch`",
        "mean and standard deviation of the network's input",
        "the same",
        f"{len(originals)} images of {len(SHAPES)} shapes, 30 draws each, normalised units",
        f"means differ by up to {of_means:.3f} (standard error {noise:.3f}), standard "
        f"deviations by {of_deviations:.3f}",
        of_means < 5 * noise and of_deviations < 0.03,
        Expected.NEAR,
    )


def _moments(ours: Tensor, expected: Tensor) -> Iterator[tuple[float, float]]:
    """Yield the largest difference of channels' means, then of deviations, each with its error."""
    for statistic in (torch.mean, torch.std):
        of_images = [statistic(each.flatten(2), dim=2).double() for each in (ours, expected)]
        difference = (of_images[0].mean(dim=0) - of_images[1].mean(dim=0)).abs().max()
        variances = torch.stack([each.var(dim=0) / len(each) for each in of_images])
        yield float(difference), float(variances.sum(dim=0).sqrt().max())
