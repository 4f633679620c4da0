"""RAFT, the learnt optical flow (Teed and Deng 2020, arXiv 2003.12039), from torchvision with weights on this machine.

Why local: nothing is downloaded by surprise, and pickled weights can run any code. torchvision's own, once converted:

    from safetensors.torch import save_model
    from torchvision.models.optical_flow import raft_small
    save_model(raft_small(weights="DEFAULT"), "raft_small.safetensors")

torchvision's weights are of flying chairs and the like, where things move by tens of pixels: half a pixel is near what
they resolve. Compare before you rely on it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from equime import checkpoints
from equime.errors import EquimeError
from equime.one_line import one_line
from equime.optional import need
from equime.recognise.samples import Array


class Raft:
    """RAFT, small or large as the weights are, on the CPU and one thread.

    Args:
        weights: A safetensors file of torchvision's `raft_small` or `raft_large`.

    Raises:
        EquimeError: No such file, or the weights of something else.
        MissingPackageError: torchvision or safetensors is not installed.
    """

    def __init__(self, weights: Path) -> None:
        self._torch = need("torch", extra="recognise")
        models = need("torchvision.models.optical_flow", extra="recognise")
        if not weights.is_file():
            raise EquimeError(f"no such file of RAFT's weights: {one_line(weights)}; see features.raft")
        try:
            state = need("safetensors.torch", extra="recognise").load_file(weights)
            self.kind = "large" if any(name.startswith("mask_predictor") for name in state) else "small"
            self._model = getattr(models, f"raft_{self.kind}")(weights=None)
            self._model.load_state_dict(state)
        except EquimeError:
            raise
        except Exception as error:  # safetensors' own class, and RuntimeError for names and shapes
            raise EquimeError(f"expected safetensors of torchvision's RAFT, got {one_line(weights)}") from error
        self._model.eval()
        self._sha256 = checkpoints.sha256(weights)

    def describe(self) -> dict[str, Any]:
        """Which weights and which torchvision."""
        version = need("torchvision", extra="recognise").__version__
        return {"raft": self.kind, "raft_sha256": self._sha256, "torchvision": version}

    def __call__(self, first: Array, second: Array) -> Array:
        """Displacement from `first` to `second`, uint8 (H, W, 3) of sides that 8 divides: float32 (H, W, 2)."""
        torch = self._torch
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            pair = [torch.from_numpy(np.moveaxis(p, 2, 0) / np.float32(127.5) - 1)[None] for p in (first, second)]
            with torch.inference_mode():
                flow = self._model(*pair)[-1][0]
        finally:
            torch.set_num_threads(threads)
        return np.ascontiguousarray(np.moveaxis(flow.numpy(), 0, 2))
