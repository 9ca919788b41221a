"""Runs of one study that were given different images are told apart, and told of."""

from __future__ import annotations

import json
from pathlib import Path

from tests.vld_tui.cli.conftest import Vld
from tests.vld_tui.store.told_runs import Teller, data_prepared, evaluated, finished, started
from vld_tui.home import open_home
from vld_tui.store.store import Store
from vld_tui.study.define.files import find_study
from vld_tui.views.study import image_cautions

STUDY = """
name = "rates"
data = ["emoji"]
seeds = 3
[fields]
steps = 20
target = "fluent-mono"
[cross]
dropout_rate = [0.0, 0.9]
"""
OLD, NEW = "0ld" * 8, "3e3" * 8


def tell(vld: Vld, file: Path, digests: tuple[str, ...]) -> None:
    """Fill a study with runs that were given images of these digests, and keep it."""
    file.write_text(STUDY)
    home = open_home(vld.home)
    study = find_study(home, str(file))
    with Store.open(home) as store:
        for spec, digest in zip(study.specs, digests, strict=True):
            teller = Teller(store.runs.run_dir(store.runs.create(spec).run_id))
            teller.says(started(), data_prepared(digest=digest))
            teller.says(*evaluated(10, id_accuracy=0.8, ood_accuracy=0.5))
            teller.says(finished(20, selected_step=10, id_accuracy=0.8, ood_accuracy=0.5))
        store.live.refresh()


def test_the_digest_of_a_run_is_kept_and_asked_for(vld: Vld, tmp_path: Path) -> None:
    tell(vld, tmp_path / "rates.toml", (OLD, OLD, NEW, "", OLD, NEW))
    for _ in range(2):
        found = vld.json("ls", "--where", f"data_digest:{NEW[:12]}")
        assert len(found) == 2
        assert vld("rebuild").exit_code == 0


def test_status_and_report_say_that_the_images_changed(vld: Vld, tmp_path: Path) -> None:
    file = tmp_path / "rates.toml"
    tell(vld, file, (OLD, OLD, NEW, "", OLD, NEW))
    (caution,) = vld.json("sweep", "status", str(file))["cautions"]
    assert caution.startswith("the images of emoji changed between runs: 3 runs of ")
    assert f"have {OLD[:12]}; 2 runs of " in caution
    assert caution.endswith(
        f"Trash the older runs (vld ls --where data_digest:{OLD[:12]}), then vld sweep rates runs "
        "them again."
    )
    assert f"caution   {caution}" in vld("sweep", "status", str(file)).stdout
    told = vld("report", str(file), "--json", "--out", str(tmp_path / "out"))
    facts = json.loads(told.stdout)["facts"]
    assert next(iter(facts.items())) == ("caution", caution)
    page = (tmp_path / "out" / "index.html").read_text()
    assert page.index("the images of emoji changed") < page.index("<dt>study</dt>")


def test_nothing_is_said_where_they_are_the_same_or_not_known(vld: Vld, tmp_path: Path) -> None:
    file = tmp_path / "rates.toml"
    tell(vld, file, (NEW, "", NEW, NEW, "", NEW))
    assert vld.json("sweep", "status", str(file))["cautions"] == []
    with Store.open(open_home(vld.home)) as store:
        assert list(image_cautions("rates", store.runs.find())) == []
