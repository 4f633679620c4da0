"""The experiments whose table stands in the README: what is run, in one place, as values.

    for line in chosen("synthetic"):
        line.experiment, line.expected

    equime experiments --data ws --set synthetic --out runs/synthetic

Every set holds its own controls: a score means little without what is left of it when the motion, the labels or the
units are taken away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from equime.errors import EquimeError
from equime.recognise.training.choose import experiment
from equime.recognise.training.experiment import Experiment

FLOW_RECIPE: Final = {"lr": 1e-3, "epochs": 120, "batch_size": 64}
"""Ours: 120 passes over the clips where the published one makes 800 (5e-5, batch 256)."""
FRAMES: Final = ("frames=18",)
VIDEO_RECIPE: Final = {"optimizer": "adam", "lr": 3e-4, "epochs": 20, "batch_size": 16}


@dataclass(frozen=True)
class Line:
    """One line of a table.

    Attributes:
        experiment: What is run; its name is the line's.
        expected: What a sound result is: "above", "chance", "lower", "reported".
    """

    experiment: Experiment
    expected: str


def _synthetic() -> tuple[Line, ...]:
    """On synthetic clips alone: does motion tell the emotion, and does anything else?"""
    protocol = "kfold:5"

    def flow(name: str, protocol: str = protocol, **more: Any) -> Experiment:
        return experiment("ststnet", protocol=protocol, recipe=FLOW_RECIPE, name=name, **more)

    def video(name: str, **more: Any) -> Experiment:
        return experiment("micro_exp_stcnn", protocol=protocol, recipe=VIDEO_RECIPE, name=name, **more)

    artefacts = experiment("perceptron", protocol=protocol, name="artefacts only, perceptron")
    return (
        Line(flow("STSTNet, onset-apex flow"), "above"),
        Line(video("MicroExpSTCNN, 18 frames less the onset", settings=(*FRAMES, "difference=true")), "above"),
        Line(flow("STSTNet, one warp kernel alone", protocol="variant:gaussian:gaussian"), "above"),
        Line(flow("STSTNet, one warp kernel to the other", protocol="variant:gaussian:wendland"), "above"),
        Line(flow("STSTNet, shuffled labels", control="shuffled-labels"), "chance"),
        Line(flow("STSTNet, shuffled units", control="shuffled-units"), "chance"),
        Line(flow("STSTNet, displacement reversed", control="reversed"), "lower"),
        Line(flow("STSTNet, neutral frame", feature="frame"), "chance"),
        Line(video("MicroExpSTCNN, neutral frame", feature="frame", settings=FRAMES), "chance"),
        Line(flow("STSTNet, apex frame", feature="frame", settings=("which=apex",)), "reported"),
        Line(artefacts, "chance"),
    )


def _cde() -> tuple[Line, ...]:
    """MEGC 2019's composite, by the small networks of the field and their published recipes."""
    names = {"ststnet": "STSTNet", "off_apexnet": "Off-ApexNet", "sssnet": "SSSNet", "rcn_a": "RCN-A"}
    apex = ("apex=coded-or-largest",)  # SMIC codes none

    def one(model: str, name: str, **more: Any) -> Experiment:
        return experiment(model, protocol="cde", target="emotion3", settings=apex, name=name, **more)

    return (
        *(Line(one(model, name), "above") for model, name in names.items()),
        Line(one("ststnet", "STSTNet, shuffled labels", control="shuffled-labels"), "chance"),
    )


def _transfer() -> tuple[Line, ...]:
    """Trained on synthetic clips alone, and on real ones with them; tested on real ones."""
    apex = ("apex=coded-or-largest",)

    def one(name: str, protocol: str, **more: Any) -> Experiment:
        return experiment("ststnet", protocol=protocol, target="emotion3", settings=apex, name=name, **more)

    return (
        Line(one("STSTNet, synthetic to real", "synthetic-to-real"), "above"),
        Line(one("STSTNet, real and synthetic, by subject", "real+synthetic:loso"), "above"),
        Line(
            one("STSTNet, synthetic to real, shuffled units", "synthetic-to-real", control="shuffled-units"), "chance"
        ),
    )


SETS: Final[Mapping[str, Callable[[], tuple[Line, ...]]]] = MappingProxyType(
    {"synthetic": _synthetic, "cde": _cde, "transfer": _transfer}
)


def chosen(name: str) -> tuple[Line, ...]:
    """The lines of a set.

    Raises:
        EquimeError: There is no such set.
    """
    if name not in SETS:
        raise EquimeError(f"expected a set of {', '.join(SETS)}, got {name!r}")
    return SETS[name]()
