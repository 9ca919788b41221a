"""Settings of a cluster job: their text form, environment variables, and profiles in the home."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from engine.protocol import nearest
from engine.protocol.fields import about, fields_of
from engine.rundir import write_atomic
from engine.rundir.lock import held
from vld_tui.home import Home
from vld_tui.launch.slurm.commands import SlurmError, minutes_of
from vld_tui.words.secrets import is_secret, secret_in
from vld_tui.words.toml_text import change_toml, read_toml

Words = tuple[str, ...]
PositiveInt = Annotated[int, msgspec.Meta(ge=1)]
NONE: Final = "none"
"""Value that stands for the cluster's default."""
_WRITTEN: Final = ("time", "mem")
"""Text settings that may be written as a number in a file."""
_OPTION: Final = re.compile(r"[a-z][a-z-]*(=.+)?")
_OURS: Final = frozenset(
    ("array", "clusters", "error", "job-name", "no-requeue", "nodes", "ntasks", "open-mode",
     "output", "parsable", "quiet", "requeue", "signal", "test-only", "wait", "wrap")
)  # fmt: skip
"""sbatch options that vld sets itself."""
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(=.*)?")
_MEMORY: Final = re.compile(r"\d+[KMGT]?")
DEFAULT_PROFILE: Final = "default"
PROFILE_SUFFIX: Final = ".toml"
_PROFILE_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,59}")


class SlurmSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a job requests from the cluster; None: the cluster's default."""

    partition: Annotated[str | None, about("Slurm partition.", metavar="NAME")] = None
    account: Annotated[str | None, about("Account to charge.", metavar="NAME")] = None
    qos: Annotated[str | None, about("Quality of service.", metavar="NAME")] = None
    time: Annotated[
        str | None,
        about(
            "Time limit per job (90, 4:00:00, 1-12); after it, the job is requeued and resumes.",
            metavar="TIME",
        ),
    ] = None
    gpus_per_run: Annotated[int, msgspec.Meta(ge=0), about("GPUs per run.", metavar="N")] = 1
    cpus: Annotated[PositiveInt | None, about("CPU cores per job.", metavar="N")] = None
    mem: Annotated[str | None, about("Memory per job, such as 32G.", metavar="SIZE")] = None
    array_parallelism: Annotated[
        PositiveInt | None, about("Maximum concurrent jobs of an array.", metavar="N")
    ] = None
    pack: Annotated[PositiveInt, about("Runs per job, one after another.", metavar="N")] = 1
    runs_per_gpu: Annotated[PositiveInt, about("Concurrent runs per GPU.", metavar="N")] = 1
    setup: Annotated[
        Words, about("Shell command before the runs, such as 'module load cuda'.", metavar="LINE")
    ] = ()
    env: Annotated[
        Words,
        about(
            "Environment variable of the runs; NAME alone takes your current value.",
            metavar="NAME[=VALUE]",
        ),
    ] = ()
    sbatch: Annotated[
        Words, about("Other sbatch option, such as constraint=a100.", metavar="NAME=VALUE")
    ] = ()

    @property
    def runs_per_job(self) -> int:
        """Return the number of runs per job."""
        return max(self.pack, self.runs_per_gpu)


SETTINGS: Final = fields_of(SlurmSettings)


def make_settings(values: dict[str, Any]) -> SlurmSettings:
    """Return settings from values by name; texts are parsed.

    Raises:
        SlurmError: with the setting, its value and what is allowed.
    """
    for name in values:
        if name not in SETTINGS:
            raise SlurmError(
                f"No such setting: {name!r}.{nearest(name, SETTINGS)}\n"
                f"Settings: {', '.join(SETTINGS)}."
            )
    values = {name: _as_meant(name, value) for name, value in values.items()}
    try:
        settings = msgspec.convert(values, SlurmSettings, strict=False)
    except msgspec.ValidationError as error:
        raise SlurmError(_in_words(str(error), values)) from None
    _check(settings)
    return settings


def settings_as_values(settings: SlurmSettings) -> dict[str, Any]:
    """Return the settings that differ from the defaults, by name, as JSON values.

    They may be stored and shown: of a secret variable only the name is kept.
    """
    values = settings_in_full(settings)
    return values | ({"env": without_secrets(settings.env)} if settings.env else {})


def settings_in_full(settings: SlurmSettings) -> dict[str, Any]:
    """Return the settings that differ from the defaults, including secrets: never store these."""
    usual = msgspec.structs.asdict(SlurmSettings())
    given = msgspec.structs.asdict(settings)
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in given.items()
        if value != usual[name]
    }


def _as_meant(name: str, value: Any) -> Any:
    """Return a value in the type of its setting."""
    if value in (NONE, [NONE]) and not isinstance(SETTINGS[name].default, int):
        return SETTINGS[name].default
    return str(value) if name in _WRITTEN and type(value) is int else value


