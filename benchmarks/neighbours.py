"""Check whether neighbouring methods do what their papers say, on images changed on purpose.

    python benchmarks/neighbours.py rare|flipped|shortcut|outliers|sparsity [--seeds 3]
                                    [--rates 0 0.9] [--of-each 40] [--image-size 64] [--csv FILE]

`rare`: a third of the classes keep a tenth of their images in the sources (rpdro, class weights,
the arm refined). `flipped`: a fifth of the sources' labels are wrong (odd, confreg). `shortcut`: a
pattern in a corner shows the class in the sources, and nothing in the target (confreg). `outliers`:
the network abstains on images of another set (--outliers). `sparsity`: pruned networks.

A linear layer on the penultimate features of the frozen network is trained, except for `sparsity`,
which fine-tunes everything. The settings are those of `pays-linear`, of the default recipe and of
the papers; nothing is selected on a target. All numbers are in percent: means over seeds ± standard
deviation.
"""

from __future__ import annotations

import argparse
import csv
import io
import itertools
import random
import statistics
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from benchmarks.revision import revision
from benchmarks.suspects import FLIPPED, train, unpack
from engine.data import RunData
from engine.data.transforms import network_input
from engine.datasets.cache import resize
from engine.datasets.catalog import CATALOG, EMOJI_ARCHIVE
from engine.datasets.folders import decode_image
from engine.diagnose.detection import roc_area
from engine.evaluate import network_predictor
from engine.evaluate.confidence import OOD_SCORED
from engine.execution import Execution
from engine.inference.classifier import load_classifier
from engine.inference.split import load_split
from engine.machine.processor import cpu_name
from engine.model.tensor_file import read_tensors
from engine.rundir import RunDir
from engine.train.checkpoint import read_abstention

TARGET: Final = "fluent-mono"
RARE_SHARE: Final = 10
"""Rare classes keep one of this many images."""
FLIPPED_SHARE: Final = 0.2
KNOWN_OUTLIERS: Final = (("fluent", "noto"), ("building", "clock", "face", "hand"))
UNKNOWN_OUTLIERS: Final = (("fluent-mono", "twemoji"), ("heart", "person", "weather", "office"))
"""Styles and classes of emoji that have no counterpart among the objects."""
LINEAR: Final[Mapping[str, Any]] = {
    "tuning": "linear", "linear_features": "penultimate", "optimizer": "sgd", "lr": 0.02,
    "schedule": "constant", "warmup_steps": 0, "head_steps": 0, "scale_head_lr": False,
    "steps": 800, "eval_every": 100, "masks": 4,
}  # fmt: skip
"""Those of the preset pays-linear. The last layer is not trained first, because that phase has the
plain cross-entropy, whatever the objective."""
ADAMW: Final[Mapping[str, Any]] = {
    "optimizer": "adamw", "lr": 1e-3, "momentum": 0.9, "schedule": "cosine",
}  # fmt: skip
"""Those of the preset neighbours-small; the authors of RP-DRO use AdamW as well."""
FULL: Final[Mapping[str, Any]] = {"tuning": "full", "views": None}
"""The default recipe."""
Images = dict[tuple[str, str], list[bytes]]
Methods = Mapping[str, Mapping[str, Any]]
Row = dict[str, float | str]


def read_images(archive: Path, of_each: int) -> Images:
    """Return the first images of each style and class of an embedded data set, encoded."""
    found: Images = defaultdict(list)
    with zipfile.ZipFile(archive) as file:
        for name in sorted(file.namelist()):
            style, _, rest = name.partition("/")
            class_name, _, image = rest.partition("/")
            if image and len(found[style, class_name]) < of_each:
                found[style, class_name].append(file.read(name))
    return found


def write_images(root: Path, images: Mapping[tuple[str, str], Iterable[bytes]]) -> Path:
    """Write images as a folder of domain/class/image, and return it."""
    for (style, class_name), contents in images.items():
        folder = root / style / class_name
        folder.mkdir(parents=True, exist_ok=True)
        for number, content in enumerate(contents):
            (folder / f"{number:03}.webp").write_bytes(content)
    return root


Judged = Mapping[tuple[str, str], tuple[Tensor, Tensor]]


def judge(run_dir: RunDir, arm: str | None = None) -> Judged:
    """Return logits (n, C) and labels (n,) of the sources' validation images and the target's.

    Of the network at the selected step, by domain and split.
    """
    [network] = load_classifier(run_dir, arm=arm, calibrate=False).networks
    data = load_split(run_dir, arm, "best")
    predictor = network_predictor(network, 64, Execution(torch.device("cpu"), "fp32", "contiguous"))
    found = {}
    with torch.inference_mode():
        for domain in data.domains:
            split = "in" if domain.is_target else "out"
            indices = domain.in_indices if domain.is_target else domain.out_indices
            logits, labels = zip(*predictor(domain, split, indices), strict=True)
            found[domain.name, split] = (torch.cat(logits), torch.cat(labels))
    return found


