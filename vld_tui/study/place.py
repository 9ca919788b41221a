"""Remember where a study was last launched, with its job settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from engine.rundir import write_atomic
from vld_tui.home import Home
from vld_tui.launch.slurm.commands import SlurmError
from vld_tui.launch.slurm.profiles import settings_as_values
from vld_tui.launch.slurm.settings import SlurmSettings, make_settings
from vld_tui.study.define.grid import StudyError

SUFFIX: Final = ".slurm.json"


def last_place(home: Home, name: str) -> SlurmSettings | None:
    """Return the study's last job settings, or None if it last ran on this machine.

    Raises:
        StudyError: when they cannot be read.
    """
    path = _path(home, name)
    try:
        return make_settings(msgspec.json.decode(path.read_bytes(), type=dict[str, Any]))
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, SlurmError) as error:
        raise StudyError(
            f"Cannot read {path}: {str(error).removesuffix('.')}.\n"
            "Delete it, and choose with --on where the study runs."
        ) from None


def goes_to_cluster(home: Home, name: str) -> bool:
    """Return whether the study was last launched on a cluster."""
    return _path(home, name).exists()


def remember_place(home: Home, name: str, settings: SlurmSettings | None) -> None:
    """Remember where a study was launched; None: on this machine.

    Raises:
        StudyError: when it cannot be written.
    """
    path = _path(home, name)
    try:
        if settings is None:
            path.unlink(missing_ok=True)
        else:
            write_atomic(path, msgspec.json.encode(settings_as_values(settings)))
    except OSError as error:
        raise StudyError(f"Cannot write to {path}: {error.strerror}.") from None


def _path(home: Home, name: str) -> Path:
    return home.studies / f"{name}{SUFFIX}"
