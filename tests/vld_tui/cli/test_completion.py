"""What a shell proposes, asked as bash asks it: through environment variables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.protocol import resolve_spec
from vld_tui.cli import app
from vld_tui.cli.dashboard import app as dashboard
from vld_tui.home import Home, open_home
from vld_tui.launch.slurm.settings import keep_profile
from vld_tui.store.saved_views import SavedView
from vld_tui.store.store import Store


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Return a home with runs, a data set, a profile and a list of networks."""
    home = open_home(tmp_path_factory.mktemp("completion"))
    with Store.open(home) as store:
        store.runs.create(resolve_spec({"target": "noto"}), name="first")
        store.runs.create(resolve_spec({"dataset": "shapes", "target": "red"}), name="two words")
        store.runs.create(resolve_spec({"model": "resnet10t"}), name="later", is_queued=True)
        for view in ("best", "failed"):
            store.views.save(view, SavedView())
    folder = home.datasets / "shapes"
    folder.mkdir()
    (folder / "dataset.json").write_text(json.dumps({"name": "shapes", "images": {"blue": 3}}))
    keep_profile(home, "big", {"partition": "gpu"})
    (home.cache / "networks.json").write_text(json.dumps([{"name": "vit_tiny"}]))
    return home


def propose(home: Path, line: str, program: str = "vld") -> list[str]:
    """Return what is proposed at the end of a line."""
    words = line.split(" ")
    environment = {
        "VLD_HOME": str(home),
        f"_{program.upper().replace('-', '_')}_COMPLETE": "complete_bash",
        "COMP_WORDS": f"{program} {line}",
        "COMP_CWORD": str(len(words)),
    }
    result = CliRunner(env=environment).invoke(
        dashboard if program == "vld-tui" else app, prog_name=program
    )
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sh", ["show", "shift"]),
        ("ls --view ", ["best", "failed"]),
        ("ls --view f", ["failed"]),
        ("show ", ["@last", "later", "first"]),
        ("show fi", ["first"]),
        ("show @", ["@last"]),
        ("compare first la", ["later"]),
        ("tag fi", ["first"]),
        ("queue hold ", ["@last", "later"]),
        ("stop la", ["later"]),
        ("run --dataset sh", ["shapes"]),
        ("run --dataset emo", ["emoji"]),
        ("run --target no", ["none", "noto"]),
        ("run --dataset shapes --target ", ["none", "blue", "red"]),
        ("run --model res", ["resnet10t"]),
        ("run --model vit", ["vit_tiny"]),
        ("run --optimizer ", ["sgd", "adamw"]),
        ("run --recipe def", ["default"]),
        ("run --arms averaged,e", ["averaged,ensemble"]),
        ("run --precision b", ["bf16"]),
        ("report paper-fig3-s", ["paper-fig3-small"]),
        ("sweep status paper-fig3-s", ["paper-fig3-small"]),
        ("prune --study paper-fig3-s", ["paper-fig3-small"]),
        ("prune --keep ", ["best", "none"]),
        ("run --profile ", ["big"]),
        ("profile show b", ["big"]),
        ("data check sh", ["shapes"]),
        ("data fetch PA", ["PACS"]),
        ("ls --sort ood_acc", ["ood_accuracy"]),
        ("ls --sort name,-ood_acc", ["name,-ood_accuracy"]),
        ("ls --where dropout_r", ["dropout_rate="]),
        ("ls --where optimizer=a", ["optimizer=adamw"]),
        ("ls --where status:fin", ["status:finished"]),
        ("ls --where data=sh", ["data=shapes"]),
        ("ls --where data=emoji,sh", ["data=emoji,shapes"]),
        ("ls --where data=emoji|sh", ["data=emoji|shapes"]),
        ("ls --where data=emoji|target=re", ["data=emoji|target=red"]),
        ("prune --where coll", ["collapsed"]),
        ("show nosuchrun", []),
        ("run --lr ", []),
    ],
)
def test_words_are_proposed(home: Home, line: str, expected: list[str]) -> None:
    found = propose(home.path, line)
    assert [word for word in found if word in expected] == expected
    if len(expected) < 3:
        assert found == expected


def test_what_is_no_command_gives_no_error(home: Home) -> None:
    assert "show" in propose(home.path, "nosuchcommand ")
    assert "-lr" in propose(home.path, "ls --sort ")


def test_runs_are_proposed_by_their_ids_too(home: Home) -> None:
    with Store.open(home) as store:
        run_id = store.runs.get("two words").run_id
    assert run_id in propose(home.path, f"show {run_id[:10]}")
    assert "two words" not in propose(home.path, "show ")


def test_domains_of_a_folder_are_proposed(home: Home, tmp_path: Path) -> None:
    for name in ("red", "blue", ".hidden"):
        (tmp_path / name).mkdir()
    assert propose(home.path, f"run --data {tmp_path} --target ") == ["none", "blue", "red"]


@pytest.mark.parametrize("content", [None, b"", b"not a database"])
@pytest.mark.parametrize("line", ["show ", "ls --where data=", "run --dataset ", "report "])
def test_completion_never_fails_and_makes_nothing(
    tmp_path: Path, line: str, content: bytes | None
) -> None:
    home = tmp_path / "home"
    if content is not None:
        home.mkdir()
        (home / "vld.db").write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    propose(home, line)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_home_that_is_named_is_looked_into(home: Home, tmp_path: Path) -> None:
    assert "first" in propose(tmp_path, f"--home {home.path} show ")
    assert "first" in propose(tmp_path, f"show --home {home.path} ")


def test_the_dashboard_can_be_completed(home: Home) -> None:
    assert "--once" in propose(home.path, "--on", "vld-tui")
    help_text = CliRunner().invoke(dashboard, ["--help"]).stdout
    assert "--install-completion" in help_text


def test_completion_loads_neither_torch_nor_the_dashboard(home: Home) -> None:
    code = (
        "import sys; from vld_tui.cli import main\ntry:\n main()\nexcept SystemExit: pass\n"
        "print('torch' in sys.modules, 'textual' in sys.modules, file=sys.stderr)"
    )
    environment = os.environ | {
        "VLD_HOME": str(home.path), "_VLD_COMPLETE": "complete_bash",
        "COMP_WORDS": "vld show ", "COMP_CWORD": "2",
    }  # fmt: skip
    asked = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert asked.stderr.split() == ["False", "False"]
    assert "first" in asked.stdout