def accuracy(logits: Tensor, labels: Tensor, classes: Sequence[int] | None = None) -> float:
    """Return the accuracy on images of some classes (None: all) in percent."""
    chosen = slice(None) if classes is None else torch.isin(labels, torch.tensor(classes))
    right = logits[chosen].argmax(dim=1) == labels[chosen]
    return 100 * float(right.double().mean())


def accuracies(found: Judged) -> tuple[float, float]:
    """Return ID and OOD accuracy in percent."""
    ids = [accuracy(*pair) for (_, split), pair in found.items() if split == "out"]
    [ood] = [accuracy(*pair) for (_, split), pair in found.items() if split == "in"]
    return statistics.fmean(ids), ood


class Check:
    """One check: images, and runs on them."""

    def __init__(self, asked: argparse.Namespace, folder: Path) -> None:
        self.asked, self.folder = asked, folder
        self.rows: list[Row] = []
        self._runs: dict[str, RunDir] = {}

    def train(
        self, method: str, rate: float, seed: int, data: Path,
        recipe: Mapping[str, Any] = LINEAR, **fields: Any,
    ) -> RunDir:  # fmt: skip
        """Train a run in this process, or return it if it was trained before."""
        name = f"{data.name}-{method}-{rate}-{seed}".replace(" ", "-")
        if name in self._runs:
            return self._runs[name]
        self._runs[name], _ = train(
            self.folder / "home", data, name,
            **{
                "views": self.asked.views, **recipe,
                **({"lr": self.asked.lr} if recipe is LINEAR else {}),
                "dropout_rate": rate, "seed": seed, "precision": "fp32",
                "image_size": self.asked.image_size, "threads": self.asked.threads,
                "device": "cpu", **fields,
            },
        )  # fmt: skip
        return self._runs[name]

    def trials(self) -> Iterator[tuple[float, int]]:
        """Yield each dropout rate with each seed."""
        return itertools.product(self.asked.rates, range(self.asked.seeds))

    def teacher(self, seed: int, data: Path) -> RunDir:
        """Return the run of a seed without dropout, whose network teaches others."""
        return self.train("ERM", 0.0, seed, data)

    def add(self, method: str, rate: float, seed: int, **values: float) -> None:
        """Add the results of a run."""
        self.rows.append({"method": method, "dropout_rate": rate, "seed": seed, **values})
        shown = {name: round(value, 1) for name, value in values.items()}
        print(f"{method}, λ = {rate:g}, seed {seed}: {shown}", flush=True)


def rare(check: Check) -> None:
    """Make a third of the classes rare in the sources."""
    images = read_images(EMOJI_ARCHIVE, check.asked.of_each)
    classes = sorted({class_name for _, class_name in images})
    names = classes[::3]
    few = {
        place: contents[:: RARE_SHARE if place[0] != TARGET and place[1] in names else 1]
        for place, contents in images.items()
    }
    data = write_images(check.folder / "rare", few)
    numbers = [classes.index(name) for name in names]
    others = [number for number in range(len(classes)) if number not in numbers]
    methods: Methods = {
        "ERM": {"arms": ["refined"], "refine_on": "rare"},
        "balanced sampling": {"sampling": "balanced"},
        "class weights": {"class_weights": "balanced"},
        "rpdro": {"objective": "rpdro"},
        "rpdro, τ = 1": {"objective": "rpdro", "rpdro_kl_weight": 1.0},
        "ERM, AdamW": ADAMW,
        "rpdro, AdamW": {**ADAMW, "objective": "rpdro"},
        "rpdro, AdamW, τ = 1": {**ADAMW, "objective": "rpdro", "rpdro_kl_weight": 1.0},
    }
    for rate, seed in check.trials():
        for method, fields in methods.items():
            run_dir = check.train(method, rate, seed, data, **fields)
            arms = {method: None, **({"ERM, refined": "refined"} if method == "ERM" else {})}
            for name, arm in arms.items():
                found = judge(run_dir, arm)
                logits, labels = found[TARGET, "in"]
                ids, ood = accuracies(found)
                check.add(
                    name, rate, seed, ID=ids, OOD=ood,
                    rare=accuracy(logits, labels, numbers),
                    frequent=accuracy(logits, labels, others),
                )  # fmt: skip


