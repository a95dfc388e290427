"""What can go wrong through no fault of the code: each message is one sentence for the user.

A sentence says what happened, where (the file or the value), and what to do next. ``app`` prints it
and ends with exit code 1; nobody else prints errors.
"""

from collections.abc import Sequence
from difflib import get_close_matches


class S2SError(Exception):
    """Something the user can mend. The message is the whole of what they read."""


class SoundError(S2SError):
    """A sound that cannot be heard: missing, unreadable, empty, silent, broken."""


class PictureError(S2SError):
    """A picture that cannot be read, or carries no provenance."""


class OutputError(S2SError):
    """A file that may not or cannot be written."""


class ModelError(S2SError):
    """A model that is missing, incomplete, or not what it says it is."""


class RecipeError(S2SError):
    """A training recipe that cannot be followed."""


class DataError(S2SError):
    """Training data that is missing or cannot be read."""


def nearest(name: str, known: Sequence[str]) -> str:
    """The hint that closes a sentence about an unknown name."""
    close = get_close_matches(name, known, n=1)
    return f"Did you mean '{close[0]}'?" if close else f"Known: {', '.join(sorted(known))}."
