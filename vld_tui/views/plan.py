"""What a run will do: network, data, method, time and weights; and its estimated cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from engine.protocol import (
    NO_TARGET,
    CombinationSpec,
    DataPrepared,
    LoadedWeights,
    ModelPrepared,
    RunSpec,
    RunTask,
    evaluations_after,
    learning_rates,
    rising_steps,
    spec_of,
)
from engine.protocol.datasets import LeftOut, left_out_text
from engine.protocol.selection import criterion_of
from engine.protocol.spec import LAST, applies
from vld_tui.runs.progress import Progress
from vld_tui.runs.run import Run
from vld_tui.views.combined import combination_rows
from vld_tui.words.numbers import UNKNOWN, duration, magnitude, percent, plural, size
from vld_tui.words.palette import QUIET_STYLE
from vld_tui.words.text import plain_text

if TYPE_CHECKING:
    from vld_tui.study.forecast import Forecast

LABEL_CELLS = 9
_SEPARATOR = " · "
_EVERY_DOMAIN = f"{NO_TARGET}: every domain is trained on, so there is no OOD accuracy"
_AUGMENTED = " on augmented validation images; ID on plain images is shown too"
ONE_DOMAIN = f"{NO_TARGET}: one domain, no OOD accuracy; to make domains: vld data shift"
_SHOWN = 3


def plan_rows(task: RunTask, progress: Progress) -> list[tuple[str, str]]:
    """Return the plan as pairs of a label and a line of plain text."""
    spec = spec_of(task)
    rows = [("network", _network(spec, progress.model))]
    if progress.model is not None and progress.model.loaded is not None:
        rows.append(("weights", loaded_line(progress.model.loaded)))
    rows.append(("data", _data(spec, progress.data)))
    if progress.data is not None:
        rows += image_rows(progress.data.reading, progress.data.left_out)
        rows.append(("sources", _sources(progress.data)))
    rows.append(("target", _target(spec, progress.data)))
    if spec.outliers is not None:
        rows.append(("outliers", _outliers(spec, spec.outliers, progress.data)))
    if progress.data is not None and progress.data.shared_images:
        rows.append(("caution", _shared(progress.data.shared_images)))
    if isinstance(task, CombinationSpec):
        return [
            *rows,
            *combination_rows(task.combination),
            ("device", _device(spec, progress.model)),
        ]
    rows += [
        ("method", _method(spec)),
        ("training", _training(spec, progress.data)),
        ("optimizer", _optimizer(spec)),
        ("device", _device(spec, progress.model)),
    ]
    if spec.augment_validation or spec.select_on != "accuracy":
        images = _AUGMENTED if spec.augment_validation else ""
        rows.insert(-2, ("selection", f"by {criterion_of(spec).words}{images}"))
    if progress.model is not None:
        if progress.model.step_ms:
            rows.append(("precision", _precision(progress.model)))
        if (time := _time(spec, progress, progress.model)) is not None:
            rows.append(("time", time))
    return rows


def image_rows(reading: str, left_out: Sequence[LeftOut]) -> list[tuple[str, str]]:
    """Return how folders were read, and which images are left out, if any."""
    omitted = left_out_text(left_out).removeprefix("left out: ")
    rows = [("layout", plain_text(reading)), ("left out", plain_text(omitted))]
    return [(label, line) for label, line in rows if line]


def plan_table(task: RunTask, progress: Progress) -> Table:
    """Return the plan as a renderable; long lines wrap next to their label."""
    table = Table.grid(padding=(0, 1))
    table.add_column(width=LABEL_CELLS + 2, style=QUIET_STYLE)
    table.add_column(overflow="fold")
    for label, line in plan_rows(task, progress):
        table.add_row(Text(f"  {label}"), Text(line))
    return table


def _network(spec: RunSpec, model: ModelPrepared | None) -> str:
    if model is None:
        parts = [plain_text(spec.model), f"weights: {plain_text(spec.weights)}"]
        if spec.is_sparse:
            kept = "zeros kept" if spec.keep_zeros else f"sparsity {percent(spec.sparsity)}"
            parts.append(kept)
        return _SEPARATOR.join(parts)
    parts = [
        plain_text(model.model),
        f"weights: {plain_text(model.weights)}",
        f"{magnitude(model.parameters)} parameters",
        f"feature RMS {model.feature_rms:.3g}",
    ]
    if model.sparsity is not None:
        parts.append(f"sparsity {percent(model.sparsity)}")
    return _SEPARATOR.join(parts)


def loaded_line(loaded: LoadedWeights) -> str:
    """Return which weights of a file were loaded or left out, and whether the last layer is new."""
    parts = [_which(loaded), f"{plural(loaded.matched, 'tensor')} loaded"]
    if loaded.prefixes:
        parts.append(f"prefix {plain_text(''.join(loaded.prefixes))} removed")
    if loaded.converted:
        parts.append("converted by timm")
    if loaded.missing:
        parts.append(f"{len(loaded.missing):,} missing ({_first(loaded.missing)})")
    if loaded.unexpected:
        parts.append(f"{len(loaded.unexpected):,} left out ({_first(loaded.unexpected)})")
    parts.append(f"last layer {plain_text(loaded.last_layer)}")
    if loaded.other_entries:
        parts.append(f"also in the file: {_first(loaded.other_entries)} (--weights-key)")
    return " · ".join(part for part in parts if part)


def _which(loaded: LoadedWeights) -> str:
    entry = plain_text(loaded.entry)
    if loaded.is_ema:
        return f"EMA weights ({entry})" if entry else "EMA weights"
    if loaded.training is not None:
        return f"trained by run {plain_text(loaded.training.run)}"
    return f"entry {entry}" if entry else ""


def _first(names: Sequence[str]) -> str:
    rest = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(map(plain_text, names[:_SHOWN])) + rest


def _data(spec: RunSpec, data: DataPrepared | None) -> str:
    parts = [plain_text(spec.dataset)]
    if data is not None:
        parts.append(plural(len(data.classes), "class"))
    parts.append(f"{spec.image_size} px")
    if data is not None and data.skipped:
        parts.append(f"{plural(len(data.skipped), 'unreadable image')} left out")
    return _SEPARATOR.join(parts)


def _outliers(spec: RunSpec, folder: str, data: DataPrepared | None) -> str:
    parts = [plain_text(folder)]
    if data is not None and data.outliers is not None:
        parts.append(plural(data.outliers, "image"))
        if data.skipped_outliers:
            parts.append(f"{plural(len(data.skipped_outliers), 'unreadable image')} left out")
    parts.append(f"{spec.outliers_per_step:,} per step, labelled abstain")
    return _SEPARATOR.join(parts)


def _shared(images: int) -> str:
    are = "image of the target is" if images == 1 else "images of the target are"
    return (
        f"{images:,} {are} also in a source: OOD accuracy is measured on training "
        "images. See: vld data check"
    )


def _sources(data: DataPrepared) -> str:
    counts = [
        f"{plain_text(each.name)} {each.in_images:,}+{each.out_images:,}" for each in data.sources
    ]
    words = _SEPARATOR.join(counts) + " (train + held out)"
    for domain in data.domains:
        if domain.is_held_out:
            words += f"{_SEPARATOR}{plain_text(domain.name)} left out as well"
    return words


def _target(spec: RunSpec, data: DataPrepared | None) -> str:
    if data is None:
        words = plain_text(spec.target or "not chosen yet: use --target")
        words = _EVERY_DOMAIN if spec.target == NO_TARGET else words
        also = spec.held_out_source
        return f"{words}{_SEPARATOR}{plain_text(also)} left out as well" if also else words
    target = next((domain for domain in data.domains if domain.is_target), None)
    if target is None:
        return ONE_DOMAIN if len(data.domains) == 1 else _EVERY_DOMAIN
    images = f"{target.in_images:,} of {plural(target.images, 'image')}"
    return f"{plain_text(target.name)} {images} (never trained on; OOD accuracy)"


def _linear(spec: RunSpec) -> str:
    """Return what linear tuning reads and starts from."""
    read = " of penultimate features" if spec.linear_features == "penultimate" else ""
    start = " from the authors' initial weights" if spec.linear_start == "authors" else ""
    views = f", {_views(spec.views)}" if spec.views else ""
    return f"{spec.tuning} tuning{read}{start}{views}"


def _views(views: int) -> str:
    return f"{plural(views, 'cached view')} of each image"


def _method(spec: RunSpec) -> str:
    if spec.dropout_rate == 0:
        parts = ["no dropout (ERM)"]
    else:
        joined = ", " if spec.masks == "inf" else " × "
        parts = [f"dropout {_rates(spec)}{joined}{masks_words(spec)}"]
    if spec.tuning != "full":
        parts.append(_linear(spec))
    if spec.objective != "erm":
        parts.append(spec.objective)
    if spec.teacher is not None and applies(spec, "teacher"):
        parts.append(f"teacher {plain_text(spec.teacher)}")
    if spec.class_weights != "none":
        parts.append(f"{spec.class_weights} class weights")
    if spec.arms:
        *first, last = spec.arms
        parts.append(f"also {' and '.join(filter(None, [', '.join(first), last]))}")
    if "refined" in spec.arms:
        parts.append(f"refinement: {plural(spec.refine_steps, 'step')} on {spec.refine_on} images")
    if spec.head_steps:
        on_views = f" on {_views(spec.views)}" if spec.views and spec.tuning == "full" else ""
        parts.append(f"last layer first, {plural(spec.head_steps, 'step')}{on_views}")
    return _SEPARATOR.join(parts)


def masks_words(spec: RunSpec) -> str:
    """Return the number of masks with its noun, and what they drop."""
    if spec.masks == "inf":
        return f"limit of many masks{_masked(spec)}, {plural(spec.mask_draws, 'draw')}"
    return f"{plural(spec.masks, 'mask')}{_masked(spec)}"


def _masked(spec: RunSpec) -> str:
    """Return what is masked, if not the penultimate features' units."""
    if spec.mask_at != LAST:
        return f" of channels at {plain_text(spec.mask_at)}"
    return " of principal directions" if spec.mask_basis == "pca" else ""


