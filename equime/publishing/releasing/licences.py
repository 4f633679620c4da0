"""Whether a picture's recorded licence lets faces made from it be passed on.

    permits("CC BY-SA 4.0")                            # True
    permits("public domain (NASA)")                    # True
    permits("CC BY-ND 2.0")                            # False: no derivatives
    permits("CelebA agreement: ... no redistribution") # False
    permits(None)                                      # False: nobody said

Why so strict: a wrong no costs a flag (`--permission TEXT`, which the card keeps), a wrong yes cannot be called back.
So a text is understood as a whole or not at all: it has to begin with a licence known here, and to hold no word that
takes back what the licence gives. The data set goes out for non-commercial use, so NC licences permit it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_CC_NAMES = r"(?:creative commons )?attribution(?: non ?commercial)?(?: share ?alike)?"
_CC_CODES = r"(?:creative commons |cc )+by(?: nc)?(?: sa)?"
_CC_ADDRESS = r"creativecommons org licenses by(?: nc)?(?: sa)?"
_CC0 = r"(?:creative commons )?(?:cc ?0|cc zero|zero)|creativecommons org publicdomain (?:zero|mark)"
_PUBLIC = r"(?:creative commons )?public ?domain|pdm 1 0|cc pdm"
_PERMITS = re.compile(rf"(?:{_CC0}|{_PUBLIC}|{_CC_ADDRESS}|{_CC_CODES}|{_CC_NAMES})(?= |$)")
_LEADS = re.compile(
    r"^(?:https? )?(?:www )?(?:(?:the|licen[cs]ed?|licen[cs]e|released|available|under|in|into|a|spdx)(?: |$))*"
)
_TAKES_BACK = re.compile(
    r"\b(?:n ?d|no ?deriv\w*|non ?deriv\w*|no|not|never|none|without|unless|except\w*|only|restrict\w*|prohibit\w*|"
    r"forb\w*|research|academic\w*|education\w*|editorial|personal|propriet\w*|agreement|celeb ?a\w*|expire[sd]|"
    r"all rights|unknown|unclear|unsure|uncertain|maybe|perhaps|probably|possibly|presum\w*|assum\w*|claimed|"
    r"pending|former\w*|fair (?:use|dealing)|tbd|todo)\b"
)
_CELEBA = re.compile(r"celeb ?a")
_ALIKE = re.compile(r"\bby(?: nc)? sa\b|\bshare ?alike\b")
_CREDIT = re.compile(r"\bcc by\b|\battribution\b|\blicenses by\b")


def permits(text: str | None) -> bool:
    """Whether a licence lets clips made from a picture be passed on for non-commercial use.

    Yes: public domain, CC0, CC BY, CC BY-SA, CC BY-NC, CC BY-NC-SA, of any version, by code, name or address, with a
    credit behind. No: licences without derivatives, CelebA's and CelebA-HQ's agreement, whatever is not known here,
    whatever is in doubt, and none.

    Args:
        text: As it stands in `source_licence`.
    """
    plain = _plain(text)
    return bool(_PERMITS.match(plain)) and not _TAKES_BACK.search(plain)


def conditions(text: str | None) -> Iterator[str]:
    """What a licence that permits asks in return, in words for who publishes."""
    plain = _plain(text)
    if _ALIKE.search(plain):
        yield "asks that what is made from it goes out under the same licence: ask a lawyer beside CC BY-NC 4.0"
    if _CREDIT.search(plain):
        yield "asks for credit to the pictures' authors: give it where the clips are, without naming who is shown"


def names_people(text: str | None) -> bool:
    """Whether pictures under this licence come with ids that are identities: CelebA's and CelebA-HQ's do."""
    return bool(_CELEBA.search(_plain(text)))


def _plain(text: str | None) -> str:
    """In small letters, words parted by one space, without what only leads up to the licence's name."""
    seen = "".join(c for c in unicodedata.normalize("NFKC", text or "") if unicodedata.category(c) != "Cf")
    words = " ".join(re.findall(r"[a-z0-9]+", seen.lower()))
    return _LEADS.sub("", words)
