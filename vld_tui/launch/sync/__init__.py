"""Copy runs and studies from another home with rsync."""

from vld_tui.launch.sync.fetch import Fetched, fetch_runs
from vld_tui.launch.sync.rsync import SyncError
from vld_tui.launch.sync.studies import THEIRS, FetchedStudies

__all__ = ["THEIRS", "Fetched", "FetchedStudies", "SyncError", "fetch_runs"]
