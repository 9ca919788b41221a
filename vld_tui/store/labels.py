"""A user's labels of a run (name, tags, note), in its row and in its folder; ids and names of new
runs."""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Literal

import msgspec

from engine.protocol import (
    FIELDS,
    NO_TARGET,
    Combination,
    CombinationSpec,
    RunSpec,
    RunTask,
    UserError,
    shown_value,
    spec_of,
)
from engine.rundir import RunDir, UserData
from vld_tui.home import Home
from vld_tui.store.columns import is_sound, is_time
from vld_tui.store.database import Database, Row, in_parts
from vld_tui.store.errors import StoreError, missing_folder_advice
from vld_tui.store.lookup import find_by_id, is_text
from vld_tui.store.side_by_side import side_by_side

NAME_LENGTH: Final = 100
TAG_LENGTH: Final = 64
_NAMED: Final = ("dataset", "data_dir", "target", "dropout_rate", "masks", "seed")
"""Fields that generated names show in a form of their own, or not at all."""
_CHOICES_OF_ONE: Final = frozenset(
    word
    for word, fields in Counter(w for info in FIELDS.values() for w in info.choices).items()
    if fields == 1
)
"""Values that only one field can have, so that they are clear without its name."""
_BASE32: Final = "abcdefghijklmnopqrstuvwxyz234567"
_LABELS: Final = "name, tags, note, created_at, trashed_at"

TagChange = Callable[[tuple[str, ...]], Sequence[str]]
"""Returns a run's tags after a change, from those before."""


class Labels:
    """Changes the labels of runs, in both places or neither."""

    def __init__(self, database: Database, home: Home) -> None:
        self._database, self._home = database, home

    def rename(self, run_id: str, name: str) -> None:
        """Rename a run.

        Raises:
            StoreError: for an unusable name.
        """
        self._set(run_id, "name", check_name(name))

    def set_note(self, run_id: str, note: str) -> None:
        """Replace a run's note.

        Raises:
            StoreError: when it is not text.
        """
        _check_text("The note", note)
        self._set(run_id, "note", note)

    def change_tags(self, run_id: str, change: TagChange) -> tuple[str, ...]:
        """Change a run's tags and return them, keeping concurrent changes.

        Raises:
            StoreError: for an unusable tag.
        """
        try:
            with self._database.write() as connection:
                found = find_by_id(self._database, run_id)
                query = f"SELECT {_LABELS} FROM runs WHERE key = ?"
                row = connection.execute(query, [found.key]).fetchone()
                run_dir = found.run_dir(self._home)
                user = _as_user(row, run_dir.read_user())
                tags = tuple(dict.fromkeys(change(user.tags)))
                check_tags([tag for tag in tags if tag not in user.tags])
                connection.execute(
                    "UPDATE runs SET tags = ? WHERE key = ?", [" ".join(tags), found.key]
                )
                run_dir.write_user(msgspec.structs.replace(user, tags=tags))
        except OSError as error:
            raise StoreError(_why_unwritten(run_id, "tags", error)) from None
        return tags

    def add_tag(self, run_ids: Sequence[str], tag: str) -> None:
        """Add a tag to runs that are not in the trash.

        Raises:
            StoreError: for an unusable tag, or when it cannot be written; the database is then as
                it was.
        """
        (tag,) = check_tags([tag])
        try:
            with self._database.write() as connection:
                users = dict(_with_tag(self._database, self._home, run_ids, tag))
                connection.executemany(
                    "UPDATE runs SET tags = ? WHERE run_id = ?",
                    [(" ".join(user.tags), run_dir.run_id) for run_dir, user in users.items()],
                )
                side_by_side(lambda each: _write_where_it_is(*each), list(users.items()))
        except OSError as error:
            raise StoreError(f"Cannot write the tag {tag}: {error}.") from None

    def known_tags(self) -> list[str]:
        """Return the tags of runs that are not in the trash, the most frequent first."""
        rows = self._database.rows(
            "SELECT tags, count(*) FROM runs WHERE tags <> '' AND trashed_at IS NULL GROUP BY tags"
        )
        counts: Counter[str] = Counter()
        for tags, runs in rows:
            counts.update(dict.fromkeys(str(tags).split(), runs))
        return [tag for tag, _ in counts.most_common()]

    def _set(self, run_id: str, column: Literal["name", "note"], value: str) -> None:
        try:
            with self._database.write() as connection:
                found = find_by_id(self._database, run_id)
                connection.execute(
                    f"UPDATE runs SET {column} = ? WHERE key = ?", [value, found.key]
                )
                write_user_data(self._database, found.key, found.run_dir(self._home))
        except OSError as error:
            raise StoreError(_why_unwritten(run_id, column, error)) from None


