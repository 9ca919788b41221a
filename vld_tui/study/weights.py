"""Find pre-trained weights that are missing on this machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

from engine.protocol import RunSpec
from vld_tui.launch.local import LaunchError
from vld_tui.study.planner import LocalPlanner, Network, weights_places

_OTHERS: Final = ("pretrained", "none")
"""Values of ``weights`` that are not files."""


class AbsentWeights(NamedTuple):
    """Missing weights, and how many runs need them.

    ``where``: on timm's ``hub``, nowhere (``none``), or a missing ``file``.
    """

    name: str
    where: Literal["hub", "none", "file"]
    runs: int


def absent_weights(planner: LocalPlanner, specs: Sequence[RunSpec]) -> tuple[AbsentWeights, ...]:
    """Return the weights that are not on this machine, querying the engine if necessary.

    Unknown networks are skipped; if the engine cannot answer, so are all networks.
    """
    files = Counter(spec.weights for spec in specs if spec.weights not in _OTHERS)
    found = [
        AbsentWeights(path, "file", runs) for path, runs in files.items() if not Path(path).exists()
    ]
    models = Counter(spec.model for spec in specs if spec.weights == "pretrained")
    networks = networks_for(planner, models)
    for model, runs in models.items():
        places = weights_places(model, networks)
        if places == {"hub"}:
            found.append(AbsentWeights(model, "hub", runs))
        elif places == {"none"}:
            found.append(AbsentWeights(model, "none", runs))
    return tuple(found)


def networks_for(planner: LocalPlanner, models: Iterable[str]) -> Sequence[Network]:
    """Return the known networks: the cached list if all of them are here."""
    known = planner.known_networks()
    if all(weights_places(model, known) & {"packaged", "cached"} for model in models):
        return known
    try:
        return planner.networks()
    except LaunchError:
        return known
