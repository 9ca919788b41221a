"""A cluster as its programs tell of it: scripts that print what a test wrote down."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

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
if fails and (folder / f"{{name}}.told").exists():
    sys.stdout.write((folder / f"{{name}}.told").read_text())
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

    @classmethod
    def write(cls, folder: Path) -> Programs:
        """Write them to a new folder, which is to be in the search path, for a cluster where
        nothing goes on."""
        folder.mkdir()
        text = _PROGRAM.format(python=shlex.quote(sys.executable), folder=str(folder))
        for name in ("sbatch", "srun", "squeue", "scontrol", "scancel"):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        made = cls(folder)
        made.says("squeue", "")
        made.says("sbatch", "Submitted batch job 12\n")
        made.says("scontrol-config", "MaxArraySize            = 3\n")
        made.says(
            "scontrol-partition", "PartitionName=main Default=YES DefaultTime=NONE MaxTime=90\n"
        )
        return made

    def says(self, program: str, text: str) -> None:
        """Have a program print this, and succeed; ``scontrol-job`` answers ``show job``."""
        for ending in ("err", "left"):
            (self.folder / f"{program}.{ending}").unlink(missing_ok=True)
        (self.folder / f"{program}.out").write_text(text)

    def complains(self, program: str, text: str, *, after: int = 0, told: str = "") -> None:
        """Have a program print ``told``, complain and fail, after it was run so often."""
        (self.folder / f"{program}.err").write_text(text)
        (self.folder / f"{program}.told").write_text(told)
        (self.folder / f"{program}.left").write_text(str(after))

    @property
    def asked(self) -> list[str]:
        """Return the commands that were run."""
        return (self.folder / "asked").read_text().splitlines()
