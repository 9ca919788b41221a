"""Runs, metrics, predictions and trained networks for Python: ``import vld_tui as vld``.

Everything here reads: no file of the home is created or changed. Errors are :class:`UserError` with
the message of the command line. Accuracies are from 0 to 1, times are Unix seconds.
"""

from __future__ import annotations

import html
import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, SupportsIndex, TypeVar, overload

import msgspec

from engine.protocol import DomainPredictions, PredictionsError, RunSpec, UserError, nearest
from engine.protocol.extras import install_command
from engine.rundir import RunDir
from vld_tui.control.records import (
    Record,
    checkpoint_records,
    flat_record,
    result_records,
    run_records,
    settings_record,
    table_records,
)
from vld_tui.home import Home, find_named_home, look_at_home
from vld_tui.runs.diagnoses import diagnosis_rows
from vld_tui.runs.evaluations import evaluation_rows
from vld_tui.runs.imported import ImportedError, ImportedRun, find_imported, load_imported
from vld_tui.runs.metrics import MetricPoint
from vld_tui.runs.run import Run
from vld_tui.store.errors import (
    DatabaseDamaged,
    DatabaseLocked,
    DatabaseUnwritable,
    RunNotFound,
)
from vld_tui.store.lookup import LAST
from vld_tui.store.query import Query
from vld_tui.store.store import Store, read_untouched
from vld_tui.views.imported import imported_record
from vld_tui.words.columns import Column, lay_out, table_lines
from vld_tui.words.numbers import UNKNOWN, plural
from vld_tui.words.text import plain_text, shorten

if TYPE_CHECKING:
    import pandas

    from engine.inference.classifier import Classifier

Answer = TypeVar("Answer")
HomePath = str | Path | None
"""A home; None: the one that ``VLD_HOME`` names, else the user's."""
Per = Literal["setting", "run"]
At = Literal["best", "last"]

_SHOWN_ROWS: Final = 20
_TEXT_CELLS: Final = 100
_HTML_CELLS: Final = 140
"""Width of a table in a prompt and in a notebook, in columns of text."""
_KEPT_COLUMNS: Final = ("name", "id_accuracy", "ood_accuracy")
_LONGEST_CELL: Final = 32
_DIAGNOSIS_COLUMNS: Final = (
    "diagnostic", "measure", "domain", "split", "value", "low", "high", "images",
)  # fmt: skip
_EVALUATION_COLUMNS: Final = ("evaluation", "dataset", "domain")
_CURVE_COLUMNS: Final = ("run", "name", "curve", "step", "value")
_CHECKPOINT: Final = ("kind", "step", "file", "bytes", "path")


class ApiError(UserError):
    """An argument that cannot be used; the message gives the reason and what to do."""


