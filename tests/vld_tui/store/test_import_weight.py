"""What reading history loads: nothing slow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from vld_tui.home import Home, open_home
from vld_tui.store.store import Store

_READ = """
import sys
from pathlib import Path
from vld_tui.home import open_home
from vld_tui.launch import local
from vld_tui.store.query import Query
from vld_tui.store.store import Store
with Store.open(open_home(Path(sys.argv[1]))) as store:
    store.live.refresh()
    store.runs.find(Query.parse("dropout>=0.9", sort="-ood"))
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def _loaded(home: Home) -> set[str]:
    command = [sys.executable, "-c", _READ, str(home.path)]
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())


def test_reading_history_loads_nothing_slow(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    Store.open(home).close()
    loaded = _loaded(home)
    assert {"msgspec", "sqlite3", "vld_tui"} <= loaded
    slow = {"sqlite_utils", "pandas", "numpy", "torch", "timm", "typer", "rich", "textual"}
    assert not loaded & slow


def test_only_a_new_database_loads_what_makes_one(tmp_path: Path) -> None:
    assert "sqlite_utils" in _loaded(Home(tmp_path))
