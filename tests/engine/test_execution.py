from pathlib import Path

import pytest
import torch

from engine.errors import InputError
from engine.execution import Execution, Probe, choose_execution
from engine.protocol import resolve_spec

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def load(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return a list that says, answer by answer, whether other programs are at work; empty: no."""
    answers: list[bool] = []
    monkeypatch.setattr(
        "engine.execution.OtherPrograms.disturbed",
        lambda _self, _threads: answers.pop(0) if answers else False,
    )
    return answers


CLOCK = [0.0]
"""What the measured steps took, in seconds: no step really takes time."""


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.perf_counter", lambda: CLOCK[0])


class Trial:
    """A step whose loss and milliseconds are set for each candidate; it counts its calls."""

    def __init__(self, costs: dict[str, float], losses: dict[str, float] | None = None) -> None:
        self.costs = costs
        self.losses = losses or {}
        self.asked: list[str] = []

    @property
    def calls(self) -> int:
        return len(self.asked)

    def __call__(self, execution: Execution) -> float:
        key = execution.name
        self.asked.append(key)
        if key not in self.costs:
            raise RuntimeError(f"{key} is not supported")
        CLOCK[0] += self.costs[key] / 1000
        return self.losses.get(key, 1.0)


FAST_BF16 = {
    "fp32 contiguous": 20.0,
    "fp32 channels_last": 12.0,
    "bf16 contiguous": 30.0,
    "bf16 channels_last": 1.0,
}


def test_the_fastest_choice_is_taken_and_remembered(tmp_path: Path) -> None:
    spec, memory = resolve_spec({}), tmp_path / "cache" / "execution.json"
    trial = Trial(FAST_BF16)
    choice = choose_execution(spec, CPU, trial, memory, "net")
    assert (choice.execution.precision, choice.execution.memory_format) == ("bf16", "channels_last")
    assert choice.step_ms.keys() == FAST_BF16.keys()
    again = Trial(FAST_BF16)
    assert choose_execution(spec, CPU, again, memory, "net") == choice
    assert again.calls == 0
    choose_execution(spec, CPU, again, memory, "another network")
    assert again.calls > 0


def test_a_loss_that_disagrees_with_fp32_rules_a_choice_out(tmp_path: Path) -> None:
    trial = Trial(FAST_BF16, {"bf16 channels_last": 1.5, "bf16 contiguous": float("nan")})
    choice = choose_execution(resolve_spec({}), CPU, trial, tmp_path / "m.json", "net")
    assert choice.execution.precision == "fp32"
    assert choice.execution.memory_format == "channels_last"


def test_a_choice_the_device_lacks_is_passed_over(tmp_path: Path) -> None:
    costs = {key: cost for key, cost in FAST_BF16.items() if key.startswith("fp32")}
    choice = choose_execution(resolve_spec({}), CPU, Trial(costs), tmp_path / "m.json", "net")
    assert choice.execution.precision == "fp32"


def test_what_the_user_fixed_is_not_measured(tmp_path: Path) -> None:
    spec = resolve_spec({"precision": "fp32", "memory_format": "contiguous"})
    trial = Trial({})
    choice = choose_execution(spec, CPU, trial, tmp_path / "m.json", "net")
    assert (choice.execution.precision, trial.calls) == ("fp32", 0)


def test_a_precision_asked_for_that_does_not_work_is_refused(tmp_path: Path) -> None:
    spec = resolve_spec({"precision": "fp16", "memory_format": "contiguous"})
    with pytest.raises(InputError, match="fp16 does not work on cpu"):
        choose_execution(spec, CPU, Trial({}), tmp_path / "m.json", "net")


def test_a_damaged_memory_is_measured_anew(tmp_path: Path) -> None:
    memory = tmp_path / "m.json"
    memory.write_bytes(b'{"torn')
    trial = Trial(FAST_BF16)
    choose_execution(resolve_spec({}), CPU, trial, memory, "net")
    assert trial.calls > 0
    assert choose_execution(resolve_spec({}), CPU, Trial({}), memory, "net").step_ms


def test_a_candidate_whose_first_step_is_much_slower_is_stopped_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.execution.SHORT_MS", 25.0)
    trial = Trial({**FAST_BF16, "bf16 contiguous": 60.0})
    choice = choose_execution(resolve_spec({}), CPU, trial, tmp_path / "m.json", "net")
    assert choice.execution.precision == "bf16"
    assert trial.asked.count("bf16 contiguous") == 1
    assert choice.step_ms["bf16 contiguous"] == pytest.approx(60)
    assert trial.asked.count("bf16 channels_last") > 1


def test_what_was_measured_while_others_computed_is_measured_again(
    tmp_path: Path, load: list[bool]
) -> None:
    load += [True, False]
    trial, memory = Trial(FAST_BF16), tmp_path / "m.json"
    choice = choose_execution(resolve_spec({}), CPU, trial, memory, "net")
    assert not choice.under_load
    assert load == []  # looked at after each of two measurements
    every = list(FAST_BF16)
    begun = [at for at in range(trial.calls) if trial.asked[at : at + 8] == every * 2]
    assert len(begun) >= 2, "each begins with two steps of every candidate"
    assert choose_execution(resolve_spec({}), CPU, Trial({}), memory, "net") == choice


def test_a_loaded_measurement_is_marked_and_holds_only_while_the_load_does(
    tmp_path: Path, load: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = tmp_path / "m.json"
    load += [True, True]
    first = choose_execution(resolve_spec({}), CPU, Trial(FAST_BF16), memory, "net")
    assert first.under_load
    load.append(True)
    assert choose_execution(resolve_spec({}), CPU, Trial({}), memory, "net") == first
    load += [True, False]
    monkeypatch.setattr("engine.execution.VALID_UNDER_LOAD_S", 0.0)
    old = Trial(FAST_BF16)
    choose_execution(resolve_spec({}), CPU, old, memory, "net")
    assert old.calls > 0
    assert choose_execution(resolve_spec({}), CPU, Trial({}), memory, "net").under_load is False


FOLDED = {**FAST_BF16, "bf16 channels_last": 10.0, "bf16 channels_last folded": 1.0}


def test_the_fastest_choice_is_measured_with_folding_as_well(tmp_path: Path) -> None:
    memory, trial = tmp_path / "m.json", Trial(FOLDED)
    choice = choose_execution(resolve_spec({}), CPU, trial, memory, "net", can_fold=True)
    assert choice.execution.name == "bf16 channels_last folded"
    assert choice.step_ms.keys() == FOLDED.keys()
    again = choose_execution(resolve_spec({}), CPU, Trial({}), memory, "net", can_fold=True)
    assert again == choice


def test_folding_that_does_not_pay_or_disagrees_is_not_used(tmp_path: Path) -> None:
    slow = Trial({**FOLDED, "bf16 channels_last folded": 20.0})
    wrong = Trial(FOLDED, {"bf16 channels_last folded": 1.5})
    for name, trial in (("slow", slow), ("wrong", wrong)):
        choice = choose_execution(
            resolve_spec({}), CPU, trial, tmp_path / name, "net", can_fold=True
        )
        assert choice.execution.name == "bf16 channels_last"
        assert choice.execution.folds_inference


def test_a_measurement_without_folding_is_not_taken_for_one_with_it(tmp_path: Path) -> None:
    memory = tmp_path / "m.json"
    choose_execution(resolve_spec({}), CPU, Trial(FOLDED), memory, "net")
    choice = choose_execution(resolve_spec({}), CPU, Trial(FOLDED), memory, "net", can_fold=True)
    assert choice.execution.folds_training


@pytest.mark.parametrize("fold", ["on", "off"])
def test_folding_the_user_fixed_is_not_measured(tmp_path: Path, fold: str) -> None:
    fixed = {"precision": "fp32", "memory_format": "contiguous", "fold_batchnorm": fold}
    trial = Trial({})
    choice = choose_execution(resolve_spec(fixed), CPU, trial, tmp_path, "net", can_fold=True)
    assert trial.calls == 0
    assert choice.execution.folds_training == choice.execution.folds_inference == (fold == "on")


def test_folding_asked_for_where_statistics_train_is_for_evaluation_only(tmp_path: Path) -> None:
    fixed = {"precision": "fp32", "memory_format": "contiguous", "fold_batchnorm": "on"}
    choice = choose_execution(resolve_spec(fixed), CPU, Trial({}), tmp_path, "net")
    assert (choice.execution.folds_training, choice.execution.folds_inference) == (False, True)


def test_two_measurements_under_load_may_fold_different_choices(
    tmp_path: Path, load: list[bool]
) -> None:
    load += [True, True]

    class Changing(Trial):
        """The fastest choice of the first measurement is slow in the second."""

        def __call__(self, execution: Execution) -> float:
            if self.asked.count("fp32 contiguous") > 2:
                self.costs = {**self.costs, "fp32 channels_last": 10.0}
            return super().__call__(execution)

    names = ("fp32 contiguous", "fp32 channels_last")
    trial = Changing({names[0]: 6.0, names[1]: 2.0, **{f"{each} folded": 1.0 for each in names}})
    spec = resolve_spec({"precision": "fp32"})
    choice = choose_execution(spec, CPU, trial, tmp_path / "m.json", "net", can_fold=True)
    assert choice.step_ms.keys() == trial.costs.keys()
    assert choice.execution.folds_training


def test_folding_the_user_fixed_is_chosen_under_load_too(tmp_path: Path, load: list[bool]) -> None:
    load += [True, True]
    spec = resolve_spec({"fold_batchnorm": "on"})
    trial = Trial({f"{name} folded": ms for name, ms in FAST_BF16.items()})
    choice = choose_execution(spec, CPU, trial, tmp_path / "m.json", "net", can_fold=True)
    assert choice.under_load
    assert choice.execution.name == "bf16 channels_last folded"


def test_a_candidate_that_is_slow_on_few_images_is_given_up(
    tmp_path: Path, load: list[bool]
) -> None:
    load += [True, True, True]
    slow = {**FAST_BF16, "bf16 contiguous": 80.0}
    trial, probe, memory = Trial(slow), Trial(slow), tmp_path / "m.json"
    reported: list[tuple[int, int, str]] = []
    choice = choose_execution(
        resolve_spec({}), CPU, trial, memory, "net", probe=Probe(probe, 20.0),
        report=lambda *tried: reported.append(tried),
    )  # fmt: skip
    assert trial.asked.count("bf16 contiguous") == 0
    assert probe.asked.count("bf16 contiguous") == 2, "a slow first step may have one-time costs"
    assert choice.step_ms["bf16 contiguous"] == pytest.approx(1600), "what a whole step would take"
    assert choice.execution.name == "bf16 channels_last"
    assert reported[:4] == [(at, 4, name) for at, name in enumerate(FAST_BF16, start=1)]
    assert choice.timing_s > 0
    again = choose_execution(resolve_spec({}), CPU, Trial({}), memory, "net")
    assert (again, again.timing_s) == (choice, 0.0)


def test_one_time_costs_of_a_first_step_do_not_decide(tmp_path: Path) -> None:
    class OneTime(Trial):
        """Its first step of each candidate takes long."""

        def __call__(self, execution: Execution) -> float:
            if execution.name not in self.asked:
                CLOCK[0] += 0.1
            return super().__call__(execution)

    trial, probe = Trial(FAST_BF16), OneTime(FAST_BF16)
    choice = choose_execution(
        resolve_spec({}), CPU, trial, tmp_path / "m.json", "net", probe=Probe(probe, 2.0)
    )
    assert choice.execution.name == "bf16 channels_last"
    assert trial.asked.count("bf16 channels_last") > 1


def test_a_probe_longer_than_any_one_time_costs_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.execution.ONE_TIME_MS", 20.0)
    probe = Trial({**FAST_BF16, "bf16 contiguous": 150.0})
    choose_execution(
        resolve_spec({}), CPU, Trial(FAST_BF16), tmp_path / "m.json", "net",
        probe=Probe(probe, 2.0),
    )  # fmt: skip
    assert probe.asked.count("bf16 contiguous") == 1


def test_no_step_begins_after_the_time_limit(
    tmp_path: Path, load: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.execution.MOST_TIMING_S", 0.05)
    load += [True, True]
    trial = Trial(dict.fromkeys(FAST_BF16, 40.0))
    choice = choose_execution(
        resolve_spec({}), CPU, trial, tmp_path / "m.json", "net", can_fold=True
    )
    assert trial.calls == 1
    assert choice.execution.name == "fp32 contiguous"


def test_under_load_what_was_clearly_slower_is_not_tried_twice(
    tmp_path: Path, load: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.execution.SHORT_MS", 25.0)
    load += [True, False]
    trial = Trial({**FAST_BF16, "bf16 contiguous": 60.0})
    choice = choose_execution(resolve_spec({}), CPU, trial, tmp_path / "m.json", "net")
    assert trial.asked.count("bf16 contiguous") == 1
    assert trial.asked.count("fp32 contiguous") > 2
    assert choice.step_ms.keys() == FAST_BF16.keys()


def test_under_load_the_fastest_is_measured_again_however_much_folding_gains(
    tmp_path: Path, load: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.execution.SHORT_MS", 5.0)
    load += [True, True]
    choice = choose_execution(
        resolve_spec({}), CPU, Trial(FOLDED), tmp_path / "m.json", "net", can_fold=True
    )
    assert choice.execution.name == "bf16 channels_last folded"
