"""The features by name, for command lines and for models that say what they take.

KINDS["flow"](size=28)
from_description(flow.describe()) == flow               # what a run's manifest and a checkpoint hold
from_description(raft.describe(), raft_weights=Path("raft_small.safetensors")) == raft
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from equime.errors import EquimeError
from equime.one_line import one_line
from equime.recognise.features.artefacts import Artefacts
from equime.recognise.features.feature import Feature
from equime.recognise.features.flow_image import FlowImage
from equime.recognise.features.frame_stack import FrameStack
from equime.recognise.features.single_frame import SingleFrame

KINDS: Final[Mapping[str, type[Feature]]] = MappingProxyType(
    {"flow": FlowImage, "frames": FrameStack, "frame": SingleFrame, "numbers": Artefacts}
)


def from_description(told: Mapping[str, Any], raft_weights: Path | None = None) -> Feature:
    """The feature that `Feature.describe` told of.

    Args:
        told: As `describe` gave it.
        raft_weights: The file of RAFT's weights, where the feature is its flow: a description has their hash alone.

    Raises:
        EquimeError: A feature that this version of the package does not make, or not in the same way; RAFT's weights
            that are missing or are others.
        MissingPackageError: torchvision or safetensors is not installed, and the feature is RAFT's flow.
    """
    cls = KINDS.get(str(told.get("name")))
    if cls is None or told.get("version") != cls.version:
        name, version = told.get("name"), told.get("version")
        raise EquimeError(
            f"this package makes no feature {name!r} of version {version}: install the one that trained it"
        )
    known = {field.name for field in dataclasses.fields(cls)}
    options = {name: value for name, value in told.items() if name in known}
    sha256 = told.get("raft_sha256")
    if sha256 is None and raft_weights is not None:
        raise EquimeError("these networks read no flow of RAFT: leave --raft-weights out")
    if sha256 is not None and raft_weights is None:
        raise EquimeError(f"these networks read RAFT's flow: give its weights (sha256 {sha256}) by --raft-weights")
    if raft_weights is not None:
        options["raft_weights"] = raft_weights
    try:
        made = cls(**options)
    except TypeError as error:
        raise EquimeError(f"the feature {cls.name} of these networks does not read: {error}") from error
    if sha256 is not None and made.describe()["raft_sha256"] != sha256:
        raise EquimeError(f"expected RAFT's weights of sha256 {sha256}, got others: {one_line(raft_weights)}")
    return made
