"""The features by name, for command lines and for models that say what they take.

KINDS["flow"](size=28)
from_description(flow.describe()) == flow               # what a run's manifest and a checkpoint hold
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from equime.errors import EquimeError
from equime.recognise.features.artefacts import Artefacts
from equime.recognise.features.feature import Feature
from equime.recognise.features.flow_image import FlowImage
from equime.recognise.features.frame_stack import FrameStack
from equime.recognise.features.single_frame import SingleFrame

KINDS: Final[Mapping[str, type[Feature]]] = MappingProxyType(
    {"flow": FlowImage, "frames": FrameStack, "frame": SingleFrame, "numbers": Artefacts}
)


def from_description(told: Mapping[str, Any]) -> Feature:
    """The feature that `Feature.describe` told of.

    Raises:
        EquimeError: A feature that this version of the package does not make, or not in the same way.
    """
    cls = KINDS.get(str(told.get("name")))
    if cls is None or told.get("version") != cls.version:
        name, version = told.get("name"), told.get("version")
        raise EquimeError(
            f"this package makes no feature {name!r} of version {version}: install the one that trained it"
        )
    known = {field.name for field in dataclasses.fields(cls)}
    try:
        return cls(**{name: value for name, value in told.items() if name in known})
    except TypeError as error:
        raise EquimeError(f"the feature {cls.name} of these networks does not read: {error}") from error
