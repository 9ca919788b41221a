"""A job that was submitted before an upgrade finds its task."""

import pickle

from vld_tui.launch.slurm.pack import Pack


def test_a_pending_job_of_an_earlier_version_finds_its_task() -> None:
    written = pickle.dumps(Pack(["runs/a"], 1)).replace(
        b"\x8c\x19vld_tui.launch.slurm.pack", b"\x8c\x12vld_tui.slurm.pack"
    )
    assert b"vld_tui.launch" not in written
    start = written.index(b"\x95")
    body = written[:start] + written[start + 9 :]  # the frame told the length of before

    read = pickle.loads(body)

    assert isinstance(read, Pack)
    assert read.folders == ("runs/a",)
