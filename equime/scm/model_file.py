"""A fitted causal model as JSON, and back: exactly, and only where every number in it is what it claims to be.

Why apart: `EmotionModel.to_json` and `from_json` (`equime.causal`) are these two functions; a file that was edited by
hand or cut short is refused in one line instead of drawing nonsense.

    Path("model.json").write_text(model.to_json()); EmotionModel.from_json(Path("model.json").read_text())
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from equime import schema
from equime.action_units import FACS, INTENSITIES
from equime.errors import EquimeError
from equime.scm.manner import Intensities, Sides
from equime.scm.times import Times
from equime.scm.unit_model import UnitModel

FORMAT = 1
"""Version of the JSON form."""
PARTS: Mapping[str, Any] = {"units": UnitModel, "intensities": Intensities, "sides": Sides, "times": Times}
"""Mechanism -> what holds it for one emotion."""


def write_model(model: Mapping[str, Any]) -> str:
    """The text of a model.

    Args:
        model: `PARTS` (each emotion -> mechanism) and "caps" (unit -> letter).
    """
    emotions = {e: {name: model[name][e].to_dict() for name in PARTS} for e in model["units"]}
    caps = {str(au): letter for au, letter in model["caps"].items()}
    return json.dumps({"equime_causal_model": FORMAT, "caps": caps, "emotions": emotions}, indent=1)


def read_model(text: str) -> dict[str, Any]:
    """The inverse of `write_model`.

    Raises:
        EquimeError: no JSON, another version, or anything in it that is no probability, unit or time.
    """
    try:
        return _model(json.loads(text))
    except EquimeError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        wrong = f"{type(error).__name__}: {error}"
        raise EquimeError(f"expected a causal model made by `equime causal fit --out`, got {wrong}") from error


def _model(value: Mapping[str, Any]) -> dict[str, Any]:
    version = value["equime_causal_model"]
    if version != FORMAT:
        raise EquimeError(f"expected a causal model of version {FORMAT}, got {version = }; fit it again")
    emotions = value["emotions"]
    if not set(schema.EMOTIONS) <= set(emotions) <= {*schema.EMOTIONS, schema.DISGUST}:
        raise EquimeError(f"expected the emotions {', '.join(schema.EMOTIONS)}, got {list(emotions)}; fit it again")
    caps = {int(au): str(letter) for au, letter in value["caps"].items()}
    if not set(caps).issubset(FACS) or not set(caps.values()).issubset(INTENSITIES):
        raise EquimeError(f"expected unit -> intensity letter, got {caps = }; fit the model again")
    parts = {name: {e: part.from_dict(one[name]) for e, one in emotions.items()} for name, part in PARTS.items()}
    return {**parts, "caps": caps}
