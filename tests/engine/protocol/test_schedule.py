"""A schedule fits the length of its run, or is refused."""

from __future__ import annotations

import pytest

from engine.protocol import (
    FIELDS,
    RunSpec,
    SpecError,
    decode_spec,
    dropout_rate_at,
    encode_spec,
    evaluation_steps,
    evaluations_after,
    is_evaluated,
    learning_rate_factor,
    learning_rates,
    resolve_new_spec,
    resolve_spec,
)

RISING = {"dropout_schedule": "linear"}


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0), (5, 0), (10, 1), (30, 3), (39, 3)])
def test_the_usual_warm_up_is_shortened_with_the_run(steps: int, warmup: int) -> None:
    spec = resolve_new_spec({"steps": steps})
    assert spec.warmup_steps == warmup
    assert decode_spec(encode_spec(spec)) == spec
    assert learning_rates(spec).peak == pytest.approx(spec.lr)


@pytest.mark.parametrize("steps", [40, 100, 200, 1_000])
def test_a_warm_up_that_fits_stays_as_it_is(steps: int) -> None:
    assert resolve_new_spec({"steps": steps}).warmup_steps == 20


def test_what_the_user_set_is_not_fitted() -> None:
    assert resolve_new_spec({"steps": 10, "warmup_steps": 9}).warmup_steps == 9
    spec = resolve_new_spec({"recipe": "paper", "steps": 10_001, "lr_drops": [10_000]})
    assert spec.lr_drops == (10_000,)


def test_without_drops_a_shorter_run_needs_none() -> None:
    fewer = resolve_new_spec({"recipe": "paper", "steps": 100, "schedule": "cosine"})
    assert learning_rates(fewer).end < 1e-6


