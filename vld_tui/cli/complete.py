"""Shell completion of runs, data sets, fields and choices.

Everything is read from files, without torch; unreadable files are skipped.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import typer

from engine.protocol import FIELDS, RECIPES
from engine.protocol.datasets import STUDY_DATASETS
from engine.protocol.embedded import DEFAULT_DATASET, EMBEDDED_DATASETS, EMBEDDED_DOMAINS
from vld_tui.cli.output import home_option
from vld_tui.home import Home, expanded, find_home

Proposal = str | tuple[str, str]
"""A word, or a word with its description."""
Completer = Callable[[typer.Context, str], list[Proposal]]
Source = Callable[[Home, typer.Context, str], Iterable[Proposal]]

_LIVE: Final = "'starting', 'running', 'queued'"
_NOT_TRASHED: Final = "trashed_at IS NULL"


def completer(source: Source) -> Completer:
    """Wrap a source of words for Typer; any error yields no completions."""

    def complete(ctx: typer.Context, incomplete: str) -> list[Proposal]:
        try:
            found = list(source(find_home(home_option(ctx)), ctx, incomplete))
        except Exception:  # noqa: BLE001 - the edge of the process: a shell has nowhere to show it
            return []
        words = {_word(each): each for each in reversed(found)}  # the first of equal words wins
        return [each for word, each in reversed(words.items()) if word.startswith(incomplete)]

    return complete


def _word(proposal: Proposal) -> str:
    return proposal if isinstance(proposal, str) else proposal[0]


def _runs(condition: str) -> Source:
    def runs(home: Home, _ctx: typer.Context, incomplete: str) -> Iterator[Proposal]:
        from vld_tui.store.completion import PLAIN  # SQLite, when asked for
        from vld_tui.store.lookup import glance_at_runs

        found = glance_at_runs(home.database, incomplete.removeprefix("@"), condition)
        if home.database.is_file():
            yield "@last", "the newest run"
        for run_id, name, status in found:
            if PLAIN.fullmatch(name):
                yield name, f"{status} · {run_id}"
            if incomplete or not PLAIN.fullmatch(name):
                yield run_id, f"{status} · {name}"

    return runs


@completer
def complete_sort(_home: Home, _ctx: typer.Context, incomplete: str) -> Iterator[Proposal]:
    """Complete the fields of ``--sort``, also after ``-`` and after a comma."""
    from vld_tui.store.fields import QUERY_FIELDS

    head, comma, _ = incomplete.rpartition(",")
    for sign in ("", "-"):
        for field in QUERY_FIELDS.values():
            yield f"{head}{comma}{sign}{field.name}", field.about


@completer
def complete_filter(home: Home, _ctx: typer.Context, incomplete: str) -> Iterator[Proposal]:
    """Complete the fields of a filter, and their values after ``=`` or ``:``."""
    from vld_tui.store.completion import filter_proposals

    yield from filter_proposals(home.database, incomplete)


@completer
def complete_datasets(home: Home, _ctx: typer.Context, _incomplete: str) -> Iterator[Proposal]:
    """Complete data sets: embedded, added and published ones."""
    added = [path.name for path in _folders(home.datasets)]
    yield from ((name, "embedded") for name in EMBEDDED_DATASETS)
    yield from ((name, "added") for name in added)
    yield from (
        (name, "download with vld data fetch") for name in STUDY_DATASETS if name not in added
    )


@completer
def complete_targets(home: Home, ctx: typer.Context, _incomplete: str) -> Iterator[Proposal]:
    """Complete the domains of the data set given by ``--data`` or ``--dataset``."""
    from vld_tui.store.lookup import glance_at_values

    yield "none", "train on every domain"
    if data_dir := ctx.params.get("data_dir"):
        yield from (path.name for path in _folders(expanded(data_dir)))
        return
    dataset = ctx.params.get("dataset") or DEFAULT_DATASET
    yield from EMBEDDED_DOMAINS.get(dataset, ())
    yield from _domains_of(home.datasets / dataset)
    yield from glance_at_values(home.database, "target", of=("dataset", dataset))


def _domains_of(folder: Path) -> Iterator[str]:
    """Yield the domains of an added data set, read from its card."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        card = json.loads((folder / "dataset.json").read_bytes())
        yield from card.get("domains") or card.get("images") or ()


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(
            path for path in folder.iterdir() if path.is_dir() and path.name[0] not in "._@"
        )
    except OSError:
        return []


