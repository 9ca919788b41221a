"""Which images of which sources make up ``objects``, and how they are drawn.

The tables below were checked by eye, image by image, with ``vld data check objects --sheet FILE``.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import PurePosixPath
from typing import Final

from PIL import Image

from engine.datasets.debian import DebianPackage
from engine.datasets.formats import IMAGE_FORMATS, lossless_webp
from engine.errors import DataError
from engine.work import Progress

IMAGE_SIZE: Final = 128
"""Side of the images in pixels."""
CLASSES: Final = ("animal", "plant", "food", "vehicle", "tool", "music", "clothing", "sport")
"""In the order in which one of several identical images of a domain is kept."""
SUFFIX: Final = ".webp"
LEAST_REDUCED: Final = 8
"""Images are averaged over whole pixels to no less than this multiple of ``IMAGE_SIZE`` before they
are resized with Lanczos, to save memory; the difference is not visible."""


@dataclass(frozen=True)
class PackageSource:
    """The images of a Debian package that make up a domain.

    Attributes:
        package: name of the package.
        folder: folder of its images.
        folders: folders of each class, below ``folder``.
        excluded: patterns of paths below ``folder`` to leave out, by reason.
    """

    package: str
    folder: str
    folders: Mapping[str, tuple[str, ...]]
    excluded: Mapping[str, tuple[str, ...]]

    def class_of(self, path: str) -> str | None:
        """Return the class of a file of the package, by its path; None: not in the data set."""
        below = path.removeprefix(f"{self.folder}/")
        if below == path or not below.endswith(".png"):
            return None
        found = next((name for name, folder in self._prefixes if below.startswith(folder)), None)
        if found is None or any(fnmatchcase(below, pattern) for pattern in self._patterns):
            return None
        return found

    def name_of(self, path: str) -> str:
        """Return the name of an image of the data set, from its path in the package."""
        below = PurePosixPath(path).relative_to(self.folder)
        return "-".join(below.with_suffix(SUFFIX).parts)

    @cached_property
    def _prefixes(self) -> list[tuple[str, str]]:
        return [(name, f"{folder}/") for name in CLASSES for folder in self.folders.get(name, ())]

    @cached_property
    def _patterns(self) -> list[str]:
        return [pattern for patterns in self.excluded.values() for pattern in patterns]


PHOTO: Final = PackageSource(
    "tuxpaint-stamps-default",
    "usr/share/tuxpaint/stamps",
    {
        "animal": ("animals",),
        "plant": ("plants",),
        "food": ("food",),
        "vehicle": ("vehicles", "military/vehicles"),
        "tool": ("household/tools", "household/dishes/utensils", "household/arttools", "medical"),
        "music": ("hobbies/music",),
        "sport": ("sports",),
    },
    {
        "mirrored copies": ("*_mirror.png",),
        "no photographs of the object": ("*cartoon*", "*toys*", "*plastic*"),
        "drawings": (
            "animals/insects/bee.png", "animals/mammals/echidna.png",
            "animals/mammals/hedgehog.png", "food/pizza.png", "household/arttools/highlighter.png",
            "household/tools/wrench_adjustable.png", "medical/tooth.png", "vehicles/7spoke256.png",
            "vehicles/emergency/sedan_police.png",
        ),
        "parts": ("vehicles/wheel_tractor.png",),
    },
)  # fmt: skip
"""Photographs. All images of the package's folder ``clothes`` are drawings or clothes pegs."""