def _why_unwritten(run_id: str, what: str, error: OSError) -> str:
    """Return why a label was not changed."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return f"Cannot change the {what}. {missing_folder_advice(run_id)}"
    return f"Cannot write the {what} of run {run_id}: {error}."


def _with_tag(
    database: Database, home: Home, run_ids: Sequence[str], tag: str
) -> Iterator[tuple[RunDir, UserData]]:
    for places, part in in_parts(run_ids):
        rows = database.rows(
            f"SELECT run_id, {_LABELS} FROM runs WHERE trashed_at IS NULL AND run_id IN ({places})",
            part,
        )
        for row in rows:
            run_dir = home.run_dir(row[0])
            user = _as_user(row[1:], run_dir.read_user())
            if tag not in user.tags:
                yield run_dir, msgspec.structs.replace(user, tags=(*user.tags, tag))


def _write_where_it_is(run_dir: RunDir, user: UserData) -> None:
    with contextlib.suppress(FileNotFoundError):  # the folder was deleted
        run_dir.write_user(user)


def write_user_data(database: Database, key: int, run_dir: RunDir) -> None:
    """Write the row's labels into the run folder.

    Raises:
        OSError: when they cannot be written.
    """
    row = database.row(f"SELECT {_LABELS} FROM runs WHERE key = ?", [key])
    if row is not None:
        run_dir.write_user(_as_user(row, run_dir.read_user()))


def _as_user(row: Row, before: UserData) -> UserData:
    """Return the labels of a row; where that is damaged, those that the folder has."""
    name, tags, note, created_at, trashed_at = row
    return UserData(
        name if is_sound(name) else before.name,
        tuple(tags.split()) if is_sound(tags) else before.tags,
        note if is_sound(note) else before.note,
        created_at if is_time(created_at) else before.created_at,
        trashed_at if is_time(trashed_at) else None,
    )


def check_name(name: str) -> str:
    """Return the name.

    Raises:
        StoreError: when it is ambiguous, empty or too long.
    """
    _check_text("The name", name)
    if not name.strip() or len(name) > NAME_LENGTH:
        raise StoreError(
            f"The name has {len(name)} characters, but must have 1 to {NAME_LENGTH} and not be "
            "blank."
        )
    if "/" in name or name[0] in "@-":
        raise StoreError(f"The name {name!r} must not contain '/' or start with '@' or '-'.")
    return name


def check_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """Return the tags, each once.

    Raises:
        StoreError: for a tag that is empty, too long, has spaces or commas, or starts with ``+``
            or ``-``.
    """
    for tag in tags:
        _check_text("A tag", tag)
        if not tag or len(tag) > TAG_LENGTH or any(character.isspace() for character in tag):
            raise StoreError(
                f"The tag {tag[:TAG_LENGTH]!r} must be one word of 1 to {TAG_LENGTH} characters."
            )
        if tag[0] in "+-":
            raise StoreError(f"The tag {tag!r} must not start with '+' or '-'.")
        if "," in tag:
            raise StoreError(f"The tag {tag!r} must not contain a comma.")
    return tuple(dict.fromkeys(tags))


def split_at_commas(words: Sequence[str]) -> list[str]:
    """Return words that may be separated by commas too: ``a,b`` is a and b, ``+a,b`` +a and +b."""
    found: list[str] = []
    for word in words:
        parts = [part.strip() for part in word.split(",")]
        sign = word[:1] if word[:1] in ("+", "-") else ""
        kept = [part if part[0] in "+-" else sign + part for part in parts if part]
        found += kept if kept and "," in word else [word]
    return found


def new_run_id(now: float) -> str:
    """Return an id that sorts by local time: ``yymmdd-HHMMSS-xxxx``."""
    stamp = time.strftime("%y%m%d-%H%M%S", time.localtime(now))
    return f"{stamp}-{''.join(secrets.choice(_BASE32) for _ in range(4))}"


def default_name(task: RunTask, named_by: Collection[str] = ()) -> str:
    """Return a generated name, such as ``fluent-mono-d0.9-m8-s0`` or ``fluent-mono-soup-of-3``.

    Args:
        task: the run.
        named_by: other fields that the name contains, as ``fluent-d0-lr-0.001-s0``. Defaults that
            are no numbers are left out.
    """
    spec = spec_of(task)
    place = _as_name(spec.dataset if spec.target in (None, NO_TARGET) else str(spec.target))[:60]
    if "dataset" in named_by and place != spec.dataset:
        place = f"{_as_name(spec.dataset)[:20]}-{place}"
    if isinstance(task, CombinationSpec):
        return f"{place or 'run'}-{_combined_name(task.combination)}"
    masks = f"-m{spec.masks}" if spec.dropout_rate else ""
    start, end = f"{place or 'run'}-d{spec.dropout_rate:g}{masks}", f"-s{spec.seed}"
    return start + _values_in_name(spec, named_by)[: NAME_LENGTH - len(start + end)] + end


def is_generated(name: str, task: RunTask) -> bool:
    """Return whether a name may be :func:`default_name` of a run, whatever fields it contains."""
    usual = default_name(task)
    start, dash, end = usual.rpartition("-")
    return name == usual or (start in name and name.endswith(f"{dash}{end}"))


def _values_in_name(spec: RunSpec, named_by: Collection[str]) -> str:
    words = []
    for name, info in FIELDS.items():
        value = getattr(spec, name)
        is_number = info.base in (int, float)
        if name in named_by and name not in _NAMED and (is_number or value != info.default):
            text = Path(value).name if "path" in info.roles else shown_value(value)
            is_clear = set(text.split(info.joined_by)) <= _CHOICES_OF_ONE
            words.append(f"-{_as_name(text)}" if is_clear else f"-{info.label}-{_as_name(text)}")
    return "".join(words)


def _as_name(text: str) -> str:
    usable = (each if each.isalnum() or each in "._-" else "-" for each in text)
    return "".join(usable).lstrip("-")


def names_of(specs: Sequence[RunSpec], name: str | None) -> list[str]:
    """Return the names of new runs: generated, the given name, or of several runs that name and
    their seeds."""
    if name is None:
        return [default_name(spec) for spec in specs]
    return [name] if len(specs) == 1 else [f"{name}-s{spec.seed}" for spec in specs]


def name_of_copy(name: str) -> str:
    """Return a name for a run like the one of this name: with the next number at its end."""
    found = re.fullmatch(r"(.*?)(?:-(\d{1,6}))?", name, re.DOTALL)
    start, number = found.groups() if found else (name, None)
    end = f"-{int(number or 1) + 1}"
    return f"{start[: NAME_LENGTH - len(end)]}{end}"


def _combined_name(combination: Combination) -> str:
    match combination.starts_at:
        case "start_of_run":
            return "wise-ft"
        case "linear_probe":
            return "interpolation-from-probe"
        case None:
            return f"{combination.method.replace('_', '-')}-of-{len(combination.parents)}"


def _check_text(what: str, value: str) -> None:
    if not is_text(value):
        raise StoreError(f"{what} is not valid text: {value!r}.")


def tag_change(words: Sequence[str]) -> TagChange:
    """Return the change that ``words`` make to tags: all plain words replace them, ``+a`` adds one
    and ``-b`` removes one. Words may be separated by commas too.

    Raises:
        UserError: when plain and signed words are mixed.
    """
    words = split_at_commas(words)
    signed = [word.startswith(("+", "-")) for word in words]
    if any(signed) and not all(signed):
        raise UserError("Pass either tags to set (a b) or changes (+a -b), not both.")
    if lone := [word for word in words if not word.strip("+-, ")]:
        raise UserError(f"{lone[0]!r} is not a tag.")
    return partial(_changed, words, is_signed=any(signed))


def typed_tags(text: str, before: Sequence[str]) -> TagChange:
    """Return the change that a typed list of all tags makes, from those it showed before; a list
    of signed words is a change itself. Tags are separated by commas or spaces.

    Raises:
        UserError: for an unusable tag.
    """
    words = text.replace(",", " ").split()
    if words and all(word[0] in "+-" for word in words):
        change = tag_change(words)
        check_tags(change(()))
        return change
    check_tags(words)
    return edited_tags(before, words)


def edited_tags(before: Sequence[str], after: Sequence[str]) -> TagChange:
    """Return the change from ``before`` to ``after``; tags that others added meanwhile are kept."""

    def change(now: tuple[str, ...]) -> list[str]:
        mine = [tag for tag in after if tag in now or tag not in before]
        return [*mine, *(tag for tag in now if tag not in before)]

    return change


def _changed(words: Sequence[str], tags: tuple[str, ...], *, is_signed: bool) -> tuple[str, ...]:
    if not is_signed:
        return tuple(dict.fromkeys(words))
    changed = dict.fromkeys(tags)
    for word in words:
        if word[0] == "+":
            changed[word[1:]] = None
        else:
            changed.pop(word[1:], None)
    return tuple(changed)
