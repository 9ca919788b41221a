"""Rows on the images of training and evaluation, and the input of the network."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torchvision.datasets.folder import default_loader

from benchmarks.parity.images import DOMAINS, TARGET, save_domains, smooth_image
from benchmarks.parity.reference import data as theirs
from benchmarks.parity.row import Expected, Row, difference_text, largest_difference
from engine.data import (
    DomainData,
    RunData,
    TrainingBatches,
    evaluation_batches,
    load_data,
    seed_hash,
    split_indices,
)
from engine.datasets.folders import ImageSet, open_image_set
from engine.datasets.sources import FolderSource
from engine.protocol import RunSpec, resolve_spec

Counts = npt.NDArray[np.int64]

COUNTS: Final = (
    *range(5, 17), 99, 100, 101, 255, 1_000, 1_415, 1_670, 2_048, 2_427, 4_357, 4_879, 9_767, 48_129
)  # fmt: skip
"""Numbers of images of a domain; the larger ones are those of published data sets."""
TRIAL_SEEDS: Final = (0, 1, 2, 3, 17, 2**31 - 1)
ODD_NAMES: Final = (
    "a.png", "A.png", "aa.PNG", "b 1.jpg", "10.png", "2.png", "é.png", "e\u0301.png", "日本.webp",
    "_x.bmp", "-.png", "z.JPEG", "sub/1.png", "Sub/1.png", "sub/deeper/x.png",
)  # fmt: skip
ODD_DOMAINS: Final = ("location_100", "location_38", "location_43", "location_46", "Zoo", "art é")
ODD_CLASSES: Final = ("cat", "Dog", "10", "9", "é", "big dog")
MODES: Final = ("RGB", "L", "RGBA", "LA", "P", "1", "CMYK")
SIZES: Final = ((64, 64), (65, 63), (200, 50), (50, 200), (1, 1), (3, 300), (640, 480))
IMAGE_SIZE: Final = 64


def paper_spec(images: Path, **fields: object) -> RunSpec:
    """Return the paper's recipe on small images of this comparison, on the processor."""
    return resolve_spec(
        {
            "recipe": "paper", "data_dir": str(images), "target": TARGET, "device": "cpu",
            "weights": "none", "image_size": IMAGE_SIZE, "threads": 1,
            "memory_format": "contiguous", "fold_batchnorm": "off", **fields,
        }
    )  # fmt: skip


def load(spec: RunSpec, folder: Path) -> RunData:
    """Return the data of a run, cached in a folder."""
    return load_data(spec, folder / "cache")


def seeds(_folder: Path) -> Row:
    """Compare the hash of seeds."""
    values = [(0, 0), (1, 3), ("network", 0), (2**31, -1), ("é", 1.5), (0,), ((1, 2), None)]
    same = sum(seed_hash(*each) == theirs.seed_hash(*each) for each in values)
    return Row(
        "seed of a split",
        "`seed_hash`: MD5 of the arguments (DomainBed `lib/misc.py`)",
        "the same",
        f"{len(values)} tuples of numbers and text",
        f"{same} of {len(values)} equal",
        same == len(values),
    )


def split(_folder: Path) -> Row:
    """Compare the images of both parts of a split."""
    cases = list(product(COUNTS, TRIAL_SEEDS, range(6)))
    same = 0
    for count, trial_seed, domain in cases:
        ours = split_indices(count, 0.2, trial_seed, domain)
        expected = theirs.in_and_out(count, 0.2, trial_seed, domain, is_target=False)
        same += [each.tolist() for each in ours] == list(expected)
    return Row(
        "split of a source into `in` and `out`",
        "`split_dataset` (DomainBed `lib/misc.py`): the first 20% of the shuffled keys are `out`",
        "the same",
        f"{len(cases)} cases: {len(COUNTS)} numbers of images up to {max(COUNTS):,} × "
        f"{len(TRIAL_SEEDS)} trial seeds × 6 domains",
        f"{same} of {len(cases)} equal, including the order",
        same == len(cases),
    )


