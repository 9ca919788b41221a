"""Data sets with new domains: corrupted images, or images split by a column of a table."""

from __future__ import annotations

import csv
import hashlib
import itertools
import multiprocessing
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from engine.datasets.cache import resize
from engine.datasets.card import DatasetCard, TableColumns
from engine.datasets.folders import decode_image
from engine.datasets.named_sets import IMAGES, check_name, staged
from engine.datasets.reading import describe_reading, has_shared_classes
from engine.datasets.register import register
from engine.datasets.sources import FolderSource, ImageFile
from engine.datasets.tables import read_columns
from engine.errors import DataError
from engine.machine.processor import usable_cores
from engine.protocol import nearest
from engine.protocol.datasets import AddDataset, DatasetListing, ShiftDataset, SplitDataset
from engine.protocol.extras import install_command
from engine.protocol.spec import Layout
from engine.protocol.work import WorkNote
from engine.text import counted, listed
from engine.work import Progress, Reporter, progress_of

CLEAN: Final = "clean"
EVERY_GROUP: Final = "all"
CHUNK: Final = 8
"""Images per task of a process."""
GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "weather": ("snow", "frost", "fog", "brightness"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
}
"""The common corruptions, each at five severities: Hendrycks & Dietterich, "Benchmarking Neural
Network Robustness to Common Corruptions and Perturbations", ICLR 2019."""
SEVERITIES: Final = range(1, 6)
SMALLEST: Final = 32
"""Minimum side in pixels for which the corruptions are defined."""
_TAKES_SEED: Final = ("impulse_noise", "glass_blur")
TABLE_FILE: Final = "images.csv"
"""Table that a split by a column writes, in the data set's folder."""
WITHOUT_DOMAINS: Final = ("class", "split/class")
"""Layouts with a single domain."""


@dataclass(frozen=True)
class Shift:
    """A domain to create: corruptions to choose from (none: clean) and their severity."""

    domain: str
    corruptions: tuple[str, ...]
    severity: int


Job = tuple[ImageFile, Shift]
"""An image, and the domain to write it to."""


def shift_dataset(request: ShiftDataset, report: Reporter) -> DatasetListing:
    """Create a data set with a clean and several corrupted domains, and register it.

    Images are resized as in a run and then corrupted, so that domains differ only in the
    corruption. Unless ``paired``, each image is in one domain only and each class is distributed
    evenly, because otherwise OOD accuracy would be measured on training images.

    Raises:
        DataError: if folder, corruptions or severities do not exist, a class has fewer images than
            domains, or the name is taken; nothing is left behind.
    """
    root, source = Path(request.root) / request.name, Path(request.path)
    check_name(request.name, root)
    shifts = plan_shifts(request.corruptions, request.severities)
    if request.image_size < SMALLEST:
        raise DataError(
            f"--image-size is {request.image_size}, but corruptions need at least {SMALLEST} px."
        )
    require_corruptions()
    files = find_class_images(source, request.layout)
    jobs = list(_paired(files, shifts) if request.paired else _dealt(files, shifts, request.seed))
    with staged(root) as stage:
        skipped = _write_all(
            source, stage / IMAGES, jobs, request, progress_of(report, "corrupting", "images")
        )
        if skipped:
            report(WorkNote(f"{counted(len(skipped), 'image')} cannot be read: {listed(skipped)}"))
        names = ", ".join(shift.domain for shift in shifts)
        origin = f"{source}: {names}; {request.image_size} px, seed {request.seed}"
        card = DatasetCard(request.name, IMAGES, origin=origin)
        plain = AddDataset(request.root, request.name, request.path)
        return register(card, stage, root, plain)


def plan_shifts(corruptions: Sequence[str], severities: Sequence[int]) -> tuple[Shift, ...]:
    """Return the domains to create, the clean one first.

    Raises:
        DataError: for an unknown corruption or severity, or if there are none.
    """
    wrong = [severity for severity in severities if severity not in SEVERITIES]
    if wrong or not severities:
        raise DataError(
            f"--severity is {listed(map(str, wrong)) or 'empty'}, but must be from 1 to 5."
        )
    named = list(dict.fromkeys(corruptions))
    if EVERY_GROUP in named:
        named = [*GROUPS, *(name for name in named if name not in (EVERY_GROUP, *GROUPS))]
    if not named:
        raise DataError("--corruptions is empty. Give groups or names, or 'all' for every group.")
    levels = list(dict.fromkeys(severities))
    return (
        Shift(CLEAN, (), 0),
        *(
            Shift(name if len(levels) == 1 else f"{name}-{level}", find_corruptions(name), level)
            for name in named
            for level in levels
        ),
    )


