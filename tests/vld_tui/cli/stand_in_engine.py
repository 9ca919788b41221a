"""A process that speaks the engine's protocol without training anything.

``python stand_in_engine.py RUN_DIR``. The spec's ``model`` says how it behaves: ``finish``,
``collapse``, ``fail``, ``refuse`` and ``refuse-images`` (before and after its first event),
``crash`` (killed by itself), or ``wait`` (takes steps until it is stopped). ``stubborn`` is
``wait`` that does not stop when asked. Each pause between steps takes STAND_IN_PAUSE_S seconds.
"""

from __future__ import annotations

import math
import os
import signal
import socket
import sys
import time
from pathlib import Path

from engine.protocol import (
    NO_TARGET,
    CheckpointSaved,
    CollapseDetected,
    DataPrepared,
    DomainInfo,
    Evaluated,
    HeadTrained,
    Metric,
    ModelPrepared,
    RunFailed,
    RunFinished,
    RunSpec,
    RunStarted,
    RunStopped,
    StepsTaken,
    SystemSampled,
)
from engine.rundir import RunDir, write_atomic
from engine.rundir.event_log import EventLog
from engine.stop_request import StopRequest

DOMAINS = ("noto", "twemoji", "fluent", "fluent-mono")
PAUSE_S = float(os.environ.get("STAND_IN_PAUSE_S", "0.002"))


def main() -> int:
    run_dir = RunDir(Path(sys.argv[1]))
    stop = StopRequest()
    stop.install()
    run_dir.write_process(os.getpid())
    run_dir.heartbeat.touch()
    print("stand-in engine: \x1b[31mtraining\x1b[0m", flush=True)  # noqa: T201
    spec = run_dir.read_spec()
    log = EventLog(run_dir.events)
    behaviour = spec.model
    if behaviour == "refuse":
        message = "No domain 'fluent-mon'. Did you mean fluent-mono?\nKnown: noto, fluent-mono."
        log.record(_failure("InputError", message, refused=True))
        return 2
    resumed_step = _checkpointed_step(run_dir)
    log.record(
        RunStarted(
            protocol_version=1,
            attempt=log.attempts + 1,
            pid=os.getpid(),
            host=socket.gethostname(),
            resumed_step=resumed_step,
            versions={"torch": "2.0", "timm": "1.0"},
            commit=None,
        )
    )
    if behaviour == "refuse-images":
        log.record(_failure("InputError", "noto/face/a.png cannot be read.", refused=True))
        return 2
    _prepare(log, spec, resumed=resumed_step is not None)
    step = resumed_step or 0
    while step < spec.steps or behaviour in ("wait", "stubborn"):
        if stop.requested and behaviour != "stubborn":
            _save(log, run_dir, step)
            log.record(RunStopped(step=step, reason=stop.reason, wall_s=1.0))
            return 130
        step = min(step + spec.log_every, spec.steps) if step < spec.steps else step
        _tell_steps(log, spec, step)
        if step == spec.steps:
            _tell_sample(log, step)
        if step % spec.eval_every == 0:
            _evaluate(log, spec, step, behaviour)
            _save(log, run_dir, step)
        if behaviour == "fail" and step * 2 >= spec.steps:
            log.record(_failure("TrainingError", "The loss is not finite.", refused=False))
            return 1
        if behaviour == "crash" and step * 2 >= spec.steps and log.attempts == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(PAUSE_S)
    best = accuracy_at(spec, spec.steps)
    log.record(
        RunFinished(
            step=step,
            selected_step=spec.steps,
            id_accuracy=best,
            ood_accuracy=None if target_of(spec) is None else best - 0.2,
            wall_s=12.5,
            peak_memory_bytes=900_000_000,
        )
    )
    return 0


def accuracy_at(spec: RunSpec, step: int) -> float:
    return 0.75 - 0.35 * math.exp(-3 * step / spec.steps)


def target_of(spec: RunSpec) -> str | None:
    return None if spec.target == NO_TARGET else spec.target or DOMAINS[-1]


