"""Choice of precision, memory format and folding by measurement.

The fastest choice depends on processor and network: on one server CPU, bf16 with channels last was
twice as fast as fp32 for a ResNet-50 and three times slower for a ResNet-18. ``auto`` times a few
steps of each choice, keeps the fastest whose loss agrees with fp32, and stores it next to the image
cache. BatchNorm is folded if that is faster still (:mod:`engine.model.fold`).

A choice that is clearly slower is given up early. On a processor, the first steps of each choice
are on a few images only (:class:`Probe`). A first step includes one-time costs (kernels are
compiled, weights rearranged), so it never decides alone unless it is longer than these can be: a
slow first probe is repeated, and only the faster of the two is compared. Whole steps are compared
first with first and later with later ones. All this ends after ``MOST_TIMING_S``, or a step later.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import torch
from torch import Tensor

from engine.errors import InputError
from engine.machine.devices import device_name, is_out_of_memory, synchronize
from engine.machine.processor import OtherPrograms
from engine.protocol import FOLDED, RunSpec, execution_name
from engine.protocol.timings import MOST_TIMING_S, UNDER_LOAD, read_timings
from engine.ranks import ALONE, Ranks
from engine.rundir import write_atomic

DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
MEMORY_FORMATS: Final = {
    "contiguous": torch.contiguous_format,
    "channels_last": torch.channels_last,
}
LOSS_TOLERANCE: Final = 0.02
TIMED_ROUNDS: Final = 2
CLEARLY_SLOWER: Final = 1.5
MEASURED_AT: Final = "measured at"
VALID_UNDER_LOAD_S: Final = 3600.0
LOAD_SAMPLE_S: Final = 0.3
SHORT_MS: Final = 1000.0
"""Steps shorter than this are cheap to repeat."""
GIVEN_UP: Final = 3.0
"""How many times as long as the best's a probe takes that is not followed by a whole step."""
ONE_TIME_MS: Final = 5000.0
"""More than the one-time costs of a first step."""


