"""Is a clip a valid micro-expression? The whole block: find the face, measure, judge.

Why one call: whoever has frames gets the schema's validity columns, a verdict and its reasons, whatever made the clip.

    >>> validity(frames, 24.0, Planned(known=False), FaceFinder(), Gates())["reject_reasons"]
    ['not detected: signal_to_noise 2.1, at least 12, with no planned way to look (min_signal_to_noise)']
"""

from __future__ import annotations

from math import inf
from typing import Any, Final

from equime import schema
from equime.errors import EquimeError
from equime.face import FaceFinder
from equime.mesh import Face
from equime.quality.gates import Beside, Gates, Planned, judge
from equime.quality.identity import Embedder, identity
from equime.quality.leaks import Leaks, leaks
from equime.quality.measure import Measured, measure
from equime.quality.motion import observe
from equime.quality.real_range import RealRange
from equime.video import Frames

FEWEST: Final = 3
"""Frames without which nothing tells a movement from noise."""
BYSTANDER: Final = 1 / 3
"""A face smaller than this share of the largest one's eye distance stands in the background and does not count."""


def validity(
    frames: Frames,
    fps: float,
    planned: Planned,
    finder: FaceFinder,
    gates: Gates,
    *,
    real_range: RealRange | None = None,
    embed: Embedder | None = None,
) -> dict[str, Any]:
    """Measure a clip and judge it.

    Args:
        frames: uint8 (T, H, W, 3) RGB, any T of at least 1; at rest in the first.
        fps: Frames a second.
        planned: What it was meant to show.
        finder: Of faces.
        gates: Thresholds.
        real_range: Amplitudes of real micro-expressions; without it `amplitude_percentile` is None.
        embed: A face recognition network; without it `identity` is None.

    Returns:
        By column of `schema`: what was measured (None where it cannot be), `accepted` and `reject_reasons`. A clip
        without a face, or of one or two frames, has None everywhere and says so.

    Raises:
        EquimeError: No frames, or no positive frame rate.
    """
    if frames.ndim != 4 or not len(frames) or not 0 < fps < inf:
        raise EquimeError(f"expected frames (T, H, W, 3) and a rate, got {frames.shape = } {fps = }; check the clip")
    if len(frames) < FEWEST:
        return _columns([f"too short to measure: {len(frames)} of at least {FEWEST} frames"])
    faces = finder(frames[0])
    if not faces:
        return _columns(["no face in the first frame"])
    motion = observe(frames, fps, faces[0])
    measured, leaked = measure(motion, planned.units), leaks(frames, motion, finder)
    place = None
    if real_range is not None and measured.amplitude is not None:
        place = real_range.percentile(measured.amplitude, planned.units)
    alike = identity(frames, faces[0], finder, embed) if embed else None
    beside = Beside(_counted(faces), alike, place, motion.ms(len(frames) - 1))
    return _columns(judge(measured, leaked, planned, fps, gates, beside), measured, leaked, beside)


def _counted(faces: list[Face]) -> int:
    return sum(face.eye_distance > BYSTANDER * faces[0].eye_distance for face in faces)


def _columns(
    reasons: list[str],
    measured: Measured | None = None,
    leaked: Leaks | None = None,
    beside: Beside | None = None,
) -> dict[str, Any]:
    row: dict[str, Any] = {"accepted": not reasons, "reject_reasons": reasons}
    measured, beside = measured or Measured(), beside or Beside()
    row |= {f"measured_{moment}_ms": getattr(measured, f"{moment}_ms") for moment in ("onset", "apex", "offset")}
    row |= {"measured_units": _units(measured), "measured_side": measured.side}
    row |= {"region_motion": {r: measured.region_motion.get(r) for r in schema.REGIONS}}
    row |= {"amplitude_percentile": beside.percentile, "identity": beside.identity}
    names = ("amplitude", "signal_to_noise", "unit_fidelity", "unit_fidelity_shuffled", "unit_leakage", "residual")
    row |= {name: getattr(measured, name) for name in names}
    names = ("head_motion", "blinks", "flicker", "noise", "jump", "stillness")
    return row | {name: getattr(leaked, name, None) for name in names}


def _units(measured: Measured) -> list[dict[str, Any]] | None:
    return None if measured.apex_ms is None else [unit.to_dict() for unit in measured.units]
