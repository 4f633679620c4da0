"""Training: what it may see, that it learns, that it repeats itself to the bit, and that it goes on where it was."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equime.errors import EquimeError

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from equime.recognise.models.build import build
from equime.recognise.training import batches, loop, state
from equime.recognise.training.checkpoint import Made, load, save, seen_all
from equime.recognise.training.data import Training
from equime.recognise.training.loop import fit, probabilities
from equime.recognise.training.recipe import Recipe

SHAPE = (3, 28, 28)
QUICK = Recipe(lr=1e-2, batch_size=16, epochs=12)
STSTNET = partial(build, "ststnet", 3, SHAPE, seed=0)


def pictures(count: int = 60, seed: int = 0) -> Training:
    """Three classes that differ by where the first channel is bright, of six subjects."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % 3
    x = rng.normal(size=(count, *SHAPE)).astype(np.float32)
    for k in range(count):
        x[k, 0, 8 * y[k] : 8 * y[k] + 8] += 2
    return Training(x, y, np.array([f"s{k // 10}" for k in range(count)]), 3)


def same(one: Any, other: Any) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return list(ours) == list(theirs) and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_it_learns_what_can_be_learnt_and_nothing_else() -> None:
    training, test = pictures(), pictures(seed=1)
    fitted = fit(STSTNET, training, dataclasses.replace(QUICK, epochs=40), seed=0)
    assert (probabilities(fitted.network, test.x).argmax(1) == test.y).mean() > 0.9
    assert fitted.history[-1]["loss"] < fitted.history[0]["loss"] / 2 and fitted.epoch == 40
    dealt = np.random.default_rng(0).permutation(training.y)
    broken = fit(STSTNET, dataclasses.replace(training, y=dealt), QUICK, seed=0)
    assert (probabilities(broken.network, test.x).argmax(1) == test.y).mean() < 0.6


def test_one_seed_gives_one_network_and_leaves_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    first, second = (fit(STSTNET, pictures(), QUICK, seed=3) for _ in range(2))
    assert same(first.network, second.network) and first.history == second.history
    assert not same(first.network, fit(STSTNET, pictures(), QUICK, seed=4).network)
    assert torch.equal(before, torch.get_rng_state())


class Stop(Exception):
    pass


def stopping(at: int) -> Callable[[int, dict[str, float]], None]:
    def log(epoch: int, numbers: dict[str, float]) -> None:
        if epoch == at:
            raise Stop

    return log


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("select", ["last", "inner"])
def test_going_on_ends_at_the_same_bits(
    optimizer: Any, select: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "KEEP_S", -1.0)  # every epoch
    recipe = dataclasses.replace(QUICK, optimizer=optimizer, select=select, lr=1e-3)
    whole = fit(STSTNET, pictures(), recipe, seed=0)
    keep = tmp_path / "state.safetensors"
    for at in (5, 9):
        with pytest.raises(Stop):
            fit(STSTNET, pictures(), recipe, seed=0, keep=keep, log=stopping(at))
    told: list[int] = []
    again = fit(STSTNET, pictures(), recipe, seed=0, keep=keep, log=lambda epoch, numbers: told.append(epoch))
    assert told == list(range(9, recipe.epochs + 1))  # the epoch that was stopped in is done again, none before it
    assert same(whole.network, again.network) and whole.history == again.history and whole.epoch == again.epoch


def test_a_state_that_was_cut_short_is_no_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "KEEP_S", -1.0)
    keep = tmp_path / "state.safetensors"
    fit(STSTNET, pictures(), QUICK, seed=0, keep=keep)
    assert [path.name for path in tmp_path.iterdir()] == [keep.name]
    keep.write_bytes(keep.read_bytes()[:-100])
    with pytest.raises(EquimeError, match="no weights of this package"):
        fit(STSTNET, pictures(), QUICK, seed=0, keep=keep)


def test_the_epoch_is_chosen_by_subjects_set_aside() -> None:
    recipe = dataclasses.replace(QUICK, select="inner", epochs=60, patience=5, inner_share=0.34)
    fitted = fit(STSTNET, pictures(), recipe, seed=0)
    scores = [epoch["inner_uf1"] for epoch in fitted.history]
    assert fitted.epoch == 1 + int(np.argmax(scores))  # the first of the best
    assert len(scores) == min(60, fitted.epoch + 5)


