"""Compare λ = 0 and λ = 0.9 on the embedded emoji styles (docs/recipe.md, "The emoji study").

    python benchmarks/emoji_study.py HOME [--seeds 0 1 2] [--targets …]

Every run is an ordinary `vld run` kept in HOME; runs that HOME already holds are not repeated. The
selected step is the one with the best ID validation accuracy. Prints a Markdown table with mean
± standard deviation over seeds, in percent, the number of collapsed runs, and the revisions of the
runs: a table is of one revision when only one is printed.

OOD accuracy selects no step here, but the default recipe itself was tuned on the OOD accuracy of
`fluent-mono`, at λ = 0.9 (docs/recipe.md, "What was tuned on what").
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.kept_runs import vld
from engine.protocol import RunStarted, decode_event
from vld_tui.home import Home

TARGETS = ["fluent", "fluent-mono", "noto", "twemoji"]
ARMS = {
    "λ = 0 (ERM)": ["--dropout", "0"],
    "λ = 0.9, 1 mask": ["--dropout", "0.9", "--masks", "1"],
    "λ = 0.9, 8 masks": ["--dropout", "0.9", "--masks", "8"],
}


def find(home: Path, tag: str) -> dict[str, Any] | None:
    """Return the finished run with this tag, if HOME holds one."""
    if not Home(home).is_made:
        return None
    runs = vld(home, "ls", "--where", f"tag:{tag} status:finished")
    return runs[0] if runs else None


def revisions(home: Path, runs: Iterable[str]) -> list[str]:
    """Return the commits that these runs were made with; `unknown` if none was recorded."""
    found = set()
    for run in runs:
        for line in Home(home).run_dir(run).events.read_bytes().splitlines():
            event = decode_event(line)
            if isinstance(event, RunStarted):
                found.add((event.commit or "unknown")[:7])
    return sorted(found)


def percent(values: list[float]) -> str:
    """Format accuracies as mean ± standard deviation in percent; one seed has no deviation."""
    spread = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.1f}{spread}"


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--targets", nargs="+", default=TARGETS)
    asked = parser.parse_args()
    results: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for seed in asked.seeds:
        for target in asked.targets:
            for number, (arm, flags) in enumerate(ARMS.items()):
                tag = f"emoji-study-{target}-{number}-{seed}"
                run = find(asked.home, tag)
                if run is None:
                    own = [
                        "--dataset",
                        "emoji",
                        "--target",
                        target,
                        "--seed",
                        str(seed),
                        "--tag",
                        tag,
                    ]
                    run = vld(asked.home, "run", *flags, *own)
                results.setdefault((target, arm), []).append(run)
                print(f"{target} {arm} seed {seed}: {run['ood_accuracy']:.3f}", file=sys.stderr)
    print("| target | recipe | ID | OOD | collapsed |")
    print("|---|---|---|---|---|")
    for target in asked.targets:
        for arm in ARMS:
            runs = results[target, arm]
            id_accuracy = percent([run["id_accuracy"] for run in runs])
            ood_accuracy = percent([run["ood_accuracy"] for run in runs])
            collapsed = sum(run["collapsed"] for run in runs)
            print(f"| `{target}` | {arm} | {id_accuracy} | {ood_accuracy} | {collapsed} |")
    names = [str(run["run"]) for runs in results.values() for run in runs]
    print(f"\nRevision: {', '.join(revisions(asked.home, names))}.")


if __name__ == "__main__":
    main()