CLIPART: Final = PackageSource(
    "openclipart-png",
    "usr/share/openclipart/png",
    {
        "animal": ("animals",),
        "plant": ("plants",),
        "food": ("food",),
        "vehicle": ("transportation",),
        "tool": ("tools",),
        "music": ("recreation/music",),
        "clothing": ("people/clothing",),
        "sport": ("recreation/sports",),
    },
    {
        "other things": (
            "animals/fantasy/*", "tools/toys/*", "tools/weapons/*", "transportation/aiga-symbols/*",
        ),
        "blank, broken, or with the text 'Linked Image Not Found'": (
            "animals/birds/duck_yellow_ii_*", "animals/birds/penguin/tux_didier_*",
            "plants/cannabis_leaf_*", "recreation/sports/badminton_racket_*",
            "recreation/sports/stylized_yoga_*", "tools/bucket_michael_*",
        ),
        "not an animal": (
            "animals/birds/mirjam_meijer_*", "animals/birds/turkey_on_platter_*",
            "animals/birds/wing_*", "animals/cymru_flag_*", "animals/fish/kallisti-grenade_*",
            "animals/lucchetto_*", "animals/mammals/housecats/cat_scrathing_post_*",
            "animals/mascot_*", "animals/tante_orme_*", "animals/tatoo_*", "animals/three_eyes_*",
        ),
        "not a plant": (
            "plants/cayennepepper*", "plants/human_*", "plants/potato_*", "plants/trees/bowsaw_*",
            "plants/trees/bypasspruner_*", "plants/trees/christmas_balls_*",
        ),
        "not food": (
            "food/beverages/alcohol/wine_corks_*", "food/beverages/alcohol/wooden_barrel_*",
            "food/beverages/macchina_caffe_*", "food/chef_*", "food/come_si_dispongono_*",
            "food/fruit/kallisti-grenade_*", "food/fruit/slate-apple_*", "food/fruit/straw_tote_*",
            "food/large_plate*", "food/libro_di_ricette_*", "food/meatgrinder_*",
            "food/mix_cucina_*", "food/small_plate*", "food/toque_*",
        ),
        "photographs": ("food/food_leif_*", "food/*fruitcollection_*", "food/*grapes_leif_*"),
        "road signs": (
            "transportation/roadsigns/*", "transportation/Evel_Knievel.png",
            "transportation/Motorway_on.png", "transportation/airplane.png",
            "transportation/ampel*", "transportation/bambi.png", "transportation/bus_lane.png",
            "transportation/bus_opposite.png", "transportation/buses_and_bikes.png",
            "transportation/cattle.png", "transportation/crosswind.png",
            "transportation/*cycle_lane.png", "transportation/cycles.png",
            "transportation/drawbridge.png", "transportation/end_daul.png",
            "transportation/grounded.png", "transportation/horse.png",
            "transportation/kaboom.png", "transportation/lorry_length.png",
            "transportation/no_*", "transportation/old_folks.png",
            "transportation/pass_either.png", "transportation/roundabout.png",
            "transportation/street_sign_*", "transportation/tram.png",
            "transportation/trams_only.png", "transportation/tunnel.png",
            "transportation/turn_ahead.png", "transportation/two_way_*",
            "transportation/vehicles/bus_symbol_*", "transportation/vehicles/crossroads.png",
            "transportation/vehicles/curve_ahead.png", "transportation/vehicles/cycle_route.png",
            "transportation/vehicles/parking_*", "transportation/vehicles/quay_sign_*",
            "transportation/zigzag.png", "tools/route_*",
        ),
        "knots and diagrams": (
            "transportation/boating/boating_rules*", "transportation/boating/knot_*",
            "transportation/boating/sailing_close_hauled.png",
            "transportation/boating/sailing_jibe.png", "transportation/boating/sailing_points.png",
            "transportation/boating/sailing_reaching.png",
            "transportation/boating/sailing_running_free.png",
            "transportation/boating/sailing_tack*",
        ),
        "not a vehicle": (
            "transportation/anchor*", "transportation/grain_elevator_*",
            "transportation/*lighthouse_*", "transportation/little_tan_suitcase_*",
            "transportation/vehicles/wing_*",
        ),
        "not a tool": (
            "tools/bottle_*", "tools/cellular_phone_*", "tools/compass_01.png",
            "tools/digital_camera_*", "tools/gallows_*", "tools/kexi_*",
            "tools/lampada_di_aladino_*", "tools/mattone_*", "tools/metal_cage_*",
            "tools/natural_gas_pump_*", "tools/nodding_donkey_*", "tools/nunchaku_*",
            "tools/panel_*", "tools/scart_connector_*", "tools/smoke_*", "tools/umbrella.png",
        ),
        "portraits": (
            "people/clothing/hats/jacob_leisler_*", "recreation/music/bach_*",
            "recreation/music/beethoveo_*", "recreation/music/handel_*",
        ),
        "not clothing": ("people/clothing/shoe_print_*",),
        "not sport": (
            "recreation/sports/binoculars_*", "recreation/sports/nunchaku_*",
            "recreation/sports/ticket_*",
        ),
    },
)  # fmt: skip
"""Clip art."""

