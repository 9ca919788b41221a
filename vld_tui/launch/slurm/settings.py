"""What a job asks of the cluster, each setting written once."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

import msgspec

from engine.protocol import nearest
from engine.protocol.fields import about, fields_of
from vld_tui.launch.slurm.commands import SlurmError
from vld_tui.launch.slurm.variables import VARIABLE

Words = tuple[str, ...]
Count = Annotated[int, msgspec.Meta(ge=1)]


class SlurmSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a job asks of the cluster; None: as the cluster has it."""

    partition: Annotated[str | None, about("Where jobs go.", metavar="WORD")] = None
    account: Annotated[str | None, about("Who is charged.", metavar="WORD")] = None
    qos: Annotated[str | None, about("Quality of service.", metavar="WORD")] = None
    time: Annotated[
        str | None,
        about(
            "Longest life of a job, after which it is queued again: 90, 4:00:00, 1-12.",
            metavar="TIME",
        ),
    ] = None
    gpus_per_run: Annotated[int, msgspec.Meta(ge=0), about("GPUs of each run.", metavar="N")] = 1
    cpus: Annotated[Count | None, about("Processor cores of each job.", metavar="N")] = None
    mem: Annotated[str | None, about("Memory of each job, such as 32G.", metavar="SIZE")] = None
    array_parallelism: Annotated[
        Count | None, about("Jobs of an array that run at once, at most.", metavar="N")
    ] = None
    pack: Annotated[Count, about("Runs in one job, one after another.", metavar="N")] = 1
    runs_per_gpu: Annotated[Count, about("Runs that share a GPU at once.", metavar="N")] = 1
    setup: Annotated[
        Words, about("A line of shell before the runs, such as 'module load cuda'.", metavar="LINE")
    ] = ()
    env: Annotated[
        Words,
        about(
            "A variable of the runs; NAME alone passes on your own, as for secrets.",
            metavar="NAME[=VALUE]",
        ),
    ] = ()
    sbatch: Annotated[
        Words, about("Any other option of sbatch, such as constraint=a100.", metavar="NAME=VALUE")
    ] = ()

    @property
    def runs_per_job(self) -> int:
        """Return how many runs one job does."""
        return max(self.pack, self.runs_per_gpu)


SETTINGS: Final = fields_of(SlurmSettings)

NONE: Final = "none"
"""In place of a value: as the cluster has it."""
_WRITTEN: Final = ("time", "mem")
"""Settings that are text, and may be written as a number in a file."""
_TIMES: Final = (  # as sbatch(1) has them
    r"(?P<minutes>\d+)(?::(?P<seconds>\d+))?",
    r"(?P<hours>\d+):(?P<minutes>\d+):(?P<seconds>\d+)",
    r"(?P<days>\d+)-(?P<hours>\d+)(?::(?P<minutes>\d+))?(?::(?P<seconds>\d+))?",
)
_OPTION: Final = re.compile(r"[a-z][a-z-]*(=.+)?")
_OURS: Final = frozenset(
    ("array", "clusters", "error", "job-name", "no-requeue", "nodes", "ntasks", "open-mode",
     "output", "parsable", "quiet", "requeue", "signal", "test-only", "wait", "wrap")
)  # fmt: skip
"""Options of sbatch that submitting, watching and queueing again rely on."""
_MEMORY: Final = re.compile(r"\d+[KMGT]?")


def make_settings(values: dict[str, Any]) -> SlurmSettings:
    """Return settings of values by name, texts as they are typed.

    Raises:
        SlurmError: naming the setting, its value and what is allowed.
    """
    for name in values:
        if name not in SETTINGS:
            raise SlurmError(
                f"There is no setting {name!r}.{nearest(name, SETTINGS)} They are: "
                f"{', '.join(SETTINGS)}."
            )
    values = {name: _as_meant(name, value) for name, value in values.items()}
    try:
        settings = msgspec.convert(values, SlurmSettings, strict=False)
    except msgspec.ValidationError as error:
        raise SlurmError(_in_words(str(error), values)) from None
    _check(settings)
    return settings


def _as_meant(name: str, value: Any) -> Any:
    """Return a value whose type says what it means."""
    if value in (NONE, [NONE]) and not isinstance(SETTINGS[name].default, int):
        return SETTINGS[name].default
    return str(value) if name in _WRITTEN and type(value) is int else value


def minutes_of(time: str) -> int | None:
    """Return the minutes that a time as Slurm writes it means, rounded up; None: it is none."""
    for pattern in _TIMES:
        if found := re.fullmatch(pattern, time.strip()):
            parts = {unit: int(count or 0) for unit, count in found.groupdict().items()}
            hours = parts.get("days", 0) * 24 + parts.get("hours", 0)
            seconds = hours * 3600 + parts.get("minutes", 0) * 60 + parts.get("seconds", 0)
            return -(-seconds // 60)
    return None


def _check(settings: SlurmSettings) -> None:
    if settings.time is not None and not minutes_of(settings.time):
        raise SlurmError(
            f"time is {settings.time!r}, but must be minutes, MM:SS, H:MM:SS, or D-HH with or "
            "without minutes and seconds: 90, 90:00, 4:00:00, 1-12."
        )
    if settings.mem is not None and not _MEMORY.fullmatch(settings.mem):
        raise SlurmError(f"mem is {settings.mem!r}, but must be a size such as 32G or 900M.")
    if settings.runs_per_gpu > 1 and settings.gpus_per_run > 1:
        raise SlurmError("Runs of several GPUs cannot share them: leave --runs-per-gpu at 1.")
    for each in settings.env:
        if not VARIABLE.fullmatch(each):
            raise SlurmError(
                f"env is {each!r}, but must be NAME=VALUE, or NAME to take it from the environment."
            )
    for each in settings.sbatch:
        if (name := each.partition("=")[0]) in _OURS:
            raise SlurmError(f"sbatch is {each!r}, but {name} is for vld to choose: leave it out.")
        if not _OPTION.fullmatch(each):
            raise SlurmError(
                f"sbatch is {each!r}, but must be an option's long name without dashes, with its "
                "value if it has one: constraint=a100, exclusive."
            )
    for name in ("partition", "account", "qos"):
        value = getattr(settings, name)
        if value is not None and not re.fullmatch(r"[\w.,@+-]+", value):
            raise SlurmError(f"{name} is {value!r}, but must be one word.")
    if any("\n" in line or "\0" in line for line in (*settings.setup, *settings.env)):
        raise SlurmError("setup and env must be single lines; give --setup several times.")


def _in_words(error: str, values: dict[str, Any]) -> str:
    """Return a validation error in the form that all others have."""
    found = re.search(r"`\$\.(\w+)", error)
    if found is None:
        return error
    return f"{found[1]} is {values[found[1]]!r}, but must be {SETTINGS[found[1]].allowed}."
