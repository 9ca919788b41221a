"""Keys: every binding has an id, by which a person can give its action other keys."""

from __future__ import annotations

import re
from collections.abc import Iterable

from textual.binding import Binding, BindingType


def bind(
    keys: str,
    action: str,
    description: str,
    *,
    show: bool = False,
    key_display: str | None = None,
    priority: bool = False,
) -> Binding:
    """Return a binding whose id is made from what it does.

    Bindings that do the same, such as going back from several screens, share an id and so their
    keys. ``keys`` are separated by commas; ``show``: in the footer.
    """
    return Binding(
        keys,
        action,
        description,
        show=show,
        key_display=key_display,
        priority=priority,
        id=binding_id(description),
    )


def binding_id(description: str) -> str:
    """Return the id of what a description says."""
    return re.sub(r"[^a-z0-9]+", "-", description.lower()).strip("-")


def usual_keys(bindings: Iterable[BindingType]) -> dict[str, tuple[str, str]]:
    """Return the description and the keys of bindings by their id."""
    return {
        binding.id: (binding.description, binding.key)
        for binding in bindings
        if isinstance(binding, Binding) and binding.id is not None
    }
