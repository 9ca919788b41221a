"""``vld sweep ls``: list launched studies and presets."""

from __future__ import annotations

from typing import Any

import typer

from engine.protocol import UserError
from vld_tui.cli.command import JsonOption
from vld_tui.cli.hints import with_home
from vld_tui.cli.output import on_one_line, print_json, say
from vld_tui.cli.session import open_store, refresh
from vld_tui.store.store import Store
from vld_tui.study.define.files import find_study, kept_names, preset_titles
from vld_tui.study.standing import Standing, standing_of
from vld_tui.views.study import counts_text


def ls(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """List launched studies and presets."""
    with open_store(ctx, to_look=True) as store:
        refresh(store)
        launched = launched_studies(store)
    presets = preset_titles()
    if as_json:
        records = [launched_record(name, found) for name, found in launched.items()]
        print_json({"launched": records, "presets": presets})
        return
    tell_launched(launched)
    say("presets (miniature version: --scale small):")
    width = max(map(len, presets))
    for name, title in presets.items():
        say(f"  {name:<{width}}  {title}")


def launched_studies(store: Store) -> dict[str, Standing | str]:
    """Return the launched studies: each one's standing, or why it cannot be read."""
    found: dict[str, Standing | str] = {}
    for name in kept_names(store.home):
        try:
            study = find_study(store.home, name)
        except UserError as error:
            found[name] = str(error)
        else:
            found[name] = standing_of(store, study)
    return found


def tell_launched(launched: dict[str, Standing | str]) -> None:
    """Print each study's progress."""
    if not launched:
        first = "vld sweep paper-fig2-small"
        say(with_home(f"No launched studies yet. Start with a small one: {first}"))
    width = max(map(len, launched), default=0)
    for name, found in launched.items():
        said = on_one_line(found) if isinstance(found, str) else counts_text(found)
        say(f"{name:<{width}}  {said}")


def launched_record(name: str, found: Standing | str) -> dict[str, Any]:
    """Return a study's progress, for scripts."""
    if isinstance(found, str):
        return {"study": name, "problem": found}
    return standing_record(found)


def standing_record(standing: Standing) -> dict[str, Any]:
    """Return the number of a study's runs in each state."""
    return {
        "study": standing.study.name,
        "title": standing.study.title,
        "runs": len(standing.study.specs),
        "finished": len(standing.finished),
        "running": len(standing.live),
        "queued": len(standing.queued),
        "broken_off": len(standing.broken_off),
        "missing": len(standing.missing),
    }