def _paired(files: Sequence[ImageFile], shifts: Sequence[Shift]) -> Iterator[Job]:
    return ((file, shift) for file in files for shift in shifts)


def _dealt(files: Sequence[ImageFile], shifts: Sequence[Shift], seed: int) -> Iterator[Job]:
    """Yield every image with one domain; images of a class are distributed evenly at random."""
    of_class: dict[str, list[ImageFile]] = defaultdict(list)
    for file in files:
        of_class[file.class_name].append(file)
    few = [name for name, members in of_class.items() if len(members) < len(shifts)]
    if few:
        raise DataError(
            f"Each image goes to one of {len(shifts)} domains, but these classes have fewer "
            f"images: {listed(few)}. Give fewer --corruptions, or put every image in every domain "
            "with --paired."
        )
    chance, turns = random.Random(seed), itertools.cycle(shifts)
    for members in of_class.values():
        chance.shuffle(members)
        yield from ((file, next(turns)) for file in members)


def _write_all(
    source: Path, into: Path, jobs: Sequence[Job], request: ShiftDataset, on_progress: Progress
) -> list[str]:
    """Write every image into its domain's folder; return the unreadable ones."""
    for folder in {into / shift.domain / file.class_name for file, shift in jobs}:
        folder.mkdir(parents=True)
    size, seed = request.image_size, request.seed
    tasks = [(source, into, file, shift, size, seed) for file, shift in jobs]
    # Processes, because the corruptions hold the GIL and use a global generator.
    context = multiprocessing.get_context("spawn")
    skipped: Counter[str] = Counter()
    with ProcessPoolExecutor(usable_cores(), mp_context=context) as pool:
        try:
            results = pool.map(_write, tasks, chunksize=CHUNK)
            for done, ((file, _), is_written) in enumerate(
                zip(jobs, results, strict=True), start=1
            ):
                skipped.update([] if is_written else [file.path])
                on_progress(done, len(jobs))
        except BaseException:
            pool.shutdown(cancel_futures=True)  # do not run the remaining tasks
            raise
    return sorted(skipped)


def _write(task: tuple[Path, Path, ImageFile, Shift, int, int]) -> bool:
    """Write one image; return whether it could be read."""
    source, into, file, shift, size, seed = task
    try:
        image = resize(decode_image((source / file.path).read_bytes()), size)
    except OSError:
        return False
    if shift.corruptions:
        drawn = f"{seed} {shift.domain} {file.path}"
        image = Image.fromarray(corrupt(image, shift.corruptions, shift.severity, drawn))
    name = file.path.removeprefix(f"{file.class_name}/").replace("/", "__")
    image.save(into / shift.domain / file.class_name / f"{name}.png")
    return True


def find_corruptions(name: str) -> tuple[str, ...]:
    """Return the corruptions of a group, or the single corruption of that name.

    Raises:
        DataError: if there is neither.
    """
    every = [each for group in GROUPS.values() for each in group]
    if name in GROUPS:
        return GROUPS[name]
    if name in every:
        return (name,)
    raise DataError(
        f"no corruption {name!r}.{nearest(name, [*GROUPS, *every])} Groups: "
        f"{', '.join(GROUPS)}; single corruptions: {', '.join(every)}."
    )


def require_corruptions() -> Any:
    """Return the module ``imagecorruptions``.

    Raises:
        DataError: if it is not installed or cannot be imported.
    """
    try:
        import imagecorruptions  # only this needs it, and it brings a compiler
    except ModuleNotFoundError:
        raise DataError(
            f"Corruptions need an additional package. Install it: {install_command('corruptions')}"
        ) from None
    except ImportError as error:  # its OpenCV needs a window system's libraries
        raise DataError(
            f"The package imagecorruptions cannot be imported: {error}. On a machine without a "
            "window system: pip install --force-reinstall --no-deps opencv-python-headless"
        ) from None
    return imagecorruptions


def corrupt(
    image: Image.Image, corruptions: Sequence[str], severity: int, seed: str
) -> npt.NDArray[np.uint8]:
    """Apply one randomly chosen corruption to an image.

    Not thread-safe: the package uses NumPy's global generator, which this function seeds.

    Args:
        image: RGB, both sides at least ``SMALLEST`` pixels.
        corruptions: corruptions to choose from.
        severity: 1 to 5.
        seed: determines the corruption and its random numbers.

    Returns:
        (H, W, 3) uint8.
    """
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4])
    np.random.seed(number)
    name = corruptions[np.random.randint(len(corruptions))]
    extra = {"seed": number} if name in _TAKES_SEED else {}
    corrupted = require_corruptions().corrupt(
        np.asarray(image), severity=severity, corruption_name=name, **extra
    )
    return np.asarray(corrupted, dtype=np.uint8)


