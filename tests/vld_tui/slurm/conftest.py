"""A cluster as its programs tell of it: scripts that print what a test wrote down."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.protocol import resolve_spec
from engine.rundir import JobInfo
from tests.vld_tui.store.told_runs import Teller
from vld_tui.home import Home, open_home
from vld_tui.store.runs import Run
from vld_tui.store.store import Store

_PROGRAM = """\
#!{python} -S
import sys
from pathlib import Path
folder = Path({folder!r})
name = Path(sys.argv[0]).name
with (folder / "asked").open("a") as asked:
    asked.write(" ".join([name, *sys.argv[1:]]) + "\\n")
left = folder / f"{{name}}.left"
if left.exists():
    left.write_text(str(int(left.read_text()) - 1))
subject = sys.argv[2] if len(sys.argv) > 2 else ""
fails = int(left.read_text()) < 0 if left.exists() else (folder / f"{{name}}.err").exists()
fails |= (folder / f"{{name}}-{{subject}}.err").exists()
kind, stream = ("err", sys.stderr) if fails else ("out", sys.stdout)
for answer in (f"{{name}}-{{subject}}.{{kind}}", f"{{name}}.{{kind}}"):
    if (folder / answer).exists():
        stream.write((folder / answer).read_text())
        break
sys.exit(fails)
"""


@dataclass(frozen=True)
class Programs:
    """Slurm's programs, which say what they are told to say."""

    folder: Path

    def says(self, program: str, text: str) -> None:
        """Have a program print this, and succeed; ``scontrol-job`` answers ``show job``."""
        for ending in ("err", "left"):
            (self.folder / f"{program}.{ending}").unlink(missing_ok=True)
        (self.folder / f"{program}.out").write_text(text)

    def complains(self, program: str, text: str, *, after: int = 0) -> None:
        """Have a program complain and fail, after it was run so often."""
        (self.folder / f"{program}.err").write_text(text)
        (self.folder / f"{program}.left").write_text(str(after))

    @property
    def asked(self) -> list[str]:
        """Return the commands that were run."""
        return (self.folder / "asked").read_text().splitlines()


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("sbatch", "srun", "squeue", "scontrol", "scancel"):
        program = folder / name
        program.write_text(_PROGRAM.format(python=shlex.quote(sys.executable), folder=str(folder)))
        program.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(folder), "/usr/bin", "/bin"]))
    made = Programs(folder)
    made.says("squeue", "")
    made.says("sbatch", "Submitted batch job 12\n")
    made.says("scontrol-config", "MaxArraySize            = 3\n")
    made.says("scontrol-partition", "PartitionName=main Default=YES DefaultTime=NONE MaxTime=90\n")
    return made


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path / "home")


@pytest.fixture
def store(home: Home) -> Iterator[Store]:
    with Store.open(home) as store:
        yield store


@pytest.fixture
def submitted(store: Store) -> Run:
    """Return a run that was given to job 7_0."""
    run = store.create_run(resolve_spec({"steps": 20}), name="first")
    log = store.home.path / "job.log"
    store.mark_submitted({run.run_id: JobInfo("7_0", run.created_at, str(log), {"time": "60"})})
    return store.get(run.run_id)


@pytest.fixture
def teller(home: Home, submitted: Run) -> Teller:
    """Return who tells the story of the submitted run."""
    return Teller(home.run_dir(submitted.run_id))
