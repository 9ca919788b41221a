"""The model card of a run: README.md of a folder for the Hugging Face Hub."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from engine.datasets.card import read_card
from engine.datasets.catalog import LICENSES
from engine.errors import UserError
from engine.inference.classifier import Classifier
from engine.protocol import (
    FIELDS,
    METHODS,
    NO_WEIGHT_FILES,
    NOT_RESULT,
    AnyEvent,
    ArmEvaluated,
    Cautioned,
    CheckpointSaved,
    CombinationSpec,
    DataPrepared,
    DomainInfo,
    Evaluated,
    EventDecodeError,
    RunSpec,
    RunTask,
    decode_event,
    own_arm,
    shown_value,
    spec_of,
)
from engine.protocol.certainty import Certainty, Judged, certainty_of
from engine.protocol.exclude_lists import exclusions_text
from engine.protocol.inference import At
from engine.protocol.intervals import Interval, Sample, accuracy_interval
from engine.protocol.selection import best_of, criterion_of
from engine.protocol.spec import applies, fields_with
from engine.rundir import RunDir
from engine.text import counted, listed, visible

_SPECIAL: Final = re.compile(r"[\\`*\[\]<>|~$&]|(?<![^\W_])_|_(?![^\W_])")
"""Characters that Markdown would interpret; an underscore within a word is not one."""
_UNKNOWN: Final = "–"
_MOST_CLASSES: Final = 200
PAPER: Final = """\
```bibtex
@article{zhang2024finetuning,
  title   = {Fine-tuning with Very Large Dropout},
  author  = {Zhang, Jianyu and Bottou, L{\\'e}on},
  journal = {arXiv preprint arXiv:2403.00946},
  year    = {2024}
}
```"""


class Facts(NamedTuple):
    """What a run's folder shows about one of its networks; None: unknown."""

    task: RunTask
    arm: str
    at: At
    data: DataPrepared | None
    evaluation: Judged | None
    cautions: tuple[str, ...]
    licenses: dict[str, str]


def read_facts(run_dir: RunDir, classifier: Classifier, at: At) -> Facts:
    """Return the facts about a network of a run, loaded at ``at``, from the run's folder."""
    task = run_dir.read_task()
    events = list(_events(run_dir))
    own = own_arm(task)
    data = [each for each in events if isinstance(each, DataPrepared)]
    return Facts(
        task=task,
        arm=classifier.arm,
        at=at,
        data=data[-1] if data else None,
        evaluation=_evaluation(
            events, None if classifier.arm == own else classifier.arm, at, classifier.step
        ),
        cautions=tuple(
            dict.fromkeys(each.message for each in events if isinstance(each, Cautioned))
        ),
        licenses=_licenses(spec_of(task)),
    )


def _events(run_dir: RunDir) -> Iterator[AnyEvent]:
    for line in run_dir.events.read_bytes().splitlines() if run_dir.events.is_file() else ():
        with suppress(EventDecodeError):
            yield decode_event(line)


def _evaluation(
    events: Sequence[AnyEvent], arm: str | None, at: At, step: int | None
) -> Judged | None:
    """Return the evaluation of a network: at its step, which events show if it is not given."""
    kind = Evaluated if arm is None else ArmEvaluated
    by_step: dict[int, Judged] = {  # a resumed run repeats steps
        event.step: event
        for event in events
        if isinstance(event, kind) and arm in (None, getattr(event, "arm", None))
    }
    if step is not None:
        return by_step.get(step)
    if at == "best":
        return best_of(by_step[step] for step in sorted(by_step))
    saved = [each for each in events if isinstance(each, CheckpointSaved) and each.kind == at]
    return by_step.get(saved[-1].step) if saved else None


def _licenses(spec: RunSpec) -> dict[str, str]:
    """Return the licence of the images by domain, as far as known."""
    if spec.data_dir is None:
        return LICENSES.get(spec.dataset, {})
    with suppress(OSError, UserError):
        card = read_card(Path(spec.data_dir))
        if card is not None:
            return card.licenses or {}
    return {}


