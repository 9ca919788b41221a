"""Run folders as the engine leaves them, event by event, without training anything."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import msgspec

from engine.protocol import (
    ArmEvaluated,
    CheckpointSaved,
    CollapseDetected,
    DataPrepared,
    DomainInfo,
    Evaluated,
    Event,
    Metric,
    ModelPrepared,
    RunFailed,
    RunFinished,
    RunStarted,
    RunStopped,
    StepsTaken,
    encode_event,
)
from engine.rundir import RunDir
from engine.rundir.event_log import EventLog

SOURCES = ("noto", "twemoji")
TARGET = "fluent-mono"


class Teller:
    """Appends events to a run's log, as the engine would."""

    def __init__(self, run_dir: RunDir) -> None:
        self.run_dir = run_dir

    def says(self, *events: Event) -> None:
        """Append events, numbered on from those already there."""
        log = EventLog(self.run_dir.events)
        for event in events:
            log.record(event)
        log.close()

    def writes(self, line: bytes) -> None:
        """Append bytes that need be no event."""
        with self.run_dir.events.open("ab") as file:
            file.write(line)

    def starts(self, attempt: int = 1, resumed_step: int | None = None) -> None:
        """Say that this very process takes the run up."""
        self.run_dir.write_process(os.getpid())
        self.says(started(attempt, resumed_step))

    def finishes(self) -> None:
        """Tell a whole run of two evaluations, the first of them the better."""
        self.starts()
        self.says(data_prepared(), model_prepared())
        self.says(steps_taken(10, 1.5), *evaluated(10, id_accuracy=0.8, ood_accuracy=0.5))
        self.says(
            steps_taken(20, 1.0), evaluation(20, id_accuracy=0.7, ood_accuracy=0.6, is_best=False)
        )
        self.says(finished(20, selected_step=10, id_accuracy=0.8, ood_accuracy=0.5))


def started(attempt: int = 1, resumed_step: int | None = None) -> RunStarted:
    return RunStarted(
        protocol_version=1,
        attempt=attempt,
        pid=os.getpid(),
        host=socket.gethostname(),
        resumed_step=resumed_step,
        versions={"torch": "2.8.0"},
        commit="abc123",
    )


def data_prepared(target: str | None = TARGET, digest: str = "") -> DataPrepared:
    return DataPrepared(
        dataset="emoji",
        target=target,
        classes=["face", "food"],
        domains=[DomainInfo(name, name == target, 100, 80, 20) for name in (*SOURCES, TARGET)],
        skipped=[],
        wall_s=0.1,
        digest=digest,
    )


def model_prepared() -> ModelPrepared:
    return ModelPrepared(
        model="tf_efficientnet_lite0",
        weights="packaged",
        parameters=3_413_024,
        feature_dim=1280,
        feature_rms=1.14,
        device="cpu",
        device_name="CPU",
        precision="bf16",
        memory_format="channels_last",
        threads=2,
        step_ms={},
        seconds_left=160.0,
    )


def steps_taken(step: int, loss: float | None) -> StepsTaken:
    return StepsTaken(
        step=step,
        loss=loss,
        lr=1e-3,
        head_lr=1e-4,
        steps_per_s=2.0,
        images_per_s=96.0,
        elapsed_s=step / 2,
        seconds_left=(300 - step) / 2,
    )


def evaluation(
    step: int, *, id_accuracy: float, ood_accuracy: float | None, is_best: bool = True
) -> Evaluated:
    metrics = [Metric("out", name, "dropout", "accuracy", id_accuracy) for name in SOURCES]
    metrics.append(Metric("out", SOURCES[0], "dropout", "loss", None))
    if ood_accuracy is not None:
        metrics += [
            Metric("out", TARGET, "dropout", "accuracy", ood_accuracy / 2),
            Metric("in", TARGET, "dropout", "accuracy", ood_accuracy),
        ]
    return Evaluated(
        step=step,
        metrics=metrics,
        id_accuracy=id_accuracy,
        ood_accuracy=ood_accuracy,
        is_best=is_best,
        wall_s=1.0,
    )


def arm_evaluated(
    step: int, arm: str, *, id_accuracy: float, ood_accuracy: float | None, is_best: bool = True
) -> ArmEvaluated:
    metrics = [Metric("out", name, arm, "accuracy", id_accuracy) for name in SOURCES]
    if ood_accuracy is not None:
        metrics.append(Metric("in", TARGET, arm, "accuracy", ood_accuracy))
    return ArmEvaluated(
        step=step,
        arm=arm,
        metrics=metrics,
        id_accuracy=id_accuracy,
        ood_accuracy=ood_accuracy,
        is_best=is_best,
        wall_s=0.5,
    )


def evaluated(step: int, *, id_accuracy: float, ood_accuracy: float) -> list[Event]:
    """Return an evaluation that is the best so far, and the checkpoints saved after it."""
    return [
        evaluation(step, id_accuracy=id_accuracy, ood_accuracy=ood_accuracy),
        CheckpointSaved(
            step=step, kind="best", file="checkpoints/best.safetensors", bytes=1000 + step
        ),
        CheckpointSaved(
            step=step, kind="last", file="checkpoints/last.safetensors", bytes=2000 + step
        ),
    ]


def collapsed(step: int) -> CollapseDetected:
    return CollapseDetected(
        step=step,
        predicted_class="face",
        share=0.99,
        loss=2.7,
        class_entropy=2.7,
        advice="Lower --lr.",
    )


def finished(
    step: int, *, selected_step: int, id_accuracy: float, ood_accuracy: float | None
) -> RunFinished:
    return RunFinished(
        step=step,
        selected_step=selected_step,
        id_accuracy=id_accuracy,
        ood_accuracy=ood_accuracy,
        wall_s=12.5,
        peak_memory_bytes=900_000_000,
    )


def stopped(step: int) -> RunStopped:
    return RunStopped(step=step, reason="SIGTERM", wall_s=7.5)


def failed(message: str, *, step: int | None = None, refused: bool = False) -> RunFailed:
    return RunFailed(
        error="TrainingError", message=message, traceback="", step=step, refused=refused
    )


def numbered(event: Event, seq: int) -> bytes:
    """Return the event as a line with this number, whatever the log says."""
    return encode_event(msgspec.structs.replace(event, seq=seq))


def dead_process(run_dir: RunDir, *, exit_code: int) -> int:
    """Record a real process as the run's, let it end, and return its pid."""
    code = f"import sys; sys.stdin.read(); sys.exit({exit_code})"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    run_dir.write_process(process.pid)
    process.communicate()
    return process.pid