class Rows(list[Record]):
    """Rows of a table: a list of dicts that all have the same keys.

    ``pandas.DataFrame(rows)`` and ``polars.DataFrame(rows)`` read it like any list of dicts. A
    prompt and a notebook show the first rows as a table, without empty columns.
    """

    def __init__(self, records: Iterable[Mapping[str, Any]], columns: Iterable[str] = ()) -> None:
        """Take rows; missing values become None. ``columns`` come first, and without rows too."""
        found = list(records)
        self.columns: Final = list(
            dict.fromkeys([*columns, *(name for record in found for name in record)])
        )
        super().__init__({name: each.get(name) for name in self.columns} for each in found)

    @overload
    def __getitem__(self, at: SupportsIndex) -> Record: ...
    @overload
    def __getitem__(self, at: slice) -> Rows: ...
    def __getitem__(self, at: SupportsIndex | slice) -> Record | Rows:
        """Return a row, or some of them as rows too."""
        found = super().__getitem__(at)
        return Rows(found, self.columns) if isinstance(found, list) else found

    def to_pandas(self) -> pandas.DataFrame:
        """Return a data frame with a column per key; a missing number becomes NaN.

        Raises:
            ApiError: when pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise ApiError(
                f"to_pandas needs pandas. Install it with: {install_command('pandas')}"
            ) from None
        return pandas.DataFrame(list(self), columns=self.columns)

    def __repr__(self) -> str:
        columns, cells = self._shown()
        shown = lay_out(columns, cells, _TEXT_CELLS).shown
        lines = table_lines(columns, cells, _TEXT_CELLS) if cells else ()
        return "\n".join([*lines, self._size(len(shown))])

    def _repr_html_(self) -> str:
        columns, cells = self._shown()
        shown = lay_out(columns, cells, _HTML_CELLS).shown
        headings = "".join(f"<th>{html.escape(columns[at].heading)}</th>" for at in shown)
        rows = ("".join(f"<td>{html.escape(row[at])}</td>" for at in shown) for row in cells)
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        table = f"<table><thead><tr>{headings}</tr></thead><tbody>{body}</tbody></table>"
        return f"{table}<p>{html.escape(self._size(len(shown)))}</p>"

    def _size(self, columns: int) -> str:
        """Return the number of rows and columns, and how many of them are shown."""
        rows = min(len(self), _SHOWN_ROWS)
        is_whole = (rows, columns) == (len(self), len(self.columns)) or not self
        size = f"{plural(len(self), 'row')} × {plural(len(self.columns), 'column')}"
        return f"[{size}]" if is_whole else f"[{size}; shown: {rows} × {columns}]"

    def _shown(self) -> tuple[list[Column], list[list[str]]]:
        """Return the columns that have values, and the cells of the first rows.

        If space is short, accuracies are kept, then columns with different values.
        """
        first = list(self)[:_SHOWN_ROWS]
        columns: list[Column] = []
        texts: list[list[str]] = []
        for at, name in enumerate(self.columns):
            values = [each[name] for each in first]
            cells = [_cell(value) for value in values]
            if not any(cells):
                continue
            rank = 1000 * (name in _KEPT_COLUMNS) + 500 * (len(set(cells)) > 1) - at
            is_number = all(isinstance(value, int | float | None) for value in values)
            columns.append(Column(plain_text(name), right=is_number, rank=rank))
            texts.append([cell or UNKNOWN for cell in cells])
        return columns, [list(row) for row in zip(*texts, strict=True)]


def _cell(value: object) -> str:
    """Return a value as text; empty: none."""
    match value:
        case None | () | []:
            return ""
        case float():
            text = f"{value:.4g}" if abs(value) < 1e5 else f"{value:.0f}"
        case list() | tuple():
            text = ", ".join(map(str, value))
        case bytes():
            text = f"{len(value):,} bytes"
        case _:
            text = str(value)
    return shorten(plain_text(text), _LONGEST_CELL)


@dataclass(frozen=True)
class RunPredictions:
    """What the network of the selected step predicts on images that it was not trained on.

    ``step`` counts updates. ``classes`` are in the order of the network's outputs. The rows:

    - ``domains``: ``domain``, ``split`` (``out``: validation images, ``in``: the others),
      ``is_target``, ``images``, ``accuracy``, ``loss`` (nats);
    - ``confusions``: ``domain``, ``split``, ``is_target``, ``label``, ``predicted`` (names of
      classes) and ``images``; pairs of classes without images are left out;
    - ``mistakes``, the most confident ones first: ``label``, ``predicted``, ``confidence`` (the
      probability of the predicted class) and ``picture``, bytes of a small WebP image.
    """

    step: int
    classes: tuple[str, ...]
    domains: Rows
    confusions: Rows
    mistakes: Rows


@dataclass(frozen=True, repr=False)
class RunHandle:
    """A run as it was when :func:`run` returned it; call that again for its present state."""

    _run: Run
    _record: Record = field(compare=False)
    folder: Path
    """The run folder; docs/run-folder.md describes its files."""
    checkpoints: Rows = field(compare=False)
    """Rows: ``kind`` (``best``, ``last``, or an arm), ``step``, ``path`` (absolute), ``bytes``, and
    ``file``, the path in the run folder."""
    _home: HomePath

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.name!r} {self.status}>"

    @property
    def id(self) -> str:
        """Return the run's id, the name of its folder."""
        return self._run.run_id

    @property
    def name(self) -> str:
        """Return the run's name."""
        return self._run.name

    @property
    def tags(self) -> tuple[str, ...]:
        """Return the run's tags."""
        return self._run.tags

    @property
    def note(self) -> str:
        """Return the run's note."""
        return self._run.note

    @property
    def status(self) -> str:
        """Return ``queued``, ``starting``, ``running``, ``finished``, ``stopped``, ``failed``,
        ``crashed`` or ``damaged``."""
        return self._run.status

    @property
    def record(self) -> Record:
        """Return the run as a row of :func:`runs`."""
        return dict(self._record)

    @property
    def spec(self) -> RunSpec:
        """Return the run's specification, from which it can be repeated.

        Raises:
            ApiError: when it cannot be read.
        """
        if not self._run.has_spec:
            raise ApiError(f"The settings of run {self.id} cannot be read: {self._run.reason}")
        return self._run.spec

    @property
    def settings(self) -> dict[str, Any]:
        """Return the value of every setting of ``vld run`` by name.

        Raises:
            ApiError: when they cannot be read.
        """
        return msgspec.structs.asdict(self.spec)

    def metrics(
        self,
        *,
        name: str | None = None,
        domain: str | None = None,
        split: str | None = None,
        arm: str | None = None,
    ) -> Rows:
        """Return what was measured so far: a row per evaluation, domain, split, arm and name.

        The columns are ``step``, ``split``, ``domain``, ``arm``, ``name`` and ``value`` (None: not
        finite). In addition to the domains there are ``id`` (split ``out``) and ``ood`` (split
        ``in``), the reported values, and ``sources`` (split ``train``), the training loss.
        The use of the machine is left out unless ``split`` is ``system``.

        Args:
            name: only this metric, such as ``accuracy``, ``balanced_accuracy`` or ``loss``.
            domain: only this domain, ``id``, ``ood`` or ``sources``.
            split: only this split: ``in``, ``out``, ``train`` or ``system``.
            arm: only this arm.

        Raises:
            StoreError: when the run was removed, or the history cannot be read.
        """

        def find(store: Store) -> list[MetricPoint]:
            known = _get(store, self.id)
            return store.series.metrics(
                known.run_id, name=name, domain=domain, split=split, arm=arm
            )

        points = _read(self._home, find, [self.id])
        columns = MetricPoint.__struct_fields__
        return Rows(map(msgspec.structs.asdict, points), columns)

    def predictions(self) -> RunPredictions:
        """Return the predictions on held-out images at the selected step.

        Raises:
            ApiError: before the first evaluation.
            PredictionsError: when the file cannot be read.
        """
        path = RunDir(self.folder).predictions
        try:
            found = RunDir(self.folder).read_predictions()
        except PredictionsError as error:
            raise PredictionsError(f"Cannot read {path}: {error}.") from None
        if found is None:
            raise ApiError(
                f"Run {self.id} has no predictions: {path} is missing. A run writes it at its "
                "first evaluation."
            )
        names = found.classes
        return RunPredictions(
            step=found.step,
            classes=names,
            domains=Rows(
                _place(each) | {"images": each.images, "accuracy": each.accuracy, "loss": each.loss}
                for each in found.domains
            ),
            confusions=Rows(
                _place(each)
                | {
                    "label": names[pair.label],
                    "predicted": names[pair.predicted],
                    "images": pair.images,
                }
                for each in found.domains
                for pair in each.confusions
            ),
            mistakes=Rows(
                {
                    "label": names[each.label],
                    "predicted": names[each.predicted],
                    "confidence": each.confidence,
                    "picture": each.picture,
                }
                for each in found.wrong
            ),
        )

    def evaluations(self, *, classes: bool = False) -> Rows:
        """Return the stored evaluations on other data (``vld evaluate``).

        There is a row for each evaluation and domain and, with several domains, for their mean and
        for all images: ``evaluation``, ``dataset``, ``domain``, ``images``, ``accuracy`` and the
        other measures, with the ends of their 95% intervals (``…_low``, ``…_high``). ``is_test`` is
        False if images are known to have trained or selected the network.

        Args:
            classes: return the rows of each ``class`` instead: recall, precision and F1.
        """
        rows = (
            {"is_test": each.is_test, "arm": each.arm, "step": each.step} | row
            for each in RunDir(self.folder).read_evaluations().found
            for row in evaluation_rows(each)
        )
        wanted = [row for row in rows if bool(row["class"]) == classes]
        for row in wanted if not classes else ():
            del row["class"]
        return Rows(wanted, _EVALUATION_COLUMNS)

    def diagnoses(self) -> Rows:
        """Return the stored diagnostics by domain (``vld rich``, ``vld shift``).

        There is a row for each value: ``diagnostic``, ``measure``, ``domain``, ``split``,
        ``value``, the ends of its 95% interval if it has one (``low``, ``high``), and ``images``.
        """
        found = RunDir(self.folder).read_diagnoses().found.values()
        return Rows([*diagnosis_rows(found)], _DIAGNOSIS_COLUMNS)


