"""MLflow: a tracking server, or a local database.

A run is found by the tag :data:`RUN_TAG`; :data:`SEQ_TAG` is the last event that it has, and
:data:`SELECTED_TAG` a digest of its selected results. Values are logged with the times of their
events, so that a database drops those that it already has; a folder would keep them twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any, Final

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# A server that does not answer is reported in seconds; by default, it takes minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.uri import is_local_uri

from engine.protocol.extras import install_command
from vld_tui.trackers.tracker import (
    PROJECT,
    Destination,
    Known,
    Row,
    TrackedRun,
    TrackerError,
)

RUN_TAG: Final = "vld.run"
SEQ_TAG: Final = "vld.seq"
SELECTED_TAG: Final = "vld.selected"
_ENDS: Final = {
    "finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED", "crashed": "FAILED",
}  # fmt: skip
_MOST_METRICS: Final = 1000
"""Metrics in one request."""
_MOST_PARAMS: Final = 100
_LONGEST: Final = 5000
"""Characters of a parameter or tag."""
_REFUSED: Final = re.compile(r"[^/\w.\- :]")
"""A character that a metric's name may not have."""


def open_tracker(destination: Destination) -> MLflow:
    """Return a tracking server."""
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return MLflow(destination)


class MLflow:
    """A tracking server, with an experiment for each study."""

    def __init__(self, destination: Destination) -> None:
        self._project, self._uri = destination.project, destination.uri or "MLflow"
        with _reported(self._uri):
            self._client = MlflowClient(tracking_uri=destination.uri)
            self._uri = self._client.tracking_uri

    @property
    def view(self) -> tuple[str, str] | None:
        """Return the command that shows a local database."""
        if self._uri.startswith("http"):
            return None
        return f"mlflow ui --backend-store-uri {shlex.quote(self._uri)}", "show the runs"

    def begin(self, run: TrackedRun) -> MLflowRun:
        """Find a run in its experiment, or create it."""
        name = self._project or run.group or PROJECT
        with _reported(self._uri):
            known = self._client.get_experiment_by_name(name)
            if known is None:
                experiment = self._client.create_experiment(name)
            else:
                experiment = known.experiment_id
            query = f"tags.`{RUN_TAG}` = '{run.run_id}'"
            found = self._client.search_runs([experiment], query, max_results=1)
            kept = (
                found[0]
                if found
                else self._client.create_run(
                    experiment,
                    start_time=_milliseconds(run.created_at),
                    run_name=run.name,
                    tags={RUN_TAG: run.run_id},
                )
            )
        return MLflowRun(self._client, kept, f"{self._uri}, experiment {name}")


class MLflowRun:
    """One run of a server."""

    def __init__(self, client: MlflowClient, kept: Any, place: str) -> None:
        self._client, self._place = client, place
        self._id = kept.info.run_id
        self._params = set(kept.data.params)
        self._known = Known(seq=int(kept.data.tags.get(SEQ_TAG, -1)))
        self._selected = kept.data.tags.get(SELECTED_TAG)
        self._is_folder = is_local_uri(client.tracking_uri)  # type: ignore[no-untyped-call]

    @property
    def known(self) -> Known:
        """Return the last event that the run has."""
        return self._known

    @property
    def place(self) -> str:
        """Return the server and the experiment."""
        return self._place

    def log(self, rows: Sequence[Row]) -> None:
        """Add the rows, and record the last one only with the last of its values."""
        metrics = _metrics(rows)
        for start in range(0, len(metrics), _MOST_METRICS):
            part = metrics[start : start + _MOST_METRICS]
            is_last = start + _MOST_METRICS >= len(metrics)
            tags = [RunTag(SEQ_TAG, str(rows[-1].seq))] if is_last else []
            with _reported(self._place):
                self._client.log_batch(self._id, metrics=self._missing(part), tags=tags)

    def describe(self, run: TrackedRun) -> None:
        """Set the parameters that are missing, the tags, the results and the status."""
        settings = {_name(name): value for name, value in run.settings.items()}
        params = [
            Param(name, "none" if value is None else str(value)[:_LONGEST])
            for name, value in settings.items()
            if name not in self._params
        ]
        tags = {
            "mlflow.runName": run.name,
            "mlflow.note.content": run.note,
            "vld.tags": ", ".join(run.tags),
            "vld.status": run.status,
            "vld.study": run.group or "",
        }
        labels = [RunTag(name, value[:_LONGEST]) for name, value in tags.items()]
        with _reported(self._place):
            for start in range(0, len(params), _MOST_PARAMS):
                self._client.log_batch(self._id, params=params[start : start + _MOST_PARAMS])
            self._params.update(settings)
            self._client.log_batch(self._id, tags=labels)
            if run.selected is not None:
                self._select(_metrics([run.selected]))
            if run.ended_at is None:
                self._client.update_run(self._id, status="RUNNING")
            else:
                end = _ENDS.get(run.status, "FAILED")
                self._client.set_terminated(self._id, end, end_time=_milliseconds(run.ended_at))

    def close(self) -> None:
        """Do nothing: every call has written."""

    def _select(self, metrics: list[Metric]) -> None:
        """Log the selected results, unless the run has them."""
        digest = hashlib.sha256(repr([(each.key, _point(each)) for each in metrics]).encode())
        tag = RunTag(SELECTED_TAG, digest.hexdigest()[:16])
        if tag.value != self._selected:
            self._client.log_batch(self._id, metrics=self._missing(metrics), tags=[tag])
            self._selected = tag.value

    def _missing(self, metrics: list[Metric]) -> list[Metric]:
        """Return those to log: of a folder, which keeps all it is given, those it does not have."""
        if not self._is_folder:
            return metrics
        kept = {
            name: {_point(each) for each in self._client.get_metric_history(self._id, name)}
            for name in {each.key for each in metrics}
        }
        return [each for each in metrics if _point(each) not in kept[each.key]]


def _metrics(rows: Sequence[Row]) -> list[Metric]:
    return [
        Metric(_name(name), value, _milliseconds(row.time), row.step)
        for row in rows
        for name, value in row.values.items()
    ]


def _point(metric: Metric) -> tuple[int, int, str]:
    return metric.timestamp, metric.step, str(float(metric.value))  # NaN is not equal to itself


def _name(name: str) -> str:
    """Return a name that MLflow accepts: other characters as their code points."""
    named = _REFUSED.sub(lambda found: f"_{ord(found[0]):x}_", name)
    return "/".join(part.strip(".") or "_" for part in named.split("/"))


def _milliseconds(moment: float) -> int:
    return round(moment * 1000)


@contextlib.contextmanager
def _reported(place: str) -> Iterator[None]:
    try:
        yield
    except MlflowException as error:
        reason = str(error).splitlines()[0].removesuffix(".")
        raise TrackerError(f"MLflow ({place}) reports: {reason}.\n{_ADVICE}") from None
    except ModuleNotFoundError as error:  # a database needs more than a server
        raise TrackerError(
            f"MLflow ({place}) needs {error.name}, which is not installed.\n"
            f"Install it with: {install_command('mlflow')}"
        ) from None


_ADVICE: Final = "What arrived is kept; once this is fixed, the same command pushes the rest."
