"""Copy runs and studies from another home with rsync."""

from vld_tui.launch.sync.fetch import THEIRS, Fetched, FetchedStudies, fetch_runs
from vld_tui.launch.sync.rsync import SyncError

__all__ = ["THEIRS", "Fetched", "FetchedStudies", "SyncError", "fetch_runs"]
