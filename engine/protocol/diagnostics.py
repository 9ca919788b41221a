"""Diagnostics of finished runs: what is measured after training to explain a result.

A diagnostic is an entry of :data:`DIAGNOSTICS` and a function in ``engine/diagnose/computed.py``.
``python -m engine.diagnose REQUEST`` works on one request, see :mod:`engine.protocol.work`. A
result is a file ``diagnoses/NAME.json`` in the run's folder; its measures are shown wherever those
of evaluations are. Nothing is selected by them.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, get_args

import msgspec
from msgspec import Meta

from engine.errors import UserError
from engine.protocol.evaluated import Measure, Unit
from engine.protocol.intervals import Interval

Topic = Literal["rich", "shift"]
"""The command that computes and shows a diagnostic."""
TOPICS: Final[tuple[Topic, ...]] = get_args(Topic)
Cell = str | int | float | None
Settings = dict[str, int | float]
OF_START: Final = "_start"
"""End of the name of a value of the initial network."""


class Diagnostic(msgspec.Struct, frozen=True):
    """What can be measured of a finished run.

    Attributes:
        name: of the diagnostic, and of its file.
        title: heading of its results.
        topic: the command that computes it.
        help: what it is and where it is from, in plain English.
        measures: its numbers of ID and OOD images, which are stored in the history.
        settings: what it is computed with.
        reads_start: it compares with the initial network.
        reads_stages: it compares the stages of both.
        reads_scratch: it compares with runs from scratch of the same images and target.
        reads_other_seed: it compares with a run of the same settings and another seed.
        reads_arms: it compares the predictions of the run's arms.
        needs_runs: it has no value without these runs, which only the history finds.
        version: a result of another version is computed again.
    """

    name: str
    title: str
    topic: Topic
    help: str
    measures: tuple[Measure, ...] = ()
    settings: Settings = {}
    reads_start: bool = False
    reads_stages: bool = False
    reads_scratch: bool = False
    reads_other_seed: bool = False
    reads_arms: bool = False
    needs_runs: bool = False
    version: int = 1


DIAGNOSTICS: Final[dict[str, Diagnostic]] = {
    each.name: each
    for each in (
        Diagnostic(
            "rank",
            "Effective rank",
            "rich",
            "RankMe: the effective number of directions in which the penultimate features vary, "
            "from 1 to their dimension (Garrido et al., ICML 2023).",
            (
                Measure(
                    "rank_me",
                    "RankMe",
                    "Effective rank of the penultimate features (RankMe).",
                    higher_is_better=None,
                    unit="number",
                ),
            ),
            reads_start=True,
            version=2,
        ),
        Diagnostic(
            "units",
            "Accuracy with few units",
            "rich",
            "Accuracy when only a random share of the penultimate units is kept, from 100% to 1%: "
            "redundant features keep it (the claim of Zhang and Bottou, arXiv 2403.00946).",
            (
                Measure(
                    "few_units_accuracy",
                    "10% of units",
                    "Accuracy with a random 10% of the penultimate units, mean over masks.",
                    higher_is_better=True,
                ),
            ),
            {"share": 0.1, "masks": 20, "seed": 0},
        ),
        Diagnostic(
            "alignment",
            "Similarity to the initial network",
            "rich",
            "Linear CKA of the penultimate features before and after training: 100% if they are "
            "equal up to rotation and scale (Kornblith et al., ICML 2019).",
            (
                Measure(
                    "cka",
                    "CKA",
                    "Similarity of the penultimate features to those before training (linear CKA).",
                    higher_is_better=None,
                ),
            ),
            reads_start=True,
            reads_stages=True,
            version=2,
        ),
        Diagnostic(
            "span",
            "Energy outside of the sources' span",
            "rich",
            "Share of feature energy (sum of squares) outside of the directions that hold 99% of "
            "the energy of the sources' training images: what the target has and the sources lack.",
            (
                Measure(
                    "outside_span",
                    "outside span",
                    "Share of feature energy outside of the sources' principal directions.",
                    higher_is_better=None,
                ),
            ),
        ),
        Diagnostic(
            "collapse",
            "Neural collapse",
            "rich",
            "NC1: how much features vary within classes, compared with the distances between "
            "classes; 0 if each class is one point (Papyan, Han and Donoho, PNAS 2020).",
            (
                Measure(
                    "nc1",
                    "NC1",
                    "Variability within classes compared with that between classes (NC1).",
                    higher_is_better=None,
                    unit="number",
                ),
            ),
        ),
        Diagnostic(
            "calibration",
            "Calibration",
            "rich",
            "Confidence compared with accuracy in 15 bins: a network is calibrated if both agree "
            "(Guo et al., ICML 2017).",
            (
                Measure(
                    "overconfidence",
                    "overconfidence",
                    "Mean confidence minus accuracy; 0 is best.",
                    higher_is_better=None,
                ),
            ),
        ),
        Diagnostic(
            "connectivity",
            "Linear connectivity between seeds",
            "rich",
            "Loss of the network halfway between the weights of two seeds, minus the mean loss of "
            "both: about 0 if they are linearly connected (Frankle et al., ICML 2020).",
            (
                Measure(
                    "barrier",
                    "barrier",
                    "Rise of the loss (nats) halfway to the weights of another seed.",
                    higher_is_better=False,
                    unit="number",
                ),
            ),
            reads_other_seed=True,
            needs_runs=True,
        ),
        Diagnostic(
            "neighbours",
            "Training images nearest to mistakes",
            "rich",
            "The three training images nearest to each misclassified image, by the cosine distance "
            "of penultimate features, and how often the nearest one has the predicted or the true "
            "class. The Samples tab of the dashboard shows them.",
            (),
            {"images": 3},
            version=2,
        ),
        Diagnostic(
            "probe",
            "Source or target?",
            "shift",
            "A logistic regression on the initial network's features separates the target from "
            "the sources, out of fold: AUC 0.5 is no shift, 1 is separated. An image is out of "
            "support if it is 10 times as likely in the target as in the sources (Cohen-Wang, "
            "Vendrow and Madry, 2024).",
            (
                Measure(
                    "target_auc",
                    "target AUC",
                    "AUC of a probe that separates the target from the sources; 0.5: not at all.",
                    higher_is_better=None,
                    unit="number",
                    is_of_target=True,
                ),
                Measure(
                    "out_of_support",
                    "out of support",
                    "Share of the target that the sources do not cover.",
                    higher_is_better=None,
                    is_of_target=True,
                ),
                Measure(
                    "inside_accuracy",
                    "in support",
                    "Accuracy on the target's images in the sources' support.",
                    higher_is_better=True,
                    is_of_target=True,
                ),
                Measure(
                    "outside_accuracy",
                    "outside",
                    "Accuracy on the target's images out of the sources' support.",
                    higher_is_better=True,
                    is_of_target=True,
                ),
            ),
            {"epsilon": 0.1, "folds": 5, "seed": 0},
            reads_start=True,
            reads_arms=True,
            version=2,
        ),
        Diagnostic(
            "robustness",
            "Effective robustness",
            "shift",
            "OOD accuracy above that of runs from scratch with the same ID accuracy, from the line "
            "through their probits (Taori et al., NeurIPS 2020).",
            (
                Measure(
                    "effective_robustness",
                    "robustness",
                    "OOD accuracy above that of runs from scratch with the same ID accuracy.",
                    higher_is_better=True,
                    is_of_target=True,
                ),
            ),
            reads_scratch=True,
            needs_runs=True,
        ),
        Diagnostic(
            "distances",
            "Distances between domains",
            "shift",
            "Sliced-Wasserstein distance of the initial network's features, in standard "
            "deviations of the sources, compared with that of random halves of the sources.",
            (
                Measure(
                    "wasserstein",
                    "distance",
                    "Sliced-Wasserstein distance to the sources; ID: of each source to the others.",
                    higher_is_better=None,
                    unit="number",
                ),
            ),
            {"projections": 200, "splits": 100, "seed": 0},
            reads_start=True,
        ),
        Diagnostic(
            "detection",
            "OOD scores",
            "shift",
            "How well scores of unlikeness separate the target from validation images (AUROC, FPR "
            "at 95% TPR) and wrong predictions from right ones (error AUROC, Spearman, "
            "risk–coverage).",
            tuple(
                Measure(
                    f"auroc_{name}",
                    f"AUROC {name}",
                    f"How well {words} separates target images from validation images.",
                    higher_is_better=None,
                    unit="number",
                    is_of_target=True,
                )
                for name, words in (
                    ("msp", "1 minus the highest probability"),
                    ("energy", "the energy of the logits"),
                    ("gaussian", "a Gaussian density of each class"),
                    ("student", "a Student-t density of each class"),
                    ("neighbours", "the distance to the nearest training images"),
                    ("agreement", "that distance and the neighbours that two seeds share"),
                    ("abstain", "the probability of the class abstain"),
                )
            ),
            {"neighbours": 50, "degrees": 50},
            reads_other_seed=True,
            version=2,
        ),
    )
}
"""Every diagnostic by name, in the order in which they are computed and shown."""

DIAGNOSED: Final[dict[str, Measure]] = {
    measure.name: measure for each in DIAGNOSTICS.values() for measure in each.measures
}
"""The measures of all diagnostics, by name."""


def diagnostics_of(topic: Topic) -> list[Diagnostic]:
    """Return the diagnostics of a command, in order."""
    return [each for each in DIAGNOSTICS.values() if each.topic == topic]


class Finding(msgspec.Struct, frozen=True):
    """A value on one split of one domain.

    Attributes:
        domain: its name.
        split: ``in`` or ``out``.
        name: of the measure.
        value: None: not defined.
        interval: 95%; None: not known.
        images: number of images.
        unit: of the value.
    """

    domain: str
    split: str
    name: str
    value: float | None
    interval: Interval | None = None
    images: int = 0
    unit: Unit = "share"


class FindingTable(msgspec.Struct, frozen=True):
    """A curve or matrix: rows of cells under named columns; None: not defined.

    ``is_listed``: it is short enough to be printed.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    is_listed: bool = True


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a diagnostic of a run.

    Attributes:
        diagnostic: its name.
        version: of the diagnostic.
        settings: that it was computed with.
        arm: how the run predicts.
        step: number of updates of the network; None: it is a combination.
        checkpoint: digest of the checkpoint.
        data_digest: digest of the images.
        start: digest of the initial network's weights; empty: they were not read.
        scratch: ID and OOD accuracy of the runs from scratch that it compares with.
        other_seed: digest of the checkpoint of the run of another seed; empty: it was not read.
        arms: the additional arms whose predictions were read, each with its selected step.
        summary: the result in a sentence or two; empty: see the values.
        values: ID and OOD value of each measure.
        findings: values by domain and split.
        tables: curves and matrices, by name.
        notes: what a reader should know, in sentences.
        computed_at: Unix seconds.
        wall_s: seconds of computing, without the features.
    """

    diagnostic: str
    version: int = 1
    settings: Settings = {}
    arm: str
    step: int | None
    checkpoint: str
    data_digest: str
    start: str = ""
    scratch: tuple[tuple[float, float], ...] = ()
    other_seed: str = ""
    arms: tuple[tuple[str, int | None], ...] = ()
    summary: str = ""
    values: dict[str, tuple[float | None, float | None]] = {}
    findings: tuple[Finding, ...] = ()
    tables: dict[str, FindingTable] = {}
    notes: tuple[str, ...] = ()
    computed_at: float = 0.0
    wall_s: float = 0.0

    def is_as(self, other: Diagnosis) -> bool:
        """Return whether another one is of the same network, images and settings."""
        return all(
            getattr(self, name) == getattr(other, name)
            for name in (
                "diagnostic", "version", "settings", "arm", "step", "checkpoint", "data_digest",
                "start", "scratch", "other_seed", "arms",
            )
        )  # fmt: skip


MOST_DIAGNOSIS_BYTES: Final = 64 * 2**20
"""Maximum size of a file that is read."""


class DiagnosisError(UserError):
    """An invalid file of a diagnosis."""


_decoder = msgspec.json.Decoder(Diagnosis)


def decode_diagnosis(data: bytes) -> Diagnosis:
    """Read a diagnosis.

    Raises:
        DiagnosisError: if the data is damaged.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DiagnosisError(str(error)) from None


