"""Displacement along a slit of the face: the lids of an eye, the line between the lips.

What: `lids` moves the edges of an eye's lids, `lips` the four edges of the lips. Why not by points alone: a lid's edge
is a curve that has to meet another curve without crossing it, so its movement is a profile across the slit, at every
place along it a share of the slit's own opening there.

    field = lids(face, "R", -10, 0, Kernel(), 512)      # the subject's right upper lid, ten pixels down
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from equime.generators.anchors import Axes, Kernel
from equime.generators.patterns import MIRROR
from equime.mesh import Face

Array = npt.NDArray[Any]

LID_LIMIT: Final = 0.8
"""The largest share of its opening by which a unit may close an eye: a warp has no lid to draw, so a slit remains."""

LIP_LIMIT: Final = 0.6
"""The largest share of its height by which a unit may thin a lip."""

LIP_LINE_WIDTH: Final = 0.03
"""What counts as the line between closed lips, in eye distances: this much is stretched when they part."""


@dataclass(frozen=True)
class _Slit:
    """Curves from one corner of a slit to the other.

    Attributes:
        along: float64 (H, W): -1 at one corner, 1 at the other.
        across: float64 (H, W): pixels down from the line between the corners.
        edges: For each curve float64 (H, W): its `across` at each pixel's `along`.
        bump: float64 (H, W): 1 in the middle, 0 at the corners and beyond.
    """

    along: Array
    across: Array
    edges: list[Array]
    bump: Array


def _slit(axes: Axes, corners: tuple[int, int], curves: Sequence[Sequence[int]], size: int) -> _Slit:
    """Fit each curve of mesh points by (1 - t^2) times a parabola: zero at the corners, smooth between."""
    start, end = axes.xy[list(corners)]
    half = np.linalg.norm(end - start) / 2
    right = (end - start) / (2 * half)
    down = np.array([-right[1], right[0]])

    def local(points: Array) -> tuple[Array, Array]:
        off = points - (start + end) / 2
        return off @ right / half, off @ down

    y, x = np.mgrid[:size, :size].astype(np.float64)
    along, across = local(np.stack([x, y], -1))
    bump = np.maximum(1 - along * along, 0)
    edges = []
    for curve in curves:
        t, height = local(axes.xy[list(curve)])
        basis = (1 - t * t)[:, None] * np.stack([np.ones_like(t), t, t * t], 1)
        a, b, c = np.linalg.lstsq(basis, height, rcond=None)[0]
        edges.append(bump * (a + b * along + c * along * along))
    return _Slit(along, across, edges, bump)


_LIDS: Final[Mapping[str, tuple[tuple[int, int], list[int], list[int]]]] = MappingProxyType(
    {
        "R": ((33, 133), [161, 160, 159, 158, 157], [163, 144, 145, 153, 154]),
        "L": ((362, 263), [384, 385, 386, 387, 388], [381, 380, 374, 373, 390]),
    }
)


_LIPS: Final = tuple(
    (*right, middle, *(MIRROR[point] for point in right))
    for right, middle in (((185, 40, 39, 37), 0), ((80, 81, 82), 13), ((88, 178, 87), 14), ((146, 91, 181, 84), 17))
)
"""The lips' edges from above: outer and inner edge of the upper lip, inner and outer edge of the lower one."""


