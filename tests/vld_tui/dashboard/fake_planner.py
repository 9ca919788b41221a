"""A planner that knows a few things by heart."""

from __future__ import annotations

from collections.abc import Mapping

from engine.protocol import RunSpec
from engine.protocol.datasets import DatasetListing, DomainListing
from vld_tui.launch.datasets import DatasetError
from vld_tui.study.define.files import StudyText
from vld_tui.study.forecast import Forecast
from vld_tui.study.planner import FormPreset, Network, StudyOutline
from vld_tui.study.standing import LaunchPlan

DRAWN = DatasetListing(
    "objects-drawn",
    tuple(DomainListing(name, 1000) for name in ("clipart", "emoji", "lineart")),
    ("food", "tool"),
    "/somewhere/objects-drawn.zip",
    complete=True,
)
PACS = DatasetListing(
    "PACS",
    tuple(DomainListing(name, 0, 2000) for name in ("art_painting", "cartoon", "photo", "sketch")),
    (),
    None,
    complete=False,
)


class FakePlanner:
    """Answers at once; keeps presets in memory. ``folders`` are those that hold images."""

    def __init__(self) -> None:
        self.listings: tuple[DatasetListing, ...] = (DRAWN, PACS)
        self.folders: dict[str, DatasetListing] = {}
        self.found: tuple[Network, ...] = (
            Network("tf_efficientnet_lite0", "packaged"),
            Network("resnet50.tv2_in1k", "hub"),
            Network("vit_tiny", "none"),
        )
        self.teachers: tuple[str, ...] = ()
        self.answer = Forecast()
        self.kept: dict[str, FormPreset] = {}
        self.asked: list[RunSpec] = []
        self.plan: LaunchPlan | Exception | None = None
        self.outlines: dict[str, StudyOutline] = {}
        self.planned: list[str] = []

    def datasets(self) -> tuple[DatasetListing, ...]:
        return self.listings

    def dataset_of(self, spec: RunSpec) -> DatasetListing:
        if spec.data_dir is not None:
            if spec.data_dir not in self.folders:
                raise DatasetError(f"{spec.data_dir} is not a folder.")
            return self.folders[spec.data_dir]
        here = [each for each in self.listings if each.name == spec.dataset and each.where]
        if not here:
            raise DatasetError(f"{spec.dataset} is not on this machine.")
        return here[0]

    def teacher_problem(self, spec: RunSpec, _listing: DatasetListing | None) -> str | None:
        return None if spec.teacher in (None, *self.teachers) else f"No run {spec.teacher!r}."

    def known_networks(self) -> tuple[Network, ...]:
        return ()

    def networks(self) -> tuple[Network, ...]:
        return self.found

    def forecast(self, spec: RunSpec, listing: DatasetListing | None) -> Forecast:
        self.asked.append(spec)
        return self.answer

    def form_presets(self) -> Mapping[str, FormPreset]:
        return dict(self.kept)

    def keep_form_preset(self, name: str, preset: FormPreset) -> None:
        self.kept[name] = preset

    def drop_form_preset(self, name: str) -> None:
        self.kept.pop(name, None)

    def study_plan(self, reference: str | StudyText) -> LaunchPlan:
        self.planned.append(reference if isinstance(reference, str) else reference.text)
        if isinstance(self.plan, Exception):
            raise self.plan
        assert self.plan is not None, reference
        return self.plan

    def study_outline(self, reference: str) -> StudyOutline:
        if reference not in self.outlines:
            raise DatasetError(f"{reference} cannot be read.")
        return self.outlines[reference]

    def close(self) -> None:
        """Have nothing to let go of."""
