"""How folders and archives are read: by how deep images lie and what folders share, and said."""

from __future__ import annotations

import gc
import shutil
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from engine.datasets.catalog import find_target
from engine.datasets.folders import open_image_set
from engine.datasets.register import add_dataset
from engine.datasets.shift import find_class_images
from engine.datasets.sources import FolderSource, ImageSource, ZipSource
from engine.errors import DataError
from engine.protocol.datasets import AddDataset
from engine.protocol.spec import Layout
from tests.engine.datasets.image_folders import fill_paths, spread


def zipped(root: Path) -> Path:
    archive = root.with_name(f"{root.name}.zip")
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(root.rglob("*"), reverse=True):
            file.write(path, path.relative_to(root))
    return archive


def cells(source: ImageSource) -> dict[str, int]:
    return dict(Counter(f"{file.domain}/{file.class_name}" for file in source.files()))


TWO = {"dom1/cat": 2, "dom1/dog": 2, "dom2/cat": 2, "dom2/dog": 2}
MERGED = dict.fromkeys(TWO, 4)
ONE = {"all/cat": 4, "all/dog": 4}


@pytest.mark.parametrize(
    ("folders", "layout", "found"),
    [
        ("{dom1,dom2}/{cat,dog}", "plain", TWO),
        ("{dom1,dom2}/{cat,dog}/{x,y}", "plain", MERGED),
        ("{dom1,dom2}/{train,val}/{cat,dog}", "domain/split/class", MERGED),
        ("{dom1,dom2}/{Training,Validation}/{cat,dog}", "domain/split/class", MERGED),
        ("{dom1,dom2}/{train,dev}/{cat,dog}", "domain/split/class", MERGED),
        ("{dom1,dom2}/{TRAIN,valid}/{cat,dog}", "domain/split/class", MERGED),
        ("{dom1,dom2}/{train2017,val2017}/{cat,dog}", "domain/split/class", MERGED),
        ("{dom1,dom2}/{trainval,test-dev}/{cat,dog}", "domain/split/class", MERGED),
        ("{dom1,dom2}/{train1,train (2)}/{cat,dog}", "domain/split/class", MERGED),
        ("{dom1,dom2}/{full,train}/{cat,dog}", "domain/split/class", TWO),
        ("{train,val}/{dom1,dom2}/{cat,dog}", "split/domain/class", MERGED),
        ("{Train,Testing}/{dom1,dom2}/{cat,dog}", "split/domain/class", MERGED),
        ("{train,test}/{cat,dog}", "split/class", ONE),
        ("{train_set,test_set}/{cat,dog}", "split/class", ONE),
        ("{cat,dog}", "class", {"all/cat": 2, "all/dog": 2}),
        ("{train,test}", "class", {"all/test": 2, "all/train": 2}),
        ("kfold/{dom1,dom2}/{cat,dog}", "plain", TWO),
        ("a/b/photo/{cat,dog}", "plain", {"photo/cat": 2, "photo/dog": 2}),
        ("photo/{cat,dog}", "plain", {"photo/cat": 2, "photo/dog": 2}),
        ("a/b/{dom1,dom2}/{train,val}/{cat,dog}", "domain/split/class", MERGED),
        ("a/{train,val}/{dom1,dom2}/{cat,dog}", "split/domain/class", MERGED),
        ("a/{train,val}/{cat,dog}", "split/class", ONE),
    ],
)  # fmt: skip
def test_a_layout_is_recognized_in_folders_and_archives(
    tmp_path: Path, folders: str, layout: str, found: dict[str, int]
) -> None:
    root = fill_paths(tmp_path / "images", *spread(folders))
    for source in (FolderSource(root), ZipSource(zipped(root))):
        assert (source.reading.layout, cells(source)) == (layout, found)


