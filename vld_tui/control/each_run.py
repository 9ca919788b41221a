"""Act on several runs one after another, whatever some of them refuse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from vld_tui.runs.run import Run
from vld_tui.store.errors import (
    DatabaseDamaged,
    DatabaseLocked,
    DatabaseUnwritable,
    StoreError,
)
from vld_tui.store.store import Store


class Refusal(NamedTuple):
    """A run that could not be acted on, and why."""

    run_id: str
    error: StoreError


@dataclass(frozen=True)
class Handled:
    """Runs that were acted on, as they were before, and those that were not."""

    runs: tuple[Run, ...]
    refusals: tuple[Refusal, ...] = ()

    @property
    def run_ids(self) -> tuple[str, ...]:
        """Return the ids of the runs that were acted on."""
        return tuple(run.run_id for run in self.runs)


class _Outcome(Protocol):
    @property
    def run_ids(self) -> tuple[str, ...]: ...
    @property
    def refusals(self) -> tuple[Refusal, ...]: ...


Outcome = TypeVar("Outcome", bound=_Outcome)


def checked(done: Outcome) -> Outcome:
    """Return what was done, unless it was refused for every run.

    Raises:
        StoreError: the first refusal.
    """
    if done.refusals and not done.run_ids:
        raise done.refusals[0].error
    return done


def act_on_each(
    store: Store,
    run_ids: Sequence[str],
    act: Callable[[Run], object],
    *,
    in_trash: bool = False,
) -> Handled:
    """Act on runs in this order. No other run is tried if the database cannot be written."""
    done: list[Run] = []
    refusals: list[Refusal] = []
    for at, run_id in enumerate(run_ids):
        try:
            run = store.runs.get(run_id, in_trash=in_trash)
            act(run)
        except (DatabaseDamaged, DatabaseLocked, DatabaseUnwritable) as error:
            refusals += [Refusal(each, error) for each in run_ids[at:]]
            break
        except StoreError as error:
            refusals.append(Refusal(run_id, error))
        else:
            done.append(run)
    return Handled(tuple(done), tuple(refusals))