def lids(face: Face, side: str, upper: float, lower: float, kernel: Kernel, size: int) -> Array:
    """Move the edges of one eye's lids.

    The eye between them is stretched or squeezed evenly; the skin beyond follows, less and less.

    Args:
        face: Where.
        side: "R" or "L", the subject's own.
        upper: How far the middle of the upper lid goes up, in pixels; never closes more than `LID_LIMIT`.
        lower: The same of the lower lid.
        kernel: How the movement fades into the skin.
        size: Side of the image in pixels.

    Returns:
        float32 (size, size, 2), pixels right and down.
    """
    axes = Axes(face)
    corners, *curves = _LIDS[side]
    eye = _slit(axes, corners, curves, size)
    top, bottom = np.minimum(*eye.edges), np.maximum(*eye.edges)
    opening = bottom - top
    most = float(opening.max())
    shape = opening / max(most, 1e-6)
    closing = lower - upper
    limit = min(1.0, LID_LIMIT * most / closing) if closing > 0 else 1.0
    up_by, low_by = upper * limit * shape, lower * limit * shape
    inside = np.clip((eye.across - top) / np.maximum(opening, 1e-6), 0, 1)
    above = _ramp((top - eye.across) / _lid_height(axes, side, kernel.width * (0.5 if upper > 0 else 0.65)))
    below = kernel(np.maximum(eye.across - bottom, 0), 0.11 * face.eye_distance)
    raised = ((1 - inside) * up_by + inside * low_by) * above * below
    return np.asarray(-raised[..., None] * axes.down, np.float32)


def _ramp(x: Array) -> Array:
    """1 below 0, 0 above 1, and between a straight line with both ends rounded: a lid unrolls evenly."""
    x = np.clip(x, 0, 1)
    end, slope = 0.15, 1 / (1 - 0.15)
    rounded = np.where(x < end, 1 - slope * x * x / (2 * end), 1 - slope * (x - end / 2))
    return np.asarray(np.where(x > 1 - end, slope * (1 - x) ** 2 / (2 * end), rounded))


def _lid_height(axes: Axes, side: str, share: float) -> float:
    """Pixels of skin above the open lid that take part when it moves: a share of the way to the brow.

    A rising lid slides under its fold; a falling one unrolls it.
    """
    upper = _LIDS[side][1]
    brow = [52, 65] if side == "R" else [MIRROR[52], MIRROR[65]]
    way = (axes.xy[upper].mean(0) - axes.xy[brow].mean(0)) @ axes.down
    return max(share * float(way), 0.08 * axes.face.eye_distance)


def lips(face: Face, up: tuple[float, float, float, float], kernel: Kernel, size: int) -> Array:
    """Move the four edges of the lips; what lies between two edges is stretched or squeezed evenly.

    Lips part by stretching the line between them: there is nothing behind it that could be shown. No lip is thinned by
    more than `LIP_LIMIT`, and open lips close by no more of their gap.

    Args:
        face: Where.
        up: How far the middle of each edge goes up, in pixels, from the upper lip's outer edge to the lower lip's.
        kernel: How the movement fades into the skin.
        size: Side of the image in pixels.

    Returns:
        float32 (size, size, 2), pixels right and down.
    """
    axes = Axes(face)
    mouth = _slit(axes, (61, 291), _LIPS, size)
    line = LIP_LINE_WIDTH * face.eye_distance * mouth.bump
    outer, inner, inner_low, outer_low = mouth.edges
    middle, gap = (inner + inner_low) / 2, np.maximum(inner_low - inner, line) / 2
    inner, inner_low = middle - gap, middle + gap
    outer, outer_low = np.minimum(outer, inner - line), np.maximum(outer_low, inner_low + line)
    shifts = [-share * mouth.bump for share in up]
    shifts[1] = np.minimum(shifts[1], LIP_LIMIT * gap)
    shifts[2] = np.maximum(shifts[2], -LIP_LIMIT * gap)
    shifts[0] = np.minimum(shifts[0], shifts[1] + LIP_LIMIT * (inner - outer))
    shifts[3] = np.maximum(shifts[3], shifts[2] - LIP_LIMIT * (outer_low - inner_low))
    down = shifts[0].copy()
    knots = [outer, inner, inner_low, outer_low]
    for i in range(3):
        share = np.clip((mouth.across - knots[i]) / np.maximum(knots[i + 1] - knots[i], 1e-6), 0, 1)
        down += (shifts[i + 1] - shifts[i]) * share
    away = np.maximum(np.maximum(outer - mouth.across, mouth.across - outer_low), 0)
    down *= kernel(away, 0.08 * face.eye_distance)
    return np.asarray(down[..., None] * axes.down, np.float32)