def _rates(spec: RunSpec) -> str:
    rising = rising_steps(spec)
    if not rising:
        return f"{spec.dropout_rate:g}"
    over = plural(rising, "step")
    return f"{spec.dropout_start:g} to {spec.dropout_rate:g} over {over}"


def _training(spec: RunSpec, data: DataPrepared | None) -> str:
    batch = f"{plural(spec.batch_size, 'image')} per source"
    if data is not None:
        sources = len(data.sources)
        batch = f"{spec.batch_size} × {sources} = {plural(spec.batch_size * sources, 'image')}"
    if spec.sampling == "balanced":
        batch += ", class-balanced"
    parts = [
        f"{plural(spec.steps, 'step')} of {batch}",
        f"evaluated {_evaluations(spec)}",
        f"seed {spec.seed}",
    ]
    if spec.diagnose:
        parts.append(f"then diagnostics: {', '.join(spec.diagnose)}")
    return _SEPARATOR.join(parts)


def _evaluations(spec: RunSpec) -> str:
    left = evaluations_after(spec, 0)
    if left == 1:
        return "at the end"
    if spec.eval_from is None:
        return f"every {spec.eval_every}"
    if left == 2:
        return f"at step {spec.eval_from} and at the end"
    return f"every {spec.eval_every} from step {spec.eval_from}"


