"""The published data sets: their content, where they are published and how to get them.

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
        images: image counts by domain folder.
        classes: number of classes.
        archives: location of its archives.
        placing: preparation for ``vld data add``, and what PATH is.
        hub_id: id on the Hugging Face hub (parquet files); None: not on the hub.
        note: a known difference, or None.
        lacks_classes: whether a domain lacks a class.
        also_complete_with: alternative total number of images of a complete download, or None.
        other_names: alternative domain names, mapped to those in ``images``.
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
        """Return the published image count of a domain, by any of its names."""
        return self.images.get(self.other_names.get(domain, domain))

    def mismatch(self, domains: Sequence[str], classes: int) -> str | None:
        """Return how domains or classes differ from the published ones; None if they match."""
        named = {self.other_names.get(domain, domain) for domain in domains}
        if named != set(self.images) or len(domains) != len(self.images):
            return f"has the domains {', '.join(self.images)}, but these are {', '.join(domains)}"
        if classes != self.classes:
            return f"has {self.classes} classes, but this has {classes}"
        return None


STUDY_SETS: Final[Mapping[str, StudySet]] = {
    "PACS": StudySet(
        {"art_painting": 2048, "cartoon": 2344, "photo": 1670, "sketch": 3929},
        7,
        "https://drive.google.com/uc?id=1JFr8f805nMUelQWWmfnJR3y4_SYoN5Pd (PACS.zip)",
        "PATH is PACS.zip or the extracted folder kfold",
        hub_id="flwrlabs/pacs",
    ),
    "VLCS": StudySet(
        {"Caltech101": 1415, "LabelMe": 2656, "SUN09": 3282, "VOC2007": 3376},
        5,
        "https://drive.google.com/uc?id=1skwblH1_okBwxWxmRsp9_qi15hyPpxg8 (VLCS.tar.gz)",
        "PATH is VLCS.tar.gz or the extracted folder VLCS",
        note="Published in several layouts; supported are domain/class, domain/full/class and "
        "domain/{train,val,test,crossval}/class, with classes by name or by number.",
        other_names={
            "CALTECH": "Caltech101", "LABELME": "LabelMe", "SUN": "SUN09", "PASCAL": "VOC2007",
        },
    ),
    "OfficeHome": StudySet(
        {"Art": 2427, "Clipart": 4365, "Product": 4439, "Real World": 4357},
        65,
        "https://drive.google.com/uc?id=1uY0pj7oFsjMxRwaD3Sxy0jgel0fsYXLC (office_home.zip)",
        "PATH is office_home.zip or the extracted folder OfficeHomeDataset_10072016",
        hub_id="flwrlabs/office-home",
        other_names={"RealWorld": "Real World", "Real_World": "Real World", "Real": "Real World"},
    ),
    "TerraIncognita": StudySet(
        {"location_100": 4879, "location_38": 9767, "location_43": 4020, "location_46": 6122},
        10,
        "https://lila.science/datasets/caltech-camera-traps (eccv_18_all_images_sm.tar.gz and "
        "caltech_camera_traps.json.zip)",
        "unpack both into one folder; PATH is that folder (with eccv_18_all_images_sm and "
        "caltech_images_….json), or DomainBed's folder of location_38, …",
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
        "unpack all six into one folder; PATH is that folder; for the uncleaned archives, add "
        "--exclude domain_net_duplicates.txt (from DomainBed)",
        hub_id="wltjr1007/DomainNet",
        note="painting has images of only 344 of the 345 classes.",
        lacks_classes=True,
    ),
}  # fmt: skip
"""The published data sets by name."""


def how_to_get(name: str, *, from_hub: bool = True) -> str:
    """Return instructions for getting a published data set.

    Args:
        name: of the data set.
        from_hub: include the hub, if it has the data set.
    """
    return " ".join(ways_to_get(name)[0 if from_hub else -2 :])


def ways_to_get(name: str) -> tuple[str, ...]:
    """Return a sentence for each way to get a data set, and one on its terms of use."""
    study_set = STUDY_SETS[name]
    ways = (
        f"Download it manually from {study_set.archives}, then: vld data add {name} PATH "
        f"({study_set.placing}).",
        "For the terms of use, see the publisher's page.",
    )
    if study_set.hub_id is None:
        return ways
    return (
        f"Download it from the Hugging Face hub ({study_set.hub_id}): vld data fetch {name}.",
        *ways,
    )