def split_of_target(_folder: Path) -> Row:
    """Compare the split of a target, which DomainBed shuffles twice."""
    cases = list(product(COUNTS, TRIAL_SEEDS, range(6)))
    same_images = 0
    for count, trial_seed, domain in cases:
        ours = split_indices(count, 0.2, trial_seed, domain)
        inside, out = theirs.in_and_out(count, 0.2, trial_seed, domain, is_target=True)
        same_images += (sorted(ours[0].tolist()), ours[1].tolist()) == (sorted(inside), out)
    return Row(
        "split of the target",
        "`scripts/train.py` (DomainBed): `in` is shuffled a second time, and no part of it is held "
        "out",
        "shuffled once; accuracy does not depend on the order",
        f"the same {len(cases)} cases",
        f"{same_images} of {len(cases)} have the same images in `in` and `out`",
        same_images == len(cases),
    )


def file_order(folder: Path) -> Row:
    """Compare the order of files, classes and domains, on odd names."""
    random = np.random.default_rng(1)
    images = folder / "images"
    for domain, label, name in product(ODD_DOMAINS, ODD_CLASSES, ODD_NAMES):
        path = images / domain / label / name
        path.parent.mkdir(parents=True, exist_ok=True)
        smooth_image(random, 4, 4).save(path, format="PNG")
    found = open_image_set("odd", images, "plain")
    expected = theirs.domain_folders(images)
    ours = [(images / file.path, found.classes.index(file.class_name)) for file in found.files]
    listed = [(Path(path), label) for domain in expected for path, label in domain.samples]
    names = [Path(domain.root).name for domain in expected]
    same = sum(mine == other for mine, other in zip(ours, listed, strict=False))
    return Row(
        "order of domains, classes and files",
        "sorted `os.scandir`, then torchvision's `ImageFolder` (DomainBed `datasets.py`)",
        "the same order; hidden folders and files other than images are left out",
        f"{len(listed)} files: digits, case, spaces, composed and decomposed é, 日本, nested "
        f"folders; {len(names)} domains",
        f"{same} of {len(listed)} files at the same position with the same label",
        ours == listed and list(found.domains) == names,
    )


def lacking_class(folder: Path) -> Row:
    """Compare the labels of a domain that lacks a class."""
    images = save_domains(folder / "images", per_class=4)
    for path in (images / DOMAINS[1] / "cat").iterdir():
        path.unlink()
    (images / DOMAINS[1] / "cat").rmdir()
    source = FolderSource(images, "plain")
    found = ImageSet("lacking", source, ("cat", "dog", "horse"))
    ours = {images / file.path: found.classes.index(file.class_name) for file in found.files}
    expected = {
        Path(path): label
        for domain in theirs.domain_folders(images)
        for path, label in domain.samples
    }
    shifted = [path for path, label in expected.items() if ours[path] != label]
    in_domain = [path for path in expected if path.parent.parent.name == DOMAINS[1]]
    return Row(
        "a class that a domain lacks (DomainNet's *painting*)",
        "`ImageFolder` numbers the classes of each domain: its later labels shift by one",
        "one label space for all domains",
        f"4 domains, one without its first class, {len(in_domain)} images in it",
        f"{len(shifted)} labels differ, all in that domain; theirs denote another class",
        ours.keys() == expected.keys() and sorted(shifted) == sorted(in_domain),
        Expected.DIFFERENT,
    )


def evaluation_transform(folder: Path) -> Row:
    """Compare the input of a network in an evaluation."""
    images = folder / "images"
    _save_modes(images)
    spec = paper_spec(images, target=DOMAINS[0], skip_bad_images=False)
    data = load(spec, folder)
    transform = theirs.evaluation_transform(IMAGE_SIZE)
    ours, expected = [], []
    for domain in data.domains:
        for indices in (domain.in_indices, domain.out_indices):
            batches = evaluation_batches(
                domain, indices, 16, theirs.IMAGENET_MEAN, theirs.IMAGENET_STD, torch.device("cpu")
            )
            ours += [batch for batch, _ in batches]
            files = [data.image_set.files[row] for row in domain.rows[indices]]
            expected += [transform(default_loader(str(images / file.path))) for file in files]
    mine = torch.cat(ours)
    difference = largest_difference([mine], [torch.stack(expected)])
    return Row(
        "images of an evaluation",
        "`Resize`, `ToTensor`, `Normalize` of the decoded file (DomainBed `datasets.py`)",
        "the cached pixels, normalised",
        f"{len(mine)} images: {len(MODES)} modes × {len(SIZES)} sizes as PNG, JPEG and others, to "
        f"{IMAGE_SIZE} px",
        difference_text(difference),
        difference == 0,
    )


