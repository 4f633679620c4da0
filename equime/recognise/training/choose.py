"""An experiment from the words of a command line: a model's own feature and recipe, and what was asked for instead.

experiment("ststnet", protocol="loso", settings=["size=56", "method=tvl1"], recipe={"epochs": 200})
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from equime.errors import EquimeError
from equime.options import add_flags, from_flags
from equime.recognise.features.feature import Feature
from equime.recognise.features.kinds import KINDS as FEATURES
from equime.recognise.models.kinds import Kind, kind
from equime.recognise.protocols.controls import control_named
from equime.recognise.protocols.named import named
from equime.recognise.training.experiment import Experiment


def experiment(
    model: str,
    *,
    protocol: str,
    target: str = "emotion5",
    feature: str | None = None,
    settings: Sequence[str] = (),
    recipe: Mapping[str, Any] | None = None,
    seeds: int = 5,
    control: str | None = None,
    name: str = "",
    pretrained: Path | None = None,
) -> Experiment:
    """An experiment by names.

    Args:
        model: Of `models.kinds.KINDS`.
        protocol: As `protocols.named` reads it.
        target: The column to learn.
        feature: Of `features.kinds.KINDS`; None is what the model was made for.
        settings: "option=value" of the feature; what is not given is as in the model's published input.
        recipe: Fields of `Recipe`, instead of the model's published ones; None values count as not given.
        seeds: Trainings of each fold.
        control: As `controls.control_named` reads it.
        name: How tables call it.
        pretrained: Folder of weights to start from.

    Raises:
        EquimeError: An unknown name, option or value.
    """
    chosen = kind(model)
    given = {field: value for field, value in (recipe or {}).items() if value is not None}
    trained = dataclasses.replace(chosen.recipe, **given)
    if trained.select != "inner" and (idle := sorted({"inner_share", "patience"} & given.keys())):
        raise EquimeError(f"--{idle[0].replace('_', '-')} counts with --select inner alone: give both or none")
    return Experiment(
        model,
        feature_of(chosen, feature, settings),
        named(protocol),
        target,
        trained,
        seeds,
        control_named(control) if control else None,
        name,
        pretrained,
    )


def feature_of(chosen: Kind, name: str | None, settings: Sequence[str]) -> Feature:
    """The feature that a model takes, with some options set.

    Raises:
        EquimeError: An unknown feature, option or value.
    """
    name = name or chosen.takes
    if name not in FEATURES:
        raise EquimeError(f"expected a feature of {', '.join(FEATURES)}, got {name!r}")
    cls = FEATURES[name]
    known = {field.name.replace("_", "-"): field for field in dataclasses.fields(cls)}
    words = own_settings(chosen, known)
    for setting in settings:
        option, sign, value = setting.partition("=")
        option = option.replace("_", "-")
        if not sign or option not in known:
            raise EquimeError(f"expected OPTION=VALUE after --with, an option of {', '.join(known)}, got {setting!r}")
        words[option] = value
    arguments = [_argument(known[option], option, value) for option, value in words.items()]
    parser = _Parser(add_help=False, allow_abbrev=False)
    add_flags(parser, cls)
    return from_flags(cls, parser.parse_args(arguments))


def own_settings(chosen: Kind, options: Collection[str]) -> dict[str, str]:
    """What a model's published input is, size and moments, as words of those options that a feature has."""
    shape, found = chosen.shape, dict(chosen.feature)
    if len(shape) > 1:
        found |= {"size": str(shape[-1]), "grey": str(shape[0] == 1).lower()}
    if len(shape) == 4:
        found["frames"] = str(shape[1])
    return {option: value for option, value in found.items() if option in options}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise EquimeError(f"cannot read --with: {message}")


def _argument(field: dataclasses.Field[Any], option: str, value: str) -> str:
    """The flag of an option; that of a switch has no value."""
    if not isinstance(field.default, bool):
        return f"--{option}={value}"
    if value not in ("true", "false"):
        raise EquimeError(f"expected --with {option}=true or {option}=false, got {value!r}")
    return f"--{option}" if value == "true" else f"--no-{option}"
