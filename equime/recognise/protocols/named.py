"""Protocols by the words of a command line, and back: `named(protocol.name) == protocol`.

named("loso"), named("kfold:10"), named("cross:equime:samm+casme2"), named("real+synthetic:cde")
named("group:gender:female:male"), named("skewed:race:white=0.8,asian=0.2")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from equime.errors import EquimeError
from equime.recognise.protocols.across import Cde, CrossSet, LeaveOneDatasetOut, RealPlusSynthetic, SyntheticToReal
from equime.recognise.protocols.folds import Protocol
from equime.recognise.protocols.groups import GroupToGroup, LeaveOneGroupOut, Mixture, mixtures
from equime.recognise.protocols.subjects import GivenSplit, KFold, Loso
from equime.recognise.protocols.variants import VariantToVariant


def _cross(train: str, test: str) -> CrossSet:
    return CrossSet(tuple(train.split("+")), tuple(test.split("+")))


def _real_and(*rest: str) -> RealPlusSynthetic:
    return RealPlusSynthetic(named(":".join(rest))) if rest else RealPlusSynthetic()


def _mixture(which: int) -> Callable[..., Mixture]:
    def read(column: str, shares: str, k: str = "5", seed: str = "0") -> Mixture:
        pairs = (pair.partition("=") for pair in shares.split(","))
        return mixtures(column, {name: float(share) for name, _, share in pairs}, int(k), int(seed))[which]

    return read


FORMS: Final[Mapping[str, tuple[str, Callable[..., Protocol]]]] = MappingProxyType(
    {
        "loso": ("", Loso),
        "kfold": ("[:K[:SEED]]", lambda k="5", seed="0": KFold(int(k), int(seed))),
        "split": ("", GivenSplit),
        "cde": ("", Cde),
        "lodo": ("", LeaveOneDatasetOut),
        "cross": (":SET[+SET]:SET[+SET]", _cross),
        "synthetic-to-real": ("", SyntheticToReal),
        "real+synthetic": ("[:PROTOCOL]", _real_and),
        "logo": (":COLUMN", LeaveOneGroupOut),
        "group": (
            ":COLUMN:GROUP:GROUP[:K[:SEED]]",
            lambda column, train, test, k="5", seed="0": GroupToGroup(column, train, test, int(k), int(seed)),
        ),
        "variant": (
            ":VARIANT:VARIANT[:K[:SEED]]",
            lambda train, test, k="5", seed="0": VariantToVariant(train, test, int(k), int(seed)),
        ),
        "skewed": (":COLUMN:GROUP=SHARE,...[:K[:SEED]]", _mixture(1)),
        "balanced": (":COLUMN:GROUP=SHARE,...[:K[:SEED]]", _mixture(0)),
    }
)
"""Word -> how it goes on, and what makes the protocol of those parts."""


def named(text: str) -> Protocol:
    """The protocol of some words.

    Raises:
        EquimeError: No such word, or too many, too few or wrong parts after it.
    """
    word, *parts = text.split(":")
    if word not in FORMS:
        forms = ", ".join(word + form for word, (form, _) in FORMS.items())
        raise EquimeError(f"expected a protocol of {forms}; got {text!r}")
    form, make = FORMS[word]
    try:
        return make(*parts)
    except EquimeError:
        raise
    except (TypeError, ValueError) as error:
        raise EquimeError(f"expected a protocol {word + form}, got {text!r}") from error
