"""DeepFace's own networks with random weights, saved where its loader looks: `from tiny_deepface import make_weights`.

True architecture and size (VGG-Face: 134 million weights each), so half floats on disk: 270 MB each. Run in a process
of its own where memory or the environment matters.
"""

from __future__ import annotations

import importlib
from pathlib import Path

FILES = {
    "Gender": "gender_model_weights.pth",
    "Age": "age_model_weights.pth",
    "Race": "race_model_single_batch.pth",
    "Emotion": "facial_expression_model_weights.pth",
}


def make_weights(home: Path, names: tuple[str, ...] = tuple(FILES)) -> None:
    """Write the weights of these networks under `home`, which DEEPFACE_HOME then names."""
    import torch

    torch.manual_seed(0)
    folder = home / ".deepface" / "weights"
    folder.mkdir(parents=True, exist_ok=True)
    drawn: dict[str, torch.Tensor] = {}  # the trunk is the same for all: its weights are drawn once
    for name in names:
        with torch.device("meta"):
            shapes = importlib.import_module(f"deepface.models.demography.pytorch.{name}").base_model().state_dict()
        for key, like in shapes.items():
            if key not in drawn or drawn[key].shape != like.shape:
                spread = (2 / like[0].numel()) ** 0.5 if like.ndim > 1 else 0.01  # what is shown gets through 16 layers
                last = "predictions" in key or "fc_3" in key
                drawn[key] = torch.empty(like.shape).normal_(0, spread * (3 if last else 1)).half()
        torch.save({key: drawn[key] for key in shapes}, folder / FILES[name])