def test_samples_too_large_for_a_tensor_are_taken_from_where_they_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = pictures()
    np.save(tmp_path / "x.npy", training.x)
    mapped = dataclasses.replace(training, x=np.load(tmp_path / "x.npy", mmap_mode="r"))
    held = fit(STSTNET, mapped, QUICK, seed=0).network
    monkeypatch.setattr(batches, "FITS", training.x.nbytes - 1)
    assert not isinstance(batches.Batches(mapped, torch.device("cpu")).x, torch.Tensor)
    assert same(held, fit(STSTNET, mapped, QUICK, seed=0).network)
    assert same(held, fit(STSTNET, training, QUICK, seed=0).network)


def test_rare_classes_are_weighed_up() -> None:
    training = Training(np.zeros((6, 1), np.float32), np.array([0, 0, 0, 0, 1, 1]), np.array(list("abcdef")), 3)
    np.testing.assert_allclose(training.weights(), [0.75, 1.5, 0])


def test_a_loss_that_is_no_number_stops_and_says_where() -> None:
    with pytest.raises(EquimeError, match=r"the loss is (nan|inf) in epoch \d+: lower --lr"):
        fit(STSTNET, pictures(), dataclasses.replace(QUICK, lr=1e30, optimizer="sgd"), seed=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros((0, *SHAPE), np.float32)}, "as many samples"),
        ({"y": np.full(60, 3)}, "labels from 0 to 2"),
        ({"x": np.full((60, *SHAPE), np.nan, np.float32)}, "finite features"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(EquimeError, match=message):
        dataclasses.replace(pictures(), **change)


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"lr": 0.0}, {"lr": float("nan")}, {"inner_share": 1.0}])
def test_a_recipe_that_trains_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(EquimeError, match="expected"):
        Recipe(**wrong)


def test_the_scale_is_that_of_the_training_samples() -> None:
    training = pictures()
    network = fit(STSTNET, training, dataclasses.replace(QUICK, epochs=1), seed=0).network
    np.testing.assert_allclose(network.mean, training.x.mean((0, 2, 3)), atol=1e-6)
    np.testing.assert_allclose(network.deviation, training.x.std((0, 2, 3)), rtol=1e-5)


# --- weights on disk


def made(**more: Any) -> Made:
    told = {"model": "ststnet", "shape": SHAPE, "classes": ("a", "b", "c"), "target": "emotion3", "feature": {}}
    return Made(**(told | {"fold": "s1", "seed": 0, "subjects": seen_all(["s1", "s2"])} | more))


def test_weights_come_back_with_what_they_are(tmp_path: Path) -> None:
    network = fit(STSTNET, pictures(), QUICK, seed=0).network
    sha256 = save(tmp_path / "m.safetensors", network, made())
    again, told = load(tmp_path / "m.safetensors", sha256)
    assert told == made() and same(network, again)
    x = pictures(seed=2).x
    np.testing.assert_array_equal(probabilities(network, x), probabilities(again, x))


def test_weights_of_others_and_changed_ones_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    network = fit(STSTNET, pictures(), QUICK, seed=0).network
    sha256 = save(path, network, made())
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    with pytest.raises(EquimeError, match="was changed since it was trained"):
        load(path, sha256)
    save(path, network, made(model="rcn_a"))
    with pytest.raises(EquimeError, match="says it is a rcn_a and holds other weights"):
        load(path)
    state.write(path, {"a": torch.zeros(1)}, {})
    with pytest.raises(EquimeError, match="does not say what it is the weights of"):
        load(path)
    with pytest.raises(EquimeError, match="cannot read"):
        load(tmp_path / "none.safetensors", sha256)


# --- several processes

SCRIPT = """
import dataclasses, sys
sys.path.insert(0, "tests")
from functools import partial
import numpy as np
from test_training import QUICK, pictures
from equime.recognise.models.build import build
from equime.recognise.training.loop import fit
recipe = dataclasses.replace(QUICK, epochs=4, lr=1e-3)
training = pictures()
flat = dataclasses.replace(training, x=training.x.reshape(60, -1)[:, :50])
fitted = fit(partial(build, "logistic", 3, (50,), seed=0), flat, recipe, seed=0, keep=None)
weights = [p.detach().numpy().ravel() for p in fitted.network.parameters()]
np.save(sys.argv[1], np.concatenate([*weights, [epoch["loss"] for epoch in fitted.history]]))
"""


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_two_processes_train_the_network_that_one_does(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    root = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    alone = [sys.executable, str(script), str(tmp_path / "one.npy")]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    beside = [*launch, str(script), str(tmp_path / "two.npy")]
    for command in (alone, beside):
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    one, two = np.load(tmp_path / "one.npy"), np.load(tmp_path / "two.npy")
    assert np.abs(one).max() > 0.01
    np.testing.assert_allclose(one, two, rtol=2e-4, atol=1e-6)
