"""What was measured of some clips against what was planned: every figure of `quality.study`, for one group of them.

Why apart: a figure is the same for all clips, for faint ones and for one tone of skin; only the clips differ.

    figures = dict(against_plan(Clips.of(rows), alarms))
    figures["apex within 1"].value
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

import numpy as np

from equime import schema
from equime.quality.clip_columns import MOMENTS, Array, Clips
from equime.quality.figures import Figure, Statistic, auc_of, aucs, deals, mean_of, median_of

TIMES: Final = (*MOMENTS, "duration", "onset to apex")
FRAMES: Final = (1, 2)


def against_plan(clips: Clips, alarms: float | None) -> Iterator[tuple[str, Figure]]:
    """Every figure of some clips of planned expressions, by name.

    Args:
        clips: At least one clip of a planned expression.
        alarms: The share of neutral controls in which something was measured: the control of "measured".
    """
    yield "measured", Figure.of(mean_of(clips.measured), clips.subject, constant=1.0, control=alarms)
    yield from _time_figures(clips)
    yield "side", _side_figure(clips)
    yield from _region_figures(clips)
    yield "unit fidelity", _fidelity_figure(clips)
    if clips.judged.any():
        yield "accepted", Figure.of(mean_of(clips.accepted), clips.subject)


def _time_figures(clips: Clips) -> Iterator[tuple[str, Figure]]:
    """Shares within some frames, then errors in ms of what was measured, each with its baselines.

    The constant guess is the median of the planned times, the best there is for the mean error.
    """
    frames, seen = clips.frame_ms, clips.measured
    for name in TIMES:
        # NaN, what was not measured, is within nothing.
        errors = _errors(clips, name)
        for count in FRAMES:
            own, constant, dealt = (error <= count * frames for error in errors)
            yield f"{name} within {count}", _share(mean_of(own), clips.subject, constant, dealt)
    for name in TIMES:
        own, constant, dealt = (error[..., seen] for error in _errors(clips, name))
        for word, of, reduce in (("mean", mean_of, np.mean), ("median", median_of, np.median)):
            baselines = [float(reduce(error)) if error.size else None for error in (constant, dealt)]
            yield (
                f"{name} error, {word} ms",
                Figure.of(of(own), clips.subject[seen], constant=baselines[0], control=baselines[1]),
            )


def _errors(clips: Clips, name: str) -> tuple[Array, Array, Array]:
    """Of one of `TIMES`, in ms: the measured one's (n,), the constant guess's (n,), and those of dealt plans (8, n)."""
    planned, measured = _times(clips.planned, name), _times(clips.found, name)
    dealt = planned[deals(len(clips))]
    np.abs(np.subtract(measured, dealt, out=dealt), out=dealt)
    return np.abs(measured - planned), np.abs(np.median(planned) - planned), dealt


def _times(moments: Array, name: str) -> Array:
    onset, apex, offset = moments.T
    times: tuple[Array, ...] = (onset, apex, offset, offset - onset, apex - onset)
    return times[TIMES.index(name)]


def _share(statistic: Statistic, subjects: Array, constant: Array, dealt: Array) -> Figure:
    return Figure.of(
        statistic, subjects, constant=float(constant.mean()), control=float(dealt.mean()) if dealt.size else None
    )


def _side_figure(clips: Clips) -> Figure:
    """Share of clips whose side was measured right; the constant guess is the commonest planned side."""
    told = clips.side != ""
    planned = clips.side[told]
    if not len(planned):
        return Figure()
    measured = clips.found_side[told]
    commonest = max(Counter(planned.tolist()).values()) / len(planned)
    dealt = measured == planned[deals(len(planned))]
    control = float(dealt.mean()) if dealt.size else None
    return Figure.of(mean_of(measured == planned), clips.subject[told], constant=commonest, control=control)


def _region_figures(clips: Clips) -> Iterator[tuple[str, Figure]]:
    """Area under the ROC curve of a region's motion, clips that plan it against clips that do not; then all as one."""
    judged = ~clips.dragged
    for k, region in enumerate(schema.REGIONS):
        yield f"region {region}", _auc(clips, judged & (np.arange(len(schema.REGIONS)) == k))
    yield "regions", _auc(clips, judged)


def _auc(clips: Clips, chosen: Array) -> Figure:
    motion = clips.motion[chosen]
    dealt = aucs(motion, (clips.regions[other][chosen] for other in deals(len(clips))))
    figure = Figure.of(
        auc_of(motion, clips.regions[chosen]),
        np.broadcast_to(clips.subject[:, None], chosen.shape)[chosen],
        constant=0.5,
        control=float(np.mean(dealt)) if dealt else None,
    )
    return Figure() if figure.value is None else figure


def _fidelity_figure(clips: Clips) -> Figure:
    """Area under the ROC curve of the unit fidelity to the plan against that to other programmes, of the same clips."""
    both = ~np.isnan(clips.fidelity).any(1)
    own, other = clips.fidelity[both].T
    labels = np.repeat([True, False], both.sum())
    statistic = auc_of(np.concatenate([own, other]), labels)
    return Figure.of(statistic, np.tile(clips.subject[both], 2), constant=0.5)
