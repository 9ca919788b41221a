"""Print, as JSON, everything that shows a measure which only this program has registered.

The registry has it before anything else is imported, as a measure of the engine would be.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from engine.protocol.evaluated import EVALUATED, Measure
from engine.protocol.measures import MEASURES

NAME = "sharpness"
made_up = Measure(NAME, "sharp", "Made up for a test.", higher_is_better=False)
for registry in (EVALUATED, MEASURES):
    registry[NAME] = made_up
    del registry["calibration_error"]

STUDY = """
name = "rates"
data = ["emoji"]
seeds = 3
[domains]
emoji = ["fluent", "noto"]
[fields]
steps = 20
arms = ["averaged"]
average_from = 10
[cross]
target = "all"
dropout_rate = [0.0, 0.9]
"""


def shown(folder: Path) -> dict[str, Any]:
    """Return what commands, run screen, list, heat map and plane show of it, by place."""
    from benchmarks.filled_study import fill_study
    from vld_tui.cli import app
    from vld_tui.control.records import write_table
    from vld_tui.dashboard.draw.study_map import StudyLook, cell_text
    from vld_tui.home import open_home
    from vld_tui.store.store import Store
    from vld_tui.study.define.files import find_text, keep_study
    from vld_tui.study.results.state import StudyReader
    from vld_tui.views.plane import PlanePlot
    from vld_tui.views.run_columns import RUN_COLUMNS

    home = open_home(folder / "home")
    (folder / "rates.toml").write_text(STUDY)
    text = find_text(home, str(folder / "rates.toml"))
    study = text.read(home)
    keep_study(home, study, text)
    fill_study(home, study, arms=["averaged"], has_measures=True)

    def vld(*words: str) -> str:
        environment = {"VLD_HOME": str(home.path), "COLUMNS": "160", "NO_COLOR": "1"}
        result = CliRunner(env=environment).invoke(app, list(words))
        assert result.exit_code == 0, (words, result.output)
        return result.stdout

    with Store.open(home) as store:
        state = StudyReader(home).open(store, "rates")
        run = store.runs.find()[0]
        points = store.runs.points(limit=10)
    look = dataclasses.replace(StudyLook.usual(study), measure=f"ood_{NAME}")
    heat_map = look.lay_out(state).heat_map
    measures, here = [], look
    while here.measure not in measures:
        measures.append(here.measure)
        here = here.with_next_measure(state)
    grid = look.lay_out(state).grid
    with (folder / "table.csv").open("w") as file:
        write_table(state, file)
    plane = PlanePlot(tuple(look.lay_out(state).points)).by_measure(NAME)
    report = json.loads(vld("report", "rates", "--json"))
    written = home.path / "reports" / "rates"
    return {
        "show": vld("show", run.run_id),
        "show json": json.loads(vld("show", run.run_id, "--json"))["measures"],
        "list": vld("ls", "--where", f"id_{NAME}>0.1", "--json"),
        "column": [RUN_COLUMNS[f"{which}_{NAME}"].of_run(run, (), 0.0) for which in ("id", "ood")],
        "curve": vld("curve", run.run_id, "--metric", NAME),
        "compare": vld("compare", "--where", "status:finished"),
        "status": json.loads(vld("sweep", "status", "rates", "--json"))["results"][0]["measures"],
        "heat map": [heat_map.title, heat_map.low, heat_map.high],
        "heat map choices": measures,
        "cell": cell_text(next(iter(grid.cells.values())), "here").plain,
        "table": (folder / "table.csv").read_text().partition("\n")[0],
        "plane": "".join(
            segment.text for line in plane.lines(100, 20) for segment in line
        ),
        "plane of runs": [dict(point.measures)[NAME] for point in points],
        "report": report["tables"][f"measure-{NAME}"],
        "report page": (written / "index.html").read_text(),
        "report latex": (written / f"measure-{NAME}.tex").read_text(),
        "report csv": (written / f"measure-{NAME}.csv").read_text(),
        "runs csv": (written / "runs.csv").read_text().partition("\n")[0],
        "terminal": vld("report", "rates"),
    }  # fmt: skip


if __name__ == "__main__":
    sys.stdout.write(json.dumps(shown(Path(sys.argv[1]))))
