"""The one exception a user can cause, and a caller may print as it is.

Whatever is wrong with what came in (a file, a row, a flag) raises `EquimeError` with one line: what was
expected, what came, and the next command. The command line prints that line and exits with 1; anything else
that escapes is a bug of ours and keeps its traceback.
"""

from __future__ import annotations


class EquimeError(ValueError):
    """Bad input, or a state that the user can mend. The message is one line, fit to print."""


class MissingPackageError(EquimeError, ImportError):
    """An optional package is not installed. The message holds the exact install command."""
