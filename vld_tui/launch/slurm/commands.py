"""Run Slurm's commands and parse their output and errors."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from engine.protocol import UserError, nearest
from vld_tui.runs.run import EXIT_CODE, Job

PATIENCE_S: Final = 60.0
"""Timeout for a busy controller."""
_SEPARATOR: Final = "|"
_NO_MUNGE: Final = "Munge encode failed"
_FATAL: Final = "fatal: "
_REST: Final = 2**32 - 2
"""Index under which Slurm groups array tasks that were cancelled while pending."""
_TIMES: Final = (  # formats of sbatch(1)
    r"(?P<minutes>\d+)(?::(?P<seconds>\d+))?",
    r"(?P<hours>\d+):(?P<minutes>\d+):(?P<seconds>\d+)",
    r"(?P<days>\d+)-(?P<hours>\d+)(?::(?P<minutes>\d+))?(?::(?P<seconds>\d+))?",
)


class SlurmError(UserError):
    """Slurm failed or is missing; the message gives the reason and what to do."""


class SlurmAwayError(SlurmError):
    """No cluster can be asked from here: Slurm is not installed, or its controller is away."""


class Partition(NamedTuple):
    """A partition with its default and maximum time (minutes; None: unlimited)."""

    name: str
    usual_minutes: int | None
    most_minutes: int | None


def is_slurm_here() -> bool:
    """Return whether jobs can be submitted from this machine."""
    return shutil.which("sbatch") is not None


def require_slurm() -> None:
    """Check that jobs can be submitted from this machine.

    Raises:
        SlurmAwayError: when Slurm is not installed.
    """
    if not is_slurm_here():
        raise SlurmAwayError(
            "Slurm is not installed on this machine: sbatch not found. Log in to a cluster node "
            "that shares this home, or run here with --on local."
        )


def refuse_other_clusters() -> None:
    """Check that jobs do not go to another cluster than the one that is queried.

    Raises:
        SlurmError: when the environment names clusters.
    """
    for name in ("SLURM_CLUSTERS", "SBATCH_CLUSTERS"):
        if os.environ.get(name):
            raise SlurmError(
                f"{name} is set, so jobs would not go to the cluster that is queried.\n"
                f"Unset {name} and submit from a login node of that cluster."
            )


def require_controller() -> None:
    """Check that Slurm's controller answers; other commands take 10 s to notice.

    Raises:
        SlurmAwayError: when it does not answer.
    """
    done = _run("scontrol", "ping")
    if done.returncode != 0:
        raise SlurmAwayError(
            f"Slurm's controller does not answer: {_why_away(done)}. Try again, or contact the "
            "cluster's administrators."
        )


def list_jobs() -> dict[str, Job]:
    """Return this user's jobs by id, with array tasks separately: pending and running ones, and
    those that ended within the last minutes.

    Raises:
        SlurmError: when Slurm does not answer.
    """
    return _read_table(_squeue("--array", "-o", "%i|%T|%r|%N"))


def arrays_by_name() -> dict[str, str]:
    """Return the ids of this user's jobs and arrays by their names.

    Raises:
        SlurmError: when Slurm does not answer.
    """
    answer = _squeue("-o", "%j|%A|%F")
    lines = (line.split(_SEPARATOR) for line in answer.splitlines() if line.count("|") == 2)
    return {name: array if array != "N/A" else job for name, job, array in lines}


def ended_jobs(job_ids: Collection[str]) -> dict[str, Job]:
    """Return how jobs ended, from the accounting or, for some minutes, from the controller.

    Raises:
        SlurmError: when Slurm does not answer.
    """
    found: dict[str, Job] = {}
    for array in sorted({job_id.partition("_")[0] for job_id in job_ids}):
        try:
            answer = ask("scontrol", "show", "job", "--all", "--oneliner", array)
        except SlurmError as error:
            if not any(words in str(error) for words in ("Invalid job id", "not found")):
                raise
            continue
        found |= {job.job_id: job for job in map(_read_job, answer.splitlines()) if job}
    for job_id in job_ids:
        rest = found.get(f"{job_id.partition('_')[0]}_{_REST}")
        if job_id not in found and rest is not None and rest.state == "CANCELLED":
            found[job_id] = rest._replace(job_id=job_id)
    missing = [job_id for job_id in job_ids if job_id not in found]
    if missing:
        found |= _from_accounting(missing)
    return {job_id: found[job_id] for job_id in job_ids if job_id in found}


def configuration() -> dict[str, str]:
    """Return the cluster's configuration, ``scontrol show config``.

    Raises:
        SlurmError: when Slurm does not answer.
    """
    pairs = (line.partition("=") for line in ask("scontrol", "show", "config").splitlines())
    return {name.strip(): value.strip() for name, sign, value in pairs if sign}


def partitions_for(names: str | None) -> list[Partition]:
    """Return the partitions with these comma-separated names; None: the default partition.

    Raises:
        SlurmError: when Slurm does not answer, or a partition does not exist.
    """
    answer = ask("scontrol", "show", "partition", "--all", "--oneliner")
    found = [dict(fields_of(line)) for line in answer.splitlines()]
    known = {fields["PartitionName"]: fields for fields in found if "PartitionName" in fields}
    usual = [name for name in known if known[name].get("Default") == "YES"]
    chosen = names.split(",") if names else usual[:1]
    for name in chosen:
        if name not in known:
            raise SlurmError(
                f"No partition {name!r} on this cluster.{nearest(name, known)} Partitions: "
                f"{', '.join(known)}."
            )
    return [_partition(known[name]) for name in chosen]


def _partition(fields: dict[str, str]) -> Partition:
    most = minutes_of(fields.get("MaxTime", ""))
    usual = minutes_of(fields.get("DefaultTime", "")) or most
    return Partition(fields["PartitionName"], usual, most)


def minutes_of(time: str) -> int | None:
    """Return a Slurm time in minutes, rounded up, or None if it is invalid."""
    for pattern in _TIMES:
        if found := re.fullmatch(pattern, time.strip()):
            parts = {unit: int(count or 0) for unit, count in found.groupdict().items()}
            hours = parts.get("days", 0) * 24 + parts.get("hours", 0)
            seconds = hours * 3600 + parts.get("minutes", 0) * 60 + parts.get("seconds", 0)
            return -(-seconds // 60)
    return None


def most_submitted() -> int | None:
    """Return the accounting's limit of concurrent jobs of this user, or None if unknown."""
    if shutil.which("sacctmgr") is None:
        return None
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
        answer = ask(
            "sacctmgr", "--noheader", "--parsable2", "show", "assoc", f"user={user}",
            "format=MaxSubmitJobs",
        )  # fmt: skip
    except (KeyError, SlurmError):  # no user name, or no accounting
        return None
    limits = [int(line) for line in answer.split() if line.isdecimal()]
    return min(limits, default=None)