def _optimizer(spec: RunSpec) -> str:
    schedule = f"{spec.schedule} schedule"
    if spec.warmup_steps:
        schedule += f", {plural(spec.warmup_steps, 'step')} of warm-up"
    parts = [
        spec.optimizer, _learning_rate(spec), f"weight decay {spec.weight_decay:g}", schedule
    ]  # fmt: skip
    return _SEPARATOR.join(parts)


def _learning_rate(spec: RunSpec) -> str:
    """Return the actual learning rates of the run."""
    peak, end = learning_rates(spec)
    if peak < spec.lr:
        return f"learning rate at most {peak:.2g} at step {spec.steps:,}, never {spec.lr:g}"
    if end < peak:
        return f"learning rate peak {spec.lr:g}, end {end:.2g}"
    return f"learning rate {spec.lr:g}"


def _time(spec: RunSpec, progress: Progress, model: ModelPrepared) -> str | None:
    """Return the engine's estimate, or one from the measured step time.

    None if there is neither and the run has already trained.
    """
    if model.seconds_left is not None:
        return f"about {duration(model.seconds_left)}"
    step_ms = model.step_ms.get(model.execution)
    if step_ms is None:
        trains = progress.latest is not None or progress.end is not None
        return None if trains else "known once training starts"
    return f"about {duration(spec.steps * step_ms / 1000)} of training, plus evaluations"


