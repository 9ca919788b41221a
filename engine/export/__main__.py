"""``python -m engine.export REQUEST``: export a run's network, reported as JSON lines.

For programs that do not import torch; see :mod:`engine.protocol.export`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from engine.machine.processor import let_waiting_threads_sleep

let_waiting_threads_sleep()  # before torch is imported

from engine.export.folder import check_destination  # noqa: E402
from engine.protocol.export import ExportedNetwork, ExportNetwork  # noqa: E402
from engine.rundir import RunDir  # noqa: E402
from engine.rundir.checkpoints import checkpoint_files, offering_other_step  # noqa: E402
from engine.work import Reporter, work  # noqa: E402


def _export(request: ExportNetwork, report: Reporter) -> ExportedNetwork:
    check_destination(Path(request.destination).resolve(), replaces=request.replaces)
    run_dir = RunDir(Path(request.run_dir))
    with offering_other_step(run_dir):
        checkpoint_files(run_dir, request.arm, request.at)
    from engine.export.network import export_network  # imports torch

    return export_network(request, report)


if __name__ == "__main__":
    sys.exit(work(sys.argv[1:], {ExportNetwork: _export}))
