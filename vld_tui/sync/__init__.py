"""Bring runs and studies of another home here, by rsync."""

from vld_tui.sync.fetch import Fetched, fetch_runs
from vld_tui.sync.rsync import SyncError
from vld_tui.sync.studies import THEIRS, FetchedStudies

__all__ = ["THEIRS", "Fetched", "FetchedStudies", "SyncError", "fetch_runs"]
