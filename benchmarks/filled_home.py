"""Homes full of simulated runs, for benchmarks of commands and the dashboard."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing

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
from vld_tui.home import Home
from vld_tui.store.store import Store

DOMAINS = ("noto", "twemoji", "fluent", "fluent-mono")
TARGET = "fluent-mono"
PATTERNS = 100
"""Runs read from real folders; the other runs of a large home are copies of their rows."""
FIRST_AT = 1.7e9
LONG_STEPS = 50_000
LONG_DOMAINS = 9
"""With accuracy and loss of these domains, ID and OOD, 20 metrics; plus the training loss."""


def fill(home: Home, runs: int) -> None:
    """Fill a home: a hundred runs from their folders, the others copied from them in SQL."""
    for index in range(min(runs, PATTERNS)):
        write_finished_run(home.run_dir(run_id(index)), index)
    with Store.open(home) as store:
        store.folders.rebuild()
    with closing(sqlite3.connect(home.database)) as connection, connection:
        for copied in range(PATTERNS, runs, PATTERNS):
            _copy_runs(connection, copied, min(PATTERNS, runs - copied))
    for index in range(PATTERNS, runs):
        home.run_dir(run_id(index)).path.mkdir()  # without a folder a run is gone


def run_id(index: int) -> str:
    """Return the id of a simulated run."""
    return f"250101-{index:06d}-aaaa"


def _copy_runs(connection: sqlite3.Connection, shift: int, count: int) -> None:
    """Copy the rows of the first ``count`` runs to runs numbered ``shift`` higher."""
    values = {
        "key": f"key + {shift}",
        "run_id": f"printf('250101-%06d-aaaa', key - 1 + {shift})",
        "name": f"'run-' || (key - 1 + {shift})",
        "created_at": f"created_at + {shift}",
    }
    _copy_rows(connection, "runs", values, f"key <= {count}")
    for table in ("attempts", "checkpoints", "series"):
        _copy_rows(connection, table, {"run": f"run + {shift}"}, f"run <= {count}")


def _copy_rows(
    connection: sqlite3.Connection, table: str, values: dict[str, str], where: str
) -> None:
    columns = [
        name for (name,) in connection.execute(f"SELECT name FROM pragma_table_info('{table}')")
    ]
    copied = ", ".join(values.get(column, column) for column in columns)
    connection.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {copied} FROM {table} WHERE {where}"
    )


def write_finished_run(run_dir: RunDir, index: int) -> None:
    """Write a run folder as the engine leaves it, without waiting for the disk."""
    spec = resolve_spec(
        {"dataset": "emoji", "seed": index, "dropout_rate": 0.9 if index % 2 else 0.0}
    )
    write_run(run_dir, spec, index, events(spec, index), ("bench", f"group-{index % 10}"))


def write_run(
    run_dir: RunDir,
    spec: RunSpec,
    index: int,
    recorded: Sequence[Event],
    tags: tuple[str, ...] = (),
) -> None:
    """Write the folder of run number ``index`` with these events."""
    user = UserData(name=f"run-{index}", tags=tags, created_at=FIRST_AT + index)
    run_dir.path.mkdir()
    run_dir.spec.write_bytes(encode_spec(spec))
    run_dir.user.write_bytes(msgspec.json.encode(user))
    numbered = (
        msgspec.structs.replace(event, seq=seq, time=FIRST_AT + index + seq)
        for seq, event in enumerate(recorded)
    )
    run_dir.events.write_bytes(b"".join(map(encode_event, numbered)))


def events(spec: RunSpec, index: int) -> list[Event]:
    """Return the events of a whole run."""
    recorded: list[Event] = [
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
        recorded.append(
            StepsTaken(
                step=step, loss=2.0 - step / 300, lr=1e-3, head_lr=1e-4, steps_per_s=1.87,
                images_per_s=89.8, elapsed_s=step / 1.87, seconds_left=(300 - step) / 1.87,
            )
        )  # fmt: skip
        if step % 50 == 0:
            recorded += evaluation(step, index)
    accuracy = accuracy_at(300, index)
    recorded.append(
        RunFinished(
            step=300, selected_step=300, id_accuracy=accuracy, ood_accuracy=accuracy - 0.2,
            wall_s=163.0, peak_memory_bytes=900_000_000,
        )
    )  # fmt: skip
    return recorded


def evaluation(step: int, index: int) -> list[Event]:
    """Return the events of an evaluation: values by domain, then two checkpoints."""
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
    """Return a simulated noisy accuracy that grows with the steps and differs between runs."""
    noise = (step // 10 * 7919 * (index + 1) % 101) / 101
    return 0.5 + 0.2 * step / 300 + 0.1 * (index % 97) / 97 + 0.05 * noise


def long_value(step: int) -> float:
    """Return a noisy simulated accuracy at a step of a long run."""
    return 0.5 + step / (3 * LONG_STEPS) + (step * 7919 % 1000) / 10_000


def write_long_run(run_dir: RunDir, index: int) -> None:
    """Write the folder of a finished run that was evaluated after each of very many steps."""
    write_finished_run(run_dir, index)
    recorded = run_dir.events.read_bytes().splitlines(keepends=True)
    names = [f"domain {number}" for number in range(LONG_DOMAINS)]
    with run_dir.events.open("wb") as file:
        file.writelines(recorded[:3])
        for step in range(1, LONG_STEPS + 1):
            value = long_value(step)
            metrics = [
                Metric("out", name, "dropout", metric, value)
                for name in names
                for metric in ("accuracy", "loss")
            ]
            taken = StepsTaken(
                step=step, loss=2 - value, lr=1e-3, head_lr=1e-4, steps_per_s=2.0,
                images_per_s=90.0, elapsed_s=step / 2, seconds_left=(LONG_STEPS - step) / 2,
            )  # fmt: skip
            evaluated = Evaluated(
                step=step, metrics=metrics, id_accuracy=value, ood_accuracy=value - 0.2,
                is_best=step % 5000 == 0, wall_s=1.0,
            )  # fmt: skip
            for number, event in ((2 * step + 1, taken), (2 * step + 2, evaluated)):
                numbered = msgspec.structs.replace(event, seq=number, time=FIRST_AT + step)
                file.write(encode_event(numbered))
        ended = RunFinished(
            seq=2 * LONG_STEPS + 3, time=FIRST_AT + LONG_STEPS, step=LONG_STEPS,
            selected_step=LONG_STEPS, id_accuracy=0.9, ood_accuracy=0.7, wall_s=LONG_STEPS / 2,
            peak_memory_bytes=900_000_000,
        )  # fmt: skip
        file.write(encode_event(ended))
