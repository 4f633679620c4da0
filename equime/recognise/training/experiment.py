"""One experiment as a value: everything that decides its numbers, beside the data.

    Experiment("ststnet", FlowImage(), Loso(), recipe=Recipe(epochs=200), seeds=5)

Two experiments that are equal give equal predictions on equal data: a run is known by the hash of both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from equime.errors import EquimeError
from equime.options import result_fields
from equime.recognise.features.feature import Feature
from equime.recognise.models.weights import weights_digest
from equime.recognise.protocols.controls import Control
from equime.recognise.protocols.folds import Protocol
from equime.recognise.samples import TARGETS
from equime.recognise.training.recipe import Recipe


@dataclass(frozen=True)
class Experiment:
    """What is trained, on what part, how often.

    Attributes:
        model: A name of `models.build.KINDS`.
        feature: What the network sees of a clip.
        protocol: Who is trained on and who is tested.
        target: The column of `samples.FIELDS` to learn.
        recipe: How it is trained.
        seeds: Trainings of each fold; at least 5 for numbers that are published.
        control: What is broken on purpose; None for the experiment itself.
        name: How tables call it; the model's name where it is empty.
        pretrained: Folder of weights to start from, as `models.build.build` takes it; None starts anew.

    Raises:
        EquimeError: No seeds, or an unknown target.
    """

    model: str
    feature: Feature
    protocol: Protocol
    target: str = "emotion5"
    recipe: Recipe = field(default_factory=Recipe)
    seeds: int = 5
    control: Control | None = None
    name: str = ""
    pretrained: Path | None = None

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise EquimeError(f"expected --seeds of at least 1, got {self.seeds}")
        if self.target not in TARGETS:
            raise EquimeError(f"expected --target of {', '.join(TARGETS)}, got {self.target!r}")

    @property
    def title(self) -> str:
        """How tables call it."""
        return self.name or " ".join(filter(None, (self.model, self.control.name if self.control else "")))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: what decides the numbers, and so not its name."""
        return {
            "model": self.model,
            "feature": self.feature.describe(),
            "protocol": self.protocol.name,
            "target": self.target,
            "recipe": result_fields(self.recipe),
            "seeds": self.seeds,
            "control": self.control and self.control.name,
            **({} if self.pretrained is None else {"pretrained": weights_digest(self.pretrained)}),
        }
