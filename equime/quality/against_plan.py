"""What was measured of some clips against what was planned: every figure of `quality.study`, for one group of them.

Why apart: a figure is the same for all clips, for faint ones and for one tone of skin; only the clips differ.

    figures = dict(against_plan(Clips.of(rows), alarms))
    figures["apex within 1"].value
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator
from functools import lru_cache, partial
from typing import Any, Final

import numpy as np

from equime import schema
from equime.quality.clip_columns import MOMENTS, Array, Clips
from equime.quality.figures import Figure, Statistic, auc_of, aucs, deals, mean_of, median_of

TIMES: Final = (*MOMENTS, "duration", "onset to apex")
FRAMES: Final = (1, 2)
Errors = Callable[[str], tuple[Array, Array, Array]]
"""See `_errors`."""


def against_plan(
    clips: Clips, alarms: float | None, wanted: Container[str] | None = None
) -> Iterator[tuple[str, Figure]]:
    """Figures of some clips of planned expressions, by name.

    Args:
        clips: At least one clip of a planned expression.
        alarms: The share of neutral controls in which something was measured: the control of "measured".
        wanted: Names of the figures; None: all. The others are not computed.
    """
    for name, figure in _figures(clips, alarms):
        if wanted is None or name in wanted:
            yield name, figure()


def _figures(clips: Clips, alarms: float | None) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Every figure's name, and what computes it."""
    yield "measured", lambda: Figure.of(mean_of(clips.measured), clips.subject, constant=1.0, control=alarms)
    errors = lru_cache(maxsize=1)(partial(_errors, clips))  # asked for twice in a row; of 75,000 clips 5 MB
    for name in TIMES:
        yield from ((f"{name} within {n}", partial(_within, clips, errors, name, n)) for n in FRAMES)
    for name in TIMES:
        yield f"{name} error, mean ms", partial(_error, clips, errors, name, mean_of, np.mean)
        yield f"{name} error, median ms", partial(_error, clips, errors, name, median_of, np.median)
    yield "side", partial(_side_figure, clips)
    judged = ~clips.dragged
    for k, region in enumerate(schema.REGIONS):
        yield f"region {region}", partial(_auc, clips, judged & (np.arange(len(schema.REGIONS)) == k))
    yield "regions", partial(_auc, clips, judged)
    yield "unit fidelity", partial(_fidelity_figure, clips)
    if clips.judged.any():
        yield "accepted", lambda: Figure.of(mean_of(clips.accepted), clips.subject)


def _within(clips: Clips, errors: Errors, name: str, count: int) -> Figure:
    """The share that is no more than some frames off; what was not measured is NaN, and within nothing."""
    own, constant, dealt = (error <= count * clips.frame_ms for error in errors(name))
    control = float(dealt.mean()) if dealt.size else None
    return Figure.of(mean_of(own), clips.subject, constant=float(constant.mean()), control=control)


def _error(
    clips: Clips, errors: Errors, name: str, of: Callable[[Array], Statistic], reduce: Callable[[Array], Any]
) -> Figure:
    """Of what was measured, in ms. The constant guess is the planned median, the best there is for the mean error."""
    seen = clips.measured
    own, constant, dealt = (error[..., seen] for error in errors(name))
    baselines = [float(reduce(error)) if error.size else None for error in (constant, dealt)]
    return Figure.of(of(own), clips.subject[seen], constant=baselines[0], control=baselines[1])


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


def _auc(clips: Clips, chosen: Array) -> Figure:
    """Area under the ROC curve of regions' motion, clips that plan them against clips that do not."""
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