def model_card(facts: Facts, classifier: Classifier, code: Sequence[str], library: str) -> str:
    """Return the model card as Markdown, with the header that the hub reads.

    Args:
        facts: of the run.
        classifier: the network.
        code: lines that load it.
        library: that loads it, by the hub's name.
    """
    sections = {
        "Use": _use(classifier, code),
        "Results": _results(facts),
        "Training": _training(facts, classifier),
        "Limits": _limits(facts),
        "Licence": _license(facts),
        "Citation": "The network was fine-tuned with the method of:\n\n" + PAPER,
    }
    tags = ["image-classification", "domain-generalization", "very-large-dropout"]
    header = ["---", f"library_name: {library}", "pipeline_tag: image-classification", "tags:"]
    parts = [
        "\n".join([*header, *(f"- {tag}" for tag in tags), "---"]),
        _summary(facts, classifier),
    ]
    return (
        "\n\n".join([*parts, *(f"## {name}\n\n{text}" for name, text in sections.items())]) + "\n"
    )


def _summary(facts: Facts, classifier: Classifier) -> str:
    spec, names = spec_of(facts.task), classifier.classes
    shown = listed(map(text, names), most=_MOST_CLASSES)
    dropout = (
        f"with dropout of {100 * spec.dropout_rate:g}% of its last features (λ = "
        f"{spec.dropout_rate:g})"
        if spec.dropout_rate
        else "without dropout (λ = 0)"
    )
    return (
        f"# {text(spec.model)} for {text(spec.dataset)}\n\n"
        f"An image classifier with {len(names):,} classes: {shown}. It was fine-tuned {dropout}, "
        "to be accurate on images unlike its training data."
    )


def _use(classifier: Classifier, code: Sequence[str]) -> str:
    lines, size, card = "\n".join(code), classifier.image_size, classifier.card
    mean, std = (", ".join(f"{each:g}" for each in values) for values in (card.mean, card.std))
    return (
        f"```python\n{lines}\n```\n\n"
        f"Images are converted to RGB, resized to {size} × {size} pixels ({card.interpolation}, "
        f"without cropping), scaled to [0, 1] and normalised with mean ({mean}) and standard "
        f"deviation ({std}). {_calibration(classifier)}"
    )


def _calibration(classifier: Classifier) -> str:
    if classifier.temperature == 1:
        return "Probabilities are not calibrated and may be too high."
    return (
        f"Logits divided by the temperature {classifier.temperature:.4g} give calibrated "
        "probabilities."
    )


def _results(facts: Facts) -> str:
    evaluation, data = facts.evaluation, facts.data
    if evaluation is None or data is None:
        return "The run has no evaluation of this network."
    found = certainty_of(data, evaluation)
    rows = [_row("ID: mean of the source domains", evaluation.id_accuracy, found.id)]
    if evaluation.plain_id_accuracy is not None:
        plain = evaluation.plain_id_accuracy
        rows.append(_row("ID, without augmentation", plain, found.plain_id))
    if evaluation.ood_accuracy is not None:
        name = f"OOD: {text(data.target or '')}, not used in training"
        rows.append(_row(name, evaluation.ood_accuracy, found.ood))
    rows += [_domain_row(evaluation, each) for each in data.domains if not each.is_target]
    return "\n".join(
        [
            "| domain | accuracy | 95% interval | images |",
            "|---|---|---|---|",
            *rows,
            "",
            "The intervals cover the sampling of images, not random seeds or training. Accuracy "
            "on source domains is measured on images held out from training.",
        ]
    )


def _row(name: str, accuracy: float | None, found: Certainty) -> str:
    images = f"{found.images:,}" if found.images else _UNKNOWN
    shown = _UNKNOWN if accuracy is None else f"{100 * accuracy:.1f}%"
    return f"| {name} | {shown} | {_range(found.interval)} | {images} |"


def _domain_row(evaluation: Judged, domain: DomainInfo) -> str:
    accuracy = next(
        (
            metric.value
            for metric in evaluation.metrics
            if (metric.name, metric.split, metric.domain) == ("accuracy", "out", domain.name)
        ),
        None,
    )
    images = domain.images_of("out")
    interval = None if accuracy is None else accuracy_interval([Sample(accuracy, images)])
    label = "left-out source" if domain.is_held_out else "source"
    return _row(f"{text(domain.name)} ({label})", accuracy, Certainty(interval, images))


