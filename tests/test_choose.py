"""Experiments from words: a model's own input and recipe, and what was asked for instead."""

from __future__ import annotations

import pytest

from equime.errors import EquimeError
from equime.recognise.experiments import SETS, chosen
from equime.recognise.features.flow_image import FlowImage
from equime.recognise.features.frame_stack import FrameStack
from equime.recognise.features.single_frame import SingleFrame
from equime.recognise.models.kinds import KINDS
from equime.recognise.published import PUBLISHED, published_lines
from equime.recognise.training.choose import experiment
from equime.recognise.training.experiment import Experiment


@pytest.mark.parametrize("name", KINDS)
def test_a_model_gets_the_input_it_was_published_with(name: str) -> None:
    made = experiment(name, protocol="loso")
    assert made.feature.shape == KINDS[name].shape
    assert made.recipe == KINDS[name].recipe
    assert made.title == name and made.protocol.name == "loso"


def test_what_is_asked_for_stands_in_for_the_models_own() -> None:
    made = experiment(
        "ststnet",
        protocol="kfold:3:7",
        target="emotion3",
        settings=["size=56", "method=tvl1", "crop=false"],
        recipe={"epochs": 9, "lr": None, "patience": None},
        seeds=2,
        control="reversed",
        name="mine",
    )
    assert made.feature == FlowImage(size=56, method="tvl1", crop=False)
    assert (made.recipe.epochs, made.recipe.lr) == (9, KINDS["ststnet"].recipe.lr)
    assert made.to_dict()["protocol"] == "kfold:3:7" and made.to_dict()["control"] == "reversed"
    assert made.title == "mine" and "mine" not in str(made.to_dict())


def test_another_feature_comes_in_the_models_size() -> None:
    assert experiment("ststnet", protocol="loso", feature="frame").feature == SingleFrame(size=28)
    still = experiment("simple3dcnn", protocol="loso", feature="frame", settings=["which=apex"]).feature
    assert still == SingleFrame(which="apex", size=64, grey=True, frames=16)
    grown = experiment("simple3dcnn", protocol="loso", settings=["frames=8", "size=32"]).feature
    assert grown == FrameStack(frames=8, size=32, grey=True)


def test_a_network_for_two_frames_gets_onset_and_apex() -> None:
    assert experiment("mmnet", protocol="loso").feature == FrameStack(frames=2, size=224, around="onset-apex")
    assert experiment("mmnet", protocol="loso", feature="frame").feature == SingleFrame(size=224, frames=2)
    other = experiment("mmnet", protocol="loso", settings=["around=expression"]).feature
    assert other == FrameStack(frames=2, size=224, around="expression")


@pytest.mark.parametrize("name", SETS)
def test_the_sets_are_experiments_that_differ(name: str) -> None:
    lines = chosen(name)
    assert lines[0].expected == "above"
    assert len({str(line.experiment.to_dict()) for line in lines}) == len(lines)
    assert len({line.experiment.title for line in lines}) == len(lines)
    for line in lines:
        assert line.expected in ("above", "chance", "lower", "reported") and line.experiment.seeds >= 5
        shape, kind = line.experiment.feature.shape, KINDS[line.experiment.model]
        assert len(shape) == len(kind.shape)


def test_sets_and_targets_that_are_none() -> None:
    with pytest.raises(EquimeError, match="expected a set of synthetic, cde, transfer, got 'all'"):
        chosen("all")
    with pytest.raises(EquimeError, match="expected --target of emotion3"):
        experiment("ststnet", protocol="loso", target="joy")
    with pytest.raises(EquimeError, match="expected --seeds of at least 1, got 0"):
        Experiment("ststnet", FlowImage(), experiment("ststnet", protocol="loso").protocol, seeds=0)


def test_papers_stand_beside_the_best_first() -> None:
    lines = published_lines("cde")[5:]
    scores = [float(line.split("|")[4] or 0) for line in lines if line.split("|")[4].strip()]
    assert scores == sorted(scores, reverse=True) and scores[0] == 0.928
    assert len(lines) == sum(row.protocol == "cde" and row.subset == "all" for row in PUBLISHED)
    assert any(line.startswith("| STSTNet | 2019 | all | 0.735 | 0.760 | V |") for line in lines)
    assert sum("samm, 3 classes" in line for line in published_lines("synthetic-to-real")) == 3
    assert published_lines("loso") == []
    for row in PUBLISHED:
        assert row.mark in ("V", "M") and row.source and (row.uf1 or row.uar)
        assert all(score is None or 0 < score < 1 for score in (row.uf1, row.uar))