def _failure(error: str, message: str, *, refused: bool) -> RunFailed:
    return RunFailed(error=error, message=message, traceback="", step=None, refused=refused)


def _checkpointed_step(run_dir: RunDir) -> int | None:
    try:
        return int(run_dir.last_checkpoint.read_text())
    except OSError:
        return None


def _prepare(log: EventLog, spec: RunSpec, *, resumed: bool) -> None:
    target = target_of(spec)
    domains = [DomainInfo(name, name == target, 1230, 984, 246) for name in DOMAINS]
    time.sleep(5 * PAUSE_S)
    log.record(
        DataPrepared(
            dataset=spec.dataset,
            target=target,
            classes=[f"class {index}" for index in range(17)],
            domains=domains,
            skipped=["noto/face/\x1b[2Jbroken.webp"] if spec.skip_bad_images else [],
            wall_s=0.4,
        )
    )
    time.sleep(5 * PAUSE_S)
    log.record(
        ModelPrepared(
            model=spec.model,
            weights="packaged",
            parameters=3_413_024,
            feature_dim=1280,
            feature_rms=1.14,
            device="cpu",
            device_name="Virtual CPU",
            precision="fp32",
            memory_format="channels_last",
            threads=2,
            step_ms={"fp32 channels_last": 863.0, "bf16 channels_last": 1171.0},
            seconds_left=163.0,
        )
    )
    if not resumed and spec.head_steps:
        time.sleep(5 * PAUSE_S)
        log.record(HeadTrained(steps=spec.head_steps, loss=1.23, wall_s=3.2))


def _tell_sample(log: EventLog, step: int) -> None:
    log.record(
        SystemSampled(
            step=step, interval_s=20.0, run_cpu_share=0.5, cpu_share=0.75, run_memory_gib=2.0,
            memory_gib=8.0, waiting_share=0.25, computing_share=0.75,
        )
    )  # fmt: skip


def _tell_steps(log: EventLog, spec: RunSpec, step: int) -> None:
    log.record(
        StepsTaken(
            step=step,
            loss=0.4 + 2 * math.exp(-3 * step / spec.steps) + 0.03 * math.sin(step),
            lr=spec.lr,
            head_lr=spec.lr * spec.head_lr_factor,
            steps_per_s=1.87,
            images_per_s=89.8,
            elapsed_s=step / 1.87,
            seconds_left=(spec.steps - step) / 1.87,
        )
    )


def _evaluate(log: EventLog, spec: RunSpec, step: int, behaviour: str) -> None:
    accuracy = accuracy_at(spec, step)
    target = target_of(spec)
    metrics = []
    for index, name in enumerate(DOMAINS):
        for split in ("in", "out") if target is not None else ("out",):
            value = accuracy - 0.2 if name == target else accuracy + 0.01 * (index - 1)
            metrics.append(Metric(split, name, "dropout", "accuracy", value))
    log.record(
        Evaluated(
            step=step,
            metrics=metrics,
            id_accuracy=accuracy,
            ood_accuracy=None if target is None else accuracy - 0.2,
            is_best=True,
            wall_s=1.5,
        )
    )
    if behaviour == "collapse" and step == spec.eval_every:
        log.record(
            CollapseDetected(
                step=step,
                predicted_class="[bold]face\x1b",
                share=0.97,
                loss=2.71,
                class_entropy=2.72,
                advice="Lower --lr, or train the last layer first (--head-steps 1000).",
            )
        )


def _save(log: EventLog, run_dir: RunDir, step: int) -> None:
    run_dir.checkpoints.mkdir(exist_ok=True)
    for kind, path in (("best", run_dir.best_checkpoint), ("last", run_dir.last_checkpoint)):
        write_atomic(path, str(step).encode())
        log.record(
            CheckpointSaved(
                step=step,
                kind="best" if kind == "best" else "last",
                file=str(path.relative_to(run_dir.path)),
                bytes=path.stat().st_size,
            )
        )


if __name__ == "__main__":
    sys.exit(main())
