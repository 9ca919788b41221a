"""Choice of a run to compare another one with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vld_tui.dashboard.screens.pick import PickOption
from vld_tui.words.numbers import UNKNOWN, percent
from vld_tui.words.text import plain_text

if TYPE_CHECKING:
    from vld_tui.control.flips import Partner


def partner_options(partners: Sequence[Partner]) -> list[PickOption]:
    """Return the runs to choose from."""
    return [
        PickOption(
            each.run.run_id,
            (
                plain_text(each.run.label),
                plain_text(f"{each.run.dataset} → {each.run.target or UNKNOWN}"),
                f"λ {each.run.dropout_rate:g}",
                f"OOD {percent(each.run.ood_accuracy)}",
                each.why,
                each.run.run_id,
            ),
        )
        for each in partners
    ]
