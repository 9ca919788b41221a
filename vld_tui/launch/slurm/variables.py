"""Environment variables of jobs: stored values, and secrets, which are never stored.

A secret is passed by name: ``sbatch --export`` takes its value from the submitting environment, so
no script, profile or run folder contains it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from vld_tui.launch.slurm.commands import SlurmError

VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(=.*)?")
HIDDEN: Final = "***"
_LEAST_LENGTH: Final = 8
_SECRET_NAME: Final = re.compile(
    r"(?i)(?:^|_)(?:TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|API_?KEY|KEY|PAT)$"
)
_SECRET_VALUE: Final = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}|gh[oprsu]_[A-Za-z0-9]{20,}"
    r"|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abeprs]-[\w-]{10,}|A[KS]IA[0-9A-Z]{16}"
    r"|eyJ[\w-]{10,}\.[\w-]{10,}\.)|://[^\s/@'\":]+:[^\s/@'\"]+@"
)
"""Tokens of well-known services, and passwords in addresses."""
_ASSIGNMENT: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(\"[^\"]*\"|'[^']*'|[^\s,;]*)")


def is_secret(name: str, value: str) -> bool:
    """Return whether a variable with this value looks like a secret."""
    value = value.strip("\"'")
    is_place = value.startswith(("/", "~", "$"))
    if _SECRET_NAME.search(name) and len(value) >= _LEAST_LENGTH and not is_place:
        return True
    return _SECRET_VALUE.search(value) is not None


def refuse_secrets(values: Mapping[str, Any]) -> None:
    """Check that the typed settings contain no secret.

    Raises:
        SlurmError: with how to pass it by name.
    """
    for setting in ("env", "setup", "sbatch"):
        given = values.get(setting) or ()
        for each in (given,) if isinstance(given, str) else given:
            name = _secret_in(str(each), is_variable=setting == "env")
            if name is not None:
                raise SlurmError(
                    f"{setting} seems to contain a secret ({name}), which would be stored with "
                    f"each run.\nPass it by name instead: export {name}=…, then env={name} in a "
                    f"profile or --env {name}"
                )


def has_secret(values: Mapping[str, Any]) -> bool:
    """Return whether settings contain a secret value."""
    try:
        refuse_secrets(values)
    except SlurmError:
        return True
    return False


def by_name(env: Iterable[str]) -> list[str]:
    """Return the variables to store and show, with secrets by name only."""
    return [each if (pair := _secret_pair(each)) is None else pair[0] for each in env]


def with_values(env: Iterable[str]) -> dict[str, str]:
    """Return the variables given with a value that is not a secret."""
    pairs = (each.partition("=") for each in env if _secret_pair(each) is None)
    return {name: value for name, sign, value in pairs if sign}


def from_environment(
    env: Iterable[str], environment: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Return the variables passed by name, with their values.

    Raises:
        SlurmError: for a variable that is not set.
    """
    found = {}
    for each in env:
        name, sign, value = each.partition("=")
        if sign and _secret_pair(each) is None:
            continue
        if not sign and name not in environment:
            raise SlurmError(
                f"env lists {name}, which is not set. Set it (export {name}=…), or drop it with "
                "--env none."
            )
        found[name] = value if sign else environment[name]
    return found


def export_of(names: Iterable[str], base: str | None) -> str:
    """Return the value of sbatch's ``--export`` that also passes these variables."""
    others = [] if base in ("NONE", "NIL") else [base or "ALL"]
    return ",".join([*others, *names])


def _secret_pair(variable: str) -> tuple[str, str] | None:
    name, sign, value = variable.partition("=")
    return (name, value) if sign and is_secret(name, value) else None


def _secret_in(text: str, *, is_variable: bool) -> str | None:
    """Return the name under which a text or variable holds a secret, or None."""
    if is_variable:
        pair = _secret_pair(text)
        return None if pair is None else pair[0]
    for name, value in _ASSIGNMENT.findall(text):
        if is_secret(name, value):
            return str(name)
    return "SECRET" if _SECRET_VALUE.search(text) else None
