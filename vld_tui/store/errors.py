"""What can go wrong with the history, in words for a person."""

from __future__ import annotations

from engine.protocol import UserError


class StoreError(UserError):
    """Something the history cannot do; the message says what, where and what to do next."""


class DatabaseDamaged(StoreError):  # noqa: N818 - reads as the fact it states
    """The database is not whole any more; the run folders still are."""


class DatabaseUnwritable(StoreError):  # noqa: N818 - reads as the fact it states
    """The disk will not have the database written, nor perhaps read as it must be."""


class DatabaseLocked(StoreError):  # noqa: N818 - reads as the fact it states
    """Another program holds the database, and has for a while."""


class SeriesDamaged(StoreError):  # noqa: N818 - reads as the fact it states
    """The values that a run measured cannot be unpacked."""


class RunNotFound(StoreError):  # noqa: N818 - reads as the fact it states
    """No run has this id, prefix or name."""


class AmbiguousRun(StoreError):  # noqa: N818 - reads as the fact it states
    """Several runs go by this prefix or name."""


class QueryError(UserError):
    """A query that means nothing; the message names the part and the reason."""
