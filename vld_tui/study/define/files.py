"""Find and save studies: your own files, launched studies and presets."""

from __future__ import annotations

import contextlib
import importlib.resources
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from engine.protocol import SPELLINGS, nearest
from engine.protocol.embedded import DEFAULT_DATASET, EARLIER_DEFAULT_DATASET
from engine.rundir import write_atomic
from engine.rundir.lock import held
from vld_tui.home import Home, expanded
from vld_tui.study.define.datasets import HomeDatasets
from vld_tui.study.define.definition import Study, read_study
from vld_tui.study.define.grid import DATA, DATA_FIELDS, StudyError
from vld_tui.words.toml_text import change_toml, read_toml

SUFFIX: Final = ".toml"
SMALL: Final = "-small"
"""Suffix of the name of a preset's miniature version."""
PRESETS: Final = (
    "demo", "pays-linear", "pays-short", "pays-long", "richness", "paper-ask",
    "paper-fig2", "paper-fig3", "paper-fig4", "paper-fig5", "paper-fig6", "paper-fig7",
    "paper-fig8", "paper-fig9",
    "neighbours", "paper-b", "paper-c", "paper-d", "paper-e", "paper-f", "paper-g", "paper-h",
)  # fmt: skip
"""The presets in the order of every list; a miniature version follows its preset."""


@dataclass(frozen=True)
class StudyText:
    """A study as it is written.

    ``where`` is its name in messages; relative paths start at ``folder`` (None: no base).
    """

    text: str
    where: str
    folder: Path | None

    def read(self, home: Home, datasets: HomeDatasets | None = None) -> Study:
        """Return the study.

        Raises:
            StudyError: when it is invalid.
            DatasetError, LaunchError: when a data set is unknown or cannot be read.
        """
        found = datasets or HomeDatasets(home)
        return read_study(self.text, self.where, found, folder=self.folder or Path())

    @property
    def values(self) -> dict[str, Any]:
        """Return the values as written.

        Raises:
            StudyError: when it is not valid TOML.
        """
        try:
            return read_toml(self.text)
        except ValueError as error:
            raise StudyError(f"{self.where}: {error}") from None

    def with_value(self, key: str, value: Any) -> StudyText:
        """Return the study with another value of a top-level key, keeping comments.

        Raises:
            StudyError: when it is not valid TOML.
        """
        try:
            return replace(self, text=change_toml(self.text, {key: value}))
        except ValueError as error:
            raise StudyError(f"{self.where}: {error}") from None

    def with_data(self, names: Sequence[str]) -> StudyText:
        """Return the study with other data sets.

        Raises:
            StudyError: when it sets its images field by field; also see :meth:`with_value`.
        """
        if fields := self._data_fields():
            raise StudyError(
                f"{self.where}: --data cannot replace its {min(fields)}. Set the data set above "
                f"all tables instead: data = {json.dumps([*names], ensure_ascii=False)}"
            )
        return self.with_value(DATA, [*names])

    def with_default_data(self, name: str) -> StudyText:
        """Return the study with a data set, if it names none.

        Raises:
            StudyError: when it is not valid TOML.
        """
        is_named = DATA in self.values or self._data_fields()
        return self if is_named else self.with_value(DATA, [name])

    def _data_fields(self) -> set[str]:
        """Return the fields that set the images of the study's own grid."""
        zips = self.values.get("zip")
        tables = [
            *map(self.values.get, ("fields", "cross")),
            *(zips if isinstance(zips, list) else ()),
        ]
        named = (name for table in tables if isinstance(table, dict) for name in table)
        fields = {SPELLINGS.get(name.replace("-", "_")) for name in named}
        return {name for name in DATA_FIELDS if name in fields}


def find_study(home: Home, reference: str) -> Study:
    """Return the study with this path, or the launched study or preset with this name.

    Raises:
        StudyError: when it does not exist, with the nearest names, or is invalid.
        DatasetError, LaunchError: when a data set is unknown or cannot be read.
    """
    return find_text(home, reference).read(home)


