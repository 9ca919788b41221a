"""``vld sweep stop``: stop a study's running and queued runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from vld_tui.cli.command import JsonOption, proposes
from vld_tui.cli.errors import FAILED_EXIT
from vld_tui.cli.output import print_json, say, suggest
from vld_tui.cli.session import open_store, refresh
from vld_tui.control.stop import StoppedStudy, stop_study
from vld_tui.study.define.files import find_study
from vld_tui.study.standing import standing_of
from vld_tui.words.numbers import plural

StudyArgument = Annotated[
    str,
    typer.Argument(
        metavar="STUDY",
        help="Launched study.",
        show_default=False,
        autocompletion=proposes("studies"),
    ),
]


def stop(
    ctx: typer.Context,
    study: StudyArgument,
    kill: Annotated[
        bool,
        typer.Option("--kill", help="Kill running runs immediately, without saving checkpoints."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Save and stop a study's running runs, and dequeue queued ones, on any machine."""
    with open_store(ctx) as store:
        refresh(store)
        known = find_study(store.home, study)
        done = stop_study(store, standing_of(store, known), kill=kill)
    if as_json:
        print_json({"study": known.name, **vars(done)})
    else:
        _tell(known.name, done)
    for refusal in done.refusals:
        say(refusal, to_stderr=True)
    if done.refusals:
        raise typer.Exit(FAILED_EXIT)


def _tell(name: str, done: StoppedStudy) -> None:
    said = "; ".join(_parts(done))
    say(said or f"no running or queued runs of {name}")
    if said:
        suggest([(f"vld sweep {name}", "resume the stopped runs")])


def _parts(done: StoppedStudy) -> Iterator[str]:
    for runs, noun, one, many in (
        (done.taken_out, "run", "removed from the queue", "removed from the queue"),
        (done.asked, "run", "stopping", "stopping"),
        (done.killed, "run", "killed", "killed"),
        (done.with_them, "other run", "killed with its job", "killed with their jobs"),
        (
            done.copies,
            "run",
            "is a read-only copy: stop it where it runs",
            "are read-only copies: stop them where they run",
        ),
    ):
        if runs:
            yield f"{plural(len(runs), noun)} {one if len(runs) == 1 else many}"
