"""What can be wrong with images."""

from engine.errors import InputError


class DataError(InputError):
    """Images no run can be made of; the message says which, where, and what to do."""
