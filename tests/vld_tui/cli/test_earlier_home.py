"""A home that an earlier version wrote opens as that version showed it.

The archive holds a home of schema 14 without its checkpoints (runs that trained, one that combines
two of them, a study, a queue, a form preset, preferences, a cluster profile), and what that version
printed of it with ``--json``.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.vld_tui.cli.conftest import Vld
from vld_tui.dashboard.preferences import PREFERENCES_SETTING, Preferences
from vld_tui.home import open_home
from vld_tui.store.store import Store
from vld_tui.study.planner import read_form_presets

ARCHIVE = Path(__file__).parent / "homes" / "home-of-schema-14.tar.xz"


@pytest.fixture
def earlier(tmp_path: Path) -> Vld:
    """Return ``vld`` in the home."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return Vld(tmp_path / "home")


def expected(vld: Vld, name: str) -> Any:
    return json.loads((vld.home.parent / "expected" / f"{name}.json").read_text())


def differences(then: Any, now: Any, at: str = "") -> list[str]:
    """Return where a document lacks what an earlier one had; what has been added is no matter."""
    if isinstance(then, dict) and isinstance(now, dict):
        return [
            found
            for key, value in then.items()
            for found in (
                differences(value, now[key], f"{at}.{key}") if key in now else [f"{at}.{key} gone"]
            )
        ]
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        return [
            found
            for place, (one, other) in enumerate(zip(then, now, strict=True))
            for found in differences(one, other, f"{at}[{place}]")
        ]
    return [] if then == now else [f"{at}: {then!r} is now {now!r}"]


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["ls"], "ls"),
        (["queue", "ls"], "queue_ls"),
        (["sweep", "status", "rates"], "sweep_status_rates"),
        (["profile", "ls"], "profile_ls"),
    ],
)
def test_its_runs_queue_study_and_profile_are_the_same(
    earlier: Vld, arguments: list[str], name: str
) -> None:
    assert differences(expected(earlier, name), earlier.json(*arguments)) == []


def test_every_field_it_could_be_filtered_by_is_there(earlier: Vld) -> None:
    then = {field["name"] for field in expected(earlier, "ls_fields")}
    now = {field["name"] for field in earlier.json("ls", "--fields")}

    assert then <= now


def test_it_can_be_built_again_from_its_run_folders(earlier: Vld) -> None:
    (earlier.home / "vld.db").unlink()

    assert earlier("rebuild").exit_code == 0
    found = differences(expected(earlier, "ls_rebuilt"), earlier.json("ls"))
    assert [each for each in found if ".error: " not in each] == []  # its wording may change


def test_what_was_chosen_in_the_dashboard_is_kept(earlier: Vld) -> None:
    with Store.open(open_home(earlier.home)) as store:
        preferences = store.settings.get(PREFERENCES_SETTING, Preferences, Preferences())
        presets = read_form_presets(store)

    assert preferences.columns == ("status", "name", "ood", "gap", "lr")
    assert (preferences.theme, preferences.refresh_s) == ("nord", 2.0)
    assert (preferences.sort, preferences.group) == ("-ood", "dropout_rate")
    assert set(preferences.keys.values()) == {"ctrl+n", "W", "ctrl+r"}
    assert presets == {
        "small": {
            "dataset": "emoji", "steps": "6", "model": "test_resnet", "dropout_rate": "0.5",
        }
    }  # fmt: skip


def test_a_caution_that_was_stored_in_other_words_is_shown_once(earlier: Vld) -> None:
    shown = earlier("show", "first-s1").stdout

    assert shown.count("8 validation images") == 1
