"""``python -m engine.export REQUEST``: export a run's network, reported as JSON lines.

For programs that do not import torch; see :mod:`engine.protocol.export`.
"""

from __future__ import annotations

import sys

from engine.machine.processor import let_waiting_threads_sleep

let_waiting_threads_sleep()  # before torch is imported

from engine.export import export_network  # noqa: E402
from engine.protocol.export import ExportNetwork  # noqa: E402
from engine.work import work  # noqa: E402

if __name__ == "__main__":
    sys.exit(work(sys.argv[1:], ExportNetwork, {ExportNetwork: export_network}))
