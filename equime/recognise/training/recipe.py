"""How a network is trained: everything beside the network and the data that decides its weights.

Why: "Adam, 800 epochs" leaves out which epoch was kept and who chose it. Here the last epoch counts, or one chosen on
subjects held out of the training part; the test fold has no say, because nothing here can see it.

    Recipe(lr=5e-5, batch_size=256, epochs=800)          # STSTNet's own
    Recipe(select="inner", patience=20)                  # stop early, by subjects set aside
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from equime.errors import EquimeError
from equime.options import option


@dataclass(frozen=True)
class Recipe:
    """The options of one training. The fields are the flags.

    Raises:
        EquimeError: A value that trains nothing.
    """

    optimizer: Literal["adam", "adamw", "sgd"] = option("adam", help="how weights are updated; sgd has momentum .9")
    lr: float = option(1e-3, help="learning rate")
    weight_decay: float = option(0.0, help="pull of the weights to zero")
    batch_size: int = option(64, help="samples an update")
    epochs: int = option(100, help="passes over the training samples")
    select: Literal["last", "inner"] = option("last", help="weights kept: the last, or the best on subjects set aside")
    inner_share: float = option(0.2, help="share of the training subjects set aside", when=("select", "inner"))
    patience: int = option(0, help="epochs without a better score before it stops; 0 never", when=("select", "inner"))
    class_weights: bool = option(False, help="weigh rare classes up in the loss")
    standardise: bool = option(True, help="bring each channel to mean 0, deviation 1 over the training samples")
    precision: Literal["no", "fp16", "bf16"] = option("no", help="mixed precision, on a GPU")

    def __post_init__(self) -> None:
        allowed = {
            "lr": (0 < self.lr < math.inf, "above 0"),
            "weight_decay": (0 <= self.weight_decay < math.inf, "of at least 0"),
            "batch_size": (self.batch_size >= 1, "of at least 1"),
            "epochs": (self.epochs >= 1, "of at least 1"),
            "inner_share": (0 < self.inner_share <= 0.5, "above 0 and at most 0.5"),
            "patience": (self.patience >= 0, "of at least 0"),
        }
        for name, (fits, what) in allowed.items():
            if not fits:
                raise EquimeError(f"expected --{name.replace('_', '-')} {what}, got {getattr(self, name)}")
