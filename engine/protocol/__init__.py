"""All that crosses the boundary between the engine and whoever started it.

A run is described by a :class:`RunSpec` (``spec.json``) and tells its story in events
(``events.jsonl``). This package imports no torch.
"""

from engine.protocol.events import (
    EVENT_TYPES,
    TERMINAL_EVENTS,
    AnyEvent,
    CheckpointSaved,
    CollapseDetected,
    DataPrepared,
    DomainInfo,
    Evaluated,
    Event,
    EventDecodeError,
    HeadTrained,
    Metric,
    ModelPrepared,
    RunFailed,
    RunFinished,
    RunStarted,
    RunStopped,
    StepsTaken,
    decode_event,
    encode_event,
)
from engine.protocol.predictions import (
    MOST_PREDICTION_BYTES,
    Confusion,
    DomainPredictions,
    Predictions,
    PredictionsError,
    WrongImage,
    decode_predictions,
    encode_predictions,
)
from engine.protocol.recipes import DATASET_DEFAULTS, RECIPES, resolve_spec
from engine.protocol.spec import (
    FIELDS,
    FieldInfo,
    RunSpec,
    SpecError,
    decode_spec,
    encode_spec,
    nearest,
    spec_from_mapping,
)

PROTOCOL_VERSION = 1
"""Raised by one when a spec or an event changes so that older readers would misread it."""

__all__ = [
    "DATASET_DEFAULTS",
    "EVENT_TYPES",
    "FIELDS",
    "MOST_PREDICTION_BYTES",
    "PROTOCOL_VERSION",
    "RECIPES",
    "TERMINAL_EVENTS",
    "AnyEvent",
    "CheckpointSaved",
    "CollapseDetected",
    "Confusion",
    "DataPrepared",
    "DomainInfo",
    "DomainPredictions",
    "Evaluated",
    "Event",
    "EventDecodeError",
    "FieldInfo",
    "HeadTrained",
    "Metric",
    "ModelPrepared",
    "Predictions",
    "PredictionsError",
    "RunFailed",
    "RunFinished",
    "RunSpec",
    "RunStarted",
    "RunStopped",
    "SpecError",
    "StepsTaken",
    "WrongImage",
    "decode_event",
    "decode_predictions",
    "decode_spec",
    "encode_event",
    "encode_predictions",
    "encode_spec",
    "nearest",
    "resolve_spec",
    "spec_from_mapping",
]