@pytest.mark.parametrize(
    ("values", "evaluated"),
    [
        ({"steps": 12, "eval_every": 5}, (5, 10, 12)),
        ({"steps": 10, "eval_every": 5}, (5, 10)),
        ({"steps": 12, "eval_every": 5, "eval_from": 1}, (1, 6, 11, 12)),
        ({"steps": 11, "eval_every": 5, "eval_from": 1}, (1, 6, 11)),
        ({"steps": 12, "eval_every": 2, "eval_from": 7}, (7, 9, 11, 12)),
        ({"steps": 12, "eval_every": 5, "eval_from": 12}, (12,)),
        ({"steps": 1, "eval_every": 1, "eval_from": 1}, (1,)),
    ],
)
def test_a_run_is_evaluated_from_its_first_evaluation_at_even_intervals_and_at_its_end(
    values: dict[str, object], evaluated: tuple[int, ...]
) -> None:
    spec = resolve_new_spec(values)
    assert evaluation_steps(spec) == evaluated
    steps = range(spec.steps + 1)
    assert tuple(step for step in steps[1:] if is_evaluated(spec, step)) == evaluated
    assert [evaluations_after(spec, step) for step in steps] == [
        sum(each > step for each in evaluated) for step in steps
    ]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"warmup_steps": 500, "steps": 10}, "warmup_steps is 500, but the run has 10 steps: the "
         "learning rate would end at 6e-06 instead of 0.0003. Give fewer --warmup-steps"),
        ({"warmup_steps": 10, "steps": 10}, "the cosine schedule would never begin"),
        ({"schedule": "step", "lr_drops": [5_000], "steps": 10}, "lr_drops is 5000, but the run "
         "has 10 steps. Drops must be at steps from 1 to 9"),
        ({"schedule": "step", "lr_drops": [5, 10], "steps": 10}, "from 1 to 9"),
        ({"schedule": "step", "lr_drops": [0], "steps": 10}, "from 1 to 9"),
        ({"schedule": "step", "lr_drops": [-3]}, "from 1 to 199"),
        ({"lr_drops": [5], "steps": 10}, "lr_drops is 5, but schedule is 'cosine'. Give "),
        ({"lr_drops": [5], "schedule": "constant"}, "but schedule is 'constant'. Give --sc"),
        ({"arms": ["averaged"], "average_from": 1_000, "steps": 10}, "average_from is 1000"),
        ({"arms": ["averaged"], "average_every": 11, "steps": 10}, "average_every is 11"),
        ({"eval_every": 11, "steps": 10}, "eval_every is 11, but the run has 10 steps"),
        ({"eval_from": 11, "steps": 10}, "eval_from is 11, but the run has 10 steps. Give "
         "--eval-from 10 or less"),
        ({"log_every": 11, "steps": 10}, "log_every is 11, but the run has 10 steps"),
        ({"eval_every": 201}, "eval_every is 201, but the run has 200 steps"),
        ({"eval_every": 2, "steps": 1}, "but the run has 1 step."),
        ({"linear_start": "authors"}, "linear_start is 'authors', but tuning is 'full'. Give "
         "--tuning linear, or drop --linear-start."),
        ({"groupdro_step_size": 0.1}, "groupdro_step_size is 0.1, but objective is 'erm'. Give "
         "--objective groupdro, or drop --groupdro-step-size."),
        ({"objective": "vrex", "vrex_anneal_steps": 200}, "vrex_anneal_steps is 200, but the run "
         "has 200 steps: the variance would have weight 1 throughout. Give fewer"),
        ({"objective": "vrex", "vrex_weight": 1, "vrex_anneal_steps": 5}, "vrex_anneal_steps is 5, "
         "but vrex_weight is 1, as in"),
        ({"mask_at": "layer3", "outliers": "/others"}, "mask_at is 'layer3', but the run has "
         "outliers, which are masked at the last layer only."),
        ({"outlier_batch_size": 8}, "outlier_batch_size is 8, but the run has no outliers. Give "
         "--outliers DIR, or drop --outlier-batch."),
        ({"dropout_start": 0.2}, "dropout_start is 0.2, but dropout_schedule is 'constant'. Give "
         "--dropout-schedule linear, or drop --dropout-start."),
        ({"keep_zeros": True, "sparsity": 0.5}, "keep_zeros is true, but sparsity is 0.5, which"),
        ({"keep_zeros": True, "weights": "none"}, "keep_zeros is true, but weights is 'none': "
         "random weights have no zeros. Give --weights of a pruned network, or drop"),
        ({"keep_zeros": True, "tuning": "linear"}, "keep_zeros is true, but tuning is 'linear', "
         "which trains nothing of the network. Drop --keep-zeros, or give --tuning full."),
        ({"refine_steps": 9}, "refine_steps is 9, but arms is 'none'. Give --arms refined, or drop "
         "--refine-steps."),
        ({"refine_on": "rare", "arms": ["averaged"]}, "refine_on is 'rare', but arms is "
         "'averaged'. Give --arms refined, or drop --refine-on."),
        ({"dropout_steps": 9}, "dropout_steps is 9, but dropout_schedule is 'constant'."),
        ({"masks": 4, "dropout_rate": 0}, "masks is 4, but dropout_rate is 0. Give --dropout above "
         "0, or drop --masks."),
        ({"masks": "inf", "mask_draws": 9, "dropout_rate": 0}, "masks is 'inf', but dropout_rate"),
        ({"mask_draws": 9}, "mask_draws is 9, but masks is 8. Give --masks inf, or drop"),
        ({"mask_basis_every": 9}, "mask_basis_every is 9, but mask_basis is 'units'. Give "),
        ({"mask_basis": "pca", "dropout_rate": 0}, "mask_basis is 'pca', but dropout_rate is 0. "),
        ({"mask_at": "layer3", "dropout_rate": 0}, "mask_at is 'layer3', but dropout_rate is 0. "),
        ({"mask_basis": "pca", "mask_basis_every": 300}, "would not be updated. Lower --mask-b"),
        (
            {
                "mask_basis": "pca", "mask_basis_every": 3, "tuning": "linear",
                "linear_features": "penultimate",
            },
            "these features never change, nor do their directions. Drop --mask-basis-every",
        ),
        ({**RISING, "dropout_rate": 0}, "dropout_schedule is 'linear', but dropout_rate is 0. "),
        ({**RISING, "dropout_start": 0.95}, "dropout_schedule is 'linear', but dropout_start is "
         "0.95, which must be below dropout_rate, 0.9."),
        ({**RISING, "dropout_rate": 0.5}, "dropout_start is 0.5, which must be below dropout_rate"),
        ({"dropout_start": 0.2, **RISING, "dropout_rate": 0}, "but dropout_rate is 0. "),
        ({"arms": ["averaged"], "average_from": 195, "average_every": 10}, "average_every is 10, "
         "but the run has 200 steps: only the weights of step 195 would be averaged. Lower"),
        ({"arms": ["averaged"], "average_from": 200}, "average_from is 200, but the run has"),
        ({"arms": ["averaged"], "average_batchnorm": "reestimate", "tuning": "linear"},
         "average_batchnorm is 'reestimate', but tuning is 'linear', which keeps the statistics"),
        ({"arms": ["swad"], "swad_converge": 5}, "needs 5 evaluations to begin, but the run has 4. "
         "Lower --eval-every or --swad-converge, or remove"),
        ({"objective": "coral+vrex+coral"}, "objective is 'coral+vrex+coral', but coral is named "
         "twice."),
        ({"objective": "coral+"}, "several joined by +. A name next to a + is missing."),
        ({"objective": "+"}, "A name next to a + is missing."),
        ({"mask_at": ""}, "mask_at is '', but must be text that is not empty."),
        ({"teacher": ""}, "teacher is '', but must be text that is not empty, or none."),
        ({"average_from": 9}, "average_from is 9, but arms is 'none'. Give --arms averaged or "
         "ensemble, or drop --average-from."),
        ({"average_from": 9, "arms": ["swad"]}, "average_from is 9, but arms is 'swad'."),
        ({**RISING, "dropout_steps": 200}, "dropout_steps is 200, but the run has 200 steps: the "
         "dropout rate would not rise to 0.9. Give fewer --dropout-steps or more --steps."),
        ({**RISING, "steps": 1}, "dropout_steps is 0, but the run has 1 step:"),
        ({**RISING, "dropout_steps": 0}, "dropout_steps is 0, but must be a whole number above 0"),
    ],
)  # fmt: skip
def test_what_the_user_set_and_the_run_cannot_honour_is_refused(
    values: dict[str, object], words: str
) -> None:
    with pytest.raises(SpecError) as refusal:
        resolve_new_spec(values)
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    "name", [name for name, info in FIELDS.items() if info.only_with is not None]
)
def test_a_setting_of_a_method_or_an_arm_is_refused_without_it(name: str) -> None:
    info = FIELDS[name]
    others = {int: 7, str: "x", tuple: [7]}
    given = 1.5 * info.default if info.base is float else others[info.base]
    given = info.choices[-1] if info.choices else given
    with pytest.raises(SpecError, match=rf"^{name} is .*, or drop {info.flag}\.$"):
        resolve_new_spec({name: given})
    assert resolve_new_spec({name: info.default})


