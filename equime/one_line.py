r"""What others named, fit for one line of a message: file names and ids may hold line ends and terminal codes.

>>> one_line("a\nb.jpg")
'a\\nb.jpg'
"""

from __future__ import annotations


def one_line(value: object) -> str:
    """`str(value)` with whatever does not print, line ends and terminal codes above all, as backslash escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(value))
