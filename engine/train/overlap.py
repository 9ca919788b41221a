"""What a run is measured on, and the network it started from was trained on."""

from __future__ import annotations

from collections.abc import Iterator

from engine.data import RunData
from engine.protocol import LoadedWeights, RunSpec, trial_seed


def overlaps(spec: RunSpec, data: RunData, loaded: LoadedWeights | None) -> Iterator[str]:
    """Yield cautions: which accuracies are too high, as another run trained on their images."""
    past = None if loaded is None else loaded.training
    if past is None or past.dataset != data.name:
        return
    begins = f"The network in --weights was trained by run {past.run} on images"
    for domain in data.domains:
        if not domain.is_source and domain.name not in (past.target, past.held_out_source):
            accuracy = "OOD accuracy" if domain.is_target else "accuracy"
            yield f"{begins} of {domain.name}: its {accuracy} is too high."
    split = (trial_seed(spec), spec.validation_fraction)
    if split != (past.split_seed, past.validation_fraction):
        yield (
            f"{begins} that this run holds out: ID accuracy is too high, and so is what is chosen "
            f"by it. Give --trial-seed {past.split_seed} --validation-fraction "
            f"{past.validation_fraction:g} for the same split."
        )
