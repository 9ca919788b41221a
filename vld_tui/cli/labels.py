"""``vld tag``, ``vld note`` and ``vld rename``: the labels of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from engine.protocol import nearest
from vld_tui.cli.command import Command, RunArgument, proposes
from vld_tui.cli.errors import CommandError, raise_refusals
from vld_tui.cli.options import MatchingOption
from vld_tui.cli.output import say
from vld_tui.cli.session import open_store
from vld_tui.control.edits import change_tags, set_note
from vld_tui.control.edits import rename as edit_name
from vld_tui.runs.run import Run
from vld_tui.store.labels import tag_change
from vld_tui.store.store import Store
from vld_tui.words.numbers import plural

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_SETTINGS = {"ignore_unknown_options": True, "help_option_names": ["--help"]}
"""Matches ``-b``: a tag to remove, not an option."""
WordsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN [TAG...]",
        help="Run (omit with --where), then tags: a b replaces all tags, +a adds, -b removes; no "
        "tags: print them. To remove the tag h, put -- before -h.",
        show_default=False,
        autocompletion=proposes("runs"),
    ),
]  # fmt: skip


class TagCommand(Command):
    """A command whose arguments may begin with a dash: ``-b`` removes the tag ``b``."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Treat ``-h`` as help, and reject unknown options that start with two dashes."""
        options = [name for param in self.get_params(ctx) for name in param.opts]
        end = args.index("--") if "--" in args else len(args)
        for word in args[:end]:
            name = word.partition("=")[0]
            if name.startswith("--") and name not in options:
                hint = nearest(name, [name for name in options if name.startswith("--")])
                ctx.fail(f"No such option: {name}.{hint}")
        words = ["--help" if word == "-h" else word for word in args[:end]]
        return super().parse_args(ctx, [*words, *args[end:]])


@app.command(cls=TagCommand, context_settings=_SETTINGS)
def tag(ctx: typer.Context, words: WordsArgument = None, where: MatchingOption = None) -> None:
    """Change the tags of a run, or of all matching runs, and print them."""
    words = words or []
    if not words:
        raise CommandError("Name a run and its tags, or pass --where and tags. See: vld tag --help")
    tags = words if where is not None else words[1:]
    change = tag_change(tags)
    with open_store(ctx) as store:
        runs = _chosen(store, words[0], where)
        done = change_tags(store, [run.run_id for run in runs] if tags else [], change)
        refused = [refusal.run_id for refusal in done.refusals]
        after = {changed.after.run_id: changed.after.tags for changed in done.changes}
        for run in runs:
            if run.run_id in refused:
                continue
            for missing in _absent(run.tags, tags):
                say(f"{run.run_id}  has no tag {missing!r}", to_stderr=True)
            say(f"{run.run_id}  tags: {' '.join(after.get(run.run_id, run.tags)) or 'none'}")
    if where is not None:
        say(f"{plural(len(runs), 'run')} matched", to_stderr=True)
    raise_refusals(done.refusals)


def _chosen(store: Store, reference: str, where: str | None) -> list[Run]:
    if where is None:
        return [store.runs.get(reference)]
    store.live.refresh()
    return store.runs.find(store.runs.query(where))


def _absent(tags: Sequence[str], words: Sequence[str]) -> list[str]:
    """Return the tags to remove that the run does not have."""
    return [word[1:] for word in words if word[:1] == "-" and word[1:] not in tags]


@app.command(cls=Command)
def note(
    ctx: typer.Context,
    run: RunArgument,
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="[TEXT]", help="New note; '' removes the note. [default: print the note]"
        ),
    ] = None,
) -> None:
    """Replace a run's note, or print it."""
    with open_store(ctx) as store:
        known = store.runs.get(run)
        if text is None:
            for line in known.note.splitlines() or [f"{known.run_id}  has no note"]:
                say(line, to_stderr=not known.note)
            return
        set_note(store, known.run_id, text)
    say(f"{known.run_id}  note {'set' if text.strip() else 'removed'}")


@app.command(cls=Command)
def rename(
    ctx: typer.Context,
    run: RunArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="New name.")],
) -> None:
    """Rename a run."""
    with open_store(ctx) as store:
        known = store.runs.get(run)
        renamed = edit_name(store, known.run_id, name)
    for change in renamed.changes:
        say(f"{known.run_id}  {known.label} renamed to {change.after.label}")
    if not renamed.changes:
        say(f"{known.run_id}  name unchanged: {known.label}")
