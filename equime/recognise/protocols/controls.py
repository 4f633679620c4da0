"""Controls: experiments that are broken on purpose, and what must become of their scores.

Why: a score well above a constant answer may still come from the lighting, the file size or the order of files. Each
control takes one thing away, and what is left says where the score came from.

    Experiment("ststnet", FlowImage(), Loso(), control=ShuffledLabels())

============================  =====================================  ==============================================
control                       what is broken                         what a sound result is
============================  =====================================  ==============================================
`ShuffledLabels`              training labels, within each subject   chance (`metrics.stratified`)
`ShuffledUnits`               training labels, by unit programme     chance: units alone tell the emotions apart
`ReversedDisplacement`        the tested motion's direction          far lower; what stays is told by *where*
neutral frame                 nothing but the first frame is seen    chance: faces and files say nothing
apex frame                    no motion is seen                      reported: what one picture tells
artefacts                     block sharpness, sizes, sway, blinks   chance: the generator leaks nothing
============================  =====================================  ==============================================

The last three are features (`equime.recognise.features`), not controls of labels. Emotions are *intended* programmes of
units.
"""

from __future__ import annotations

import typing
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from equime.errors import EquimeError
from equime.noise import noise
from equime.recognise.protocols.folds import column

Array = npt.NDArray[Any]
Programme = tuple[int, ...]


class Control(typing.Protocol):
    """What is broken: a frozen dataclass whose fields are all that decides it."""

    @property
    def name(self) -> str:
        """As `control_named` reads it."""

    def train_labels(self, rows: pa.Table, labels: Array, seed: int) -> Array:
        """The labels to train on.

        Args:
            rows: Columns of `samples.FIELDS`, of the training alone.
            labels: int64 (n,), the true ones.
            seed: Of the training.

        Returns:
            int64 (n,), independent of the rows' order.
        """

    def test_features(self, x: Array) -> Array:
        """The features to answer for, float32 (n, ...), of features of that shape."""


@dataclass(frozen=True)
class ShuffledLabels:
    """Each subject's training labels are dealt anew to that subject's own clips; the test keeps its own.

    Every subject and every class keep their counts, so what a model can learn is a subject's habits and not a clip's
    expression. A subject whose clips are all of one class keeps its labels: on sets with many of those the control is
    the weaker, `moved` says how weak.
    """

    @property
    def name(self) -> str:
        """As `control_named` reads it."""
        return "shuffled-labels"

    def train_labels(self, rows: pa.Table, labels: Array, seed: int) -> Array:
        """See `Control`."""
        found, subjects = np.array(labels), column(rows, "subject_id")
        order = np.argsort(column(rows, "sample_id"), kind="stable")
        for subject in np.unique(subjects):
            mine = order[subjects[order] == subject]
            found[mine] = found[noise(seed, f"shuffled labels of {subject}").permutation(mine)]
        return found

    def test_features(self, x: Array) -> Array:
        """As they are."""
        return x


@dataclass(frozen=True)
class ShuffledUnits:
    """Each programme of action units in the training gets the label of another programme; the test keeps its own.

    A programme is the set of unit numbers of a clip, sides and intensities dropped; its label is the commonest of its
    clips. The programmes are put into a random order, and each takes the label of the next one, the last of the first.
    The relation of motion to label stays as learnable as it was and is wrong: a model that goes by the units falls to
    chance (below it where a class has few programmes, for none keeps its own), one that goes by anything else that the
    emotion left in a clip does not.
    """

    @property
    def name(self) -> str:
        """As `control_named` reads it."""
        return "shuffled-units"

    def train_labels(self, rows: pa.Table, labels: Array, seed: int) -> Array:
        """See `Control`.

        Raises:
            EquimeError: Fewer than two programmes, as where no units are coded.
        """
        programmes = [_programme(units) for units in rows["action_units"].to_pylist()]
        known = sorted(set(programmes))
        if len(known) < 2:
            raise EquimeError(f"expected at least two programmes of action units to shuffle, got {known}")
        votes: dict[Programme, Counter[int]] = {programme: Counter() for programme in known}
        for programme, label in zip(programmes, labels.tolist(), strict=True):
            votes[programme][label] += 1
        own = [min(votes[p], key=lambda label: (-votes[p][label], label)) for p in known]
        order = noise(seed, "shuffled units").permutation(len(known))
        given = {known[here]: own[there] for here, there in zip(order, np.roll(order, -1), strict=True)}
        return np.array([given[programme] for programme in programmes], np.int64)

    def test_features(self, x: Array) -> Array:
        """As they are."""
        return x


@dataclass(frozen=True)
class ReversedDisplacement:
    """The tested flow points the other way in the same places: u and v change sign, strain stays. Training is as ever.

    A raised lip corner becomes a lowered one. A model that tells by the direction fails, one that tells by the region
    alone does not notice.
    """

    @property
    def name(self) -> str:
        """As `control_named` reads it."""
        return "reversed"

    def train_labels(self, rows: pa.Table, labels: Array, seed: int) -> Array:
        """As they are."""
        return labels

    def test_features(self, x: Array) -> Array:
        """See `Control`.

        Raises:
            EquimeError: Features other than flow images (n, 2 or 3, H, W) with signed u and v as their first channels.
        """
        if x.ndim != 4 or x.shape[1] not in (2, 3) or not (np.asarray(x[:, :2]) < 0).any():
            raise EquimeError(f"expected signed flow (n, 2 or 3, H, W) to reverse, got {x.shape}; use FlowImage")
        found = np.array(x)
        found[:, :2] *= -1
        return found


CONTROLS: Final[Mapping[str, Control]] = MappingProxyType(
    {control.name: control for control in (ShuffledLabels(), ShuffledUnits(), ReversedDisplacement())}
)


def control_named(text: str) -> Control:
    """The control of that name.

    Raises:
        EquimeError: There is none.
    """
    if text not in CONTROLS:
        raise EquimeError(f"expected a control of {', '.join(CONTROLS)}, got {text!r}")
    return CONTROLS[text]


def moved(labels: Array, shuffled: Array, classes: int) -> float:
    """How thoroughly labels were shuffled: 1 where they agree as often as chance has it, 0 where nothing changed.

    That is 1 - Cohen's kappa of the two; above 1 they agree less often than by chance.

    Args:
        labels: int (n,), at least one, of more than one class.
        shuffled: int (n,).
        classes: How many there are.
    """
    first, second = (np.bincount(values, minlength=classes) / len(labels) for values in (labels, shuffled))
    by_chance = float(first @ second)
    return (1 - float(np.mean(labels == shuffled))) / (1 - by_chance)


def _programme(units: list[dict[str, Any]] | None) -> Programme:
    return tuple(sorted({unit["au"] for unit in units or ()}))
