"""Which runs the README's study already has, and what they were made with."""

from __future__ import annotations

from pathlib import Path

from benchmarks.emoji_study import find, revisions
from engine.protocol import RunStarted, encode_event
from vld_tui.home import Home


def test_a_home_that_is_not_made_yet_has_no_runs(tmp_path: Path) -> None:
    assert find(tmp_path / "home", "emoji-study-noto-0-0") is None


def test_every_revision_is_named_that_runs_were_made_with(tmp_path: Path) -> None:
    for number, commit in enumerate(["b" * 40, "a" * 40, None]):
        folder = Home(tmp_path).run_dir(f"260101-00000{number}-aaaa")
        folder.path.mkdir(parents=True)
        started = RunStarted(
            seq=0, time=1.0, protocol_version=2, attempt=1, pid=1, host="here",
            resumed_step=None, versions={}, commit=commit,
        )  # fmt: skip
        folder.events.write_bytes(encode_event(started))

    runs = [f"260101-00000{number}-aaaa" for number in range(3)]
    assert revisions(tmp_path, runs) == ["aaaaaaa", "bbbbbbb", "unknown"]
