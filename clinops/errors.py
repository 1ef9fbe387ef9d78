"""Errors that say what was given, what is allowed, the nearest match and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ClinopsError(Exception):
    """Base of every error that a user can mend; its message is complete without a traceback."""


class DefinitionError(ClinopsError, ValueError):
    """A definition (codes, window, step, measure, protocol) is malformed."""


class SourceError(ClinopsError):
    """The records cannot be opened, or are not what they should be."""


class DataError(ClinopsError):
    """The records opened, but what an analysis needs of them is missing or contradicts itself."""


class DesignError(ClinopsError):
    """The protocol has lint errors that nobody allowed by name."""


class ParameterError(ClinopsError, ValueError):
    """A notebook's parameter has an unknown name, a wrong type or an impossible value."""


class RunError(ClinopsError):
    """A run could not start, or did not end well."""


def nearest(given: str, allowed: Iterable[str], most: int = 3) -> list[str]:
    """Return the allowed names most like the one given, best first; may be empty."""
    names = [str(name) for name in allowed]
    by_lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(str(given).lower(), by_lower, n=most, cutoff=0.5)
    return [by_lower[name] for name in close]


def unknown(kind: str, given: object, allowed: Iterable[str], then: str = "") -> str:
    """Compose the message for a name that is not one of the allowed ones.

    Parameters
    ----------
    kind : what the name should be, in the reader's words ("table", "parameter").
    given : the name as it was given.
    allowed : every name that would have been accepted.
    then : what to do next, as a sentence; optional.
    """
    names = sorted(str(name) for name in allowed)
    close = nearest(str(given), names)
    hint = f" Did you mean {' or '.join(repr(name) for name in close)}?" if close else ""
    listed = ", ".join(names[:30]) + (f", and {len(names) - 30} more" if len(names) > 30 else "")
    return f"There is no {kind} {given!r}.{hint} Known: {listed or 'none'}.{' ' + then if then else ''}"