@pytest.mark.parametrize(
    "folders", ["kfold/{a,b}/{cat,dog}", "x/{a,b}/{train,val}/{cat,dog}", "photo/{cat,dog}"]
)
def test_a_folder_and_its_archives_are_the_same_images(tmp_path: Path, folders: str) -> None:
    root = fill_paths(tmp_path / "images", *spread(folders), "__MACOSX/x/._0.png", "notes.txt")
    packed = shutil.make_archive(str(tmp_path / "packed"), "gztar", root)
    image_sets = [open_image_set("x", path) for path in (root, zipped(root), Path(packed))]
    for name, path in (("folder", root), ("zip", zipped(root)), ("tar", Path(packed))):
        add_dataset(AddDataset(str(tmp_path / "home"), name, str(path)), lambda _: None)
        image_sets.append(open_image_set(name, tmp_path / "home" / name))
    found = [
        [(file.domain, file.class_name, file.path, file.size) for file in image_set.files]
        for image_set in image_sets
    ]
    assert found == found[:1] * 6
    assert {image_set.left_out for image_set in image_sets} == {image_sets[0].left_out}
    assert {image_set.reading for image_set in image_sets} == {image_sets[0].reading}


def test_a_tar_archive_is_the_same_images_whenever_it_is_opened_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = fill_paths(tmp_path / "images", *spread("{a,b}/{cat,dog}"))
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), "xztar", root))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    first, again = open_image_set("x", packed), open_image_set("x", packed)
    assert first.files == again.files
    assert first.read(0) == (root / first.files[0].path).read_bytes()
    assert len(list(temporary.iterdir())) == 2
    del first, again
    gc.collect()
    assert list(temporary.iterdir()) == []
    packed.write_bytes(packed.read_bytes()[:200])
    with pytest.raises(DataError, match=r"^/.*packed\.tar\.xz is damaged or incomplete"):
        open_image_set("x", packed)
    gc.collect()
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("names", ["full,empty", "train,test", "train,bus", "val,dev,other"])
def test_classes_that_are_called_like_splits_are_classes(tmp_path: Path, names: str) -> None:
    image_set = open_image_set("x", fill_paths(tmp_path, *spread(f"{{a,b}}/{{{names}}}")))
    assert (image_set.domains, set(image_set.classes)) == (("a", "b"), set(names.split(",")))


def test_folders_in_classes_that_are_called_like_splits_are_not_the_classes(
    tmp_path: Path,
) -> None:
    paths = spread("{a,b}/{full,empty}", "{a,b}/full/batch1")
    image_set = open_image_set("x", fill_paths(tmp_path, *paths))
    assert image_set.classes == ("empty", "full")
    assert len(image_set) == 12


def test_a_domain_without_splits_among_others_holds_its_classes_itself(tmp_path: Path) -> None:
    paths = spread("a/{train,val}/{cat,dog}", "b/{cat,dog}")
    source = FolderSource(fill_paths(tmp_path, *paths))
    assert cells(source) == {"a/cat": 4, "a/dog": 4, "b/cat": 2, "b/dog": 2}


def test_a_split_whose_images_have_no_classes_is_left_out(tmp_path: Path) -> None:
    source = FolderSource(fill_paths(tmp_path, *spread("train/{cat,dog}"), *spread("test")))
    assert source.reading.layout == "split/class"
    assert [(each.kind, each.count) for each in source.left_out] == [
        ("images above their class folder", 2)
    ]


def test_a_split_of_a_domain_whose_images_have_no_classes_is_not_said_to_be_merged(
    tmp_path: Path,
) -> None:
    paths = spread("{a,b}/train/{cat,dog}", "{a,b}/test")
    image_set = open_image_set("x", fill_paths(tmp_path, *paths))
    assert "test" not in image_set.reading
    assert [(each.kind, each.count) for each in image_set.left_out] == [
        ("images above their class folder", 4)
    ]


@pytest.mark.parametrize("train", ["train", "{train,val}"])
def test_a_split_may_hold_a_domain_that_others_lack(tmp_path: Path, train: str) -> None:
    root = fill_paths(tmp_path, *spread(f"{train}/{{a,b}}/{{cat,dog}}", "test/c/{cat,dog}"))
    image_set = open_image_set("x", root)
    assert (image_set.layout, image_set.domains) == ("split/domain/class", ("a", "b", "c"))
    assert image_set.left_out == ()