def ask(*command: str) -> str:
    """Run a Slurm command and return its output.

    Raises:
        SlurmError: with the command's error message.
    """
    done = _run(*command)
    if done.returncode != 0:
        raise SlurmError(complaint(command[0], done.stderr or done.stdout))
    return done.stdout


def fields_of(line: str) -> Iterator[tuple[str, str]]:
    """Yield the names and values of a line of ``scontrol show --oneliner``."""
    for word in line.split():
        name, sign, value = word.partition("=")
        if sign:
            yield name, value


def complaint(program: str, text: str) -> str:
    """Return a Slurm program's error message as one line."""
    return f"{program}: {_reason(program, text)}"


def _reason(program: str, text: str) -> str:
    """Return a program's error message: the fatal lines, or else all lines."""
    if _NO_MUNGE in text:
        return "munge is not running on this machine, so Slurm cannot authenticate you"
    lines = [re.sub(rf"^{program}: (error: )?", "", line).strip() for line in text.splitlines()]
    died_of = [line.removeprefix(_FATAL) for line in lines if line.startswith(_FATAL)]
    kept = died_of or [line for line in lines if line and not line.startswith("**")]  # not a banner
    return "; ".join(dict.fromkeys(kept)) or "no reason given"


def _why_away(done: subprocess.CompletedProcess[str]) -> str:
    """Return why ``scontrol ping`` did not reach the controller."""
    down = re.findall(r"\bat (\S+) is DOWN", done.stdout)
    if down and _NO_MUNGE not in done.stderr:
        return f"it is down on {', '.join(down)}"
    return _reason("scontrol", done.stderr or done.stdout)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a Slurm command to its end.

    Raises:
        SlurmError: when it cannot be run, or times out.
    """
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=PATIENCE_S, check=False, env=_plain_environment(),
        )  # fmt: skip
    except FileNotFoundError:
        raise SlurmError(f"{command[0]} not found. Is Slurm installed on this machine?") from None
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{command[0]} did not answer within {PATIENCE_S:g} s.") from None
    except OSError as error:
        raise SlurmError(f"Cannot run {command[0]}: {error.strerror}.") from None


def is_full(text: str) -> bool:
    """Return whether sbatch reports that the cluster's queue is full."""
    return "unable to accept job" in text or "job queue full" in text


