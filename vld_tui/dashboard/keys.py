"""The keys of every action, and conflicts between keys that users choose."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from textual.binding import Binding, BindingType

RESERVED: Final = {"ctrl+q": "quit at once", "ctrl+p": "find an action by name"}
"""Keys that cannot be assigned, so that quitting is always possible."""


class Holder(NamedTuple):
    """An action of one class of the dashboard: its id, its label, its default keys."""

    action: str
    about: str
    default: str


class Clash(NamedTuple):
    """A key that another action, labelled ``about``, has at the same time."""

    key: str
    about: str


Chain = Iterable[Iterable[BindingType]]
"""Bindings that are active together, one group a class."""


class KeyTable:
    """Every action that has keys.

    Attributes:
        actions: label and default keys of each action, by the id of its bindings.
    """

    def __init__(self, chains: Iterable[Chain]) -> None:
        self._chains = tuple(
            tuple(
                Holder(binding.id, binding.description, binding.key)
                for bindings in chain
                for binding in bindings
                if isinstance(binding, Binding) and binding.id is not None
            )
            for chain in chains
        )
        self.actions: dict[str, tuple[str, str]] = {}
        for holder in itertools.chain(*self._chains):
            self.actions.setdefault(holder.action, (holder.about, holder.default))

    def find_clash(self, action: str, chosen: Mapping[str, str]) -> Clash | None:
        """Return a key of an action that another has while both are active; None: none.

        ``chosen`` are the keys of actions that do not have their defaults. Keys that two actions
        share by default do not clash: the focused widget takes precedence on purpose.
        """
        if action in chosen and (reserved := _named(chosen[action]) & RESERVED.keys()):
            key = min(reserved)
            return Clash(key, RESERVED[key])
        for chain in self._chains:
            for mine in (each for each in chain if each.action == action):
                for other in (each for each in chain if each.action != action):
                    shared = _in_force(mine, chosen) & _in_force(other, chosen)
                    if shared := shared - (_named(mine.default) & _named(other.default)):
                        return Clash(min(shared), other.about)
        return None

    def find_clashes(self, chosen: Mapping[str, str]) -> Iterator[tuple[str, Clash]]:
        """Yield the actions whose chosen keys clash, the last ones first, until the rest do not."""
        kept = dict(chosen)
        while (found := self._last_clash(kept)) is not None:
            del kept[found[0]]
            yield found

    def _last_clash(self, chosen: Mapping[str, str]) -> tuple[str, Clash] | None:
        for action in reversed(list(chosen)):
            if (clash := self.find_clash(action, chosen)) is not None:
                return action, clash
        return None


def _in_force(holder: Holder, chosen: Mapping[str, str]) -> frozenset[str]:
    return _named(chosen.get(holder.action) or holder.default)


@functools.cache
def _named(keys: str) -> frozenset[str]:
    """Return keys by their long names: ``?`` is ``question_mark``."""
    singles = (Binding(key.strip(), "", "") for key in keys.split(",") if key.strip())
    return frozenset(binding.key for binding in Binding.make_bindings(singles))
