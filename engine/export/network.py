"""The export of a network in one of several forms.

To add a form, write a module with a :class:`~engine.export.form.Form`, and add a line to ``FORMS``
here and one to ``TARGETS`` in :mod:`engine.protocol.export`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Final

import timm
import torch

from engine.export import hub_folder, onnx_file, pt2_file, timm_folder
from engine.export.folder import (
    Manifest,
    check_destination,
    files_in,
    new_folder,
    write_manifest,
)
from engine.export.form import Form
from engine.export.model_card import read_facts
from engine.export.verify import find_sample, verify
from engine.inference.classifier import Classifier
from engine.inference.session import InferenceSession
from engine.protocol import spec_of
from engine.protocol.export import ExportedNetwork, ExportNetwork, Target
from engine.protocol.inference import UseOfRun
from engine.rundir import RunDir
from engine.work import Reporter, progress_of

FORMS: Final[Mapping[Target, Form]] = {
    "timm": timm_folder.FORM,
    "onnx": onnx_file.FORM,
    "pt2": pt2_file.FORM,
    "hub": hub_folder.FORM,
}
STAGES: Final = 3
"""Load, export, verify."""


def export_network(request: ExportNetwork, report: Reporter) -> ExportedNetwork:
    """Export a run's network and verify what was written.

    Raises:
        InputError: if it has no such network, or it cannot be exported in this form or written
            there; then nothing was written.
    """
    run_dir, destination = RunDir(Path(request.run_dir)), Path(request.destination).resolve()
    progress = progress_of(report, "exporting", "stages")
    progress(0, STAGES)
    check_destination(destination, replaces=request.replaces)
    if request.push_to is not None:
        hub_folder.check_access(request.push_to)
    classifier = _load(request, report)
    FORMS[request.to].check(classifier)
    progress(1, STAGES)
    with new_folder(destination, replaces=request.replaces) as folder:
        _write(folder, request, run_dir, classifier)
        progress(2, STAGES)
        manifest = _verified(folder, request, run_dir, classifier)
        write_manifest(folder, manifest)
    url = None if request.push_to is None else hub_folder.push(destination, request.push_to)
    progress(STAGES, STAGES)
    return ExportedNetwork(
        run=manifest.run,
        arm=manifest.arm,
        at=manifest.at,
        to=manifest.to,
        folder=str(destination),
        files=files_in(destination),
        classes=classifier.classes,
        image_size=classifier.image_size,
        temperature=manifest.temperature,
        verification=manifest.verification,
        code=FORMS[request.to].code(str(destination)),
        url=url,
    )


def _load(request: ExportNetwork, report: Reporter) -> Classifier:
    """Return the network on the CPU, calibrated if it can be."""
    use = UseOfRun(
        run_dir=request.run_dir, arm=request.arm, at=request.at, calibrates=request.calibrates,
        device="cpu",
    )  # fmt: skip
    classifier = InferenceSession(use, report).classifier
    if not request.calibrates:
        classifier.calibration = None
    return classifier.to(memory_format=torch.contiguous_format)


def _write(folder: Path, request: ExportNetwork, run_dir: RunDir, classifier: Classifier) -> None:
    FORMS[request.to].write(folder, classifier)
    if request.to == "hub":
        facts = read_facts(run_dir, classifier, request.at)
        hub_folder.write_card(folder, facts, classifier, request.push_to)


def _verified(
    folder: Path, request: ExportNetwork, run_dir: RunDir, classifier: Classifier
) -> Manifest:
    """Return the description of an export whose files predict as the run's network.

    Raises:
        InputError: if they do not.
    """
    sample = find_sample(spec_of(run_dir.read_task()))
    loaded = FORMS[request.to].load(folder)
    return Manifest(
        run=run_dir.run_id,
        arm=classifier.arm,
        at=request.at,
        to=request.to,
        temperature=classifier.temperature,
        verification=verify(loaded, classifier, sample, f"The {request.to} export"),
        versions={
            "vld-tui": metadata.version("vld-tui"),
            "torch": str(torch.__version__),
            "timm": timm.__version__,
        },
    )