def flipped(check: Check) -> None:
    """Give a fifth of the sources' images a wrong label."""
    data = check.folder / "flipped"
    unpack(data, check.asked.of_each, FLIPPED_SHARE, seed=0)
    for rate, seed in check.trials():
        teacher = check.teacher(seed, data)
        methods: Methods = {
            "ERM": {},
            "odd": {"objective": "odd"},
            "confreg": {"objective": "confreg", "teacher": teacher.run_id},
        }
        for method, fields in methods.items():
            run_dir = check.train(method, rate, seed, data, **fields)
            ids, ood = accuracies(judge(run_dir))
            found = dropped(run_dir) if method == "odd" else {}
            check.add(method, rate, seed, ID=ids, OOD=ood, **found)


def dropped(run_dir: RunDir) -> dict[str, float]:
    """Return which share of the training images the objective odd drops at the end, and of those
    with a wrong label, in percent."""
    data = load_split(run_dir, None, "best")
    rows = torch.cat([torch.from_numpy(each.rows[each.in_indices]) for each in data.sources])
    state = read_tensors(run_dir.last_checkpoint, "objective.odd.")
    given, wrong = state["losses"][rows].T
    is_dropped = given >= wrong.quantile(run_dir.read_spec().odd_quantile)
    is_wrong = wrong_labels(data)[rows]
    both = float((is_dropped & is_wrong).sum())
    return {
        "dropped": 100 * float(is_dropped.double().mean()),
        "precision": 100 * both / max(1.0, float(is_dropped.sum())),
        "recall": 100 * both / max(1.0, float(is_wrong.sum())),
    }


def wrong_labels(data: RunData) -> Tensor:
    """Return which images have a flipped label, (N,) bool."""
    names = [Path(file.path).name for file in data.image_set.files]
    return torch.tensor([name.startswith(FLIPPED) for name in names])


def shortcut(check: Check) -> None:
    """Put a pattern in a corner of each image: of the class in the sources, random in the target.

    In the control the pattern is random everywhere.
    """
    images = read_images(EMOJI_ARCHIVE, check.asked.of_each)
    classes = sorted({class_name for _, class_name in images})
    folders = {}
    for name, random_styles in (
        ("shortcut", {TARGET}),
        ("control", {style for style, _ in images}),
    ):
        draw = random.Random(0)
        marked = {
            (style, class_name): [
                with_corner(
                    content,
                    draw.randrange(len(classes))
                    if style in random_styles
                    else classes.index(class_name),
                )
                for content in contents
            ]
            for (style, class_name), contents in images.items()
        }
        folders[name] = write_images(check.folder / name, marked)
    for rate, seed in check.trials():
        for name, folder in folders.items():
            teacher = check.teacher(seed, folder)
            methods: Methods = {
                "ERM": {},
                "confreg": {"objective": "confreg", "teacher": teacher.run_id},
            }
            for method, fields in methods.items():
                run_dir = check.train(method, rate, seed, folder, **fields)
                ids, ood = accuracies(judge(run_dir))
                check.add(f"{method}, {name}", rate, seed, ID=ids, OOD=ood)


def with_corner(content: bytes, number: int) -> bytes:
    """Return an image with a number below 64 as six black or white cells in its upper left quarter.

    Colours would not survive the hue jitter of the training augmentation.
    """
    with Image.open(io.BytesIO(content)) as opened:
        image = opened.convert("RGBA")
    page = Image.new("RGB", image.size, "white")
    page.paste(image, mask=image)
    drawn, cell = ImageDraw.Draw(page), image.width // 6
    for bit, (row, column) in enumerate(itertools.product(range(2), range(3))):
        colour = "white" if number >> bit & 1 else "black"
        left, top = column * cell, row * cell
        drawn.rectangle((left, top, left + cell - 1, top + cell - 1), fill=colour)
    written = io.BytesIO()
    page.save(written, "WEBP", lossless=True)
    return written.getvalue()


def outliers(check: Check) -> None:
    """Abstain on emoji of some classes, and measure it on emoji of others and of other styles."""
    objects = read_images(CATALOG["objects-drawn"], check.asked.of_each)
    data = write_images(check.folder / "objects", objects)
    emoji = read_images(EMOJI_ARCHIVE, check.asked.of_each)
    folders = {}
    for name, styles, classes in (("known", *KNOWN_OUTLIERS), ("unknown", *UNKNOWN_OUTLIERS)):
        chosen = {place: emoji[place] for place in itertools.product(styles, classes)}
        folders[name] = write_images(check.folder / name, chosen)
    methods: Methods = {"ERM": {}, "outliers": {"outliers": str(folders["known"])}}
    for rate, seed in check.trials():
        for method, fields in methods.items():
            run_dir = check.train(method, rate, seed, data, target="clipart", **fields)
            ids, ood = accuracies(judge(run_dir))
            areas = outlier_areas(run_dir, folders["unknown"])
            check.add(method, rate, seed, ID=ids, OOD=ood, **areas)