def test_a_warm_up_as_long_as_the_run_reaches_a_constant_rate() -> None:
    spec = resolve_new_spec({"warmup_steps": 10, "steps": 10, "schedule": "constant"})
    assert learning_rates(spec) == (spec.lr, spec.lr)


@pytest.mark.parametrize(
    ("values", "rates"),
    [
        ({"dropout_schedule": "constant"}, [0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9]),
        ({}, [0.5, 0.6, 0.7, 0.8, 0.9, 0.9, 0.9, 0.9]),
        ({"dropout_steps": 2}, [0.5, 0.7, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9]),
        ({"dropout_start": 0, "dropout_steps": 1}, [0, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9]),
        ({"dropout_steps": 7, "dropout_start": 0.2}, [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]),
    ],
)
def test_the_dropout_rate_of_each_step(values: dict[str, object], rates: list[float]) -> None:
    spec = resolve_new_spec({**RISING, "steps": 8, "eval_every": 8, "log_every": 8, **values})
    assert [dropout_rate_at(spec, step) for step in range(spec.steps)] == pytest.approx(rates)
    assert dropout_rate_at(spec, 7) == 0.9


def test_the_papers_recipe_may_raise_its_dropout_rate() -> None:
    spec = resolve_new_spec({"recipe": "paper", **RISING})
    assert [dropout_rate_at(spec, step) for step in (0, 2_500, 5_000)] == pytest.approx(
        [0.5, 0.7, 0.9]
    )


@pytest.mark.parametrize("schedule", ["constant", "step", "cosine"])
@pytest.mark.parametrize("warmup", [0, 1, 3, 9, 10, 25])
@pytest.mark.parametrize("drops", [(), (2,), (1, 5), (12,)])
def test_the_real_peak_and_end_are_those_of_the_steps(
    schedule: str, warmup: int, drops: tuple[int, ...]
) -> None:
    spec = RunSpec(schedule=schedule, warmup_steps=warmup, lr_drops=drops, steps=10)  # type: ignore[arg-type]
    rates = [spec.lr * learning_rate_factor(spec, step) for step in range(spec.steps)]
    assert tuple(learning_rates(spec)) == pytest.approx((max(rates), rates[-1]))


def test_a_field_may_be_spelled_as_its_flag() -> None:
    spec = resolve_spec(
        {"dropout": 0.5, "batch": 4, "micro-batch": 2, "data": "/d", "keep": "best"}
    )
    assert (spec.dropout_rate, spec.batch_size, spec.micro_batch_size) == (0.5, 4, 2)
    assert (spec.data_dir, spec.keep_checkpoints) == ("/d", "best")
    with pytest.raises(SpecError, match="dropout and dropout_rate are the same field"):
        resolve_spec({"dropout": 0.5, "dropout_rate": 0.5})
