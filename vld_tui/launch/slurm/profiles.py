"""Named settings of a cluster, stored in the home."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from engine.protocol import nearest
from engine.rundir import write_atomic
from engine.rundir.lock import held
from vld_tui.home import Home
from vld_tui.launch.slurm.commands import SlurmError
from vld_tui.launch.slurm.settings import (
    SlurmSettings,
    has_secret,
    make_settings,
    refuse_secrets,
)
from vld_tui.words.toml_text import change_toml, read_toml

DEFAULT_PROFILE: Final = "default"
SUFFIX: Final = ".toml"
_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,59}")


def profile_names(home: Home) -> list[str]:
    """Return the names of the profiles."""
    return sorted(path.stem for path in home.profiles.glob(f"*{SUFFIX}"))


def read_profile(home: Home, name: str | None) -> dict[str, Any]:
    """Return the settings of a profile; None: those of ``default``, if it exists.

    Raises:
        SlurmError: when it does not exist or is invalid.
    """
    if name is None:
        if DEFAULT_PROFILE not in profile_names(home):
            return {}
        name = DEFAULT_PROFILE
    path = _existing(home, name)
    try:
        values = read_toml(path.read_text(encoding="utf-8"))
        make_settings(values)
    except (OSError, ValueError, SlurmError) as error:
        raise SlurmError(f"{path}: {error}") from None
    return values


def keep_profile(home: Home, name: str, values: Mapping[str, Any]) -> SlurmSettings:
    """Save a profile, replacing the settings of one of this name but keeping its comments.

    Raises:
        SlurmError: for an unusable name or setting, or when it cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise SlurmError(
            f"The profile name is {name!r}, but must be one word of letters, digits, '.', '_' "
            "and '-'."
        )
    settings = make_settings(dict(values))
    path = home.profiles / f"{name}{SUFFIX}"
    try:
        home.profiles.mkdir(parents=True, exist_ok=True)
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        gone = dict.fromkeys(read_toml(text))
        write_atomic(path, change_toml(text, {**gone, **values}).encode())
        if has_secret(values):  # an old profile may hold one
            path.chmod(0o600)
    except OSError as error:
        raise SlurmError(f"Cannot write to {home.profiles}: {error.strerror}.") from None
    except ValueError as error:
        raise SlurmError(f"{path}: {error}") from None
    return settings


def change_profile(home: Home, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Create a profile or change some of its settings; None or an empty list removes one.

    Returns all of its settings; concurrent changes are kept.

    Raises:
        SlurmError: see :func:`keep_profile`, or when a change holds a secret.
    """
    refuse_secrets(changes)
    with contextlib.ExitStack() as stack:
        try:
            home.profiles.mkdir(parents=True, exist_ok=True)
            stack.enter_context(held(home.profiles / ".lock"))
        except OSError as error:
            raise SlurmError(f"Cannot write to {home.profiles}: {error.strerror}.") from None
        values = dict(read_profile(home, name)) if name in profile_names(home) else {}
        values |= changes
        values = {key: value for key, value in values.items() if value not in (None, [])}
        keep_profile(home, name, values)
    return values


def remove_profile(home: Home, name: str) -> None:
    """Delete a profile.

    Raises:
        SlurmError: when it does not exist or cannot be deleted.
    """
    path = _existing(home, name)
    try:
        path.unlink()
    except OSError as error:
        raise SlurmError(f"Cannot delete profile {name}: {error.strerror}.") from None


def _existing(home: Home, name: str) -> Path:
    """Return a profile's file.

    Raises:
        SlurmError: when it does not exist.
    """
    names = profile_names(home)
    if name not in names:
        known = f" Profiles: {', '.join(names)}." if names else ""
        raise SlurmError(
            f"No profile {name!r}.{nearest(name, names)}{known}\n"
            f"Create it: vld profile set {name} partition=gpu time=4:00:00"
        )
    return home.profiles / f"{name}{SUFFIX}"