@pytest.mark.parametrize(
    "unlabelled", [spread("test/images"), spread("{val,test}/images"), spread("test/unknown/x")]
)
def test_a_split_with_one_folder_of_another_name_has_no_classes(
    tmp_path: Path, unlabelled: list[str]
) -> None:
    paths = [*spread("train/{cat,dog}", count=4), *unlabelled]
    source = FolderSource(fill_paths(tmp_path, *paths))
    assert cells(source) == ONE
    assert [(each.kind, each.count) for each in source.left_out] == [
        ("images next to train", len(unlabelled))
    ]


@pytest.mark.parametrize(
    ("folders", "layout", "found"),
    [
        ("{dom1,dom2}/{train,val}/{cat,dog}", "plain",
         {f"{domain}/{name}": 4 for domain in ("dom1", "dom2") for name in ("train", "val")}),
        ("{train,val}/{cat,dog}", "plain",
         {f"{domain}/{name}": 2 for domain in ("train", "val") for name in ("cat", "dog")}),
        ("{cat,dog}/{x,y}", "class", {"all/cat": 4, "all/dog": 4}),
        ("{one,two}/{dom1,dom2}/{cat,dog}", "split/domain/class", MERGED),
        ("{dom1,dom2}/{one,two}/{cat,dog}", "domain/split/class", MERGED),
        ("{one,two}/{cat,dog}", "split/class", ONE),
    ],
)  # fmt: skip
def test_another_layout_can_be_asked_for_and_is_kept(
    tmp_path: Path, folders: str, layout: Layout, found: dict[str, int]
) -> None:
    root = fill_paths(tmp_path / "images", *spread(folders))
    for source in (FolderSource(root, layout), ZipSource(zipped(root), layout)):
        assert cells(source) == found
    request = AddDataset(str(tmp_path / "home"), "x", str(root), layout=layout)
    assert add_dataset(request, lambda _: None).layout == layout
    added = open_image_set("x", tmp_path / "home" / "x")
    assert (added.layout, cells(added.source)) == (layout, found)
    with pytest.raises(DataError, match="x has the layout it was added with"):
        open_image_set("x", tmp_path / "home" / "x", "plain")


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        ("{b,a}/{train,val}/{cat,dog}",
         "reading domain/{train,val}/class as domains a and b; train and val merged. Use --layout "
         "plain to read train and val as classes"),
        ("{a,b}/{full,train}/{cat,dog}",
         "reading domain/full/class as domains a and b; the other splits are ignored. "
         "Use --layout plain to read full as a class"),
        ("{train,val}/{a,b}/{cat,dog}",
         "reading {train,val}/domain/class as domains a and b; train and val merged. Use --layout "
         "plain to read train and val as domains"),
        ("{a,b}/{train,val}", "reading train and val as classes. If they are splits: --layout "
         "domain/split/class"),
        ("{train,val}/{cat,dog}",
         "train and val look like splits, not domains: reading {train,val}/class as one domain; "
         "train and val merged. Use --layout plain to read them as domains"),
        ("train/{cat,dog}", "train looks like a split, not a domain: reading train/class as one "
         "domain. Use --layout plain to read it as a domain"),
        ("{cat,dog}", "reading class/image as one domain; to create several: vld data shift"),
        ("{a,b}/val/{cat,dog}",
         "reading domain/val/class as domains a and b. Use --layout plain to read val as a class"),
        ("{a,b}/{train,unlabeled}/{cat,dog}",
         "reading train and unlabeled as classes; the folders in them, cat and dog, are merged. If "
         "those are the classes: --layout domain/split/class"),
        ("{fold1,fold2}/{a,b}/{cat,dog}",
         "reading a and b as classes; the folders in them, cat and dog, are merged. If those are "
         "the classes: --layout domain/split/class"),
        ("{train,test_unseen}/{cat,dog}", "reading test_unseen and train as domains. If they are "
         "splits: --layout split/class"),
        ("{photo,test}/{cat,dog}", "reading photo and test as domains. If they are splits: "
         "--layout split/class"),
        ("kfold/{a,b}/{cat,dog}", "reading kfold/domain/class/image"),
        ("{a,b}/{cat,dog}", ""),
        ("{a,b}/{cat,dog}/images", ""),
        ("{a,b}/{cat,dog}/{train,val}", ""),
    ],
)  # fmt: skip
def test_a_reading_is_said_in_a_sentence(tmp_path: Path, folders: str, said: str) -> None:
    assert open_image_set("x", fill_paths(tmp_path, *spread(folders))).reading == said


