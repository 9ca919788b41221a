"""The teacher of a run: found among the runs of a home, and checked before the run is created."""

from __future__ import annotations

import msgspec

from engine.protocol import FIELDS, RunSpec, UserError
from engine.protocol.datasets import DatasetListing
from engine.protocol.spec import applies
from engine.rundir import RunDir
from vld_tui.home import Home
from vld_tui.store.store import Store


class TeacherError(UserError):
    """A run that cannot teach; the message says why, and what to do."""


def find_teacher_id(home: Home, reference: str) -> str:
    """Return the id of the run with this id, name, or start of an id.

    Raises:
        StoreError: when no run matches, or several.
    """
    if "/" not in reference and RunDir(home.runs / reference).spec.is_file():
        return reference
    with Store.open(home) if home.is_made else Store.without_history(home) as store:
        return store.runs.get(reference).run_id


def with_teacher(home: Home, spec: RunSpec, listing: DatasetListing | None = None) -> RunSpec:
    """Return a spec with the id of its teacher, after checking that the run can learn from it.

    The images are compared when the run starts.

    Args:
        home: of both runs.
        spec: its ``teacher`` is the id, the name or the start of the id of a run.
        listing: the images of the run; None: their classes are not compared.

    Raises:
        TeacherError: when it cannot.
    """
    if spec.teacher is None or not applies(spec, "teacher"):
        return spec
    from engine.rundir.checkpoints import classes_of  # not for the first picture
    from engine.rundir.teacher import find_teacher

    try:
        found = msgspec.structs.replace(spec, teacher=find_teacher_id(home, spec.teacher))
        classes = classes_of(find_teacher(found, home.runs), None, "best")
    except UserError as error:
        raise TeacherError(f"{FIELDS['teacher'].flag}: {error}") from None
    if listing is not None and listing.classes != classes:
        raise TeacherError(
            f"{FIELDS['teacher'].flag}: Run {found.teacher} has the classes {', '.join(classes)}, "
            f"not {', '.join(listing.classes)}. Give another run."
        )
    return found
