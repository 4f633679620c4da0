"""What was measured of some clips against what was planned: every figure of `quality.study`, for one group of them.

Why apart: a figure is the same for all clips, for faint ones and for one tone of skin; only the rows differ.

    figures = dict(against_plan(Clips(rows), alarms))
    figures["apex within 1"].value
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from equime import schema
from equime.action_units import REGION, ActionUnit
from equime.quality.cues import regions
from equime.quality.figures import Figure, Statistic, auc_of, deals, mean_of, median_of

Array = npt.NDArray[Any]
Row = Mapping[str, Any]

MOMENTS: Final = ("onset", "apex", "offset")
TIMES: Final = (*MOMENTS, "duration", "onset to apex")
FRAMES: Final = (1, 2)


class Clips:
    """What the figures need of some rows, as arrays over the clips."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.subjects = np.array([str(row.get("subject_id")) for row in rows])
        self.frame_ms = np.array([1000 / (row.get("fps") or schema.FPS) for row in rows])
        self.measured = np.array([row.get("measured_apex_ms") is not None for row in rows], bool)
        self.accepted = np.array([row.get("accepted") is True for row in rows], bool)

    def column(self, name: str) -> Array:
        """float64 (n,); NaN for null."""
        return np.array([np.nan if (value := row.get(name)) is None else value for row in self.rows], np.float64)

    def times(self, prefix: str = "") -> dict[str, Array]:
        """Of `TIMES`, float64 (n,) in ms, planned or with the prefix "measured_"."""
        onset, apex, offset = (self.column(f"{prefix}{moment}_ms") for moment in MOMENTS)
        return dict(zip(TIMES, (onset, apex, offset, offset - onset, apex - onset), strict=True))

    @cached_property
    def units(self) -> list[list[ActionUnit]]:
        """The planned units of each clip."""
        return [[ActionUnit.from_dict(unit) for unit in row.get("action_units") or ()] for row in self.rows]

    @cached_property
    def sides(self) -> Array:
        """The side of a programme whose units all share one; "" where they differ or it is unsaid."""
        found = [{unit.side for unit in units} for units in self.units]
        return np.array([one[0] if len(one := list(sides)) == 1 and one != ["U"] else "" for sides in found])

    @cached_property
    def planned_regions(self) -> Array:
        """Regions of the planned units themselves, bool (n, 5)."""
        return np.array([[r in {REGION[u.au] for u in units} for r in schema.REGIONS] for units in self.units])

    @cached_property
    def dragged_regions(self) -> Array:
        """Regions that FACS says move too, as the lip with the chin: neither right nor wrong; bool (n, 5)."""
        also = np.array([[r in regions(units) for r in schema.REGIONS] for units in self.units])
        return also & ~self.planned_regions

    @cached_property
    def moved_regions(self) -> Array:
        """How far each region moved, in eye distances, float64 (n, 5); 0 where nothing is known."""
        found = [row.get("region_motion") or {} for row in self.rows]
        return np.array([[motion.get(r) or 0.0 for r in schema.REGIONS] for motion in found], np.float64)


def against_plan(clips: Clips, alarms: float | None) -> Iterator[tuple[str, Figure]]:
    """Every figure of some clips of planned expressions, by name.

    Args:
        clips: At least one clip.
        alarms: The share of neutral controls in which something was measured: the control of "measured".
    """
    yield "measured", Figure.of(mean_of(clips.measured), clips.subjects, constant=1.0, control=alarms)
    yield from _time_figures(clips)
    yield "side", _side_figure(clips)
    yield from _region_figures(clips)
    yield "unit fidelity", _fidelity_figure(clips)
    if any(row.get("accepted") is not None for row in clips.rows):
        yield "accepted", Figure.of(mean_of(clips.accepted), clips.subjects)


def _time_figures(clips: Clips) -> Iterator[tuple[str, Figure]]:
    """Shares within some frames, then errors in ms of what was measured, each with its baselines.

    The constant guess is the median of the planned times, the best there is for the mean error.
    """
    planned, measured = clips.times(), clips.times("measured_")
    others = deals(len(clips.rows))
    errors = {}
    for name in TIMES:
        middle = np.median(planned[name])
        errors[name] = tuple(
            np.abs(e)
            for e in (measured[name] - planned[name], middle - planned[name], measured[name] - planned[name][others])
        )
    for name, count in [(name, count) for name in TIMES for count in FRAMES]:
        # NaN, what was not measured, is within nothing.
        own, constant, dealt = (e <= count * clips.frame_ms for e in errors[name])
        yield f"{name} within {count}", _share(mean_of(own), clips.subjects, constant, dealt)
    seen = clips.measured
    for name in TIMES:
        own, constant, dealt = (e[..., seen] for e in errors[name])
        for word, of, reduce in (("mean", mean_of, np.mean), ("median", median_of, np.median)):
            baselines = [reduce(e) if e.size else None for e in (constant, dealt)]
            yield (
                f"{name} error, {word} ms",
                Figure.of(of(own), clips.subjects[seen], constant=baselines[0], control=baselines[1]),
            )


def _share(statistic: Statistic, subjects: Array, constant: Array, dealt: Array) -> Figure:
    return Figure.of(
        statistic, subjects, constant=float(constant.mean()), control=float(dealt.mean()) if dealt.size else None
    )


def _side_figure(clips: Clips) -> Figure:
    """Share of clips whose side was measured right; the constant guess is the commonest planned side."""
    told = clips.sides != ""
    planned = clips.sides[told]
    if not len(planned):
        return Figure()
    measured = np.array([row.get("measured_side") or "" for row in clips.rows])[told]
    commonest = max(Counter(planned.tolist()).values()) / len(planned)
    dealt = measured == planned[deals(len(planned))]
    control = float(dealt.mean()) if dealt.size else None
    return Figure.of(mean_of(measured == planned), clips.subjects[told], constant=commonest, control=control)


def _region_figures(clips: Clips) -> Iterator[tuple[str, Figure]]:
    """Area under the ROC curve of a region's motion, clips that plan it against clips that do not; then all as one."""
    judged = ~clips.dragged_regions
    for k, region in enumerate(schema.REGIONS):
        yield f"region {region}", _auc(clips, judged & (np.arange(len(schema.REGIONS)) == k))
    yield "regions", _auc(clips, judged)


def _auc(clips: Clips, chosen: Array) -> Figure:
    where, which = np.nonzero(chosen)
    motion, planned = clips.moved_regions[where, which], clips.planned_regions[where, which]
    ones = np.ones(len(where))
    dealt = [auc_of(motion, clips.planned_regions[other][where, which])(ones) for other in deals(len(clips.rows))]
    dealt = [area for area in dealt if not np.isnan(area)]
    figure = Figure.of(
        auc_of(motion, planned),
        clips.subjects[where],
        constant=0.5,
        control=float(np.mean(dealt)) if dealt else None,
    )
    return Figure() if figure.value is None else figure


def _fidelity_figure(clips: Clips) -> Figure:
    """Area under the ROC curve of the unit fidelity to the plan against that to other programmes, of the same clips."""
    own, other = clips.column("unit_fidelity"), clips.column("unit_fidelity_shuffled")
    both = ~np.isnan(own) & ~np.isnan(other)
    labels = np.repeat([True, False], both.sum())
    statistic = auc_of(np.concatenate([own[both], other[both]]), labels)
    return Figure.of(statistic, np.tile(clips.subjects[both], 2), constant=0.5)
