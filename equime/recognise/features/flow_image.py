"""Optical flow from onset to apex as a picture of three channels: u, v and strain. What most published models read.

Why so: flow is taken between two views of the same square (`face_crop`), the head's own motion is fitted on what no
expression moves and subtracted (`flow.stabilise`), and only then is it averaged down to the model's size. Strain is of
the full flow. Nothing of it is implied: every choice is a field.

The defaults were chosen by what is left of half a pixel. On warps of six faces that move so far at lip corners and
brows in clips of 512x512 (noise of 1.5 grey levels, H.264), the cosine between what moved and the flow of 28x28 is, in
views of 160, 192, 224, 256 and 512, 0.57, 0.57, 0.56, 0.54 and 0.43 of one pair of frames, and 0.73, 0.68, 0.74, 0.70
and 0.57 of three; at two pixels 0.89, 0.91, 0.92, 0.94 and 0.93. `bench/recognise.py` measures it on one portrait.

    flow = FlowImage()
    flow(row, pictures)                             # float32 (3, 28, 28)
    equime train WORKSPACE --model ststnet --method tvl1 --normalise minmax
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import cv2
import numpy as np

from equime.errors import EquimeError
from equime.flow import Formula, Preset, dense, stabilise, strain
from equime.options import option
from equime.recognise.features import moments
from equime.recognise.features.face_crop import View, face_view
from equime.recognise.features.feature import Feature, Made, one_thread, read, require, require_one_of
from equime.recognise.features.moments import Apex, Onset
from equime.recognise.features.normalise import Normalise, normalised
from equime.recognise.features.raft import Raft
from equime.recognise.samples import Array, Pictures, Row

Method = Literal["dis", "farneback", "tvl1", "raft"]
Align = Literal["similarity", "translation", "affine", "none"]


@dataclass(frozen=True)
class FlowImage(Feature):
    """Displacement to the right, displacement down, strain: float32 (3, size, size).

    Raises:
        EquimeError: An option that is unknown or out of range.
    """

    name: ClassVar[str] = "flow"

    method: Method = option("dis", help="optical flow: DIS, Farneback, TV-L1 (a hundred times slower) or RAFT")
    preset: Preset = option("medium", help="of DIS", when=("method", "dis"))
    raft_weights: Path | None = option(None, help="RAFT's weights, safetensors", result=False)
    strain: Formula = option("half", help="formula of the strain (see equime.flow.strain)")
    size: int = option(28, help="height and width of the flow image")
    side: int = option(224, help="height and width of the view in which the flow is computed")
    pairs: int = option(3, help="pairs of frames beside onset and apex whose flow is averaged; 1 as published")
    normalise: Normalise = option("fixed", help="scale of the values (see features.normalise)")
    align: Align = option("similarity", help="motion of the head that is fitted and taken out")
    crop: bool = option(True, help="the face's square; else the whole picture")
    apex: Apex = option("coded", help="where the apex is from (see features.moments)")
    onset: Onset = option("coded", help="flow from the coded onset, or from the first frame")

    def __post_init__(self) -> None:
        kinds = {"method": Method, "preset": Preset, "strain": Formula, "normalise": Normalise, "align": Align}
        for name, kind in (kinds | {"apex": Apex, "onset": Onset}).items():
            require_one_of(name, getattr(self, name), get_args(kind))
        require("pairs", self.pairs, 1, 99)
        require("side", self.side, 128 if self.method == "raft" else 32, 2048)
        require("size", self.size, 1, self.side)
        if self.method == "raft" and (self.raft_weights is None or self.side % 8):
            raise EquimeError(
                "RAFT needs raft_weights, a safetensors file on this machine, and a side that 8 divides, got "
                f"raft_weights = {self.raft_weights}, side = {self.side}"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """(3, size, size)."""
        return (3, self.size, self.size)

    def load(self) -> None:
        """See `Feature.load`; RAFT's weights too."""
        super().load()
        if self.method == "raft":
            _ = self._raft

    def describe(self) -> dict[str, Any]:
        """See `Feature.describe`; with the sha256 of RAFT's weights."""
        return super().describe() | (self._raft.describe() if self.method == "raft" else {})

    def needs(self, row: Row, numbers: Sequence[int]) -> list[int]:
        """See `Feature.needs`: frames at onset and apex, unless the apex is to be found."""
        found = moments.needed(row, numbers, self.apex, self.onset)
        beside = moments.pairs_of(numbers, found[0], found[-1], self.pairs)
        return sorted({*found, *(number for pair in beside for number in pair)})

    def made(self, row: Row, pictures: Pictures) -> Made:
        """See `Feature.made`."""
        with one_thread():
            first, top = moments.moments(row, pictures, self.apex, self.onset, self.finder)
            pairs = moments.pairs_of(pictures.numbers, first, top, self.pairs)
            frames = read(pictures, [number for pair in pairs for number in pair])
            view = face_view(frames[first], self.finder, crop=self.crop)
            seen = {number: view(frame, self.side) for number, frame in frames.items()}
            flows = np.stack([self._flow(seen[a], seen[b]) for a, b in pairs])
            flow = self._still(np.asarray(flows.mean(0), np.float32), view)
            full = np.dstack([flow, strain(flow, self.strain)])
            small = cv2.resize(full, (self.size, self.size), interpolation=cv2.INTER_AREA)
        image = np.ascontiguousarray(np.moveaxis(small, 2, 0))
        return Made(normalised(image, self.normalise, view.eye_distance(self.side)), view.note)

    def _flow(self, first: Array, top: Array) -> Array:
        if self.method == "raft":
            return self._raft(first, top)
        return dense(first, top, self.method, self.preset)

    def _still(self, flow: Array, view: View) -> Array:
        """The flow without the head's motion: without a face, without the median of all of it."""
        face = view.face_in(self.side)
        if self.align == "none":
            return flow
        if face is None:
            return np.asarray(flow - np.median(flow, (0, 1)), np.float32)
        return stabilise(flow, face, self.align)

    @cached_property
    def _raft(self) -> Raft:
        assert self.raft_weights is not None  # as `__post_init__` checked
        return Raft(self.raft_weights)
