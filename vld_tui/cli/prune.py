"""``vld prune``: free the disk of checkpoints of finished runs."""

from __future__ import annotations

from typing import Annotated

import typer

from vld_tui.cli.asking import ask
from vld_tui.cli.command import Command, JsonOption
from vld_tui.cli.errors import CommandError
from vld_tui.cli.ls import WhereOption
from vld_tui.cli.output import print_json, say
from vld_tui.cli.session import open_store
from vld_tui.store.prune import Keep
from vld_tui.store.query import Query
from vld_tui.store.runs import Run
from vld_tui.store.store import Store
from vld_tui.study.kept import find_study
from vld_tui.study.standing import standing_of
from vld_tui.views.numbers import plural, size

app = typer.Typer(add_completion=False, rich_markup_mode=None)

RunsOrNone = Annotated[
    list[str] | None,
    typer.Argument(metavar="[RUN...]", help="Ids, unique prefixes, names or @last."),
]
StudyOption = Annotated[
    str | None, typer.Option("--study", metavar="STUDY", help="Only the runs of a study.")
]
KeepOption = Annotated[
    str,
    typer.Option(
        "--keep", metavar="best|none",
        help="What is left: the networks at the selected step, or no checkpoint [default: best].",
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
        bool, typer.Option("--dry-run", help="Say what would be freed, and delete nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete checkpoints of finished runs, all of them unless some are named."""
    kept = _keep(keep)
    if sum(each is not None for each in (runs or None, where, study)) > 1:
        raise CommandError("Name runs, or give --where, or --study: one of them.")
    with open_store(ctx, to_look=dry_run) as store:
        store.refresh()
        chosen = _chosen(store, runs or (), where, study)
        if kept == "none":
            chosen = _without_parents(store, chosen)
        sizes = {run.run_id: store.prunable_bytes(run.run_id, kept) for run in chosen}
        freed = {run_id: byte_count for run_id, byte_count in sizes.items() if byte_count}
        if freed and not dry_run:
            if not yes:
                what = "the checkpoints to go on from" if kept == "best" else "all checkpoints"
                ask(
                    f"Delete {what} of {plural(len(freed), 'finished run')}, "
                    f"{size(sum(freed.values()))}?",
                    refusal="Nothing was deleted.",
                )
            freed = {run_id: store.prune(run_id, kept) for run_id in freed}
    if as_json:
        print_json({"freed_bytes": sum(freed.values()), "runs": list(freed), "dry_run": dry_run})
        return
    of_runs = f"{size(sum(freed.values()))} of {plural(len(freed), 'finished run')}"
    if not freed:
        say("Nothing to free: no finished run here has a checkpoint to spare.")
    else:
        say(f"{of_runs} would be freed" if dry_run else f"{of_runs} freed")


def _keep(word: str) -> Keep:
    if word == "best":
        return "best"
    if word == "none":
        return "none"
    raise CommandError(f"--keep is {word!r}, but must be best or none.")


def _chosen(
    store: Store, references: list[str] | tuple[str, ...], where: str | None, study: str | None
) -> list[Run]:
    """Return the finished runs that are meant; one that is named must be finished."""
    if references:
        named = [store.get(reference) for reference in references]
        for run in named:
            if run.trashed_at is not None:
                raise CommandError(f"Run {run.run_id} is in the trash: vld rm --empty-trash frees.")
            if run.status != "finished":
                raise CommandError(
                    f"Run {run.run_id} is {run.status}: only finished ones are pruned."
                )
        return named
    if study is not None:
        return list(standing_of(store, find_study(store.home, study)).finished)
    return [run for run in store.list_runs(Query.parse(where or "")) if run.status == "finished"]


def _without_parents(store: Store, runs: list[Run]) -> list[Run]:
    """Leave out the runs whose networks are about to be combined."""
    waiting = [*store.live_runs(), *store.queue()]
    needed = {
        parent.run_id for run in waiting if run.combination for parent in run.combination.parents
    }
    return [run for run in runs if run.run_id not in needed]
