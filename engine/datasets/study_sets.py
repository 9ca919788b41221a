"""The data sets of the study: what they hold, where they are published, how they are had.

Counts: Gulrajani & Lopez-Paz, "In Search of Lost Domain Generalization", and DomainBed's loaders.
Archives: DomainBed's ``domainbed/scripts/download.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True)
class StudySet:
    """A published data set.

    Attributes:
        images: of each domain, by its folder's name.
        classes: number of classes.
        archives: where its archives are.
        placing: what to do with them before ``vld data add``, ending in what PATH is.
        hub_id: on the Hugging Face hub, in parquet files; None: not there.
        note: a known difference, or None.
        lacks_classes: a domain lacks a class that the others have.
        also_complete_with: another number of images that is a whole download; None: none.
        other_names: domains in other publications → those in ``images``.
    """

    images: Mapping[str, int]
    classes: int
    archives: str
    placing: str
    hub_id: str | None = None
    note: str | None = None
    lacks_classes: bool = False
    also_complete_with: int | None = None
    other_names: Mapping[str, str] = field(default_factory=dict)

    def expected(self, domain: str) -> int | None:
        """Return the published number of images of a domain, by any of its names."""
        return self.images.get(self.other_names.get(domain, domain))

    def mismatch(self, domains: Sequence[str], classes: int) -> str | None:
        """Say how images differ from what was published; None: domains and classes are those."""
        named = {self.other_names.get(domain, domain) for domain in domains}
        if named != set(self.images) or len(domains) != len(self.images):
            return f"has the domains {', '.join(self.images)}, but these are {', '.join(domains)}"
        if classes != self.classes:
            return f"has {self.classes} classes, but here are {classes}"
        return None


STUDY_SETS: Final[Mapping[str, StudySet]] = {
    "PACS": StudySet(
        {"art_painting": 2048, "cartoon": 2344, "photo": 1670, "sketch": 3929},
        7,
        "https://drive.google.com/uc?id=1JFr8f805nMUelQWWmfnJR3y4_SYoN5Pd (PACS.zip)",
        "PATH is PACS.zip, or the folder kfold that is in it",
        hub_id="flwrlabs/pacs",
    ),
    "VLCS": StudySet(
        {"Caltech101": 1415, "LabelMe": 2656, "SUN09": 3282, "VOC2007": 3376},
        5,
        "https://drive.google.com/uc?id=1skwblH1_okBwxWxmRsp9_qi15hyPpxg8 (VLCS.tar.gz)",
        "PATH is VLCS.tar.gz, or the folder VLCS that is in it",
        note="Published in several layouts: domain/class, domain/full/class and "
        "domain/{train,val,test,crossval}/class are read, classes by name or by number.",
        other_names={
            "CALTECH": "Caltech101", "LABELME": "LabelMe", "SUN": "SUN09", "PASCAL": "VOC2007",
        },
    ),
    "OfficeHome": StudySet(
        {"Art": 2427, "Clipart": 4365, "Product": 4439, "Real World": 4357},
        65,
        "https://drive.google.com/uc?id=1uY0pj7oFsjMxRwaD3Sxy0jgel0fsYXLC (office_home.zip)",
        "PATH is office_home.zip, or the folder OfficeHomeDataset_10072016 that is in it",
        hub_id="flwrlabs/office-home",
        other_names={"RealWorld": "Real World", "Real_World": "Real World", "Real": "Real World"},
    ),
    "TerraIncognita": StudySet(
        {"location_100": 4879, "location_38": 9767, "location_43": 4020, "location_46": 6122},
        10,
        "https://lila.science/datasets/caltech-camera-traps (eccv_18_all_images_sm.tar.gz and "
        "caltech_camera_traps.json.zip)",
        "unpack both into one folder; PATH is that folder, with the images in "
        "eccv_18_all_images_sm and the annotations in caltech_images_….json; the folder of "
        "location_38, …, that DomainBed makes of them, is taken too",
        note="Published tables count 24,788 images; today's downloads give 24,330.",
        also_complete_with=24_330,
        other_names={f"L{number}": f"location_{number}" for number in (38, 43, 46, 100)},
    ),
    "DomainNet": StudySet(
        {
            "clipart": 48129, "infograph": 51605, "painting": 72266,
            "quickdraw": 172500, "real": 172947, "sketch": 69128,
        },
        345,
        "http://ai.bu.edu/M3SDA/ (the cleaned version, one zip archive for each domain)",
        "unpack all six into one folder; PATH is that folder; if the archives are not the cleaned "
        "ones, --exclude takes DomainBed's list domain_net_duplicates.txt",
        hub_id="wltjr1007/DomainNet",
        note="painting has images of 344 classes only; the label space keeps all 345.",
        lacks_classes=True,
    ),
}  # fmt: skip
"""Data set → what was published."""


def how_to_get(name: str, *, from_hub: bool = True) -> str:
    """Say how to get a data set of the study, and what to type then.

    Args:
        name: of the set.
        from_hub: name the hub as well, where the set is there.
    """
    return " ".join(ways_to_get(name)[0 if from_hub else -2 :])


def ways_to_get(name: str) -> tuple[str, ...]:
    """Return a sentence for each way to get a data set; the last is on its terms of use."""
    study_set = STUDY_SETS[name]
    ways = (
        f"Get it by hand from {study_set.archives}; {study_set.placing}; then: "
        f"vld data add {name} PATH.",
        "Its terms of use are its publishers': look them up there.",
    )
    if study_set.hub_id is None:
        return ways
    return (f"Get it from the Hugging Face hub ({study_set.hub_id}): vld data fetch {name}.", *ways)
