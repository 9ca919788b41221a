"""How fast history is with many runs: reading folders, listing, filtering, ``vld ls``.

    python benchmarks/store.py [--runs 10000]

Fills a temporary home with finished runs of 300 steps, reads them with ``rebuild``, and times
what a person waits for. Times are the best of several.
"""

from __future__ import annotations

import argparse
import functools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from engine.protocol import (
    CheckpointSaved,
    DataPrepared,
    DomainInfo,
    Evaluated,
    Event,
    Metric,
    ModelPrepared,
    RunFinished,
    RunSpec,
    RunStarted,
    StepsTaken,
    encode_event,
    encode_spec,
    resolve_spec,
)
from engine.rundir import RunDir, UserData
from vld_tui.home import open_home
from vld_tui.store.query import Query
from vld_tui.store.store import Store

DOMAINS = ("noto", "twemoji", "fluent", "fluent-mono")
TARGET = "fluent-mono"
REPEATS = 5


def main() -> None:
    """Fill a home and print the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000, help="runs in the home")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        home = open_home(Path(folder))
        for index in range(runs):
            write_finished_run(home.run_dir(f"250101-{index:06d}-aaaa"), index)
        with Store.open(home) as store:
            started = time.perf_counter()
            report = store.rebuild()
            rebuild_s = time.perf_counter() - started
            points = store.health()["metric_points"]
            print(f"rebuild            {rebuild_s:8.2f} s   {report.runs} runs, {points} points")
            print(f"list_runs          {best_ms(store.list_runs):8.1f} ms")
            query = Query.parse("dropout>=0.9 dataset=emoji ood>50%", sort="-ood")
            print(f"list_runs, query   {best_ms(lambda: store.list_runs(query)):8.1f} ms")
            print(f"refresh            {best_ms(store.refresh):8.2f} ms")
            print(f"get by name        {best_ms(lambda: store.get('run-7')):8.2f} ms")
        print(f"database           {home.database.stat().st_size / 2**20:8.1f} MiB")
        for arguments in (["ls"], ["ls", "--json"], ["--help"]):
            command = [sys.executable, "-m", "vld_tui.cli", "--home", folder, *arguments]
            shown_ms = best_ms(functools.partial(output, command))
            print(f"vld {' '.join(arguments):<14} {shown_ms:8.1f} ms")


def best_ms(action: Callable[[], object]) -> float:
    """Return the shortest of several times the action takes, in milliseconds."""
    times_s = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        action()
        times_s.append(time.perf_counter() - started)
    return min(times_s) * 1000


def output(command: list[str]) -> bytes:
    """Run a command and return what it printed."""
    return subprocess.run(command, check=True, capture_output=True).stdout


def write_finished_run(run_dir: RunDir, index: int) -> None:
    """Write a run folder as the engine leaves it, without waiting for the disk."""
    spec = resolve_spec({"seed": index, "dropout_rate": 0.9 if index % 2 else 0.0})
    user = UserData(
        name=f"run-{index}", tags=("bench", f"group-{index % 10}"), created_at=1.7e9 + index
    )
    run_dir.path.mkdir()
    run_dir.spec.write_bytes(encode_spec(spec))
    run_dir.user.write_bytes(msgspec.json.encode(user))
    numbered = (
        msgspec.structs.replace(event, seq=seq, time=1.7e9 + index + seq)
        for seq, event in enumerate(events(spec, index))
    )
    run_dir.events.write_bytes(b"".join(map(encode_event, numbered)))


def events(spec: RunSpec, index: int) -> list[Event]:
    """Return the events of a whole run."""
    told: list[Event] = [
        RunStarted(
            protocol_version=1, attempt=1, pid=1000 + index, host="bench", resumed_step=None,
            versions={"torch": "2.8.0", "timm": "1.0.20", "python": "3.11.2"}, commit=None,
        ),
        DataPrepared(
            dataset="emoji", target=TARGET, classes=[f"class {number}" for number in range(18)],
            domains=[DomainInfo(name, name == TARGET, 1230, 984, 246) for name in DOMAINS],
            skipped=[], wall_s=0.4,
        ),
        ModelPrepared(
            model=spec.model, weights="packaged", parameters=3_413_024, feature_dim=1280,
            feature_rms=1.14, device="cpu", device_name="CPU", precision="fp32",
            memory_format="channels_last", threads=2, step_ms={"fp32 channels_last": 863.0},
            seconds_left=163.0,
        ),
    ]  # fmt: skip
    for step in range(10, 301, 10):
        told.append(
            StepsTaken(
                step=step, loss=2.0 - step / 300, lr=1e-3, head_lr=1e-4, steps_per_s=1.87,
                images_per_s=89.8, elapsed_s=step / 1.87, seconds_left=(300 - step) / 1.87,
            )
        )  # fmt: skip
        if step % 50 == 0:
            told += evaluation(step, index)
    accuracy = accuracy_at(300, index)
    told.append(
        RunFinished(
            step=300, selected_step=300, id_accuracy=accuracy, ood_accuracy=accuracy - 0.2,
            wall_s=163.0, peak_memory_bytes=900_000_000,
        )
    )  # fmt: skip
    return told


def evaluation(step: int, index: int) -> list[Event]:
    """Return what a run says when it evaluates: values by domain, then two checkpoints."""
    accuracy = accuracy_at(step, index)
    splits = [("out", name) for name in DOMAINS] + [("in", TARGET)]
    return [
        Evaluated(
            step=step, id_accuracy=accuracy, ood_accuracy=accuracy - 0.2, is_best=True, wall_s=1.5,
            metrics=[
                Metric(split, name, "dropout", metric, accuracy)
                for split, name in splits
                for metric in ("accuracy", "loss")
            ],
        ),
        CheckpointSaved(step=step, kind="best", file="checkpoints/best.safetensors", bytes=2**24),
        CheckpointSaved(step=step, kind="last", file="checkpoints/last.safetensors", bytes=2**25),
    ]  # fmt: skip


def accuracy_at(step: int, index: int) -> float:
    """Return a made-up accuracy that grows with the steps and differs between runs."""
    return 0.5 + 0.25 * step / 300 + 0.1 * (index % 97) / 97


if __name__ == "__main__":
    main()
