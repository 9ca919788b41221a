"""Key bindings with their ids, and conflicts between the keys that users choose."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from textual.binding import Binding, BindingType
from textual.keys import KEY_NAME_REPLACEMENTS, Keys, format_key, key_to_character

from vld_tui.words.text import plain_text

FORMER_IDS: Final[Mapping[str, str]] = {
    "dequeue": "stop",
    "domain": "next-domain",
    "domain-before": "previous-domain",
    "every-step": "all-steps",
    "forget": "delete-preset",
    "hit-before": "previous-match",
    "keep-preset": "save-preset",
    "launch-rest": "launch-missing",
    "next-hit": "next-match",
    "page-before": "previous-page",
    "queue-it": "queue-new",
    "run-the-example": "run-example",
    "show": "measure",
    "slot-less": "fewer-slots",
    "slot-more": "more-slots",
    "study-before": "previous-study",
    "take": "accept",
    "take-out": "stop",
    "the-usual-ones": "default-columns",
    "view-before": "previous-view",
    "wait-for-a-slot": "queue-again",
}
"""Ids that earlier versions saved keys under, and the present ones."""
RESERVED: Final = {"ctrl+q": "quit at once", "ctrl+p": "find an action by name"}
"""Keys that cannot be assigned, so that quitting is always possible."""

HELP: Final = "help"
"""The id of the key that lists the keys."""
MOVEMENTS: Final = frozenset(
    ("up", "down", "left", "right", "shift+left", "shift+right", "home", "end", "pageup",
     "pagedown", "tab", "shift+tab", *"hjklgG")
)  # fmt: skip
"""Keys that move within the focused part, or from part to part."""

_KEY_NAMES: Final = frozenset(
    (*(key.value for key in Keys if not key.value.startswith("<")), *KEY_NAME_REPLACEMENTS.values())
)
_MODIFIERS: Final = frozenset(("ctrl", "shift", "alt", "super", "hyper", "meta"))

Chain = Iterable[Iterable[BindingType]]
"""Bindings that are active together, one group a class."""


def bind(
    binding_id: str,
    keys: str,
    action: str,
    description: str,
    *,
    show: bool = False,
    key_display: str | None = None,
    priority: bool = False,
) -> Binding:
    """Return a binding; chosen keys are saved under its id, so an id never changes.

    Bindings that do the same on several screens, such as going back, share an id and thus their
    keys. ``keys`` are separated by commas; ``show``: in the footer.
    """
    return Binding(
        keys,
        action,
        description,
        show=show,
        key_display=key_display,
        priority=priority,
        id=binding_id,
    )


DOMAIN_KEYS: Final = (
    bind("next-domain", "right_square_bracket", "domain(1)", "next domain", key_display="]",
         show=True),
    bind("previous-domain", "left_square_bracket", "domain(-1)", "previous domain",
         key_display="["),
)  # fmt: skip
"""The keys of the domain that is shown; the class has ``action_domain(step)``."""

STEP_KEYS: Final = (
    bind("later-step", "right_curly_bracket", "evaluation(1)", "later step", key_display="}",
         show=True),
    bind("earlier-step", "left_curly_bracket", "evaluation(-1)", "earlier step", key_display="{"),
    bind("selected-step", "0", "selected_evaluation", "selected step"),
)  # fmt: skip
"""The keys of the evaluation whose predictions are shown."""


def is_movement(binding: Binding) -> bool:
    """Return whether a binding of a single key only moves, as listed in the help."""
    return binding.key in MOVEMENTS


def is_key(key: str) -> bool:
    """Return whether a terminal can send a key of this name: ``x``, ``?``, ``f5``, ``ctrl+r``."""
    if len(key) == 1:
        return key.isprintable() and not key.isspace()
    *modifiers, last = key.split("+")
    is_known = last in _KEY_NAMES or key_to_character(last) is not None
    return is_known and set(modifiers) <= _MODIFIERS


def key_name(key: str) -> str:
    """Return a key as it is shown everywhere: ``?``, ``ctrl+r``, ``shift+↑``, ``enter``.

    Control characters are never returned.
    """
    *modifiers, last = key.split("+") if len(key) > 1 else [key]
    name = last if last == "enter" else format_key(last)
    return "+".join([*modifiers, plain_text(name)])


def key_names(keys: str) -> str:
    """Return keys separated by commas as they are shown, separated by spaces."""
    return " ".join(key_name(key.strip()) for key in keys.split(","))


def under_present_ids(keys: Mapping[str, str]) -> dict[str, str]:
    """Return saved keys under the present ids of their bindings."""
    present = {each: theirs for each, theirs in keys.items() if each not in FORMER_IDS}
    former = {FORMER_IDS[each]: theirs for each, theirs in keys.items() if each in FORMER_IDS}
    return {**former, **present}


class Holder(NamedTuple):
    """An action of one class of the dashboard: its id, its label, its default keys."""

    action: str
    about: str
    default: str


class Clash(NamedTuple):
    """A key that another action, labelled ``about``, has at the same time."""

    key: str
    about: str


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
