"""What whoever sees faces on a page has to keep to: short, and in the words of the data set's own documents."""

from __future__ import annotations

from typing import Final

from equime.publishing.documents.terms import LICENCE_URL, OUT_OF_SCOPE

TERMS: Final = (
    "The clips are synthetic, and made from photographs of real people: treat them as pictures of people.",
    f"Licence CC BY-NC 4.0 ({LICENCE_URL}), with access terms that are stricter: who has agreed to them keeps this "
    "page to themselves. Do not pass it on outside the gate; `equime report --no-faces` makes a page that may be.",
    "Do not identify anybody, and judge no person by a clip: expressions are planned, nobody felt them.",
    "Out of scope: " + "; ".join(line.replace("**", "") for line in OUT_OF_SCOPE) + ".",
)
"""A paragraph each."""
