"""``vld data`` by the engine's real process."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.datasets.image_folders import fill_folder, fill_paths, spread
from tests.vld_tui.cli.conftest import Vld


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return fill_folder(tmp_path / "images", dict.fromkeys(("photo", "sketch"), ("cat", "dog")), 3)


def test_an_added_set_is_listed_cached_and_run_by_its_name(vld: Vld, images: Path) -> None:
    added = vld("data", "add", "pets", str(images))
    assert added.exit_code == 0, added.stderr
    assert "pets  12 images, 2 classes" in added.stdout
    assert "vld run --dataset pets --target sketch" in added.stdout
    (line,) = [line for line in vld("data", "ls").stdout.splitlines() if " pets " in line]
    assert line.startswith("✓  pets")
    made = vld.json("data", "cache", "pets", "--image-size", "32")
    assert (made["images"], made["unreadable"], made["size_bytes"]) == (12, {}, 12 * 32 * 32 * 3)
    spec = vld.json("run", "--dataset", "pets", "--target", "photo", "--dry-run")
    assert (spec["dataset"], spec["data_dir"]) == ("pets", str(vld.home / "data" / "pets"))


def test_what_is_cached_is_listed_and_removed(vld: Vld, images: Path) -> None:
    assert vld("data", "cache").stdout == "nothing is cached\n"
    vld("data", "add", "pets", str(images))
    for size in ("32", "48"):
        vld("data", "cache", "pets", "--image-size", size)
    vld("data", "cache", str(images), "--image-size", "32")  # the same files: one entry
    (vld.home / "cache" / "features" / "of-an-older-version").mkdir(parents=True)
    heading, *rows, total = vld("data", "cache").stdout.splitlines()
    assert heading.split() == ["data", "set", "cached", "size", "last", "used"]
    assert [row.split()[:5] for row in rows[:2]] == [
        ["pets", "images", "at", side, "px"] for side in ("32", "48")
    ]
    assert total.startswith("total: ")
    (small,) = [each for each in vld.json("data", "cache") if each["image_size"] == 32]
    assert (small["dataset"], small["kind"]) == ("pets", "images")
    asked = vld("data", "cache", "pets", "--remove")
    assert (asked.exit_code, "Pass --yes to confirm." in asked.stderr) == (2, True)
    assert len(vld.json("data", "cache", "pets", "--remove", "--yes")) == 2
    none_left = vld("data", "cache", "pets", "--remove", "--yes")
    assert "pets has no cached images or features" in none_left.stderr
    assert len(vld.json("data", "cache", "--remove", "--yes")) == 1
    assert vld.json("data", "cache") == []
    for words in (("--image-size", "32"), ("pets", "--remove", "--image-size", "32")):
        refused = vld("data", "cache", *words)
        assert (refused.exit_code, "only apply to decoding" in refused.stderr) == (2, True)


def test_what_is_cached_of_a_folder_is_removed_by_any_path_to_it(
    vld: Vld, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = images.with_name("link")
    link.symlink_to(images)
    monkeypatch.chdir(images)
    for path in (".", str(link)):
        vld("data", "cache", str(images), "--image-size", "32")
        (removed,) = vld.json("data", "cache", path, "--remove", "--yes")
        assert removed["dataset"] == "images"


def test_a_path_with_the_tilde_of_an_unknown_user_is_missing(vld: Vld) -> None:
    for words in (
        ("cache", "~nobody-here/x", "--remove"),
        ("shift", "~nobody-here/x", "--corruptions", "fog"),
    ):
        refused = vld("data", *words)
        assert (refused.exit_code, "This is a bug" in refused.stderr) == (2, False)


@pytest.mark.parametrize(
    "command", [("data", "add", "pets"), ("data", "check"), ("run", "--dry-run", "--data")]
)
def test_a_path_of_an_unknown_user_is_one_that_does_not_exist(
    vld: Vld, command: tuple[str, ...]
) -> None:
    told = vld(*command, "~nosuchuser/pets")
    assert (told.exit_code, "Unexpected" in told.stderr) == (2, False)
    assert "~nosuchuser/pets" in told.stdout + told.stderr


def test_an_empty_path_is_not_the_current_folder(vld: Vld) -> None:
    told = vld("run", "--data", "", "--dry-run")
    assert (told.exit_code, told.stderr) == (2, "Error: --data is empty. Give a path.\n")


def test_a_set_of_the_study_says_how_to_get_it(vld: Vld) -> None:
    told = vld("data", "ls", "PACS").stdout
    assert "not here" in told
    assert "vld data fetch PACS" in told
    assert "vld data add PACS PATH" in told
    assert "of 3,929 published" in told


def test_refusals_are_worded_by_the_engine(vld: Vld, images: Path) -> None:
    refused = vld("data", "add", "pets", str(images), "--domains", "photo,car")
    assert refused.exit_code == 2
    assert refused.stderr == f"Error: {images} has no domain car. Its domains: photo, sketch.\n"
    unknown = vld("data", "ls", "emojy")
    assert unknown.exit_code == 2
    assert "Did you mean emoji?" in unknown.stderr


def test_unreadable_images_are_listed_and_fail_the_cache(vld: Vld, images: Path) -> None:
    broken = next((images / "photo" / "cat").iterdir())
    broken.write_bytes(broken.read_bytes()[:60])
    vld("data", "add", "pets", str(images))
    cached = vld("data", "cache", "pets", "--image-size", "32")
    assert cached.exit_code == 1
    assert f"photo/cat/{broken.name}: " in cached.stderr


def test_a_check_counts_and_fails_on_what_spoils(vld: Vld, images: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    sound = vld("data", "check", str(images), "--near", "0", "--sheet", str(sheet))
    assert sound.exit_code == 0
    assert sheet.read_bytes().startswith(b"\x89PNG")
    lines = sound.stdout.splitlines()
    assert "class  photo  sketch" in lines
    assert "all        6       6" in lines
    assert "✓ no errors, only warnings" in lines
    (images / "photo" / "cat" / "0.png").write_bytes(b"")
    spoilt = vld("data", "check", str(images), "--near", "0")
    assert spoilt.exit_code == 1
    assert "photo/cat/0.png: " in spoilt.stdout
    assert "✗ 1 image cannot be read" in spoilt.stdout


def test_a_check_reports_images_lost_since_they_were_added(vld: Vld, images: Path) -> None:
    vld("data", "add", "pets", str(images))
    (images / "photo" / "cat" / "0.png").unlink()
    checked = vld("data", "check", "pets", "--near", "0")
    assert checked.exit_code == 0
    assert "! photo had 6 images when added, but has 5 now." in checked.stdout


@pytest.mark.parametrize("name", ["PACS", "emoji"])
def test_a_folder_whose_name_no_run_takes_fails_the_check(
    vld: Vld, images: Path, name: str
) -> None:
    folder = images.rename(images.with_name(name))
    checked = vld("data", "check", str(folder), "--near", "0")
    assert checked.exit_code == 1
    assert "Use another name: --dataset NAME" in checked.stdout
    refused = vld("run", "--data", str(folder), "--target", "photo")
    assert refused.exit_code == 2
    assert f"published {name}" in refused.stderr or f"{name} is the name of an" in refused.stderr


def test_a_layout_that_no_run_can_use_fails_the_check(vld: Vld, tmp_path: Path) -> None:
    folder = fill_folder(tmp_path / "one", {"photo": ("cat",), "art": ("cat",)}, 1)
    checked = vld("data", "check", str(folder))
    assert checked.exit_code == 1
    assert "✗ " in checked.stdout
    assert "has only one class, cat" in checked.stdout


def test_a_class_that_a_domain_lacks_is_one_problem_of_the_report(vld: Vld, tmp_path: Path) -> None:
    folder = fill_folder(tmp_path / "pets", {"photo": ("cat", "dog"), "art": ("cat",)}, 3)
    checked = vld("data", "check", str(folder))
    assert checked.exit_code == 1
    assert "shorter side" in checked.stdout
    assert "art lacks dog" in checked.stdout
    assert f"vld data add pets {folder} --keep-missing-classes" in checked.stdout


def test_a_contact_sheet_that_cannot_be_written_is_refused_before_reading(
    vld: Vld, images: Path, tmp_path: Path
) -> None:
    checked = vld("data", "check", str(images), "--sheet", str(tmp_path / "nowhere" / "a.png"))
    assert checked.exit_code == 1
    assert f"{tmp_path / 'nowhere'} is not a folder" in checked.stderr
    assert not checked.stdout


def test_a_run_on_an_unknown_name_is_answered_with_the_nearest(vld: Vld, images: Path) -> None:
    assert vld("data", "add", "pets", str(images)).exit_code == 0
    for name, told in (
        ("pest", "no data set named 'pest'. Did you mean pets?"),
        ("pacs", "no data set named 'pacs'. Did you mean PACS?"),
        ("OfficeHom", "Did you mean OfficeHome?"),
        ("PACS", "PACS is not on this machine. Download it with: vld data"),
        ("../data/pets", "../data/pets"),
    ):
        for words in (("run", "--dataset", name), ("data", "cache", name)):
            refused = vld(*words)
            assert refused.exit_code == 2
            assert told in refused.stderr
    assert vld.json("ls") == []


@pytest.mark.parametrize("path", ["nowhere/PACS", "PACS.zip", "~/nowhere"])
def test_a_path_that_does_not_exist_is_called_a_path(vld: Vld, path: str) -> None:
    for command in ("check", "cache"):
        refused = vld("data", command, path)
        assert refused.exit_code == 2
        assert f"no folder or file {path}. Pass a folder" in refused.stderr


def test_a_folder_and_a_file_of_fields_name_images_too(
    vld: Vld, images: Path, tmp_path: Path
) -> None:
    vld("data", "add", "pets", str(images))
    config = tmp_path / "run.toml"
    config.write_text('dataset = "pets"\ntarget = "photo"\n')
    spec = vld.json("run", "--config", str(config), "--dry-run")
    assert (spec["dataset"], spec["data_dir"]) == ("pets", str(vld.home / "data" / "pets"))
    spec = vld.json("run", "--config", str(config), "--data", str(images), "--dry-run")
    assert (spec["dataset"], spec["data_dir"]) == ("pets", str(images))
    cached = vld.json("data", "cache", str(images), "--image-size", "32")
    assert cached["images"] == 12


def test_an_archive_is_added_by_name(vld: Vld, images: Path) -> None:
    archive = shutil.make_archive(str(images), "gztar", images)
    added = vld("data", "add", "pets", archive)
    assert added.exit_code == 0, added.stderr
    assert f"from {archive}" in added.stdout
    assert "\x1b" not in added.stderr
    shutil.rmtree(images)
    assert vld.json("data", "cache", "pets", "--image-size", "32")["images"] == 12
    (vld.home / "broken.tgz").write_bytes(Path(archive).read_bytes()[:500])
    refused = vld("data", "add", "other", str(vld.home / "broken.tgz"))
    assert refused.exit_code == 2
    assert "is damaged or incomplete" in refused.stderr


def test_domains_are_made_of_a_folder_that_has_none(vld: Vld, images: Path) -> None:
    shifted = vld("data", "shift", str(images / "photo"), "--corruptions", "fog")
    assert shifted.exit_code == 0, shifted.stderr
    assert "photo-shift  6 images, 2 classes" in shifted.stdout
    (images / "meta.csv").write_text(
        "path,domain\n" + "".join(f"{c}/{n}.png,{n % 2}\n" for c in ("cat", "dog") for n in (0, 1))
    )
    table = str(images / "meta.csv")
    split = vld("data", "shift", str(images / "photo"), "--split-by", table, "--name", "cut")
    assert split.exit_code == 0, split.stderr
    assert "cut  4 images, 2 classes" in split.stdout
    assert "2 images are not in the table" in split.stderr


def test_shifts_that_say_nothing_or_too_much_are_refused(vld: Vld, images: Path) -> None:
    for words in ([], ["--corruptions", "all", "--split-by", "x.csv"]):
        refused = vld("data", "shift", str(images / "photo"), *words)
        assert refused.exit_code == 2
        assert "Pass either --corruptions" in refused.stderr
    odd = vld("data", "shift", str(images / "photo"), "--corruptions", "fog", "--severity", "mild")
    assert (odd.exit_code, odd.stderr) == (
        2, "Error: --severity is 'mild', but must be numbers from 1 to 5.\n",
    )  # fmt: skip


def test_images_are_drawn_in_the_terminal(vld: Vld, images: Path) -> None:
    shown = vld("data", "check", str(images), "--near", "0", "--show")
    lines = shown.stdout.splitlines()
    assert lines[0].split() == ["photo", "sketch"]
    assert (lines[1], lines.index("dog") > 5) == ("cat", True)
    assert "✓ no errors, only warnings" in lines


def test_every_command_reads_a_folder_alike_and_says_how(vld: Vld, tmp_path: Path) -> None:
    folder = fill_paths(tmp_path / "d", *spread("{a,b}/{Train,valid}/{cat,dog}"), "a/cover.png")
    said = "reading domain/{Train,valid}/class as domains a and b; Train and valid merged"
    omitted = "! left out: 1 image above its class folder (a/cover.png)"
    checked = vld("data", "check", str(folder), "--near", "0").stdout.splitlines()
    added = vld("data", "add", "d", str(folder)).stdout
    for line in (said, omitted):
        assert any(each.startswith(line) for each in checked)
        assert line in added
    for name in ("d", str(folder)):
        report = vld.json("data", "check", name, "--near", "0")
        assert (report["layout"], report["classes"]) == ("domain/split/class", ["cat", "dog"])
        assert [each["kind"] for each in report["left_out"]] == ["images above their class folder"]
        assert report["reading"].startswith(said)
        assert vld.json("data", "cache", name, "--image-size", "32")["images"] == 16
    planned = vld("run", "--data", str(folder), "--target", "a", "--dry-run").stdout
    assert f"layout    {said}" in planned
    assert "left out  1 image above its class folder (a/cover.png)" in planned
    plan = vld.json("run", "--data", str(folder), "--target", "a", "--dry-run")
    assert (plan["reading"].startswith(said), plan["left_out"][0]["count"]) == (True, 1)
    plain = vld.json("data", "check", str(folder), "--near", "0", "--layout", "plain")
    assert (plain["layout"], plain["classes"]) == ("plain", ["Train", "valid"])
    wrong = vld("data", "check", str(folder), "--layout", "plane")
    assert (wrong.exit_code, wrong.stderr) == (
        2,
        "Error: --layout is 'plane', but must be one of auto, plain, class, split/class, "
        "domain/split/class, split/domain/class. Did you mean plain?\n",
    )


def test_a_table_is_checked_cached_and_planned_where_it_lies(vld: Vld, images: Path) -> None:
    rows = [
        f"{path.relative_to(images)};{path.parent.name};{path.parent.parent.name}"
        for path in sorted(images.rglob("*.png"))
    ]
    table = images / "t.tsv"
    table.write_text("\n".join(["Path;Label;Domain", *rows]))
    assert vld.json("data", "check", str(table), "--near", "0")["layout"] == "table"
    assert vld.json("data", "cache", str(table), "--image-size", "32")["images"] == 12
    planned = vld("run", "--data", str(table), "--target", "sketch", "--dry-run")
    assert "problem" not in planned.stdout
    refused = vld("run", "--data", str(table), "--target", "sketsch", "--dry-run").stdout
    assert "has no domain 'sketsch'" in refused


def test_good_names_are_read_in_a_locale_of_another_encoding(vld: Vld, tmp_path: Path) -> None:
    folder = fill_paths(tmp_path / "été", *spread("{фото,素描}/{cat,dog}", count=10))
    done = subprocess.run(
        [sys.executable, "-m", "vld_tui.cli", "data", "check", folder, "--near", "0", "--json"],
        env=vld.environment(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"),
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert list(json.loads(done.stdout)["counts"]) == ["фото", "素描"]


def test_a_set_is_renamed_and_removed_while_no_run_uses_it(
    vld: Vld, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vld_tui.control.queue.start_supervisor", lambda *_: None)
    vld("data", "add", "pets", str(images))
    queued = vld("run", "--dataset", "pets", "--target", "photo", "--queue", "--name", "mine")
    assert queued.exit_code == 0, queued.stderr
    for words in (
        ("mv", "pets", "animals"), ("rm", "pets", "--yes"),
        ("add", "pets", str(images), "--replace"),
    ):  # fmt: skip
        refused = vld("data", *words)
        assert refused.exit_code == 2
        assert "pets is in use by 1 queued or running run: mine." in refused.stderr
    assert vld("queue", "rm", "mine").exit_code == 0
    assert vld("data", "add", "pets", str(images), "--replace").exit_code == 0
    renamed = vld("data", "mv", "pets", "animals")
    assert renamed.stdout.splitlines() == [
        "renamed pets to animals",
        "  to resume 1 unfinished run of pets, first run: vld data mv animals pets",
    ]
    asked = vld("data", "rm", "animals")
    assert asked.exit_code == 2
    assert f"Remove animals? Its images are kept in {images}." in asked.stderr
    assert "Pass --yes to confirm." in asked.stderr
    removed = vld("data", "rm", "animals", "--yes")
    assert removed.stdout == f"removed animals; its images are kept in {images}\n"
    assert (images / "photo").is_dir()
    assert "no data set named 'animals'" in vld("data", "rm", "animals", "--yes").stderr


def test_imported_images_are_deleted_and_counted(vld: Vld, images: Path) -> None:
    vld("data", "add", "pets", shutil.make_archive(str(images), "zip", images))
    assert "Permanently delete pets (12 files, " in vld("data", "rm", "pets").stderr
    assert vld.json("data", "rm", "pets", "--yes")["files"] == 12
    assert list((vld.home / "data").iterdir()) == []


def test_images_of_ones_own_are_not_recorded_under_a_known_name(vld: Vld, images: Path) -> None:
    for name, reason in (
        ("emoji", "emoji is the name of an embedded data set, but --data is"),
        ("PACS", "are not the published PACS, which has the domains art_painting"),
    ):
        words = ("run", "--data", str(images), "--dataset", name, "--target", "photo")
        refused = vld(*words)
        assert refused.exit_code == 2
        assert reason in refused.stderr
        trial = vld(*words, "--dry-run")
        assert trial.exit_code == 2
        assert reason in trial.stdout
    assert vld.json("ls") == []


def test_a_study_counts_no_set_that_only_bears_a_published_name(vld: Vld, images: Path) -> None:
    vld("data", "add", "pets", str(images))
    (vld.home / "data" / "pets").rename(vld.home / "data" / "PACS")
    planned = vld("sweep", "paper-fig3", "--data", "PACS", "--dry-run", "--name", "mine")
    assert planned.exit_code == 2
    assert "are not the published PACS" in planned.stderr
    assert "vld data mv PACS NAME" in planned.stderr


def test_a_table_that_contradicts_itself_is_found_out_before_a_run(vld: Vld, images: Path) -> None:
    files = sorted(path.relative_to(images) for path in images.rglob("*.png"))
    rows = [f"{path},{path.parts[1]},{path.parts[0]}" for path in files]
    rows += [f"{path},{path.parts[1]},sketch" for path in files if path.parts[0] == "photo"]
    table = images / "table.csv"
    table.write_text("\n".join(["path,label,domain", *rows]))
    reason = f"{table} lists 6 files in two domains: photo/cat/0.png is in photo and in sketch"
    assert f"Cannot be used for runs: {reason}" in vld("data", "add", "pets", str(table)).stdout
    checked = vld("data", "check", "pets")
    assert checked.exit_code == 1
    assert "✗ 6 images are in both photo and sketch (100.0% of photo)" in checked.stdout
    for words in (("--data", str(table)), ("--dataset", "pets")):
        trial = vld("run", *words, "--target", "photo", "--dry-run")
        assert trial.exit_code == 2
        assert reason in trial.stdout