def _plain_environment() -> dict[str, str]:
    """Return the environment without variables that change the output format."""
    changing = ("SQUEUE_", "SACCT_", "SLURM_TIME_FORMAT", "SLURM_CLUSTERS", "SLURM_JSON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(changing)}
    return {**kept, "LC_ALL": "C.UTF-8"}


def _squeue(*options: str) -> str:
    """Return squeue's output for this user's jobs."""
    of_user = ("--all", "--user", str(os.getuid()), "--noheader", "--states=all")
    return ask("squeue", *of_user, *options)


def _read_table(answer: str) -> dict[str, Job]:
    """Parse lines of id, state, reason and node; other lines are ignored.

    For a requeued job the last line counts; ``CANCELLED by 1000`` is read as ``CANCELLED``.
    """
    lines = (line.split(_SEPARATOR, 3) for line in answer.splitlines())
    jobs = (Job(*fields) for fields in lines if len(fields) == len(Job._fields))
    return {
        job.job_id: job._replace(state=job.state.partition(" ")[0], reason=_plain(job.reason))
        for job in jobs
    }


def _read_job(line: str) -> Job | None:
    fields = dict(fields_of(line))
    if "JobId" not in fields:
        return None
    job_id = fields["JobId"]
    if fields.get("ArrayTaskId", "").isdecimal():
        job_id = f"{fields['ArrayJobId']}_{fields['ArrayTaskId']}"
    node = fields.get("NodeList", "")
    return Job(
        job_id,
        fields.get("JobState", "UNKNOWN").partition(" ")[0],
        _exit_code(fields) or _plain(fields.get("Reason", "")),
        "" if node == "(null)" else node,
    )


def _exit_code(fields: Mapping[str, str]) -> str:
    """Return the exit code of a job whose script failed."""
    code = fields.get("ExitCode", "").partition(":")[0]
    return f"{EXIT_CODE}{code}" if fields.get("Reason") == "NonZeroExitCode" else ""


def _plain(reason: str) -> str:
    """Return why a job is pending or how it ended; empty for Slurm's None."""
    return "" if reason == "None" else reason


def _from_accounting(job_ids: Sequence[str]) -> dict[str, Job]:
    if shutil.which("sacct") is None:
        return {}
    try:
        answer = ask(
            "sacct", "--allocations", "--noheader", "--parsable2", "--duplicates",
            "--format=JobID,State,Reason,NodeList", "--jobs", ",".join(job_ids),
        )  # fmt: skip
    except SlurmError:  # no accounting
        return {}
    return _read_table(answer)