def test_a_domain_that_is_not_there_is_refused_with_how_folders_were_read(tmp_path: Path) -> None:
    images = open_image_set("x", fill_paths(tmp_path, *spread("{train,val}/{cat,dog}")))
    assert find_target(images, None) is None
    with pytest.raises(
        DataError, match="'val' cannot be left out.*look like splits.*Use --layout plain"
    ):
        find_target(images, "val")


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        ("{animal,plant}/{}", "looks like class/sub-class/image.*Use --layout class"),
        (".", "has 2 images but no class folders"),
    ],
)
def test_what_no_run_takes_is_told_with_what_helps(tmp_path: Path, folders: str, said: str) -> None:
    paths = spread(folders)
    if folders.endswith("{}"):
        paths = spread("animal/{cat,dog,cow}", "plant/{oak,rose,fern}")
    with pytest.raises(DataError, match=said) as refusal:
        open_image_set("x", fill_paths(tmp_path / "images", *paths))
    assert "--keep-missing-classes" not in str(refusal.value)


@pytest.mark.parametrize("path", ["annotations/0.xml", "unsorted/0.png", "empty/"])
def test_a_folder_among_the_domains_without_classes_is_named(tmp_path: Path, path: str) -> None:
    fill_paths(tmp_path, *spread("{a,b}/{cat,dog}"))
    (tmp_path / path).parent.mkdir(exist_ok=True)
    if path.endswith("/"):
        (tmp_path / path).mkdir()
    else:
        (tmp_path / path).write_bytes((tmp_path / "a" / "cat" / "0.png").read_bytes())
    name = path.split("/", maxsplit=1)[0]
    with pytest.raises(DataError, match=f"no class folders with images: {name}. Remove") as refused:
        open_image_set("x", tmp_path)
    assert "--keep-missing-classes" not in str(refused.value)


def test_names_with_spaces_around_them_are_quoted(tmp_path: Path) -> None:
    fill_paths(tmp_path, *spread("a/{circle ,square}", "b/{circle,square}"))
    with pytest.raises(DataError, match="a lacks circle; b lacks 'circle '"):
        open_image_set("x", tmp_path)


@pytest.mark.parametrize(
    ("folders", "layout", "classes"),
    [
        ("{cat,dog}", "auto", {"cat": 2, "dog": 2}),
        ("{train,val}/{cat,dog}", "auto", {"cat": 4, "dog": 4}),
        ("{cat,dog}/{x,y}", "class", {"cat": 4, "dog": 4}),
        ("cat/{x,y}", "auto", {"cat": 4, "dog": 4}),
    ],
)
def test_domains_are_made_of_every_layout_of_one(
    tmp_path: Path, folders: str, layout: Layout, classes: dict[str, int]
) -> None:
    paths = [*spread(folders), *(spread("dog/{v,w}") if folders.startswith("cat/") else [])]
    files = find_class_images(fill_paths(tmp_path, *paths), layout)
    assert Counter(file.class_name for file in files) == classes
    assert sorted(file.path for file in files) == sorted(paths)


def test_domains_are_not_made_of_a_folder_that_has_them(tmp_path: Path) -> None:
    fill_paths(tmp_path / "images", *spread("{train,val}/{a,b}/{cat,dog}"))
    with pytest.raises(DataError, match=r"already has domains \(split/domain/class/image\)") as no:
        find_class_images(tmp_path / "images")
    assert "Detected layout: reading {train,val}/domain/class as domains a and b" in str(no.value)
