"""The drawings on which the default recipe is tried: each motif in one domain."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

from benchmarks.tuning_set import distribute, emoji_by_name, motif, names_of_icons
from engine.datasets.emoji.build import Package

MAN, WOMAN, PERSON, CAT = "1f468-200d-1f33e", "1f469-200d-1f33e", "1f9d1-200d-1f33e", "1f408"


def packed(path: Path, members: dict[str, object]) -> Package:
    """Write an npm archive of JSON files."""
    with tarfile.open(path, "w:gz") as archive:
        for name, value in members.items():
            text = json.dumps(value).encode()
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text))
    return Package(path)


def test_a_person_of_any_gender_is_one_motif() -> None:
    assert {motif(each) for each in (MAN, WOMAN, PERSON)} == {PERSON}
    assert motif("1f3c4-200d-2640") == motif("1f3c4-200d-2642") == "1f3c4"


def test_no_motif_is_in_two_domains_and_classes_are_shared_evenly() -> None:
    animals = {f"1f4{number:02x}": "animal" for number in range(40)}
    kinds = {MAN: "person", WOMAN: "person", **animals}
    drawn = {"a": frozenset(kinds), "b": frozenset(kinds), "c": frozenset([*animals][:5])}

    chosen = distribute(kinds, drawn)

    motifs = [{motif(each) for each in emoji} for emoji in chosen.values()]
    assert sum(map(len, motifs)) == len(set().union(*motifs))
    assert {each for emoji in chosen.values() for each in emoji} == kinds.keys()
    assert all(chosen[domain].keys() <= drawn[domain] for domain in drawn)
    counts = [sum(kind == "animal" for kind in emoji.values()) for emoji in chosen.values()]
    assert counts == [18, 17, 5]
    assert [len(emoji) - count for emoji, count in zip(chosen.values(), counts, strict=True)] == [
        2, 0, 0,
    ]  # fmt: skip


def test_the_rarest_motifs_are_distributed_first() -> None:
    kinds = {f"1f4{number:02x}": "animal" for number in range(8)}
    few = frozenset([*kinds][:4])

    chosen = distribute(kinds, {"all": frozenset(kinds), "few": few})

    assert chosen["few"].keys() == few


def test_icons_without_code_points_are_found_by_a_name_or_an_alias(tmp_path: Path) -> None:
    codes = {"1F408": "cat", "1F431": ["cat_face", "kitty"], "1F640": "kitty"}
    shortcodes = ("cldr", "emojibase", "emojibase-legacy", "github", "iamcal", "joypixels")
    emojibase = packed(
        tmp_path / "emojibase.tgz",
        {
            "en/data.json": [{"hexcode": "1F415-FE0F", "label": "dog: standing"}],
            "meta/unicode-names.json": {},
            **{f"en/shortcodes/{each}.json": codes for each in shortcodes},
        },
    )
    icons: dict[str, object] = {"Dog-Standing": {}, "feline": {}, "kitty": {}, "flag": {}}
    aliases = {"cat": {"parent": "feline"}}
    named = packed(
        tmp_path / "named.tgz",
        {"chars.json": {}, "icons.json": {"icons": icons, "aliases": aliases}},
    )
    listed = packed(tmp_path / "listed.tgz", {"chars.json": {"1F408-fe0f": "puss"}})

    by_name = emoji_by_name(emojibase)

    assert names_of_icons(named, by_name) == {"1f415": "Dog-Standing", CAT: "feline"}
    assert names_of_icons(listed, by_name) == {CAT: "puss"}
