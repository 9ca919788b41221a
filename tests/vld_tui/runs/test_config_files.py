from pathlib import Path

import pytest

from vld_tui.runs.fields import ConfigError, read_config


def write(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_fields_keep_their_types(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "target = 'noto'\ndropout_rate = 0.5\nlr = 1\n"
        "lr_drops = [10, 20]\nfreeze_batchnorm = false\n",
    )
    assert read_config(path) == {
        "target": "noto",
        "dropout_rate": 0.5,
        "lr": 1,
        "lr_drops": [10, 20],
        "freeze_batchnorm": False,
    }


def test_a_field_may_be_spelled_as_its_flag(tmp_path: Path) -> None:
    path = write(tmp_path, "dropout = 0.5\nbatch-size = 4\nmicro-batch = 2\nkeep = 'best'\n")
    assert read_config(path) == {
        "dropout_rate": 0.5,
        "batch_size": 4,
        "micro_batch_size": 2,
        "keep_checkpoints": "best",
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("dropuot_rate = 0.5", ["'dropuot_rate'", "Did you mean dropout_rate?"]),
        ("[method]\nmasks = 2", ["'method'", "vld run --help"]),
        ("dropout_rate = 1.0", ["dropout_rate is 1.0", "from 0 to below 1"]),
        ("masks = 'eight'", ["masks is 'eight'", "whole number"]),
        ("optimizer = 'sdg'", ["optimizer is 'sdg'", "Did you mean sgd?"]),
        ("lr = inf", ["lr is inf", "finite number above 0"]),
        ("lr = -nan", ["lr is nan", "finite number above 0"]),
        ("lr = 1e400", ["lr is inf", "finite number"]),
        ("lr = '0.1'", ["lr is '0.1'", "a number above 0"]),
        ("steps = 1e3", ["steps is 1000.0", "a whole number"]),
        (f"steps = {'9' * 30}", ["steps is 999", "at most 1,000,000,000"]),
        (f"steps = {'9' * 5000}", ["not valid TOML"]),
        (f"steps = 0x{'f' * 5000}", ["thousands of digits"]),
        ("batch = 4\nbatch_size = 4", ["batch and batch_size are the same field"]),
        ("steps = ", ["not valid TOML", "Invalid value"]),
    ],
)
def test_what_is_wrong_is_named_with_the_file(tmp_path: Path, text: str, told: list[str]) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    for part in [str(path), *told]:
        assert part in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Cannot read .*none\.toml: No such file"):
        read_config(tmp_path / "none.toml")


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not valid TOML"):
        read_config(path)
