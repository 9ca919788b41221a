"""Flip labels of the embedded emoji on purpose, and measure how well `vld suspects` finds them.

    python benchmarks/suspects.py [--shares 0.05 0.1 0.2] [--rates 0 0.9] [--seeds 3]
                                  [--tuning linear] [--of-each 24] [--image-size 64] [--csv FILE]

In the three source styles a share of the images gets another class, drawn uniformly.
Runs of the default recipe train on them, and their training images are ranked as the command does.

`at the share` is the precision among as many images as there are flipped training images, which is
also their recall: with the losses of both checkpoints, and of each alone. The other columns are
precision and recall of the images that reach a quantile of the scores of wrong labels. All are in
percent, means over seeds; ± is the standard deviation over seeds.
"""

from __future__ import annotations

import argparse
import csv
import random
import statistics
import tempfile
import time
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch

from engine.datasets.catalog import EMOJI_ARCHIVE
from engine.diagnose.suspects import Ranking, rank_images
from engine.evaluate.label_losses import label_excess, of_labels
from engine.machine.processor import cpu_name
from engine.protocol import RunFinished, resolve_spec
from engine.protocol.suspects import FindSuspects
from engine.run import run
from engine.rundir import RunDir, UserData
from engine.rundir.event_log import EventLog
from engine.stop_request import StopRequest

TARGET: Final = "fluent-mono"
FLIPPED: Final = "flipped-"
"""How the names of images with a wrong label begin."""
QUANTILES: Final = (0.01, 0.05, 0.1, 0.2, 0.5)


def unpack(root: Path, of_each: int, share: float, seed: int) -> None:
    """Unpack a part of the embedded emoji, with a share of the labels of the sources flipped."""
    members: dict[tuple[str, str], list[str]] = defaultdict(list)
    with zipfile.ZipFile(EMOJI_ARCHIVE) as archive:
        for name in sorted(archive.namelist()):
            style, _, rest = name.partition("/")
            class_name, _, file = rest.partition("/")
            if file and len(members[style, class_name]) < of_each:
                members[style, class_name].append(name)
        classes = sorted({class_name for _, class_name in members})
        draw = random.Random(seed)
        for style in sorted({style for style, _ in members}):
            labels = {name: c for (s, c), names in members.items() if s == style for name in names}
            flips = 0 if style == TARGET else round(share * len(labels))
            chosen = set(draw.sample(sorted(labels), flips))
            for name, class_name in sorted(labels.items()):
                label, file = class_name, name.rpartition("/")[2]
                if name in chosen:
                    label = draw.choice([each for each in classes if each != class_name])
                    file = f"{FLIPPED}{class_name}-{file}"
                path = root / style / label / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(name))


def train(home: Path, data: Path, name: str, **fields: Any) -> tuple[RunDir, RunFinished]:
    """Train in this process."""
    spec = resolve_spec({"data_dir": str(data), "target": TARGET, **fields})
    run_dir = RunDir(home / "runs" / name)
    run_dir.create(spec, UserData())
    log = EventLog(run_dir.events)
    outcome = run(run_dir, log, StopRequest())
    log.record(outcome)
    log.close()
    assert isinstance(outcome, RunFinished)
    return run_dir, outcome


def is_flipped(ranking: Ranking) -> torch.Tensor:
    """Return whether each training image has a wrong label, (N,)."""
    files = ranking.data.image_set.files
    names = [Path(files[row].path).name for row in ranking.images.rows.tolist()]
    return torch.tensor([name.startswith(FLIPPED) for name in names])


def at_the_share(scores: torch.Tensor, flipped: torch.Tensor) -> float:
    """Return precision, and recall, among as many images as are flipped, in percent."""
    count = int(flipped.sum())
    first = scores.argsort(descending=True, stable=True)[:count]
    return 100 * float(flipped[first].double().mean())


