"""Controls break what they say and nothing else: shown on labels, and on what a plain classifier then makes of them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from equime import metrics, schema
from equime.action_units import parse
from equime.errors import EquimeError
from equime.recognise import samples
from equime.recognise.protocols.controls import (
    CONTROLS,
    ReversedDisplacement,
    ShuffledLabels,
    ShuffledUnits,
    control_named,
    moved,
)

PROGRAMMES = {
    "happiness": ("12", "6+12"),
    "sadness": ("1+15", "1+4", "15+17"),
    "surprise": ("1+2", "5+26", "1+2+5"),
    "fear": ("20", "1+20"),
    "anger": ("4+7", "23", "4+23"),
}


def rows(people: int = 12, each: int = 1, seed: int = 0) -> pa.Table:
    """Every subject shows every emotion, by one of its programmes, with a side and an intensity of its own."""
    rng = np.random.default_rng(seed)
    found: list[dict[str, Any]] = []
    for subject in range(people):
        for place, (emotion, programmes) in enumerate([*PROGRAMMES.items()] * each):
            units = [unit.to_dict() for unit in parse(str(rng.choice(programmes))).units]
            units = [unit | {"side": str(rng.choice(["L", "R", "B"])), "intensity": "B"} for unit in units]
            found.append(
                {
                    "sample_id": f"equime/{subject:02}/{place}",
                    "dataset": "equime",
                    "subject_id": f"equime-{subject:02}",
                    "frames": "",
                    "fps": 24.0,
                    "emotion5": emotion,
                    "action_units": units,
                }
            )
    return pa.Table.from_pylist(found, schema=samples.FIELDS)


def labels_of(table: pa.Table) -> np.ndarray:
    return samples.labels(table, "emotion5")[0]


def numbers(table: pa.Table) -> list[tuple[int, ...]]:
    return [tuple(sorted({unit["au"] for unit in units})) for units in table["action_units"].to_pylist()]


@pytest.mark.parametrize("control", [ShuffledLabels(), ShuffledUnits()], ids=lambda control: control.name)
def test_shuffling_depends_on_the_seed_and_not_on_the_rows_order(control: ShuffledLabels | ShuffledUnits) -> None:
    table = rows()
    own = labels_of(table)
    shuffled = control.train_labels(table, own, 3)
    assert shuffled.dtype == np.int64 and not np.array_equal(shuffled, own)
    np.testing.assert_array_equal(own, labels_of(table))  # what came in is as it was
    order = np.random.default_rng(1).permutation(len(table))
    turned = control.train_labels(table.take(pa.array(order)), own[order], 3)
    np.testing.assert_array_equal(turned, shuffled[order])
    assert len({tuple(control.train_labels(table, own, seed)) for seed in range(5)}) == 5
    x = np.ones((2, 3, 4, 4), np.float32)
    assert control.test_features(x) is x


def test_shuffled_labels_keep_every_subjects_counts() -> None:
    table = rows(each=2)
    own = labels_of(table)
    shuffled = ShuffledLabels().train_labels(table, own, 0)
    who = table["subject_id"].to_pylist()
    assert Counter(zip(who, own.tolist(), strict=True)) == Counter(zip(who, shuffled.tolist(), strict=True))


def test_shuffled_labels_agree_with_the_true_ones_as_often_as_chance() -> None:
    table = rows(people=60)
    own = labels_of(table)
    agreement = [moved(own, ShuffledLabels().train_labels(table, own, seed), 5) for seed in range(40)]
    assert np.mean(agreement) == pytest.approx(1, abs=0.02)
    alike = np.zeros(len(own), np.int64)
    np.testing.assert_array_equal(ShuffledLabels().train_labels(table, alike, 0), alike)
    assert moved(own, own, 5) == 0


def test_each_programme_gets_the_label_of_another_one() -> None:
    table = rows(people=40)
    own, programmes = labels_of(table), numbers(table)
    label_of = dict(zip(programmes, own.tolist(), strict=True))
    for seed in range(10):
        shuffled = ShuffledUnits().train_labels(table, own, seed)
        given: dict[tuple[int, ...], set[int]] = {}
        for programme, label in zip(programmes, shuffled.tolist(), strict=True):
            given.setdefault(programme, set()).add(label)
        assert all(len(several) == 1 for several in given.values())  # sides and intensities are no other programme
        assert Counter(min(several) for several in given.values()) == Counter(label_of.values())


def test_with_a_programme_a_class_none_keeps_its_label() -> None:
    table = rows(people=10)
    own = labels_of(table)
    first = [PROGRAMMES[name][0] for name in schema.EMOTIONS]
    units = [[unit.to_dict() for unit in parse(first[label]).units] for label in own.tolist()]
    place = samples.FIELDS.get_field_index("action_units")
    plain = table.set_column(place, samples.FIELDS.field(place), pa.array(units, samples.FIELDS.field(place).type))
    for seed in range(10):
        assert (ShuffledUnits().train_labels(plain, own, seed) != own).all()


def test_a_programme_of_two_emotions_counts_as_its_commonest() -> None:
    table = rows(people=2).slice(0, 5)
    units = [[unit.to_dict() for unit in parse(text).units] for text in ("4", "4", "R4", "12", "12")]
    place = samples.FIELDS.get_field_index("action_units")
    mixed = table.set_column(place, samples.FIELDS.field(place), pa.array(units, samples.FIELDS.field(place).type))
    shuffled = ShuffledUnits().train_labels(mixed, np.array([2, 4, 4, 0, 0]), 0)
    assert shuffled.tolist() == [0, 0, 0, 4, 4]


def test_without_units_there_is_nothing_to_shuffle() -> None:
    table = rows(people=2)
    place = samples.FIELDS.get_field_index("action_units")
    bare = table.set_column(place, samples.FIELDS.field(place), pa.nulls(len(table), samples.FIELDS.field(place).type))
    with pytest.raises(EquimeError, match="at least two programmes of action units"):
        ShuffledUnits().train_labels(bare, labels_of(table), 0)


# --- what a classifier makes of it


def seen(table: pa.Table, leak: float, seed: int = 0) -> np.ndarray:
    """Features (n, units + emotions): the units of a clip, and a trace of its emotion that is in no unit."""
    rng = np.random.default_rng(seed)
    every = sorted({au for programme in numbers(table) for au in programme})
    units = np.array([[float(au in programme) for au in every] for programme in numbers(table)])
    told = np.eye(5)[labels_of(table)] * leak
    return np.hstack([units, told]) + 0.05 * rng.standard_normal((len(table), len(every) + 5))


def answered(train: np.ndarray, y: np.ndarray, test: np.ndarray) -> np.ndarray:
    """The label of the nearest clip."""
    return y[((test[:, None] - train[None]) ** 2).sum(2).argmin(1)]


@pytest.mark.parametrize("leak", [0.0, 10.0])
def test_controls_tell_units_from_a_leak(leak: float) -> None:
    """What goes by the units falls to chance with either control; what goes by a leak survives shuffled units alone."""
    mine, other = rows(people=60, seed=1), rows(people=60, seed=2)
    y, truth = labels_of(mine), labels_of(other)
    x, asked = seen(mine, leak, 1), seen(other, leak, 2)

    def score(labels: np.ndarray) -> float:
        return float(metrics.uf1(metrics.confusion(truth, answered(x, labels, asked), 5)))

    chance = metrics.stratified(np.bincount(truth)).uf1
    assert score(y) > 0.95
    by_labels = np.mean([score(ShuffledLabels().train_labels(mine, y, seed)) for seed in range(20)])
    assert by_labels == pytest.approx(chance, abs=0.03)
    by_units = np.mean([score(ShuffledUnits().train_labels(mine, y, seed)) for seed in range(20)])
    # A label that moved by whole programmes is still told by the units: with a leak, by units and emotion together.
    assert by_units < chance + 0.03


# --- direction


def test_reversed_displacement_turns_u_and_v_and_leaves_the_strain() -> None:
    x = np.random.default_rng(0).standard_normal((4, 3, 5, 5)).astype(np.float32)
    kept = x.copy()
    found = ReversedDisplacement().test_features(x)
    np.testing.assert_array_equal(found[:, :2], -kept[:, :2])
    np.testing.assert_array_equal(found[:, 2], kept[:, 2])
    np.testing.assert_array_equal(x, kept)
    assert found.dtype == np.float32
    own = np.arange(4)
    np.testing.assert_array_equal(ReversedDisplacement().train_labels(rows(1), own, 0), own)


@pytest.mark.parametrize("shape", [(2, 8), (2, 3, 16, 4, 4), (2, 1, 4, 4)])
def test_only_flow_can_be_reversed(shape: tuple[int, ...]) -> None:
    with pytest.raises(EquimeError, match="expected signed flow"):
        ReversedDisplacement().test_features(-np.ones(shape, np.float32))


def test_flow_that_lost_its_sign_cannot_be_reversed() -> None:
    with pytest.raises(EquimeError, match="expected signed flow"):
        ReversedDisplacement().test_features(np.full((2, 3, 4, 4), 128, np.float32))


def test_controls_by_name() -> None:
    assert [control_named(name) for name in CONTROLS] == [ShuffledLabels(), ShuffledUnits(), ReversedDisplacement()]
    with pytest.raises(EquimeError, match="expected a control of shuffled-labels, shuffled-units, reversed, got 'x'"):
        control_named("x")
