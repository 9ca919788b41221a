"""The environment variables of jobs: those given with a value, and secrets, which are not stored.

A secret is passed by its name: ``sbatch --export`` takes the value from the environment of whoever
submits, so that it stands in no script, profile or run folder.
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
    """Say whether a variable with this value looks like a secret."""
    value = value.strip("\"'")
    is_place = value.startswith(("/", "~", "$"))
    if _SECRET_NAME.search(name) and len(value) >= _LEAST_LENGTH and not is_place:
        return True
    return _SECRET_VALUE.search(value) is not None


def refuse_secrets(values: Mapping[str, Any]) -> None:
    """Refuse settings, as they are typed, that hold a secret.

    Raises:
        SlurmError: saying how to pass it by name.
    """
    for setting in ("env", "setup", "sbatch"):
        given = values.get(setting) or ()
        for each in (given,) if isinstance(given, str) else given:
            name = _secret_in(str(each), is_variable=setting == "env")
            if name is not None:
                raise SlurmError(
                    f"{setting} holds what looks like a secret ({name}), which would be stored "
                    f"with each run.\nPass it by name, from the environment: export {name}=…, "
                    f"then env={name} in a profile or --env {name}"
                )


def has_secret(values: Mapping[str, Any]) -> bool:
    """Say whether settings hold a secret by value."""
    try:
        refuse_secrets(values)
    except SlurmError:
        return True
    return False


def by_name(env: Iterable[str]) -> list[str]:
    """Return variables as they may be stored and shown: secrets by their names."""
    return [each if (pair := _secret_pair(each)) is None else pair[0] for each in env]


def with_values(env: Iterable[str]) -> dict[str, str]:
    """Return the variables that are given with a value, which is no secret."""
    pairs = (each.partition("=") for each in env if _secret_pair(each) is None)
    return {name: value for name, sign, value in pairs if sign}


def from_environment(
    env: Iterable[str], environment: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Return the variables that are passed by name, with their values.

    Raises:
        SlurmError: naming one that is not set here.
    """
    found = {}
    for each in env:
        name, sign, value = each.partition("=")
        if sign and _secret_pair(each) is None:
            continue
        if not sign and name not in environment:
            raise SlurmError(
                f"env names {name}, which is not set here. Set it: export {name}=…, or leave it "
                "out: --env none"
            )
        found[name] = value if sign else environment[name]
    return found


def export_of(names: Iterable[str], base: str | None) -> str:
    """Return the value of sbatch's ``--export`` that passes variables on as well; None: its own."""
    others = [] if base in ("NONE", "NIL") else [base or "ALL"]
    return ",".join([*others, *names])


def _secret_pair(variable: str) -> tuple[str, str] | None:
    name, sign, value = variable.partition("=")
    return (name, value) if sign and is_secret(name, value) else None


def _secret_in(text: str, *, is_variable: bool) -> str | None:
    """Return the name under which a text, or a variable, holds a secret; None: it holds none."""
    if is_variable:
        pair = _secret_pair(text)
        return None if pair is None else pair[0]
    for name, value in _ASSIGNMENT.findall(text):
        if is_secret(name, value):
            return str(name)
    return "SECRET" if _SECRET_VALUE.search(text) else None
