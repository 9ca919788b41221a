"""Compare this program, row by row, with the code of DomainBed and of the paper's authors.

    python -m benchmarks.parity [--only PATTERN] [--write]

The reference in ``benchmarks/parity/reference`` is a transcription of their code; each function
names its source. It needs torch and torchvision only, and contains nothing of the engine. Each row
runs both sides and states its result. Prints a Markdown table; the exit code is 1 if a row does not
have the expected result. ``--write`` puts the table into docs/parity.md.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import sys
import warnings
from collections.abc import Iterator, Mapping

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the engine does, before torch loads

from benchmarks.parity.page import HEADINGS, facts, part_line, row_line, write_page
from benchmarks.parity.row import Check
from benchmarks.parity.rows import CHECKS, run_check


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--only", default="*", help="compute rows whose name matches, such as 'split*'"
    )
    parser.add_argument("--write", action="store_true", help="put the table into docs/parity.md")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    chosen = {
        part: {name: check for name, check in checks.items() if fnmatch.fnmatch(name, asked.only)}
        for part, checks in CHECKS.items()
    }
    if not any(chosen.values()):
        known = ", ".join(name for checks in CHECKS.values() for name in checks)
        parser.error(f"no row matches {asked.only!r}; rows: {known}")
    if asked.write and asked.only != "*":
        parser.error("--write needs every row: remove --only")
    beginning = [facts(), "", *HEADINGS]
    print("\n".join(beginning), flush=True)
    lines, failed = list(beginning), 0
    for line, holds in _lines(chosen):
        print(line, flush=True)
        lines.append(line)
        failed += not holds
    if asked.write:
        write_page(lines)
    if failed:
        print(f"\n{failed} rows do not have the expected result.", file=sys.stderr)
    return int(failed > 0)


def _lines(chosen: Mapping[str, Mapping[str, Check]]) -> Iterator[tuple[str, bool]]:
    """Yield the lines of the table, each with whether it has the expected result."""
    for part, checks in chosen.items():
        if checks:
            yield part_line(part), True
        for check in checks.values():
            row = run_check(check)
            yield row_line(row), row.holds


if __name__ == "__main__":
    sys.exit(main())
