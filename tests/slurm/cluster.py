"""A real Slurm for tests: own daemons, ports and files; no systemd, no accounting.

Its node is this machine, or its nodes are machines pretended on it.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tests.slurm.machines import Machines

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
CONFIG = """\
ClusterName=test
SlurmctldHost={host}({here})
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire={options.requeue_delay_s}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=batch_sched_delay=0,bf_interval=1,sched_interval=1
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=1
DefMemPerCPU={memory_per_cpu}
MaxArraySize={options.max_array_size}
MaxJobCount={options.max_job_count}
MinJobAge={options.min_job_age_s}
KillWait={options.kill_wait_s}
SlurmdTimeout={options.slurmd_timeout_s}
GresTypes=gpu
{nodes}
{partitions}
{options.extra}
"""
LOOPBACK = "127.0.0.1"
GPUS = "Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n"


@dataclass(frozen=True)
class Partition:
    """A partition: its longest time limit, and whom it gives way to."""

    name: str
    max_minutes: int | None = None
    priority: int = 1  # jobs of a lower one are requeued for jobs of a higher one
    grace_s: int = 0  # from the first SIGTERM of a preempted job to its end

    def line(self) -> str:
        """Return its line of slurm.conf."""
        limit = "UNLIMITED" if self.max_minutes is None else str(self.max_minutes)
        return (
            f"PartitionName={self.name} Nodes=ALL MaxTime={limit} State=UP "
            f"PriorityTier={self.priority} GraceTime={self.grace_s}"
        )


@dataclass(frozen=True)
class Options:
    """What a test may choose. CPUs may outnumber the machine's, so that more jobs run at once.

    ``machines`` are the names of pretended ones; none: this machine.
    """

    partitions: tuple[Partition, ...] = (
        Partition("main"),
        Partition("short", max_minutes=1),
        Partition("low", priority=0, grace_s=10),
        Partition("high", priority=2),
    )
    cpus: int = 8
    memory_mib: int = 4096
    max_array_size: int = 2001  # one more than the largest index
    max_job_count: int = 5000
    min_job_age_s: int = 300  # how long a job is shown after its end
    kill_wait_s: int = 5  # from SIGTERM to SIGKILL
    slurmd_timeout_s: int = 10  # until a silent node is DOWN
    requeue_delay_s: int = 5  # until a requeued job may start again
    machines: tuple[str, ...] = ()
    extra: str = ""  # further lines of slurm.conf


def why_missing() -> str | None:
    """Return why no cluster can be started here, or None if one can."""
    if missing := [program for program in PROGRAMS if shutil.which(program, path=_path()) is None]:
        return f"Slurm is not installed ({', '.join(missing)}): apt-get install slurm-wlm munge"
    return None if os.geteuid() == 0 else "starting Slurm's daemons needs root"


class SlurmCluster:
    """A cluster in a folder of its own; as a context manager it is started and stopped."""

    def __init__(self, folder: Path, options: Options | None = None) -> None:
        self.folder = folder
        self.options = options or Options()
        self.host = socket.gethostname().split(".")[0]
        self._machines = Machines(self.options.machines, folder)
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which sbatch, squeue and the like mean this cluster."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SLURM_", "SBATCH_", "SQUEUE_"))
        }
        return {**kept, "PATH": _path(), "SLURM_CONF": str(self.folder / "slurm.conf")}

    def start(self) -> None:
        """Start the daemons and wait until the node takes jobs.

        Raises:
            RuntimeError: One of them ended, or the node took too long; with the end of the log.
        """
        self._configure()
        if self.options.machines:
            self._machines.start()
        self.start_munged()
        self.start_controller()
        self.restart_slurmd()

    def stop(self) -> None:
        """End the daemons, and every job that still runs."""
        for name in reversed(list(self._daemons)):
            self._end(name)
        for process in self._processes():
            process.kill()
        if self.options.machines:
            self._machines.stop()

    def start_munged(self) -> None:
        """Start the authentication service."""
        self._start(
            "munged",
            "munged",
            "--foreground",
            "--force",
            *(
                f"--{kind}-file={self.folder}/munge.{kind}"
                for kind in ("key", "log", "pid", "seed")
            ),
            f"--socket={self.folder}/munge.socket",
        )
        self._wait("munged", (self.folder / "munge.socket").exists)

    def start_controller(self) -> None:
        """Start slurmctld and wait until it answers."""
        self._start("slurmctld", "slurmctld", "-D")
        self._wait("slurmctld", lambda: self.run("scontrol", "ping").returncode == 0)

    def stop_controller(self) -> None:
        """End slurmctld: it saves its state first."""
        self._end("slurmctld")

    def stop_munged(self) -> None:
        """End the authentication service."""
        self._end("munged")

    def kill_slurmd(self) -> None:
        """Kill the nodes' daemons with SIGKILL; their jobs run on."""
        for node in self._nodes:
            daemon = self._daemons.pop(f"slurmd.{node}")
            daemon.kill()
            daemon.wait()

    def restart_slurmd(self) -> None:
        """Start the nodes' daemons, anew if they run, and wait until the nodes take jobs."""
        for node in self._nodes:
            name = f"slurmd.{node}"
            self._end(name)
            on = self._machines.on(node) if self.options.machines else []
            self._start(name, *on, "slurmd", "-D", "-N", node)
        for node in self._nodes:
            self._wait(f"slurmd.{node}", self._takes_jobs)

    def run(self, *command: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command in the cluster's environment and return it with its output."""
        return subprocess.run(
            command,
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _configure(self) -> None:
        for name in ("state", *(f"spool/{node}" for node in self._nodes)):
            (self.folder / name).mkdir(parents=True)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        controller_port, node_port = _free_ports(2)
        config = CONFIG.format(
            host=self.host,
            here=self._machines.here if self.options.machines else LOOPBACK,
            folder=self.folder,
            options=self.options,
            memory_per_cpu=self.options.memory_mib // self.options.cpus,
            controller_port=controller_port,
            node_port=node_port,
            nodes="\n".join(map(self._node_line, self._nodes)),
            partitions="\n".join(each.line() for each in self.options.partitions),
        )
        first = self.options.partitions[0].name
        config = config.replace(f"PartitionName={first} ", f"PartitionName={first} Default=YES ")
        (self.folder / "slurm.conf").write_text(config)
        (self.folder / "gres.conf").write_text(GPUS)

    @property
    def _nodes(self) -> tuple[str, ...]:
        return self.options.machines or (self.host,)

    def _node_line(self, node: str) -> str:
        """Return a node's line of slurm.conf."""
        address = self._machines.address(node) if self.options.machines else LOOPBACK
        return (
            f"NodeName={node} NodeAddr={address} CPUs={self.options.cpus} "
            f"RealMemory={self.options.memory_mib} Gres=gpu:2"
        )

    def _start(self, name: str, *command: str) -> None:
        with self._log(name).open("ab") as log:
            self._daemons[name] = subprocess.Popen(
                command,
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _end(self, name: str) -> None:
        daemon = self._daemons.pop(name, None)
        if daemon is None:
            return
        daemon.terminate()
        try:
            daemon.wait(timeout=10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def _wait(self, name: str, is_ready: Callable[[], bool], timeout_s: float = 30) -> None:
        end = time.monotonic() + timeout_s
        while not is_ready():
            ended = self._daemons[name].poll() is not None
            if ended or time.monotonic() > end:
                tail = self._log(name).read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{name} {'ended' if ended else 'is not ready'}:\n{tail}")
            time.sleep(0.1)

    def _takes_jobs(self) -> bool:
        states = self.run("sinfo", "--noheader", "--Node", "--format=%T").stdout.split()
        return bool(states) and set(states) <= {"idle", "mixed", "allocated"}

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _processes(self) -> list[psutil.Process]:
        """Find what slurmd left running: jobs, and the daemon that watches each."""
        return [
            each for each in psutil.process_iter() if each.pid != os.getpid() and self._owns(each)
        ]

    def _owns(self, process: psutil.Process) -> bool:
        """Whether it was started for this cluster; a slurmstepd overwrites its environment."""
        try:
            if process.name() == "slurmstepd":
                sockets = process.net_connections(kind="unix")
                return any(str(each.laddr).startswith(f"{self.folder}/spool/") for each in sockets)
            return process.environ().get("SLURM_CONF") == str(self.folder / "slurm.conf")
        except psutil.Error:
            return False


def _path() -> str:
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