def sixteen_bits(folder: Path) -> Row:
    """Compare 16-bit grey images."""
    random = np.random.default_rng(2)
    path = folder / "grey" / "a" / "0.png"
    path.parent.mkdir(parents=True)
    Image.fromarray(random.integers(0, 2**16, (40, 40), dtype=np.uint16)).save(path)
    for other in ("grey/b", "grey2/a", "grey2/b"):
        (folder / other).mkdir(parents=True)
        (folder / other / "0.png").write_bytes(path.read_bytes())
    found = open_image_set("grey", folder, "plain")
    ours = np.asarray(found.open_image(0)).astype(int)
    expected = np.asarray(default_loader(str(path))).astype(int)
    white = float((expected == 255).mean())
    return Row(
        "16-bit grey images",
        "`pil_loader` (torchvision): PIL clips values above 255",
        "the higher 8 of the 16 bits",
        "a noise image",
        f"theirs is {100 * white:.0f}% white; ours has {len(np.unique(ours))} levels",
        white > 0.9 and len(np.unique(ours)) > 200,
        Expected.DIFFERENT,
    )


def draws_with_replacement(folder: Path) -> Row:
    """Compare the images of batches."""
    images = save_domains(folder / "images", per_class=10, sizes=((40, 40),))
    spec = paper_spec(images, transforms="batch", image_size=32)
    data = load(spec, folder)
    counts = _drawn(spec, data, batches=100)
    expected = np.concatenate([_share_of(domain, 100 * spec.batch_size) for domain in data.sources])
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    freedom = len(counts) - len(data.sources)
    z = (chi_square - freedom) / (2 * freedom) ** 0.5
    return Row(
        "images of a batch",
        "32 of each source's `in`, drawn with replacement, independent of class (DomainBed "
        "`fast_data_loader.py`, `InfiniteDataLoader`)",
        "the same distribution, different random stream",
        f"100 batches of {len(data.sources)} sources, {len(counts)} images",
        f"χ² of uniform draws {chi_square:.0f} for {freedom} degrees of freedom (z = {z:.1f}); "
        "no other images were drawn",
        abs(z) < 4,
    )


def _drawn(spec: RunSpec, data: RunData, batches: int) -> Counts:
    """Return how often each training image was drawn, in the order of sources and ``in``."""
    generator = torch.Generator().manual_seed(0)
    training = TrainingBatches(
        data, spec.batch_size, "batch", (0.5,) * 3, (0.5,) * 3, generator, torch.device("cpu")
    )
    of_row: Counts = np.zeros(len(data.image_set), int)
    for _ in range(batches):
        training.draw()
        assert training.drawn is not None, "a batch was drawn"
        np.add.at(of_row, training.drawn, 1)
    rows = np.concatenate([domain.rows[domain.in_indices] for domain in data.sources])
    assert of_row.sum() == of_row[rows].sum(), "nothing but training images is drawn"
    counts: Counts = of_row[rows]
    return counts


def _share_of(domain: DomainData, draws: int) -> npt.NDArray[np.float64]:
    return np.full(len(domain.in_indices), draws / len(domain.in_indices))


def _save_modes(root: Path) -> None:
    """Write images of every mode and size in two domains of two classes."""
    random = np.random.default_rng(3)
    suffixes = {"RGB": ("png", "jpg", "webp", "bmp"), "L": ("png", "jpg"), "CMYK": ("jpg", "tif")}
    for domain, label in product(DOMAINS[:2], ("a", "b")):
        folder = root / domain / label
        folder.mkdir(parents=True)
        for mode, (width, height) in product(MODES, SIZES):
            image = smooth_image(random, width, height).convert(mode)
            for suffix in suffixes.get(mode, ("png",)):
                image.save(folder / f"{mode}-{width}x{height}.{suffix}")