@completer
def complete_models(home: Home, _ctx: typer.Context, _incomplete: str) -> Iterator[Proposal]:
    """Complete networks: those of earlier runs and of earlier listings."""
    from vld_tui.store.lookup import glance_at_values

    yield str(FIELDS["model"].default), "the default"
    yield from glance_at_values(home.database, "model")
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        listed = json.loads((home.cache / "networks.json").read_bytes())
        yield from (str(network["name"]) for network in listed)


@completer
def complete_studies(home: Home, _ctx: typer.Context, _incomplete: str) -> Iterator[Proposal]:
    """Complete launched studies and presets."""
    from vld_tui.study.define.files import kept_names, study_preset_names

    kept = kept_names(home)
    yield from ((name, "launched") for name in kept)
    yield from ((name, "preset") for name in study_preset_names() if name not in kept)


@completer
def complete_views(home: Home, _ctx: typer.Context, _incomplete: str) -> Iterator[Proposal]:
    """Complete the names of saved views."""
    from vld_tui.store.lookup import glance_at_setting
    from vld_tui.store.saved_views import VIEWS_SETTING

    views = glance_at_setting(home.database, VIEWS_SETTING)
    yield from sorted(json.loads(views or "{}"))


@completer
def complete_profiles(home: Home, _ctx: typer.Context, _incomplete: str) -> Iterator[Proposal]:
    """Complete the names of saved cluster profiles."""
    from vld_tui.launch.slurm.settings import profile_names

    yield from profile_names(home)


@completer
def complete_settings(_home: Home, _ctx: typer.Context, _incomplete: str) -> Iterator[Proposal]:
    """Complete the settings of the home."""
    from vld_tui.config import SETTINGS

    yield from ((name, info.help) for name, info in SETTINGS.items())


@completer
def complete_values(_home: Home, ctx: typer.Context, incomplete: str) -> Iterator[Proposal]:
    """Complete the values of the setting that is named, also after a comma."""
    from vld_tui.config import SETTINGS

    info = SETTINGS.get(ctx.params.get("name") or "")
    head, comma, _ = incomplete.rpartition(",")
    yield from (f"{head}{comma}{word}" for word in (info.choices if info else ()))


def complete_words(*words: str) -> Completer:
    """Return a completer of fixed words, also after a comma."""

    @completer
    def choices(_home: Home, _ctx: typer.Context, incomplete: str) -> Iterator[Proposal]:
        head, comma, _ = incomplete.rpartition(",")
        yield from (f"{head}{comma}{word}" for word in words)

    return choices


COMPLETERS: Final[dict[str, Completer]] = {
    "runs": completer(_runs(_NOT_TRASHED)),
    "live runs": completer(_runs(f"status IN ({_LIVE}) AND {_NOT_TRASHED}")),
    "broken runs": completer(
        _runs(f"status IN ('stopped', 'failed', 'crashed') AND {_NOT_TRASHED}")
    ),
    "queued runs": completer(_runs(f"status = 'queued' AND {_NOT_TRASHED}")),
    "trashed runs": completer(_runs("trashed_at IS NOT NULL")),
    "filter": complete_filter,
    "sort": complete_sort,
    "studies": complete_studies,
    "profiles": complete_profiles,
    "views": complete_views,
    "settings": complete_settings,
    "values of settings": complete_values,
    "data sets": complete_datasets,
    "domains": complete_targets,
    "networks": complete_models,
    "initial weights": complete_words("pretrained", "none"),
    "devices": complete_words("auto", "cpu", "cuda", "mps"),
    "recipes": complete_words(*RECIPES),
}
"""The completer for each kind of word."""
