"""The cluster's partitions and their time limits."""

from __future__ import annotations

from typing import NamedTuple

from engine.protocol import nearest
from vld_tui.launch.slurm import commands
from vld_tui.launch.slurm.commands import SlurmError
from vld_tui.launch.slurm.settings import minutes_of


class Partition(NamedTuple):
    """A partition with its default and maximum time (minutes; None: unlimited)."""

    name: str
    usual_minutes: int | None
    most_minutes: int | None


def partitions_for(names: str | None) -> list[Partition]:
    """Return the partitions with these comma-separated names; None: the default partition.

    Raises:
        SlurmError: when Slurm does not answer, or a partition does not exist.
    """
    answer = commands.ask("scontrol", "show", "partition", "--all", "--oneliner")
    found = [dict(commands.fields_of(line)) for line in answer.splitlines()]
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
