"""How long training takes: `python bench/train.py [--json] [--rounds 2]`.

STSTNet on 442 clips of 68 subjects, the size of MEGC2019's composite: leaving one subject out with five seeds is 340
trainings. A few whole ones are timed in CPU seconds on one core, and the minutes of all are reckoned for two cores from
their median: trainings share nothing, so that processes run them side by side. The values are noise, which takes as
long as flow.

Theirs is a plain loop: a DataLoader over a TensorDataset, Adam as it comes, the three streams one after the other.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1")
sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

CLIPS, SUBJECTS, SEEDS, CORES = 442, 68, 5, 2
GOAL_MINUTES, GOAL_RATIO = 20.0, 1.5
SHAPE = (3, 28, 28)


def fold(seed: int = 0) -> Any:
    """The training part of a fold: noise, all subjects but one."""
    import numpy as np

    from equime.recognise.training.data import Training

    draw = np.random.default_rng(seed)
    x, y = draw.normal(size=(CLIPS, *SHAPE)).astype(np.float32), draw.integers(0, 3, CLIPS)
    return (all_of := Training(x, y, np.arange(CLIPS) % SUBJECTS, 3)).take(np.flatnonzero(all_of.subjects))


def ours(training: Any, recipe: Any) -> None:
    """One training of this package."""
    from equime.recognise.models.build import build
    from equime.recognise.training.loop import fit

    fit(partial(build, "ststnet", 3, SHAPE, seed=0), training, recipe, seed=0)


def theirs(training: Any, recipe: Any) -> None:
    """The plain loop."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    def stream(filters: int) -> nn.Module:
        layers = nn.Conv2d(3, filters, 3, padding=2), nn.ReLU(), nn.BatchNorm2d(filters)
        return nn.Sequential(*layers, nn.MaxPool2d(3, 3, 1), nn.Dropout(0.5))

    streams, last = (
        nn.ModuleList(map(stream, (3, 5, 8))),
        nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(400, 3)),
    )
    optimizer = torch.optim.Adam([*streams.parameters(), *last.parameters()], lr=recipe.lr)
    data = TensorDataset(torch.from_numpy(training.x), torch.from_numpy(training.y))
    batches, criterion = DataLoader(data, recipe.batch_size, shuffle=True), nn.CrossEntropyLoss()
    for _ in range(recipe.epochs):
        for x, y in batches:
            optimizer.zero_grad()
            criterion(last(torch.cat([stream(x) for stream in streams], 1)), y).backward()
            optimizer.step()


def seconds(train: Any, training: Any, recipe: Any) -> float:
    """CPU seconds of one whole training."""
    begun = time.process_time()
    train(training, recipe)
    return time.process_time() - begun


def measured(rounds: int) -> dict[str, list[float]]:
    """CPU seconds of whole trainings: of either way in turn, and of the published recipe once."""
    from dataclasses import replace

    from equime.recognise.experiments import FLOW_RECIPE
    from equime.recognise.models.build import kind
    from equime.recognise.training.recipe import Recipe

    training, quick, published = fold(), Recipe(**FLOW_RECIPE), kind("ststnet").recipe
    for train in (theirs, ours):
        train(training, replace(quick, epochs=2))
    found: dict[str, list[float]] = {"theirs": [], "ours": []}
    for _ in range(rounds):
        found["theirs"].append(seconds(theirs, training, quick))
        found["ours"].append(seconds(ours, training, quick))
    return found | {"published": [seconds(ours, training, published)]}


def claims(found: dict[str, list[float]]) -> list[dict[str, Any]]:
    """The lines of the README's table."""
    middle = {name: statistics.median(values) for name, values in found.items()}

    def whole(name: str, recipe: str) -> dict[str, Any]:
        return {
            "claim": f"STSTNet, {SUBJECTS} subjects left out in turn, {SEEDS} seeds, {CLIPS} clips, {recipe}, 2 cores",
            "against": f"reckoned from {len(found[name])} whole training(s) on one core",
            "value": middle[name] * SUBJECTS * SEEDS / CORES / 60,
            "unit": "min",
            "goal": f"at most {GOAL_MINUTES:g}",
        }

    return [
        whole("ours", "the recipe of `equime experiments`"),
        whole("published", "the published 800 epochs"),
        {
            "claim": "one such training by the recipe of `equime experiments`",
            "against": "a plain loop: DataLoader over a TensorDataset, stream after stream",
            "value": middle["theirs"] / middle["ours"],
            "unit": "x",
            "goal": f"at least {GOAL_RATIO:g}",
        },
    ]


def main() -> None:
    """Print the figures, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--rounds", type=int, default=2, help="whole trainings of each way (default 2)")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    found = measured(options.rounds)
    lines = claims(found)
    text = "\n".join(f"{line['claim']}: {line['value']:.3g} {line['unit']} ({line['goal']})" for line in lines)
    print(json.dumps({"claims": lines, "seconds": found}, indent=1) if options.json else text)


if __name__ == "__main__":
    main()