def is_study(home: Home, reference: str) -> bool:
    """Return whether a reference is a path, or the name of a launched study or preset."""
    if reference.endswith(SUFFIX) or "/" in reference:
        return True
    return reference in kept_names(home) or reference in study_preset_names()


def find_text(home: Home, reference: str) -> StudyText:
    """Return the text of a study.

    Raises:
        StudyError: when it does not exist, with the nearest names, or cannot be read.
    """
    if reference.endswith(SUFFIX) or "/" in reference:
        path = expanded(reference)
        return StudyText(_read(path), str(path), path.absolute().parent)
    kept = kept_path(home, reference)
    if kept.is_file():
        text = StudyText(_read(kept), str(kept), home.studies)
        return text.with_default_data(EARLIER_DEFAULT_DATASET)  # an earlier version saved it
    presets = study_preset_names()
    if reference in presets:
        return study_preset_text(reference)
    known = [*presets, *kept_names(home)]
    file = Path(reference + SUFFIX)
    hint = f" Did you mean {file}?" if file.is_file() else nearest(reference, known)
    raise StudyError(
        f"No study or preset {reference!r}.{hint or ' List them with: vld sweep ls'}\n"
        "For your own study, pass a TOML file: vld sweep FILE.toml"
    )


def keep_study(home: Home, study: Study, source: StudyText) -> None:
    """Save a study under its name, with what is needed to read it from anywhere.

    Raises:
        StudyError: when it cannot be written.
    """
    source = source.with_default_data(DEFAULT_DATASET)
    values = source.values
    if "folder" not in values and source.folder is not None:
        source = source.with_value("folder", str(source.folder))
    if study.domains and "domains" not in values:
        domains = {name: [*names] for name, names in study.domains.items()}
        source = source.with_value("domains", domains)
    try:
        home.studies.mkdir(exist_ok=True)
        write_atomic(kept_path(home, study.name), source.text.encode())
    except OSError as error:
        raise StudyError(f"Cannot write to {home.studies}: {error.strerror}.") from None


def without_local_folder(text: str) -> str:
    """Return a study's text for sharing, without its local folder."""
    is_local = str(read_toml(text).get("folder", "")).startswith(("/", "~"))
    return change_toml(text, {"folder": None}) if is_local else text


@contextlib.contextmanager
def only_launch(home: Home) -> Iterator[None]:
    """Wait until no other process launches a study of this home, to avoid duplicate runs.

    Raises:
        StudyError: when the folder of studies cannot be written.
    """
    stack = contextlib.ExitStack()
    try:
        home.studies.mkdir(exist_ok=True)
        stack.enter_context(held(home.studies / ".lock"))
    except OSError as error:
        raise StudyError(f"Cannot write to {home.studies}: {error.strerror}.") from None
    with stack:
        yield


def kept_path(home: Home, name: str) -> Path:
    """Return the file of a launched study."""
    return home.studies / f"{name}{SUFFIX}"


def kept_names(home: Home) -> list[str]:
    """Return the names of the launched studies."""
    return sorted(path.stem for path in home.studies.glob(f"*{SUFFIX}"))


def study_preset_names() -> list[str]:
    """Return the names of the presets, each followed by its miniature version."""
    return list(_preset_files())


def study_preset_titles() -> dict[str, str]:
    """Return the titles of the presets by name."""
    return {name: study_preset_text(name).values["title"] for name in study_preset_names()}


def study_preset_text(name: str) -> StudyText:
    """Return the text of a preset.

    Raises:
        StudyError: when it does not exist, with the nearest names.
    """
    files = _preset_files()
    if name not in files:
        raise StudyError(
            f"No preset {name!r}.{nearest(name, files) or ' List them with: vld sweep ls'}"
        )
    return StudyText(files[name].read_text(encoding="utf-8"), name, None)


def _preset_files() -> dict[str, Any]:
    folder = importlib.resources.files("vld_tui.study") / "studies"
    files = {
        each: folder / (each.replace(SMALL, ".small") + SUFFIX)
        for name in PRESETS
        for each in (name, name + SMALL)
    }
    return {name: file for name, file in files.items() if file.is_file()}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise StudyError(f"Cannot read {path}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise StudyError(f"{path} is not UTF-8 text.") from None
