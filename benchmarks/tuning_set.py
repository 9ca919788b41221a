"""Make the images on which settings of the default recipe are tried: `recipe.py` uses them.

    npm pack @iconify-json/openmoji @iconify-json/emojione @iconify-json/fxemoji \\
        @iconify-json/emojione-monotone emojibase-data
    python benchmarks/tuning_set.py FOLDER OUT

FOLDER holds the five archives; the extra `emoji` draws them. OUT is a new folder of 14 classes in
four domains. No figure or table about the method is made with these drawings, so a setting chosen
on them is not tuned on the data that results are reported on.

| domain | licence | images |
|---|---|---|
| openmoji | CC BY-SA 4.0 | 427 |
| emojione | CC BY 4.0 | 230 |
| fxemoji | Apache-2.0 | 226 |
| emojione-monotone | CC BY 4.0 | 224 |

**Every motif is in one domain only**, so that domains show different objects, unlike the embedded
emoji. Motifs are distributed within their class: first those that the fewest sets have, then in the
order of a hash of the code point; each goes to the domain that has the fewest images of the class
so far. A person drawn as a man, a woman or neither is one motif. Classes are unequal.

Classes are those of the embedded emoji, except that `food` includes drinks, `nature` is plants and
weather, and hearts and clocks are left out: a quarter of them is too few to measure. The set does
not contain the same drawings as `emoji` or `objects`, but shows the same kinds of things.

Three of the packages name their icons instead of giving code points. An icon is matched by its
name or an alias to the names that emojibase-data knows; a name of several emoji matches none.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from PIL import Image

from benchmarks.objects_set import tell_counts
from engine.datasets.emoji.build import (
    KINDS,
    Package,
    icon_names,
    kind_of_codepoint,
    normalised,
    resvg_renderer,
    style_members,
)

DOMAINS: Final = ("openmoji", "emojione", "fxemoji", "emojione-monotone")
"""Names of the packages within @iconify-json."""
MERGED: Final = {"drink": "food", "plant": "nature", "weather": "nature"}
LEFT_OUT: Final = ("heart", "clock")
SHORTCODES: Final = ("cldr", "emojibase", "emojibase-legacy", "github", "iamcal", "joypixels")
COUNTS: Final = {"openmoji": 427, "emojione": 230, "fxemoji": 226, "emojione-monotone": 224}

GENDER_SIGN: Final = re.compile("-200d-264[02]")
MAN_OR_WOMAN: Final = re.compile("1f46[89]")
PERSON: Final = "1f9d1"


def classes_of_set() -> dict[str, tuple[str, ...]]:
    """Return the subgroups of emojibase-data of each class."""
    classes: dict[str, tuple[str, ...]] = defaultdict(tuple)
    for kind, subgroups in KINDS.items():
        if kind not in LEFT_OUT:
            classes[MERGED.get(kind, kind)] += subgroups
    return dict(classes)


def motif(codepoint: str) -> str:
    """Return what an emoji shows, as a code point: persons without their gender."""
    return MAN_OR_WOMAN.sub(PERSON, GENDER_SIGN.sub("", codepoint))


def distribute(
    kinds: Mapping[str, str], drawn: Mapping[str, frozenset[str]]
) -> dict[str, dict[str, str]]:
    """Return the emoji of each domain: code point → class. No motif is in two domains.

    Args:
        kinds: class of each code point.
        drawn: code points that the set of each domain has drawings of.
    """
    emoji_of_motif = defaultdict(list)
    for codepoint in kinds:
        emoji_of_motif[motif(codepoint)].append(codepoint)
    having = {
        shown: [domain for domain, has in drawn.items() if has.intersection(emoji)]
        for shown, emoji in emoji_of_motif.items()
    }
    order = sorted(having, key=lambda shown: (len(having[shown]), _hash(shown)))
    chosen: dict[str, dict[str, str]] = {domain: {} for domain in drawn}
    counts: Counter[tuple[str, str]] = Counter()
    for shown in filter(having.get, order):
        kind = kinds[emoji_of_motif[shown][0]]
        domain = min(having[shown], key=lambda name: counts[name, kind])
        emoji = drawn[domain].intersection(emoji_of_motif[shown])
        chosen[domain] |= dict.fromkeys(sorted(emoji), kind)
        counts[domain, kind] += len(emoji)
    return chosen


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def emoji_by_name(emojibase: Package) -> dict[str, str]:
    """Return code points by name, lower-case letters and digits only.

    Names that stand for several emoji are left out.
    """
    found: dict[str, set[str]] = defaultdict(set)

    def add(codepoint: str, names: str | list[str]) -> None:
        for name in [names] if isinstance(names, str) else names:
            found[plain(name)].add(normalised(codepoint))

    for emoji in emojibase.read("en/data.json"):
        add(emoji["hexcode"], emoji["label"])
    for file in ("meta/unicode-names.json", *(f"en/shortcodes/{each}.json" for each in SHORTCODES)):
        for codepoint, names in emojibase.read(file).items():
            add(codepoint, names)
    return {name: emoji.pop() for name, emoji in found.items() if len(emoji) == 1}


def names_of_icons(package: Package, by_name: Mapping[str, str]) -> dict[str, str]:
    """Return the name of a package's icon for each code point.

    ``by_name``: code points by name, for packages that do not give them.
    """
    listed = icon_names(package)
    if listed:
        return listed
    icons = package.read("icons.json")
    spelled = {name: [name] for name in icons["icons"]}
    for alias, icon in icons.get("aliases", {}).items():
        spelled.get(icon["parent"], []).append(alias)
    found: dict[str, str] = {}
    for name, spellings in spelled.items():
        emoji = {by_name[key] for key in map(plain, spellings) if key in by_name}
        if len(emoji) == 1:
            found.setdefault(emoji.pop(), name)
    return found


def plain(name: str) -> str:
    """Return a name in lower-case letters and digits."""
    return re.sub("[^a-z0-9]", "", name.lower())


def write_set(packages: Path, out: Path) -> Counter[str]:
    """Draw the images; return their number by domain."""
    emojibase = Package.find(packages, "emojibase-data")
    sets = {domain: Package.find(packages, domain) for domain in DOMAINS}
    by_name = emoji_by_name(emojibase)
    names = {domain: names_of_icons(package, by_name) for domain, package in sets.items()}
    kinds = kind_of_codepoint(emojibase, classes_of_set())
    chosen = distribute(kinds, {domain: frozenset(of) for domain, of in names.items()})
    render = resvg_renderer()
    counts: Counter[str] = Counter()
    for domain, package in sets.items():
        for member, svg in style_members(package, chosen[domain], names=names[domain]):
            file = out / domain / f"{member}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            with Image.open(io.BytesIO(render(svg))) as image:
                image.convert("RGB").save(file)
            counts[domain] += 1
    return counts


def main() -> int:
    """Make the set and print the number of images of each domain."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="folder with the five npm archives")
    parser.add_argument("out", type=Path, help="folder to create")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True)
    found = write_set(asked.folder, asked.out)
    return tell_counts(found, COUNTS)


if __name__ == "__main__":
    sys.exit(main())