EMOJI_STYLES: Final = {"emoji": "noto", "lineart": "fluent-mono"}
"""Domain → style of the embedded emoji."""
EMOJI_KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "animal": ("animal-mammal", "animal-bird", "animal-reptile", "animal-marine", "animal-bug"),
    "plant": ("plant-flower", "plant-other"),
    "food": ("food-fruit", "food-vegetable", "food-prepared", "food-asian", "food-sweet"),
    "vehicle": ("transport-ground", "transport-water", "transport-air"),
    "tool": ("tool", "science", "medical", "household"),
    "music": ("music", "musical-instrument"),
    "clothing": ("clothing",),
    "sport": ("sport",),
}
"""Subgroups of emojibase-data by class."""
EXCLUDED_EMOJI: Final[Mapping[str, tuple[str, ...]]] = {
    "not an animal": ("1f43e", "1fab6", "1f578", "1fabd"),
    "not a plant": ("1fab9", "1faba"),
    "street furniture, signs, parts and cargo": (
        "1f68f", "1f6e3", "1f6e4", "1f6e2", "26fd", "1f6a8", "1f6a5", "1f6a6", "1f6d1", "1f6a7",
        "1f6de", "2693", "1f6df", "1f4ba",
    ),
    "furniture, rooms and body": (
        "1f6aa", "1f6d7", "1fa9e", "1fa9f", "1f6cf", "1f6cb", "1fa91", "1f6bd", "1f6bf", "1f6c1",
        "1fae7", "1f6d2", "1f9fb", "1f9ec", "1fa78",
    ),
    "cosmetics, stones and shopping": ("1f484", "1f48e", "1f6cd", "1faae"),
}  # fmt: skip
"""Code points to leave out, by reason."""


class Drawings:
    """The images of a domain, each drawn on white, without exact copies."""

    def __init__(self) -> None:
        self._drawn: list[tuple[str, str, Image.Image]] = []

    def add(self, class_name: str, name: str, content: bytes) -> None:
        """Add an image file.

        Raises:
            DataError: if it cannot be read.
        """
        try:
            self._drawn.append((class_name, name, draw(content)))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise DataError(f"The image {name} cannot be read: {error}.") from None

    def files(self) -> dict[str, bytes]:
        """Return the image files by ``class/name``; of identical images, the first."""
        order = {name: place for place, name in enumerate(CLASSES)}
        self._drawn.sort(key=lambda each: (order[each[0]], each[1]))
        first: dict[bytes, tuple[str, Image.Image]] = {}
        for class_name, name, image in self._drawn:
            first.setdefault(image.tobytes(), (f"{class_name}/{name}", image))
        return {path: lossless_webp(image) for path, image in first.values()}


def draw(content: bytes) -> Image.Image:
    """Return an image on white, padded to a square, of ``IMAGE_SIZE`` pixels.

    Raises:
        OSError, SyntaxError, ValueError, DecompressionBombError: if it cannot be read.
    """
    with Image.open(io.BytesIO(content), formats=IMAGE_FORMATS) as file:
        image = file if file.mode == "RGBA" else file.convert("RGBA")
        if (factor := max(image.size) // (LEAST_REDUCED * IMAGE_SIZE)) > 1:
            image = image.reduce(factor)
        image.load()
    side = max(image.size)
    square = Image.new("RGB", (side, side), "white")
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2), image)
    return square.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.LANCZOS)


def package_images(
    source: PackageSource, package: DebianPackage, on_progress: Progress
) -> dict[str, bytes]:
    """Return the image files of a domain by ``class/name``.

    Raises:
        DataError: if this is another package, or it is damaged.
    """
    if package.name != source.package:
        raise DataError(
            f"{package.path} is the Debian package {package.name}, not {source.package}."
        )
    drawings = Drawings()

    def is_wanted(path: str) -> bool:
        return source.class_of(path) is not None

    for path, content in package.files(is_wanted, on_progress):
        class_name = source.class_of(path)
        assert class_name is not None
        drawings.add(class_name, source.name_of(path), content)
    return drawings.files()