def _check(settings: SlurmSettings) -> None:
    if settings.time is not None and not minutes_of(settings.time):
        raise SlurmError(
            f"time is {settings.time!r}, but must be minutes, MM:SS, H:MM:SS or D-HH[:MM[:SS]], "
            "such as 90, 90:00, 4:00:00 or 1-12."
        )
    if settings.mem is not None and not _MEMORY.fullmatch(settings.mem):
        raise SlurmError(f"mem is {settings.mem!r}, but must be a size such as 32G or 900M.")
    if settings.runs_per_gpu > 1 and settings.gpus_per_run > 1:
        raise SlurmError("runs_per_gpu must be 1 when gpus_per_run is above 1.")
    for each in settings.env:
        if not _VARIABLE.fullmatch(each):
            raise SlurmError(
                f"env is {each!r}, but must be NAME=VALUE, or NAME to use its current value."
            )
    for each in settings.sbatch:
        if (name := each.partition("=")[0]) in _OURS:
            raise SlurmError(f"sbatch is {each!r}, but {name} is set by vld; remove it.")
        if not _OPTION.fullmatch(each):
            raise SlurmError(
                f"sbatch is {each!r}, but must be a long option without leading dashes, such as "
                "constraint=a100 or exclusive."
            )
    for name in ("partition", "account", "qos"):
        value = getattr(settings, name)
        if value is not None and not re.fullmatch(r"[\w.,@+-]+", value):
            raise SlurmError(f"{name} is {value!r}, but must be one word.")
    if any("\n" in line or "\0" in line for line in (*settings.setup, *settings.env)):
        raise SlurmError("setup and env must be single lines; repeat --setup for more.")


def _in_words(error: str, values: dict[str, Any]) -> str:
    """Return a validation error in the form that all others have."""
    found = re.search(r"`\$\.(\w+)", error)
    if found is None:
        return error
    return f"{found[1]} is {values[found[1]]!r}, but must be {SETTINGS[found[1]].allowed}."


def refuse_secrets(values: Mapping[str, Any]) -> None:
    """Check that the typed settings contain no secret.

    Raises:
        SlurmError: with how to pass it by name.
    """
    for setting, name in _secrets_in(values):
        raise SlurmError(
            f"{setting} seems to contain a secret ({name}), which would be stored with each run.\n"
            f"Pass it by name instead: export {name}=…, then env={name} in a profile or --env "
            f"{name}"
        )


def has_secret(values: Mapping[str, Any]) -> bool:
    """Return whether settings contain a secret value."""
    return any(True for _ in _secrets_in(values))


def without_secrets(env: Iterable[str]) -> list[str]:
    """Return the variables to store and show, with secrets by name only."""
    return [each if (pair := _secret_pair(each)) is None else pair[0] for each in env]


def variables_with_values(env: Iterable[str]) -> dict[str, str]:
    """Return the variables given with a value that is not a secret."""
    pairs = (each.partition("=") for each in env if _secret_pair(each) is None)
    return {name: value for name, sign, value in pairs if sign}


def variables_by_name(
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


def export_option(names: Iterable[str], base: str | None) -> str:
    """Return the value of sbatch's ``--export`` that also passes these variables."""
    others = [] if base in ("NONE", "NIL") else [base or "ALL"]
    return ",".join([*others, *names])


def _secrets_in(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the settings that contain a secret, with its name."""
    for setting in ("env", "setup", "sbatch"):
        given = values.get(setting) or ()
        for each in (given,) if isinstance(given, str) else given:
            name = _secret_in(str(each), is_variable=setting == "env")
            if name is not None:
                yield setting, name


def _secret_pair(variable: str) -> tuple[str, str] | None:
    name, sign, value = variable.partition("=")
    return (name, value) if sign and is_secret(name, value) else None


def _secret_in(text: str, *, is_variable: bool) -> str | None:
    """Return the name under which a text or variable holds a secret, or None."""
    if is_variable:
        pair = _secret_pair(text)
        return None if pair is None else pair[0]
    return secret_in(text)


def profile_names(home: Home) -> list[str]:
    """Return the names of the profiles."""
    return sorted(path.stem for path in home.profiles.glob(f"*{PROFILE_SUFFIX}"))


def read_profile(home: Home, name: str | None) -> dict[str, Any]:
    """Return the settings of a profile; None: those of ``default``, if it exists.

    Raises:
        SlurmError: when it does not exist or is invalid.
    """
    if name is None:
        if DEFAULT_PROFILE not in profile_names(home):
            return {}
        name = DEFAULT_PROFILE
    path = _profile_file(home, name)
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
    if not _PROFILE_NAME.fullmatch(name):
        raise SlurmError(
            f"The profile name is {name!r}, but must be one word of letters, digits, '.', '_' "
            "and '-'."
        )
    settings = make_settings(dict(values))
    path = home.profiles / f"{name}{PROFILE_SUFFIX}"
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
    path = _profile_file(home, name)
    try:
        path.unlink()
    except OSError as error:
        raise SlurmError(f"Cannot delete profile {name}: {error.strerror}.") from None


def _profile_file(home: Home, name: str) -> Path:
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
    return home.profiles / f"{name}{PROFILE_SUFFIX}"