def _device(spec: RunSpec, model: ModelPrepared | None) -> str:
    if model is None:
        several = f"{spec.ranks} × " if spec.ranks > 1 else ""
        return _SEPARATOR.join([several + plain_text(spec.device), f"precision {spec.precision}"])
    device = plain_text(model.device)
    if model.ranks > 1:  # each on its own
        device = f"{model.ranks} × {device.partition(':')[0]}"
    if model.device_name and model.device_name != model.device:
        device += f" ({plain_text(model.device_name)})"
    parts = [
        device,
        plural(model.threads, "thread"),
        model.execution,
    ]
    if model.evaluation_precision not in (None, model.precision):
        parts.append(f"evaluated in {model.evaluation_precision}")
    return _SEPARATOR.join(parts)


def _precision(model: ModelPrepared) -> str:
    """Return why precision and memory format were chosen, and the options that set them."""
    chosen = model.execution
    others = [name for name in model.step_ms if name != chosen]
    times = [f"{name} {_step_time(model.step_ms[name])}" for name in others]
    words = f"{chosen}, fastest measured here: {_step_time(model.step_ms.get(chosen))} a step"
    if times:
        words += f" ({', '.join(times)})"
    if model.under_load:
        words += "; other programs were running: measure again on an idle machine"
    return f"{words}; to change: --precision, --memory-format, --fold-batchnorm"


def _step_time(ms: float | None) -> str:
    if ms is None:
        return UNKNOWN
    return f"{ms / 1000:.2g} s" if ms >= 1000 else f"{ms:.3g} ms"


def forecast_text(forecast: Forecast, *, runs: int = 1) -> Text:
    """Return time, memory and disk, and the source of each estimate."""
    text = Text()
    each = " each" if runs > 1 else ""
    if forecast.wall_from is None and forecast.wall_s is not None:
        text.append(f"about {duration(forecast.wall_s)}{each}")
        text.append(" (measured on this machine now) · memory unknown", QUIET_STYLE)
        return _with_disk(text, forecast, each)
    if forecast.wall_s is None or forecast.wall_from is None:
        has_disk = forecast.disk_bytes is not None
        text.append("time and memory unknown" if has_disk else "time, memory and disk unknown")
        text.append(
            ": no earlier run with this network, tuning, image size and images on this device",
            QUIET_STYLE,
        )
        _with_timing(text, forecast)
        return _with_disk(text, forecast, each) if has_disk else text
    text.append(f"about {duration(forecast.wall_s)}{each}")
    if runs > 1:
        text.append(f", {duration(runs * forecast.wall_s)} for {runs}")
    if forecast.apart_from:
        text.append(f", not counting {', '.join(forecast.apart_from)}")
    if forecast.memory_bytes is not None:
        device = forecast.wall_from.device or "cpu"
        kind = "memory" if device == "cpu" else "main memory"
        text.append(f" · {size(forecast.memory_bytes)} of {kind}")
    else:
        text.append(" · memory unknown")
    basis = forecast.wall_from
    if forecast.disk_from == basis:
        _with_disk(text, forecast, each, basis=basis)
        text.append(_basis(basis), QUIET_STYLE)
    else:
        text.append(_basis(basis), QUIET_STYLE)
        _with_disk(text, forecast, each)
    return text


def _with_timing(text: Text, forecast: Forecast) -> None:
    if forecast.timing_s is not None:
        most = duration(forecast.timing_s)
        text.append(f" · first run of this network here: up to {most} more to time precisions")


def _with_disk(text: Text, forecast: Forecast, each: str, *, basis: Run | None = None) -> Text:
    if forecast.disk_bytes is None:
        return text.append(" · disk unknown")
    text.append(f" · {size(forecast.disk_bytes)} of checkpoints{each}")
    if basis is None and forecast.disk_from is not None:
        text.append(f", as for {plain_text(forecast.disk_from.name)}", QUIET_STYLE)
    return text


def _basis(run: Run) -> str:
    return f"  from {plain_text(run.label)} on this machine, same network and image size"