def measure(ranking: Ranking) -> dict[str, float]:
    """Return the measured values of one run by column."""
    flipped = is_flipped(ranking)
    found = {"both": at_the_share(ranking.scores, flipped)}
    for used, logits in zip(ranking.checkpoints, ranking.logits, strict=True):
        scores = of_labels(label_excess([logits]), ranking.images.labels)
        found[used.at] = at_the_share(scores, flipped)
    found.setdefault("last", found["best"])  # the selected step is the last one
    for quantile in QUANTILES:
        reaches = ranking.scores >= ranking.threshold(quantile)
        right = int((reaches & flipped).sum())
        found[f"precision {quantile}"] = 100 * right / max(1, int(reaches.sum()))
        found[f"recall {quantile}"] = 100 * right / int(flipped.sum())
    return found


def spread(values: Sequence[float]) -> str:
    """Return a mean and its standard deviation over seeds."""
    if len(values) == 1:
        return f"{values[0]:.0f}"
    return f"{statistics.mean(values):.0f} ± {statistics.stdev(values):.0f}"


def measure_run(
    asked: argparse.Namespace, folder: Path, share: float, rate: float, seed: int
) -> dict[str, float]:
    """Train on flipped labels, rank the images, and return the measured values by column."""
    began = time.perf_counter()
    run_dir, outcome = train(
        folder / "home", folder / f"data-{share}", f"{share}-{rate}-{seed}", tuning=asked.tuning,
        dropout_rate=rate, seed=seed, image_size=asked.image_size, views=asked.views,
        threads=asked.threads, device="cpu", precision="fp32",
    )  # fmt: skip
    trained = time.perf_counter()
    request = FindSuspects(run_dir=str(run_dir.path), device="cpu", threads=asked.threads)
    ranking = rank_images(request, lambda _report: None)
    return {
        "share": share,
        "dropout_rate": rate,
        "seed": seed,
        "images": len(ranking.scores),
        "flipped": int(is_flipped(ranking).sum()),
        "best_step": ranking.checkpoints[0].step or 0,
        "id_accuracy": 100 * outcome.id_accuracy,
        "train_s": trained - began,
        "rank_s": time.perf_counter() - trained,
        **measure(ranking),
    }


def table_row(rows: Sequence[dict[str, float]]) -> str:
    """Return the line of a table on runs that differ in their seed."""
    cells = [f"{rows[0]['share']:.0%}", f"{rows[0]['dropout_rate']:g}"]
    cells += [spread([each[name] for each in rows]) for name in ("both", "best", "last")]
    for quantile in QUANTILES:
        precision, recall = (
            statistics.mean(each[f"{name} {quantile}"] for each in rows)
            for name in ("precision", "recall")
        )
        cells.append(f"{precision:.0f} / {recall:.0f}")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shares", type=float, nargs="+", default=[0.05, 0.1, 0.2])
    parser.add_argument("--rates", type=float, nargs="+", default=[0.0, 0.9])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tuning", choices=("linear", "full"), default="linear")
    parser.add_argument("--of-each", type=int, default=24, help="images of each class and style")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--csv", type=Path, help="file of the values of each run")
    asked = parser.parse_args()
    print(f"{cpu_name()}, torch {torch.__version__}, {asked.tuning} tuning", flush=True)
    records = []
    lines = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for share in asked.shares:
            unpack(folder / f"data-{share}", asked.of_each, share, seed=0)
            for rate in asked.rates:
                rows = [measure_run(asked, folder, share, rate, n) for n in range(asked.seeds)]
                for each in rows:
                    print({name: round(value, 2) for name, value in each.items()}, flush=True)
                records += rows
                lines.append(table_row(rows))
    if asked.csv is not None:
        with asked.csv.open("w", newline="") as file:
            table = csv.DictWriter(file, list(records[0]), lineterminator="\n")
            table.writeheader()
            table.writerows(records)
    of_quantiles = " | ".join(f"precision / recall, q = {each:g}" for each in QUANTILES)
    print(f"| flipped | λ | at the share: both | best | last | {of_quantiles} |")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
