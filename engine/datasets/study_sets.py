"""The data sets of the study: what they hold, and where they are published.

Counts: Gulrajani & Lopez-Paz, "In Search of Lost Domain Generalization", and DomainBed's loaders.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class StudySet:
    """A published data set.

    Attributes:
        images: of each domain, by its folder's name.
        classes: number of classes.
        published_at: where to get it.
        layout: what to give ``vld data add`` after unpacking.
        note: a known difference, or None.
        lacks_classes: a domain lacks a class that the others have.
    """

    images: Mapping[str, int]
    classes: int
    published_at: str
    layout: str
    note: str | None = None
    lacks_classes: bool = False


STUDY_SETS: Final[Mapping[str, StudySet]] = {
    "PACS": StudySet(
        {"art_painting": 2048, "cartoon": 2344, "photo": 1670, "sketch": 3929},
        7,
        "https://huggingface.co/datasets/flwrlabs/pacs, or DomainBed's archive "
        "https://drive.google.com/uc?id=1JFr8f805nMUelQWWmfnJR3y4_SYoN5Pd",
        "the folder `kfold` of the archive",
    ),
    "VLCS": StudySet(
        {"Caltech101": 1415, "LabelMe": 2656, "SUN09": 3282, "VOC2007": 3376},
        5,
        "DomainBed's archive https://drive.google.com/uc?id=1skwblH1_okBwxWxmRsp9_qi15hyPpxg8",
        "the folder `VLCS` of the archive",
        "Published in several layouts: domain/class, domain/full/class, and "
        "domain/{train,test,crossval}/class are read.",
    ),
    "OfficeHome": StudySet(
        {"Art": 2427, "Clipart": 4365, "Product": 4439, "Real World": 4357},
        65,
        "https://huggingface.co/datasets/flwrlabs/office-home, or DomainBed's archive "
        "https://drive.google.com/uc?id=1uY0pj7oFsjMxRwaD3Sxy0jgel0fsYXLC",
        "the folder `OfficeHomeDataset_10072016` of the archive",
    ),
    "TerraIncognita": StudySet(
        {"location_100": 4879, "location_38": 9767, "location_43": 4020, "location_46": 6122},
        10,
        "https://lila.science/datasets/caltech-camera-traps: "
        "eccv_18_all_images_sm.tar.gz and caltech_camera_traps.json.zip, arranged by "
        "DomainBed's domainbed/scripts/download.py",
        "the folder that holds location_38, location_43, location_46 and location_100",
        "24,788 images in published tables; today's downloads give 24,330.",
    ),
    "DomainNet": StudySet(
        {
            "clipart": 48129, "infograph": 51605, "painting": 72266,
            "quickdraw": 172500, "real": 172947, "sketch": 69128,
        },
        345,
        "http://ai.bu.edu/M3SDA/ (the cleaned version, one archive for each domain)",
        "the folder that holds clipart, infograph, painting, quickdraw, real and sketch; "
        "--exclude takes DomainBed's domain_net_duplicates.txt",
        "painting has images of 344 classes only; the label space keeps all 345.",
        lacks_classes=True,
    ),
}  # fmt: skip
"""Data set → what was published."""


def how_to_get(name: str) -> str:
    """Say where a data set of the study is published and what to type then."""
    study_set = STUDY_SETS[name]
    return (
        f"Get it from {study_set.published_at}. Unpack it, then: vld data add {name} DIR, where "
        f"DIR is {study_set.layout}."
    )
