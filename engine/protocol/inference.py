"""Use of a trained network on images from anywhere: requests, answers and rows.

``python -m engine.inference REQUEST`` works on one request; see :mod:`engine.protocol.work`.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from engine.protocol.spec import Layout

At = Literal["best", "last"]
"""The network at the selected step, or at the last one."""
OodScoreName = Literal["msp", "energy"]

OOD_SCORES: Final[dict[OodScoreName, str]] = {
    "msp": "1 minus the highest uncalibrated probability (Hendrycks and Gimpel, ICLR 2017)",
    "energy": "minus the log of the summed exponentials of the logits (Liu et al., NeurIPS 2020)",
}
"""Scores of how unlike the training images an image is: higher is more unlike."""
KEPT_SHARE: Final = 0.95
"""Fraction of ID validation images whose OOD score is at most the threshold."""


class Calibration(msgspec.Struct, frozen=True):
    """What ID validation images show about a network's probabilities and OOD scores.

    Attributes:
        checkpoint: digest of the checkpoints that it is valid for.
        temperature: logits are divided by it for calibrated probabilities; None: it cannot be
            estimated, because every image is classified correctly.
        loss: mean loss (nats) of the images at temperature 1.
        calibrated_loss: the same at ``temperature``.
        thresholds: by OOD score, the value that :data:`KEPT_SHARE` of the images do not exceed.
        images: number of ID validation images used, by source domain.
    """

    checkpoint: str
    temperature: float | None
    loss: float
    calibrated_loss: float
    thresholds: dict[str, float]
    images: dict[str, int]


class UseOfRun(msgspec.Struct, frozen=True, kw_only=True):
    """What every request says: which network to use, and how it computes.

    Attributes:
        run_dir: folder of a run.
        arm: None: the run's own network.
        at: step of the network.
        calibrates: divide logits by the temperature, which is fitted if not stored.
        device: where the network computes.
        batch_size: images computed at a time.
        threads: CPU threads; None: one for each usable core.
    """

    run_dir: str
    arm: str | None = None
    at: At = "best"
    calibrates: bool = True
    device: str = "auto"
    batch_size: Annotated[int, Meta(ge=1)] = 64
    threads: Annotated[int, Meta(ge=1)] | None = None


class PredictImages(UseOfRun, frozen=True, kw_only=True, tag="predict"):
    """Classify images; rows are :class:`Prediction`, the answer is :class:`PredictionsMade`.

    Attributes:
        paths: image files, folders, globs, and tables of paths.
        listed: further image files; one that does not exist is a row with a problem.
        top: number of classes in a row; at most all.
        ood: score of each image; None: no score.
        path_column: of tables.
        skipped_folder: images in it are not found in folders that contain it, or by globs.
    """

    paths: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()
    top: Annotated[int, Meta(ge=1)] = 1
    ood: OodScoreName | None = None
    path_column: str = "path"
    skipped_folder: str | None = None


class Prediction(msgspec.Struct, frozen=True, omit_defaults=True):
    """The prediction for one image.

    Attributes:
        path: as found: relative if it was given relative.
        classes: the most probable ones, most probable first; empty if the image is unreadable.
        probabilities: of ``classes``.
        margin: difference of the two highest probabilities.
        ood_score: higher is more unlike the training images; None: not asked for.
        is_ood: the score exceeds the threshold; None: there is no score or no threshold.
        problem: why the image cannot be read.
    """

    path: str
    classes: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = ()
    margin: float | None = None
    ood_score: float | None = None
    is_ood: bool | None = None
    problem: str | None = None


class PredictionsMade(msgspec.Struct, frozen=True):
    """How images were classified.

    Attributes:
        images: number of rows, including unreadable ones.
        unreadable: number of unreadable images.
        classes: all classes, in the order of the logits.
        arm: of the network.
        temperature: 1: probabilities are not calibrated.
        threshold: of the OOD score; None: unknown, or no score.
        calibration: None: unknown.
        device: where the network computed.
    """

    images: int
    unreadable: int
    classes: tuple[str, ...]
    arm: str
    temperature: float
    threshold: float | None
    calibration: Calibration | None
    device: str


class EvaluateRun(UseOfRun, frozen=True, kw_only=True, tag="evaluate"):
    """Evaluate on labelled images; the answer is a
    :class:`engine.protocol.data_evaluations.DataEvaluation` without a name.

    Attributes:
        dataset: name of the data set.
        data_dir: folder, archive or table; None: an embedded data set.
        layout: of its folders.
        domains: to evaluate; empty: all.
        class_map: the run's class by class of the data, where names differ; an empty name leaves
            the images of the class out.
    """

    dataset: str
    data_dir: str | None
    layout: Layout = "auto"
    domains: tuple[str, ...] = ()
    class_map: dict[str, str] = {}
