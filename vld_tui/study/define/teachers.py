"""The teachers of a study's runs, where these are runs of the study itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import msgspec

from engine.protocol import RunSpec, run_identity
from engine.protocol.spec import applies

OF_STUDY: Final = "study"
"""Value of ``teacher`` for the run with the same settings, but plain ERM without dropout."""


class FinishedRuns(Protocol):
    """The finished runs of a home."""

    def finished(self, identities: Sequence[str]) -> Mapping[str, str]:
        """Return the id of the first finished run of each identity that has one."""


def teacher_of(spec: RunSpec) -> RunSpec:
    """Return the settings of a run's teacher of the same study: of the same images, target, split
    and seed."""
    return msgspec.structs.replace(spec, teacher=None, objective="erm", dropout_rate=0.0)


def with_known_teachers(specs: Sequence[RunSpec], runs: FinishedRuns) -> list[RunSpec]:
    """Return the specs with the ids of their teachers.

    Runs whose teacher has not finished are left out: their identity depends on its id.
    """
    taught = [spec for spec in specs if spec.teacher == OF_STUDY and applies(spec, "teacher")]
    wanted = {run_identity(spec): run_identity(teacher_of(spec)) for spec in taught}
    known = runs.finished([*dict.fromkeys(wanted.values())]) if wanted else {}
    found: list[RunSpec] = []
    for spec in specs:
        if spec.teacher != OF_STUDY:
            found.append(spec)
        elif not applies(spec, "teacher"):
            found.append(msgspec.structs.replace(spec, teacher=None))
        elif (teacher := known.get(wanted[run_identity(spec)])) is not None:
            found.append(msgspec.structs.replace(spec, teacher=teacher))
    return found
