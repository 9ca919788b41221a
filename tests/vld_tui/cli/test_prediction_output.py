"""Every output of predictions is finished, whatever happens to another one."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet
import pytest

from engine.protocol.inference import Prediction
from vld_tui.cli import prediction_output
from vld_tui.cli.prediction_output import OutputOptions, PredictionOutput
from vld_tui.control.predict import ImagePrediction
from vld_tui.control.prediction_files import PredictionFileError

ROWS = [
    ImagePrediction.of(Prediction("a.png", ("cat", "dog"), (0.75, 0.25), 0.5), 0),
    ImagePrediction.of(Prediction("b.png", ("dog", "cat"), (0.6, 0.4), 0.2), 0),
]


def test_the_file_is_finished_when_sorted_rows_cannot_be_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_text: str) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(prediction_output, "print_text", refuse)
    options = OutputOptions(output=tmp_path / "out.parquet", as_csv=True, sort="doubt")
    with (
        pytest.raises(BrokenPipeError),
        PredictionOutput(options, top=1, has_score=False) as output,
    ):
        output.take(ROWS)
    [file] = tmp_path.iterdir()
    assert pyarrow.parquet.read_table(file)["path"].to_pylist() == ["b.png", "a.png"]


def test_predictions_are_listed_when_the_file_cannot_be_finished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = OutputOptions(output=tmp_path / "out.parquet", pictures=True)
    output = PredictionOutput(options, top=1, has_score=False)
    output.take(ROWS)
    (tmp_path / "out.parquet").write_text("another program's")
    with pytest.raises(PredictionFileError, match="it exists by now"), output:
        pass
    told = capsys.readouterr().out
    assert "cat" in told
    assert "dog" in told