def imported(*, home: HomePath = None) -> Rows:
    """Return a row for each run that ``vld pull`` imported from another tracker, by name.

    ``settings.NAME`` and ``values.CURVE`` are columns: the settings, and the last value of each
    curve. These runs are not among :func:`runs`.

    Args:
        home: as in :func:`runs`.

    Raises:
        HomeError: when a home that was named does not exist.
        ImportedError: when a file cannot be read.
    """
    found = load_imported(_home(home).imported)
    return Rows(map(_flat_imported, found), ("run", "name", "tracker"))


def imported_curves(reference: str | None = None, *, home: HomePath = None) -> Rows:
    """Return the curves of imported runs: ``run``, ``name``, ``curve``, ``step`` and ``value``
    (None: not finite).

    Args:
        reference: only this run: its id, the start of it, or its name; None: all.
        home: as in :func:`runs`.

    Raises:
        HomeError: when a home that was named does not exist.
        ImportedError: when no run or several match, or a file cannot be read.
    """
    folder = _home(home).imported
    if reference is None:
        found = load_imported(folder)
    elif (one := find_imported(folder, reference)) is not None:
        found = [one]
    else:
        names = [each.name for each in load_imported(folder)]
        raise ImportedError(f"No imported run {reference!r}.{nearest(reference, names)}")
    return Rows(
        (
            {"run": each.run_id, "name": each.name, "curve": name, "step": step, "value": value}
            for each in found
            for name, curve in each.curves.items()
            for step, value in zip(curve.steps, curve.values, strict=True)
        ),
        _CURVE_COLUMNS,
    )


