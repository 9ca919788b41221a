"""``vld prune``: delete checkpoints of finished runs to free disk space."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

import typer

from vld_tui.cli.command import Command, JsonOption, RunsOrNone, proposes
from vld_tui.cli.errors import CommandError, YesOption, ask, check_choice
from vld_tui.cli.options import WhereOption
from vld_tui.cli.output import print_json, say, with_home
from vld_tui.cli.session import open_store
from vld_tui.runs.run import DAMAGED
from vld_tui.store.checkpoints import Keep, Prunable
from vld_tui.store.query import Query
from vld_tui.store.store import Store
from vld_tui.study.define.files import find_study
from vld_tui.study.standing import standing_of
from vld_tui.words.numbers import plural, size

KEPT: Final[tuple[Keep, ...]] = ("best", "none")

app = typer.Typer(add_completion=False, rich_markup_mode=None)

StudyOption = Annotated[
    str | None,
    typer.Option(
        "--study",
        metavar="STUDY",
        help="Only runs of this study.",
        autocompletion=proposes("studies"),
    ),
]
KeepOption = Annotated[
    str,
    typer.Option(
        "--keep", metavar="|".join(KEPT), autocompletion=proposes(KEPT),
        help="Checkpoint to keep: the selected step's (best), or none. [default: best]",
        show_default=False,
    ),
]  # fmt: skip


@app.command(cls=Command)
def prune(
    ctx: typer.Context,
    runs: RunsOrNone = None,
    where: WhereOption = None,
    study: StudyOption = None,
    keep: KeepOption = "best",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be freed without deleting anything.")
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Delete checkpoints of the given finished runs, or of all finished runs."""
    kept = check_choice("--keep", keep, KEPT)
    if sum(each is not None for each in (runs or None, where, study)) > 1:
        raise CommandError("Pass only one of: runs, --where, --study.")
    with open_store(ctx, to_look=dry_run) as store:
        store.live.refresh()
        found = _prunable(store, _chosen(store, runs or (), where, study), kept)
        damaged = 0 if runs else store.runs.count(Query.parse(f"status={DAMAGED}"))
        freed = {run_id: files for run_id, files in found.items() if files.spare}
        if freed and not dry_run:
            if not yes:
                what = "all but the best checkpoints" if kept == "best" else "all checkpoints"
                of_runs = plural(len(freed), "finished run")
                ask(
                    f"Delete {what} of {of_runs} ({size(_bytes(freed))})?",
                    refusal="Nothing was deleted.",
                )
            found |= {run_id: store.checkpoints.prune(run_id, kept) for run_id in freed}
    _tell(found, as_json=as_json, dry_run=dry_run)
    if damaged:
        left = plural(damaged, "damaged run")
        lists = with_home(f"vld ls --where status={DAMAGED}")
        say(f"skipped {left}; to list: {lists}", to_stderr=True)


def _prunable(store: Store, runs: Iterable[str], keep: Keep) -> dict[str, Prunable]:
    """Return the checkpoints that can be deleted or are still needed, by run."""
    found = ((run_id, store.checkpoints.prunable(run_id, keep)) for run_id in runs)
    return {run_id: files for run_id, files in found if files.spare or files.needed}


def _bytes(found: dict[str, Prunable]) -> int:
    return sum(files.bytes for files in found.values())


def _tell(found: dict[str, Prunable], *, as_json: bool, dry_run: bool) -> None:
    freed = {run_id: files for run_id, files in found.items() if files.spare}
    needed = {run_id: files for run_id, files in found.items() if files.needed}
    if as_json:
        record = {"freed_bytes": _bytes(freed), "runs": list(freed), "dry_run": dry_run}
        print_json(
            record | {"needed": [str(path) for each in needed.values() for path in each.needed]}
        )
        return
    if freed:
        verb = "would free" if dry_run else "freed"
        say(f"{verb} {size(_bytes(freed))} of {plural(len(freed), 'finished run')}")
    else:
        say("Nothing to free: no finished run has a checkpoint that can be deleted.")
    if needed:
        kept_bytes = sum(sum(files.needed.values()) for files in needed.values())
        say(
            f"kept {size(kept_bytes)} of {plural(len(needed), 'finished run')}: queued or running "
            "combinations need them (vld queue ls)"
        )


def _chosen(
    store: Store, references: list[str] | tuple[str, ...], where: str | None, study: str | None
) -> list[str]:
    """Return the ids of the selected runs; runs given by name must be finished."""
    if references:
        named = [store.runs.get(reference) for reference in references]
        for run in named:
            if run.trashed_at is not None:
                raise CommandError(
                    f"Run {run.run_id} is in the trash.\n"
                    f"Delete it with: vld rm --empty-trash {run.run_id}"
                )
            if run.status != "finished":
                raise CommandError(
                    f"Run {run.run_id} is {run.status}: only finished runs can be pruned."
                )
        return [run.run_id for run in named]
    if study is not None:
        return [run.run_id for run in standing_of(store, find_study(store.home, study)).finished]
    return store.runs.finished_ids(store.runs.query(where or ""))