def split_dataset(request: SplitDataset, report: Reporter) -> DatasetListing:
    """Register a folder of ``class/image`` whose domains are in a table column.

    Raises:
        DataError: if the folder or table cannot be read, they do not match, or the name is taken;
            nothing is left behind.
    """
    root, source = Path(request.root) / request.name, Path(request.path)
    check_name(request.name, root)
    files = find_class_images(source, request.layout)
    columns = (request.path_column, request.domain_column)
    rows = list(read_columns(Path(request.table), columns))
    domain_of = _match(files, rows)
    if not domain_of:
        raise DataError(
            f"No {request.path_column} in {request.table} matches an image of {source} (for "
            f"example {rows[0][0] if rows else 'no rows'}; an image is {files[0].path})."
        )
    if len(found := sorted(set(domain_of.values()))) == 1:
        raise DataError(
            f"{request.table} puts every image into one domain, {found[0]}. Choose another "
            "--domain-column."
        )
    if left_out := [file.path for file in files if file.path not in domain_of]:
        images = f"{counted(len(left_out), 'image')} {'is' if len(left_out) == 1 else 'are'}"
        report(WorkNote(f"{images} not in the table: {listed(left_out)}"))
    with staged(root) as stage:
        with (stage / TABLE_FILE).open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(("path", "label", "domain"))
            for each in files:
                if each.path in domain_of:
                    domain = domain_of[each.path]
                    table.writerow((source / each.path, each.class_name, domain))
        origin = f"{source}, split by {request.domain_column} of {request.table}"
        card = DatasetCard(request.name, TABLE_FILE, table=TableColumns(), origin=origin)
        plain = AddDataset(request.root, request.name, request.path)
        return register(card, stage, root, plain)


def _match(files: Sequence[ImageFile], rows: Sequence[tuple[str, ...]]) -> dict[str, str]:
    """Return the domain of each image listed in a row by its path or its unique name."""
    paths = {file.path for file in files}
    names = Counter(Path(file.path).name for file in files)
    by_name = {name: file.path for file in files if names[name := Path(file.path).name] == 1}
    domain_of: dict[str, str] = {}
    for given, domain in rows:
        path = given if given in paths else by_name.get(Path(given).name)
        if path is None:
            continue
        if domain_of.setdefault(path, domain) != domain:
            raise DataError(
                f"The table puts {path} into two domains, {domain_of[path]} and {domain}."
            )
    return domain_of


def find_class_images(folder: Path, layout: Layout = "auto") -> list[ImageFile]:
    """Return the images of a folder of one domain, with paths relative to it.

    Args:
        folder: laid out as ``class/image`` or ``split/class/image``.
        layout: folder layout; ``auto`` detects it.

    Raises:
        DataError: if the folder is missing, has fewer than two classes, a class without images, or
            already has domains.
    """
    if folder.is_file():
        raise DataError(f"{folder} is a file. Give an unpacked folder of class/image.")
    if not folder.is_dir():
        raise DataError(f"no folder {folder}. Give a folder of class/image.")
    source = FolderSource(folder, layout)
    try:
        files = source.files()
        if layout == "auto" and _has_sub_classes(source):
            source = FolderSource(folder, "class")
            files = source.files()
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error}.") from None
    folders = source.class_folders()
    if files and source.reading.layout not in WITHOUT_DOMAINS:
        layout_text = describe_reading(source.reading, folders, set().union(*folders.values()))
        raise DataError(
            f"{folder} already has domains "
            f"({source.reading.layout.replace('plain', 'domain/class')}/image). Give one of them, "
            f"such as {folder.joinpath(*source.reading.wrapper, files[0].domain)}, or --layout "
            f"class.{layout_text and f' Detected layout: {layout_text}'}"
        )
    classes = set().union(*folders.values()) if folders else set()
    if len(classes) < 2 or not files:
        raise DataError(
            f"{folder} has {counted(len(classes), 'class folder')} and "
            f"{counted(len(files), 'image')}, but needs class/image with at least two classes."
        )
    if empty := sorted(classes - {file.class_name for file in files}):
        raise DataError(f"{folder} has classes without images: {listed(empty)}.")
    return files


def _has_sub_classes(source: FolderSource) -> bool:
    """Return whether the detected domains are more likely classes with subfolders."""
    cells = {(file.domain, file.class_name) for file in source.files()}
    is_plain = source.reading.layout == "plain"
    return is_plain and len(cells) > 0 and not has_shared_classes(cells)