def _range(interval: Interval | None) -> str:
    return _UNKNOWN if interval is None else f"{100 * interval[0]:.1f}–{100 * interval[1]:.1f}%"


def _training(facts: Facts, classifier: Classifier) -> str:
    task, spec = facts.task, spec_of(facts.task)
    lines = [f"- Run: {text(classifier.card.run)}", _data_line(facts)]
    if isinstance(task, CombinationSpec):
        method, parents = task.combination.method, task.combination.parents
        runs = listed((text(parent.label) for parent in parents), most=20)
        lines.append(f"- Combined ({METHODS[method]}) from {counted(len(parents), 'run')}: {runs}")
        names = ["model", "weights", "dropout_rate"]
        lines.append(f"- Settings of the first run: {_settings(spec, names)}")
        return "\n".join(lines)
    lines.append(f"- Settings: {_settings(spec, _shown(spec))}")
    if facts.arm != own_arm(task):
        lines.append(f"- Predictor: {facts.arm}, from the weights of many steps of the run")
    lines.append(f"- {_selection(facts, spec)}")
    return "\n".join(lines)


def _selection(facts: Facts, spec: RunSpec) -> str:
    if facts.at == "last":
        return "The network is that of the last step; no step was selected."
    step = facts.evaluation.step if facts.evaluation else None
    at = "" if step is None else f": step {step:,} of {spec.steps:,}"
    return (
        f"Selected on {criterion_of(spec).words} of held-out images of the source domains{at}. "
        "The left-out domain had no influence on the choice of the step."
    )


def _data_line(facts: Facts) -> str:
    spec = spec_of(facts.task)
    if facts.data is None:
        return f"- Data: {text(spec.dataset)}"
    sources = ", ".join(
        f"{text(each.name)} ({counted(each.images, 'image')})" for each in facts.data.sources
    )
    target = facts.data.target
    left_out = "no domain was left out" if target is None else f"{text(target)} was left out"
    parts = [f"- Data: {text(spec.dataset)}", f"trained on {sources}", left_out]
    return "; ".join(filter(None, [*parts, exclusions_text(facts.data.left_out)]))


def _shown(spec: RunSpec) -> list[str]:
    """Return the settings that are always reported, and those with another value than default."""
    always = fields_with("reported")
    hidden = NOT_RESULT.union(
        fields_with("not_own_result"), fields_with("place"), fields_with("path")
    )
    return [
        name
        for name, field in FIELDS.items()
        if applies(spec, name)
        and (name in always or (name not in hidden and getattr(spec, name) != field.default))
    ]


def _settings(spec: RunSpec, names: Sequence[str]) -> str:
    return ", ".join(f"{FIELDS[name].label} {text(_value(spec, name))}" for name in names)


def _value(spec: RunSpec, name: str) -> str:
    value = shown_value(getattr(spec, name))
    is_file = name == "weights" and value not in NO_WEIGHT_FILES
    return Path(value).name if is_file else value


def _limits(facts: Facts) -> str:
    lines = ["Every image gets one of the classes, also one that shows none of them."]
    if facts.evaluation is None or facts.evaluation.ood_accuracy is None:
        lines.append(
            "No domain was left out of training, so accuracy on images unlike the training data is "
            "unknown."
        )
    else:
        lines.append(
            "The OOD accuracy is that of one left-out domain; on other images that are unlike the "
            "training data it may be lower."
        )
    lines += map(text, facts.cautions)
    return "\n".join(f"- {line}" for line in lines)


def _license(facts: Facts) -> str:
    if facts.licenses:
        known = ", ".join(f"{text(name)}: {text(each)}" for name, each in facts.licenses.items())
        images = f"Training images: {known}."
    else:
        images = "The licence of the training images is unknown."
    return f"{images} No licence is given for the weights."


def text(value: str) -> str:
    """Return text from outside, such as a class name, as Markdown that shows it literally."""
    return _SPECIAL.sub(lambda found: "\\" + found[0], visible(value).replace("\n", " "))