def runs(
    where: str | None = None,
    *,
    sort: str | None = None,
    limit: int | None = None,
    trashed: bool = False,
    settings: bool = False,
    home: HomePath = None,
) -> Rows:
    """Return a row for each run, the newest first: the columns of ``vld ls --csv``.

    A run's additional columns are ``domains.NAME``, the accuracy on each domain, and
    ``arms.ARM.…``, the results of each additional arm. ``tags`` and ``parents`` are lists.

    Args:
        where: a filter as for ``vld ls --where``, such as ``"status:finished dropout>=0.9"``.
        sort: a field as for ``vld ls --sort``, such as ``"-ood_accuracy"``.
        limit: at most so many runs; None or 0: all.
        trashed: the runs in the trash.
        settings: add a column for every setting of ``vld run``.
        home: the folder of runs and database; None: ``VLD_HOME``, else the user's.

    Raises:
        HomeError: when a home that was named does not exist.
        QueryError: when ``where`` or ``sort`` is invalid.
        StoreError: when the history cannot be read.
    """
    if limit is not None and limit < 0:
        raise ApiError(f"limit is {limit}, but must be at least 0.")
    Query.parse(where or "", sort=sort)  # checked before the home is opened

    def find(store: Store) -> list[Record]:
        if store.may_be_behind:
            store.catch_up()
        query = store.runs.query(where or "", sort=sort)
        found = store.runs.find(query, trashed=trashed, limit=limit or None)
        unread = store.folders.count_unread(must_look=not (found or where or trashed))
        if unread:
            folders = f"{plural(unread, 'run folder')} in {store.home.runs}"
            store.database.problem = f"{folders} not in the database; run: vld rebuild"
        records = map(flat_record, run_records(store, found))
        if not settings:
            return list(records)
        return [settings_record(run) | each for run, each in zip(found, records, strict=True)]

    return Rows(_read(home, find))


def run(reference: str = "@last", *, home: HomePath = None) -> RunHandle:
    """Return a run.

    Args:
        reference: its id, the start of its id if unique, its name, or ``@last``, the newest.
        home: as in :func:`runs`.

    Raises:
        HomeError: when a home that was named does not exist.
        RunNotFound: when no run matches.
        AmbiguousRun: when several runs match.
        StoreError: when the history cannot be read.
    """

    def find(store: Store) -> RunHandle:
        known = _get(store, reference)
        (record,) = run_records(store, [known])
        folder = store.runs.run_dir(known.run_id).path
        checkpoints = checkpoint_records(store, known)
        return RunHandle(
            known, flat_record(record), folder, Rows(checkpoints, _CHECKPOINT), store.home.path
        )

    return _read(home, find, [reference])


def study(name: str | Path, *, per: Per = "setting", home: HomePath = None) -> Rows:
    """Return the results of a study so far.

    Args:
        name: a launched study, a preset, or a TOML file.
        per: ``setting``: a row for each setting, target and arm, with means and standard deviations
            (``…_deviation``) over seeds, and how many of its runs have finished. ``run``: a row for
            each finished run and arm, the columns of ``runs.csv`` of a report.
        home: as in :func:`runs`.

    Raises:
        StudyError: when the study does not exist, or is invalid.
        HomeError: when a home that was named does not exist.
        StoreError: when the history cannot be read.
    """
    _check_choice("per", per, ("setting", "run"))

    def find(store: Store) -> list[Record]:
        from vld_tui.study.define.files import find_study  # a list of runs does without studies
        from vld_tui.study.results.outcomes import gather
        from vld_tui.study.results.state import read_state

        found = find_study(store.home, str(name))
        if store.may_be_behind:
            store.catch_up()
        if per == "setting":
            return list(table_records(read_state(store, found)))
        gathered = gather(store, found)
        return result_records(gathered.results, gathered.design)

    return Rows(_read(home, find))