@dataclass(frozen=True)
class Execution:
    """Device, precision (fp32, bf16, fp16) and memory format of all computations.

    ``ranks`` are the processes that share the work. ``folds_training`` and ``folds_inference``:
    fold BatchNorm in training steps, and in passes without gradients.
    """

    device: torch.device
    precision: str
    memory_format: str
    ranks: Ranks = ALONE
    folds_training: bool = False
    folds_inference: bool = False

    @property
    def name(self) -> str:
        """Return the key of step times in events and in the file of measurements."""
        return execution_name(self.precision, self.memory_format, self.folds_training)

    @property
    def needs_scaler(self) -> bool:
        """Return whether gradients need loss scaling against underflow (fp16)."""
        return self.precision == "fp16"

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Return the context for forward passes."""
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=DTYPES[self.precision])

    def lay_out(self, images: Tensor) -> Tensor:
        """Return images (B, 3, S, S) in the memory format; frozen features are returned as is."""
        if images.ndim < 4:
            return images
        return images.contiguous(memory_format=MEMORY_FORMATS[self.memory_format])

    def prepare(self, module: torch.nn.Module) -> None:
        """Move a network to the device, in the memory format."""
        module.to(self.device)
        module.to(memory_format=MEMORY_FORMATS[self.memory_format])


@dataclass(frozen=True)
class ChosenExecution:
    """The chosen execution and the measured milliseconds per step of all candidates.

    ``under_load``: other programs used the CPU during the measurement. ``timing_s``: how long it
    took; 0: nothing was measured now.
    """

    execution: Execution
    step_ms: dict[str, float]
    under_load: bool = False
    timing_s: float = field(default=0.0, compare=False)


TrialStep = Callable[[Execution], float]
"""Runs one training step without lasting effects and returns its loss."""


class Probe(NamedTuple):
    """A step on a few images; a whole step has ``scale`` times as many."""

    step: TrialStep
    scale: float


Report = Callable[[int, int, str], None]
"""Takes the number of the candidate that is tried, how many there are, and its name."""


class _Trial:
    """Times steps of candidates until its time is up; ``report`` receives which is tried."""

    def __init__(self, step: TrialStep, probe: Probe | None, report: Report) -> None:
        self._step, self._probe, self._report = step, probe, report
        self._began = time.perf_counter()

    @property
    def took_s(self) -> float:
        """Return the seconds since the trial began."""
        return time.perf_counter() - self._began

    def has_time_for(self, ms: float) -> bool:
        """Return whether a step that takes this long may begin."""
        return self.took_s + ms / 1000 <= MOST_TIMING_S

    def whole_step(self, execution: Execution) -> tuple[float, float]:
        """Return the loss and the milliseconds of one step."""
        return _timed(execution, self._step)

    def each(self, candidates: Collection[Execution]) -> Iterator[Execution]:
        """Yield candidates, each after its report."""
        for number, execution in enumerate(candidates, start=1):
            self._report(number, len(candidates), execution.name)
            yield execution

    def probe_ms(self, execution: Execution, best_ms: float) -> float | None:
        """Return the milliseconds of a step on few images without one-time costs, None without a
        probe.

        It is not repeated if it is faster than would be given up, or slower than one-time costs
        explain.
        """
        if self._probe is None:
            return None
        ms = _timed(execution, self._probe.step)[1]
        is_decided = ms <= GIVEN_UP * best_ms or ms > GIVEN_UP * best_ms + ONE_TIME_MS
        if is_decided and best_ms < math.inf:
            return ms
        return min(ms, _timed(execution, self._probe.step)[1])

    def scaled(self, probe_ms: float) -> float:
        """Return the expected milliseconds of a whole step."""
        return probe_ms * (1.0 if self._probe is None else self._probe.scale)


def choose_execution(
    spec: RunSpec, device: torch.device, trial_step: TrialStep, timings: Path, network_key: str,
    *, can_fold: bool = False, probe: Probe | None = None,
    report: Report = lambda _number, _total, _name: None,
) -> ChosenExecution:  # fmt: skip
    """Choose the fastest precision, memory format and folding whose loss agrees with fp32.

    Args:
        spec: the run; settings other than ``auto`` are used as given.
        device: where the run computes.
        trial_step: the step to time.
        timings: file of earlier measurements.
        network_key: what the measurement depends on in addition to the machine.
        can_fold: BatchNorm can be folded in training steps.
        probe: the step on a few images, to give up slow candidates; None: all get a whole step.
        report: called before a candidate is tried.

    Raises:
        InputError: if the requested precision does not work on the device.
    """
    candidates = _candidates(spec, device, can_fold=can_fold)
    tries_folding = can_fold and spec.fold_batchnorm == "auto"
    if len(candidates) == 1 and not tries_folding:
        _check_works(candidates[0], trial_step)
        return ChosenExecution(candidates[0], {})
    folding = (f"fold {spec.fold_batchnorm}",) if can_fold and folds_inference(spec) else ()
    key = "|".join(
        (torch.__version__, device_name(device), str(torch.get_num_threads()), network_key,
         spec.precision, spec.memory_format, *folding)
    )  # fmt: skip
    known = read_timings(timings)
    step_ms, under_load, timing_s = known.get(key), False, 0.0
    if step_ms is None:
        step_ms, under_load = _recent_under_load(known.get(key + UNDER_LOAD)), True
    if step_ms is None:
        trial = _Trial(trial_step, probe, report)
        step_ms, under_load = _measure_at_rest(candidates, trial, tries_folding=tries_folding)
        timing_s = trial.took_s
        _store_timings(timings, key, step_ms, under_load=under_load)
    fastest = min(step_ms, key=lambda name: step_ms[name])
    precision, memory_format, *folded = fastest.split()
    execution = Execution(
        device, precision, memory_format,
        folds_training=bool(folded), folds_inference=folds_inference(spec),
    )  # fmt: skip
    return ChosenExecution(execution, step_ms, under_load, timing_s)


def folds_inference(spec: RunSpec) -> bool:
    """Return whether BatchNorm is folded in passes without gradients.

    It always pays there: the folded weights are computed once for many batches.
    """
    return spec.fold_batchnorm != "off"


def _recent_under_load(step_ms: dict[str, float] | None) -> dict[str, float] | None:
    """Return a measurement under load if it is recent and the machine is still loaded.

    Otherwise every run on a shared machine would measure again.
    """
    if step_ms is None or not 0 <= time.time() - step_ms.pop(MEASURED_AT, 0.0) < VALID_UNDER_LOAD_S:
        return None
    others = OtherPrograms()
    time.sleep(LOAD_SAMPLE_S)
    return step_ms if others.disturbed(torch.get_num_threads()) else None


def _measure_at_rest(
    candidates: list[Execution], trial: _Trial, *, tries_folding: bool
) -> tuple[dict[str, float], bool]:
    """Return the timings and whether they are under load; repeat once if the machine was loaded.

    What was clearly slower the first time is not tried again, and nothing is if it would take too
    long.
    """
    others = OtherPrograms()
    first = _measure(candidates, trial, tries_folding=tries_folding)
    if not others.disturbed(torch.get_num_threads()):
        return first, False
    if not trial.has_time_for(1000 * trial.took_s):
        return first, True
    # Only what is not folded: the second round starts from that, and folds its fastest.
    timed = [each for each in candidates if each.name in first]
    best_ms = min(first[each.name] for each in timed)
    slow = {name for name, ms in first.items() if _is_hopeless(ms, best_ms)}
    others = OtherPrograms()
    again = [each for each in timed if each.name not in slow]
    second = _measure(again, trial, tries_folding=tries_folding)
    if not others.disturbed(torch.get_num_threads()):
        return {name: first[name] for name in slow} | second, False
    # Both measure the same candidates, but may fold different ones.
    plain = {name.removesuffix(FOLDED) for name in second}
    names = slow | {name for name in first | second if name.removesuffix(FOLDED) in plain}
    both = {name: min(each[name] for each in (first, second) if name in each) for name in names}
    return both, True


def _candidates(spec: RunSpec, device: torch.device, *, can_fold: bool) -> list[Execution]:
    formats = [spec.memory_format]
    if spec.memory_format == "auto":
        formats = ["contiguous", "channels_last"]
    precisions = [spec.precision]
    if spec.precision == "auto":
        precisions = ["fp32", "bf16"]
        if device.type == "mps" or (device.type == "cuda" and not _computes_bf16()):
            precisions = ["fp32", "fp16"]
    return [
        Execution(
            device, precision, memory_format,
            folds_training=can_fold and spec.fold_batchnorm == "on",
            folds_inference=folds_inference(spec),
        )
        for precision, memory_format in product(precisions, formats)
    ]  # fmt: skip


def _check_works(execution: Execution, trial_step: TrialStep) -> None:
    if execution.precision == "fp32":
        return
    try:
        trial_step(execution)
    except (RuntimeError, TypeError) as error:
        if is_out_of_memory(error):
            raise
        raise InputError(
            f"Precision {execution.precision} does not work on {execution.device} with this "
            f"network: {str(error).splitlines()[0]}. Choose --precision auto."
        ) from None


def _computes_bf16() -> bool:
    """Return whether the GPU supports bf16 natively."""
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def _measure(
    candidates: list[Execution], trial: _Trial, *, tries_folding: bool
) -> dict[str, float]:
    """Return the minimum milliseconds per step of each candidate that works and agrees with fp32.

    A candidate whose first step is clearly slower than the best is dropped. The others take turns,
    so that other load on the machine affects them equally. The fastest is measured with BatchNorm
    folded as well. Candidates that were given up have an estimate.
    """
    first_ms, given_up = _first_steps(candidates, trial)
    if not first_ms:
        raise InputError("The network's loss is not finite before training: check its --weights.")
    best_ms = min(first_ms.values())
    hopeless = {each: ms for each, ms in first_ms.items() if _is_hopeless(ms, best_ms)}
    times = _later_steps({each: ms for each, ms in first_ms.items() if each not in hopeless}, trial)
    found = hopeless | {each: min(ms) for each, ms in times.items()}
    if tries_folding:
        found |= _measure_folded(min(found, key=lambda each: found[each]), found, trial)
    slowest_ms = max(found.values())  # an estimate must not be chosen
    return {each.name: ms for each, ms in found.items()} | {
        each.name: max(ms, slowest_ms) for each, ms in given_up.items()
    }


def _later_steps(
    first_ms: Mapping[Execution, float], trial: _Trial
) -> dict[Execution, list[float]]:
    """Return milliseconds of later steps, without the one-time costs of first ones.

    If there is no time for all, return those of the first steps.
    """
    times: dict[Execution, list[float]] = {}
    for execution in trial.each(first_ms):
        if not trial.has_time_for(first_ms[execution]):
            return {each: [ms] for each, ms in first_ms.items()}
        times[execution] = [trial.whole_step(execution)[1]]
    fastest = min(first for [first] in times.values())
    contenders = [each for each, [first] in times.items() if first < CLEARLY_SLOWER * fastest]
    for _ in range(TIMED_ROUNDS if len(contenders) > 1 else 0):
        if not trial.has_time_for(sum(times[each][0] for each in contenders)):
            break
        for execution in trial.each(contenders):
            times[execution].append(trial.whole_step(execution)[1])
    return times


def _measure_folded(
    plain: Execution, found: Mapping[Execution, float], trial: _Trial
) -> dict[Execution, float]:
    """Return the minimum milliseconds per step of an execution with and without folding.

    Long steps are measured once, because their measurement takes long and varies less. Nothing is
    measured if there is no time.
    """
    rounds = 1 if found[plain] > SHORT_MS else TIMED_ROUNDS
    if not trial.has_time_for(2 * (1 + rounds) * found[plain]):
        return {}
    folded = replace(plain, folds_training=True)
    first_ms, _ = _first_steps([plain, folded], trial)
    times = {plain: [found[plain]], folded: []} if folded in first_ms else {}
    for _ in range(rounds):
        for execution in trial.each(times):
            times[execution].append(trial.whole_step(execution)[1])
    return {execution: min(ms) for execution, ms in times.items()}


def _is_hopeless(first_ms: float, best_ms: float) -> bool:
    """Return whether a first step is so slow that the candidate need not be timed again.

    First steps include set-up, so short ones are measured again, which is cheap.
    """
    return first_ms > SHORT_MS and first_ms > CLEARLY_SLOWER * best_ms


def _first_steps(
    candidates: list[Execution], trial: _Trial
) -> tuple[dict[Execution, float], dict[Execution, float]]:
    """Return the milliseconds of the first step of candidates that work and agree with fp32.

    Second, return the expected ones of candidates that were given up.
    """
    first_ms: dict[Execution, float] = {}
    given_up: dict[Execution, float] = {}
    reference_loss, best_probe_ms = 0.0, math.inf
    for execution in trial.each(candidates):
        try:
            probe_ms = trial.probe_ms(execution, best_probe_ms) if len(candidates) > 1 else None
            if probe_ms is not None and probe_ms > GIVEN_UP * best_probe_ms:
                given_up[execution] = trial.scaled(probe_ms)
                continue
            best_probe_ms = min(best_probe_ms, math.inf if probe_ms is None else probe_ms)
            if first_ms and not trial.has_time_for(min(first_ms.values())):
                continue
            loss, ms = trial.whole_step(execution)
        except RuntimeError:  # the device does not support this precision or memory format
            if execution is candidates[0]:
                raise
            continue
        if not first_ms:
            reference_loss = loss
        if abs(loss - reference_loss) <= LOSS_TOLERANCE * abs(reference_loss):  # false for NaN
            first_ms[execution] = ms
    return first_ms, given_up


def _timed(execution: Execution, trial_step: TrialStep) -> tuple[float, float]:
    """Return the loss and the milliseconds of one step."""
    synchronize(execution.device)
    start = time.perf_counter()
    loss = trial_step(execution)
    synchronize(execution.device)
    return loss, (time.perf_counter() - start) * 1000


def _store_timings(timings: Path, key: str, step_ms: dict[str, float], *, under_load: bool) -> None:
    if under_load:
        key, step_ms = key + UNDER_LOAD, {**step_ms, MEASURED_AT: time.time()}
    with contextlib.suppress(OSError):  # without the file, the next run measures again
        timings.parent.mkdir(parents=True, exist_ok=True)
        found = {**read_timings(timings), key: step_ms}
        write_atomic(timings, msgspec.json.format(msgspec.json.encode(found)))