def outlier_areas(run_dir: RunDir, folder: Path) -> dict[str, float]:
    """Return the AUROC of outliers against the sources' validation images, by score, in percent."""
    classifier = load_classifier(run_dir, calibrate=False)
    [network] = classifier.networks
    data, size = load_split(run_dir, None, "best"), run_dir.read_spec().image_size
    rows = np.concatenate([each.rows[each.out_indices] for each in data.sources])
    known = torch.from_numpy(data.domains[0].cached.take(rows))
    unlike = torch.stack([read_pixels(path, size) for path in sorted(folder.rglob("*.webp"))])
    row = read_abstention(run_dir, classifier.step)
    found: dict[str, list[Tensor]] = defaultdict(list)
    for pixels in (known, unlike):
        with torch.inference_mode():
            features = network.features(network_input(pixels, network.mean, network.std))
            logits = network.head(features).double()
        for name, score in OOD_SCORED.items():
            found[name].append(score(logits))
        if row is not None:
            abstain = features.double() @ row["weight"][0].double() + row["bias"].double()
            found["abstain"].append(abstain - logits.logsumexp(dim=1))
    return {f"AUROC {name}": 100 * roc_area(*pair).value for name, pair in found.items()}


def read_pixels(path: Path, size: int) -> Tensor:
    """Return an image as a run reads it, (S, S, 3) uint8."""
    image = resize(decode_image(path.read_bytes()), size)
    return torch.from_numpy(np.array(image))


def sparsity(check: Check) -> None:
    """Fine-tune networks of which a share of the weights is pruned."""
    data = write_images(check.folder / "sparsity", read_images(EMOJI_ARCHIVE, check.asked.of_each))
    for rate, seed in check.trials():
        for share in (0.0, 0.5, 0.8):
            pruned = {} if share == 0 else {"sparsity": share}
            run_dir = check.train(
                f"sparsity {share:g}", rate, seed, data, FULL, **pruned,
            )  # fmt: skip
            ids, ood = accuracies(judge(run_dir))
            check.add(f"sparsity {share:.0%}", rate, seed, ID=ids, OOD=ood)


CHECKS: Final[Mapping[str, Callable[[Check], None]]] = {
    "rare": rare,
    "flipped": flipped,
    "shortcut": shortcut,
    "outliers": outliers,
    "sparsity": sparsity,
}
"""The checks by name."""


def table(rows: Sequence[Row]) -> str:
    """Return a line for each method and rate, with means over seeds and standard deviations."""
    names = [name for row in rows for name in row if name not in ("method", "dropout_rate", "seed")]
    names = list(dict.fromkeys(names))
    groups: dict[tuple[Any, Any], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["dropout_rate"], row["method"]), []).append(row)
    lines = [f"| λ | method | {' | '.join(names)} |", f"|---|---|{'---|' * len(names)}"]
    for (rate, method), of_group in groups.items():
        cells = [spread([float(row[name]) for row in of_group if name in row]) for name in names]
        lines.append(f"| {rate:g} | {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def spread(values: Sequence[float]) -> str:
    """Return a mean and its standard deviation over seeds."""
    if not values:
        return "–"
    mean = f"{statistics.fmean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.1f}"


def main() -> None:
    """Run a check, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("check", choices=CHECKS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.0, 0.9])
    parser.add_argument("--of-each", type=int, default=40, help="images of each class and style")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--views", type=int, default=4)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--lr", type=float, default=LINEAR["lr"], help="of linear tuning")
    parser.add_argument("--csv", type=Path, help="file of the values of each run")
    asked = parser.parse_args()
    print(f"{asked.check}: {cpu_name()}, torch {torch.__version__}, revision {revision()}")
    with tempfile.TemporaryDirectory() as temporary:
        check = Check(asked, Path(temporary))
        CHECKS[asked.check](check)
    if asked.csv is not None:
        names = list(dict.fromkeys(name for row in check.rows for name in row))
        with asked.csv.open("w", newline="") as file:
            written = csv.DictWriter(file, names, lineterminator="\n", restval="")
            written.writeheader()
            written.writerows(check.rows)
    print(table(check.rows))


if __name__ == "__main__":
    main()