def load(
    reference: str = "@last",
    *,
    arm: str | None = None,
    at: At = "best",
    device: str = "cpu",
    home: HomePath = None,
) -> Classifier:
    """Return the trained network of a run, a ``torch.nn.Module`` in evaluation mode.

    ``network(images)`` returns the logits (B, C) float32 of images (B, 3, S, S) float32,
    ``network.probabilities(images)`` calibrated probabilities. ``network.transform(image)`` makes
    (3, S, S) of a ``PIL.Image``. ``network.classes`` names the C outputs, ``network.temperature``
    divides the logits of calibrated probabilities.

    Args:
        reference: as in :func:`run`.
        arm: an arm with weights of its own, such as ``averaged``; None: the run's own network.
        at: the selected step (``best``), or the ``last`` one.
        device: where the network computes, such as ``cpu`` or ``cuda``.
        home: as in :func:`runs`.

    Raises:
        InputError: when there is no such checkpoint, or it cannot be read.
        ApiError: when the device cannot be used.
        RunNotFound: when no run matches.
    """
    _check_choice("at", at, ("best", "last"))
    folder = run(reference, home=home).folder

    with warnings.catch_warnings():  # a package offers a progress bar that notebooks may lack
        warnings.filterwarnings("ignore", message="IProgress not found")
        from engine.inference.classifier import load_classifier  # imports torch
    classifier = load_classifier(RunDir(folder), arm=arm, at=at)
    try:
        return classifier.to(device)
    except (RuntimeError, AssertionError) as error:  # torch's, when a device does not exist
        reason = str(error).partition("\n")[0].rstrip(".")
        raise ApiError(f"device is {device!r}, which cannot be used: {reason}.") from None


def _place(domain: DomainPredictions) -> Record:
    return {"domain": domain.domain, "split": domain.split, "is_target": domain.is_target}


def _check_choice(argument: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        allowed = " or ".join(map(repr, choices))
        hint = nearest(str(value), choices)
        raise ApiError(f"{argument} is {value!r}, but must be {allowed}.{hint}")


def _get(store: Store, reference: str) -> Run:
    """Return a run as its folder is now.

    Raises:
        RunNotFound: when no run matches.
        AmbiguousRun: when several runs match.
    """
    try:
        known = store.runs.get(reference)
        is_newest = reference == LAST and store.may_be_behind
        if known.status == "finished" and not is_newest:
            return known
    except RunNotFound:
        if not store.database.is_read_only:
            raise
    store.catch_up()
    return store.runs.get(reference)


def _home(home: HomePath) -> Home:
    """Return a home, to read.

    Raises:
        HomeError: when a home that was named does not exist, or none can.
    """
    if home == "":
        raise ApiError("home must be a path, not an empty string.")
    given = None if home is None else Path(home)
    found = find_named_home(given)
    if not found.is_made:
        look_at_home(given)
    return found


def _flat_imported(run: ImportedRun) -> Record:
    """Return an imported run with a key for every setting and curve."""
    record = imported_record(run)
    for part in ("settings", "values"):
        record |= {f"{part}.{name}": value for name, value in record.pop(part).items()}
    return record


def _read(
    home: HomePath, question: Callable[[Store], Answer], of_runs: Sequence[str] = ()
) -> Answer:
    """Return what a question finds in the history of a home, without changing a file.

    If the database cannot be used, a question about runs is answered from their folders.

    Raises:
        HomeError: when a home that was named does not exist, or none can.
        StoreError: when the history cannot be read.
    """
    found = _home(home)
    try:
        answer, problem = read_untouched(
            found, lambda store: (question(store), store.database.problem)
        )
    except (DatabaseLocked, DatabaseUnwritable, DatabaseDamaged) as error:
        if not of_runs:
            raise
        problem = f"read from the run folder only: {error}"
        with Store.of_folders(found, of_runs) as store:
            answer = question(store)
    if problem is not None:
        warnings.warn(problem, stacklevel=_level_of_caller())
    return answer


def _level_of_caller() -> int:
    """Return the level in the calling function's stack of the first frame outside the package."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and frame.f_globals.get("__name__", "").startswith("vld_tui"):
        frame, level = frame.f_back, level + 1
    return level
