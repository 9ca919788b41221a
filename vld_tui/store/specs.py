"""Read specs from the database fast, for ten thousand runs at once."""

from __future__ import annotations

import contextlib
import copy
from operator import attrgetter
from typing import Final

import msgspec
from msgspec.structs import force_setattr

from engine.protocol import FIELDS, RunSpec, SpecError
from engine.rundir import RunDir, read_plain


class _StoredSpec(RunSpec, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A spec whose values are checked only by the decoder.

    :class:`RunSpec` checks field by field when built, which names the field at fault but takes
    forty times as long as the decoder, which checks the same types and ranges.
    """

    def __post_init__(self) -> None:
        """Skip the checks of the base class."""


_decoder: Final = msgspec.json.Decoder(_StoredSpec)
_values: Final = attrgetter(*FIELDS)
_template: Final = RunSpec()
_template_values: Final = _values(_template)


SPEC_JSON: Final = "iif(json_valid(spec), spec, NULL)"
"""The SQL of a row's spec; NULL where it is not JSON."""


def decode_stored_spec(data: str) -> RunSpec:
    """Read a spec that this program wrote.

    Raises:
        msgspec.DecodeError: when it is damaged or out of range.
    """
    spec = copy.copy(_template)
    values = _values(_decoder.decode(data))
    for name, value, known in zip(FIELDS, values, _template_values, strict=True):
        if value is not known:
            force_setattr(spec, name, value)
    return spec


def spec_value(name: str) -> str:
    """Return the SQL of a field's value over a run's row; NULL where the spec is not JSON.

    A spec that was written before the field existed has the field's default.
    """
    value, default = f"json_extract(spec, '$.{name}')", FIELDS[name].default
    if default is not None and not isinstance(default, tuple):
        literal = f"'{default}'" if isinstance(default, str) else f"{default + 0}"
        value = f"ifnull({value}, {literal})"
    return f"iif(json_valid(spec), {value}, NULL)"


def encode_stored_spec(spec: RunSpec) -> str:
    """Return the spec as compact JSON, every field written out."""
    return msgspec.json.encode(spec).decode()


def read_kept_spec(run_dir: RunDir) -> RunSpec:
    """Read a spec from a run's folder, also one with numbers that a new run may no longer have.

    Raises:
        SpecError: when it is missing or damaged.
    """
    try:
        return run_dir.read_spec()
    except SpecError:
        with contextlib.suppress(OSError, UnicodeDecodeError, msgspec.DecodeError, SpecError):
            data = read_plain(run_dir.spec).decode()
            if msgspec.json.decode(data, type=dict[str, object]).keys() <= FIELDS.keys():
                spec = decode_stored_spec(data)
                for name, info in FIELDS.items():
                    msgspec.structs.replace(info, most=None).check(getattr(spec, name))
                return spec
        raise
