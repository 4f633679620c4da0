"""The data sets that can be read, by their names on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from equime.errors import EquimeError
from equime.recognise.readers.casme import CASME, CASME2, CASME3_A, CASME3_C, CASME_SQUARED
from equime.recognise.readers.composite import MEGC2019
from equime.recognise.readers.layout import Layout
from equime.recognise.readers.others import DFME, FOURDME, MIE_X, MMEW, SMIC_HS
from equime.recognise.readers.samm import SAMM, SAMM_LV

SETS: Final[Mapping[str, Layout]] = MappingProxyType(
    {
        layout.name: layout
        for layout in (
            CASME,
            CASME2,
            SAMM,
            SAMM_LV,
            SMIC_HS,
            MMEW,
            CASME_SQUARED,
            CASME3_A,
            CASME3_C,
            FOURDME,
            DFME,
            MIE_X,
            MEGC2019,
        )
    }
)
"""Name -> layout."""


def layout_of(name: str) -> Layout:
    """The layout of a data set.

    Raises:
        EquimeError: There is no set of that name.
    """
    if name not in SETS:
        raise EquimeError(f"expected a data set of {', '.join(SETS)}, got {name = }; see `equime data list`")
    return SETS[name]