class DiagnoseRun(msgspec.Struct, frozen=True, kw_only=True):
    """What to compute of a run.

    Attributes:
        run_dir: folder of the run.
        diagnostics: names, in order.
        scratch: ID and OOD accuracy of runs from scratch of the same images and target.
        other_seed: folder of a run of the same images and settings with another seed; None: there
            is none.
        recomputes: also those whose stored result is up to date.
        device: where networks compute.
        batch_size: images computed at a time.
        threads: CPU threads; None: one for each usable core.
    """

    run_dir: str
    diagnostics: tuple[str, ...]
    scratch: tuple[tuple[float, float], ...] = ()
    other_seed: str | None = None
    recomputes: bool = False
    device: str = "auto"
    batch_size: Annotated[int, Meta(ge=1)] = 64
    threads: Annotated[int, Meta(ge=1)] | None = None


class DiagnoseRuns(msgspec.Struct, frozen=True, tag="diagnose"):
    """Compute diagnostics of runs and store them; the answer is a :class:`Diagnosed` for each.

    A single run that cannot be diagnosed refuses the request.
    """

    runs: Annotated[tuple[DiagnoseRun, ...], Meta(min_length=1)]


class Diagnosed(msgspec.Struct, frozen=True):
    """Results of diagnostics, in the order of the request.

    ``computed`` names those that were computed now. ``problems`` say why others have no result, by
    name. ``unsaved`` is why results could not be stored; empty: they were. ``refused`` is why the
    run, one of several, cannot be diagnosed; empty: it can.
    """

    diagnoses: tuple[Diagnosis, ...] = ()
    computed: tuple[str, ...] = ()
    problems: dict[str, str] = {}
    unsaved: str = ""
    refused: str = ""
