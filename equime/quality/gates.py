"""Is it a micro-expression? The thresholds, as options, and the verdict with its reasons.

Why: a clip is accepted for what can be seen in it, and whoever disagrees with a threshold changes one field. Rejected
clips stay in the table, each with the numbers it fell by.

    equime score ws --max-duration-ms 500
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from equime.action_units import ActionUnit
from equime.errors import EquimeError
from equime.options import option
from equime.quality.cues import CUES
from equime.quality.leaks import Leaks
from equime.quality.measure import DETECTED, Measured, least_signal


@dataclass(frozen=True)
class Gates:
    """Thresholds of the verdict; each reason for a rejection names the one it fell to. Infinite: no limit.

    Raises:
        EquimeError: One that is not a number, which would let everything pass.
    """

    # Yan et al. 2013: a micro-expression lasts half a second at most and reaches its apex within 260 ms.
    max_duration_ms: float = option(500.0, help="longest micro-expression, onset to offset, in ms")
    max_onset_to_apex_ms: float = option(260.0, help="longest way from onset to apex, in ms")
    tolerance_frames: float = option(1.0, help="frames by which a measured duration may exceed the longest")
    # Where the other defaults lie, between clips that are right and clips spoilt on purpose. Right: intensities A to E
    # by the packaged warp and by thin-plate splines on 13 people. Spoilt: the same faces. Still: the quiet stretches
    # of six recordings.
    # Right clips are 22 ms off in apex from intensity B on and 50 at A, 80 and 140 in duration.
    max_apex_error_ms: float = option(125.0, help="largest distance of the measured apex from the planned, in ms")
    max_duration_error_ms: float = option(250.0, help="largest distance of measured and planned duration, in ms")
    min_signal_to_noise: float = option(
        DETECTED, help="least height of the movement over the noise (6, or 12 without a plan, at least)"
    )
    # Right at least 0.0015, grain and compression alone up to 0.0007.
    min_amplitude: float = option(0.001, help="least movement that is told from noise, in eye distances")
    # Right up to 0.04 (intensity E), exaggerated ones 0.064 and more.
    max_amplitude: float = option(0.06, help="largest movement, in eye distances")
    # Right at least 0.57, the other side or other units 0.12.
    min_unit_fidelity: float = option(0.4, help="least agreement of the movement with the planned units, 0-1")
    # Planned regions of the strongest letter: right at least 0.27; regions that nothing moves: five in six below 0.2.
    min_region_share: float = option(0.2, help="least motion of a planned region, as a share of the most moved, 0-1")
    # Right up to 0.65 where noise weighs (B), 0.26 from D on.
    max_leakage: float = option(0.75, help="largest share of the motion in regions of no planned unit, 0-1")
    # Right up to 0.35 (A), 0.12 from B on; a face that stays at its apex 1.
    max_residual: float = option(0.4, help="largest displacement left after offset, as a share of the peak")
    # Without a plan. Right up to 1.2; a smile that goes slowly while the head stirs 3.6.
    max_slow: float = option(2.0, help="largest movement in the course of the clip, in amplitudes of the expression")
    # Without a plan. Right up to 0.22, 0.39 where noise weighs; what is left of a head's motion moves all alike.
    max_spread: float = option(0.45, help="largest movement of the least moved region, as a share of the most moved")
    # Neutral controls up to 0.001.
    max_rest: float = option(0.003, help="largest movement of a face that shows nothing, in eye distances")
    min_percentile: float = option(5.0, help="least place of the amplitude in the real range, 0-100")
    max_percentile: float = option(95.0, help="largest place of the amplitude in the real range, 0-100")
    # Sway up to 0.06; a nod of 0.15 and a tilt of 8 degrees within 10 frames 0.11, a turn of 15 degrees 0.27.
    max_head_motion: float = option(0.08, help="largest head movement, in eye distances")
    # At rest people blink up to 26 times a minute (Bentivoglio et al. 1997): 2.6 times in six seconds.
    max_blinks: int = option(4, help="most blinks in a clip")
    # Right up to 0.3, recordings 0.2 to 2; light that changes by 6 % 8.
    max_flicker: float = option(2.0, help="largest flicker of the skin, in grey levels of 255")
    # Right up to 1.3, recordings to 2.6; with 13 nothing is found of intensity C.
    max_noise: float = option(6.0, help="largest grain of the skin, in grey levels of 255")
    # Right up to 0.15, uncut recordings of a steady head to 0.56, more with a hand before the face; another person from
    # 0.64. Cuts to another moment of one person mostly fall to the head's motion.
    max_jump: float = option(0.55, help="farthest that the picture may become another one, 0-1.4")
    # Right up to 0.1, recordings to 0.3; a frozen picture, coded, 0.94.
    max_stillness: float = option(0.7, help="largest share of frames that repeat the one before, 0-1")
    max_face_lost: float = option(0.0, help="largest share of the clip without the face, 0-1")
    max_faces: int = option(1, help="most faces in the first frame")
    # ArcFace calls two faces one person's from 0.32 on (DeepFace's threshold); frames of one clip are far above.
    min_identity: float = option(0.5, help="least likeness of the face to the first frame's, -1 to 1")

    def __post_init__(self) -> None:
        """Refuse what compares with nothing."""
        for name, limit in vars(self).items():
            if math.isnan(limit):
                raise EquimeError(f"expected a number for --{name.replace('_', '-')}, got {limit}; give a threshold")


@dataclass(frozen=True)
class Planned:
    """What a clip was meant to show.

    Attributes:
        units: Action units; empty for a control without any or where nothing is known.
        control: One of `schema.CONTROLS`, or None.
        onset_ms: Planned times, from the clip's start; None where there are none.
        apex_ms: The same.
        offset_ms: The same.
        known: False: no plan (real footage); only what is measured counts.
    """

    units: tuple[ActionUnit, ...] = ()
    control: str | None = None
    onset_ms: float | None = None
    apex_ms: float | None = None
    offset_ms: float | None = None
    known: bool = True


@dataclass(frozen=True)
class Beside:
    """What else is known of a clip.

    Attributes:
        faces: Faces in the first frame.
        identity: Least cosine of the face's embedding to the first frame's, -1 to 1; None: not measured.
        length_ms: Time of the clip's last frame; None: not known.
        percentile: Place of the amplitude among real ones, 0-100; None: no real range was given.
    """

    faces: int = 1
    identity: float | None = None
    percentile: float | None = None
    length_ms: float | None = None


def judge(
    measured: Measured,
    leaks: Leaks,
    planned: Planned,
    fps: float,
    gates: Gates,
    beside: Beside | None = None,
) -> list[str]:
    """Why a clip is not what it should be: a line for each reason with the number and the threshold's field.

    What makes the rest meaningless stands first: the picture, then the head, then the expression. Duration is judged
    by the plan where there is one, by the measurement, with `tolerance_frames`, where there is none.

    Args:
        measured: The expression.
        leaks: What else moved or changed.
        planned: What was wanted.
        fps: Frames a second.
        gates: The thresholds.
        beside: What else is known.

    Returns:
        The reasons; none: accepted. A control is accepted if it is what it says: neutral shows nothing, macro is too
        long or too large for a micro-expression, blink is one blink and nothing else.
    """
    beside = beside or Beside()
    own = {"neutral": _neutral, "macro": _macro, "blink": _blink}.get(planned.control or "", _micro)
    reasons = [*_picture(leaks, beside, gates), *own(measured, leaks, planned, fps, gates)]
    if own is _micro:
        reasons += _whole(measured, beside)
        reasons += _least(gates, "min_percentile", beside.percentile, "amplitude at percentile {:.0f} of real ones")
        reasons += _most(gates, "max_percentile", beside.percentile, "amplitude at percentile {:.0f} of real ones")
    return reasons


def _picture(leaks: Leaks, beside: Beside, gates: Gates) -> Iterator[str]:
    yield from _most(gates, "max_faces", beside.faces, "{:.0f} faces")
    yield from _most(gates, "max_stillness", leaks.stillness, "{:.0%} of the frames repeat the one before")
    yield from _most(gates, "max_jump", leaks.jump, "the picture becomes another one: jump {:.3f}")
    yield from _most(gates, "max_face_lost", leaks.face_lost, "the face is lost in {:.0%} of the clip")
    yield from _least(gates, "min_identity", beside.identity, "the face changes: likeness {:.3f}")
    yield from _most(gates, "max_noise", leaks.noise, "noise of {:.2f} grey levels")
    yield from _most(gates, "max_flicker", leaks.flicker, "brightness flickers by {:.2f} grey levels")
    yield from _most(gates, "max_head_motion", leaks.head_motion, "the head moves {:.3f} eye distances")
    yield from _most(gates, "max_blinks", leaks.blinks, "{:.0f} blinks")


def _micro(measured: Measured, leaks: Leaks, planned: Planned, fps: float, gates: Gates) -> Iterator[str]:
    unseen = list(_unseen(measured, planned, gates))
    if unseen:
        yield from unseen
        return
    yield from _durations(measured, planned, fps, gates)
    yield from _as_planned(measured, planned, gates) if planned.known else _alone(measured, leaks, gates)
    yield from _most(gates, "max_residual", measured.residual, "{:.0%} of the movement stays after offset")
    yield from _most(gates, "max_amplitude", measured.amplitude, "moves {:.3f} eye distances")
    if (measured.amplitude or 0.0) <= gates.max_amplitude:
        yield from _most(gates, "max_amplitude", leaks.movement, "moves {:.3f} eye distances in the course of the clip")


def _unseen(measured: Measured, planned: Planned, gates: Gates) -> Iterator[str]:
    """A movement in the noise has no times: one reason, and no duration out of nothing."""
    noise = measured.signal_to_noise or 0.0
    seen = least_signal(planned.units)
    least = max(gates.min_signal_to_noise, seen)
    anywhere = ", with no planned way to look" if least == seen != DETECTED else ""
    if measured.apex_ms is None or noise < least:
        yield f"not detected: signal_to_noise {noise:.1f}, at least {least:g}{anywhere} (min_signal_to_noise)"
    else:
        yield from _least(gates, "min_amplitude", measured.amplitude, "not detected: moves {:.4f} eye distances")


def _whole(measured: Measured, beside: Beside) -> Iterator[str]:
    """What begins before the clip or ends after it has no duration."""
    if measured.onset_ms is not None and measured.onset_ms <= 0:
        yield f"is under way in the first frame: onset at {measured.onset_ms:.0f} ms (onset_ms)"
    offset, end = measured.offset_ms, beside.length_ms
    if offset is not None and end is not None and offset >= end:
        yield f"is not over in the last frame: offset at {offset:.0f} ms (offset_ms)"


def _durations(measured: Measured, planned: Planned, fps: float, gates: Gates) -> Iterator[str]:
    times, spare = (measured.onset_ms, measured.apex_ms, measured.offset_ms), gates.tolerance_frames * 1000 / fps
    if planned.onset_ms is not None:
        times, spare = (planned.onset_ms, planned.apex_ms, planned.offset_ms), 0.0
    onset, apex, offset = times
    if onset is not None and offset is not None:
        yield from _most(gates, "max_duration_ms", offset - onset, "lasts {:.0f} ms", spare)
    if onset is not None and apex is not None:
        yield from _most(gates, "max_onset_to_apex_ms", apex - onset, "reaches its apex in {:.0f} ms", spare)


def _as_planned(measured: Measured, planned: Planned, gates: Gates) -> Iterator[str]:
    if planned.apex_ms is not None and measured.apex_ms is not None:
        error = abs(measured.apex_ms - planned.apex_ms)
        yield from _most(gates, "max_apex_error_ms", error, "apex is {:.0f} ms from the planned one")
    shown, wanted = _duration(measured), _duration(planned)
    if shown is not None and wanted is not None:
        text = "duration is {:.0f} ms from the planned one"
        yield from _most(gates, "max_duration_error_ms", abs(shown - wanted), text)
    sides = {unit.side for unit in planned.units}
    if sides in ({"L"}, {"R"}) and measured.side in {"L", "R"} - sides:
        yield f"moves on side {measured.side}, planned on {sides.pop()} (side)"
    yield from _least(gates, "min_unit_fidelity", measured.unit_fidelity, "not the planned units: unit_fidelity {:.3f}")
    for region, share in _shares(measured, planned.units).items():
        yield from _least(gates, "min_region_share", share, f"the planned {region} hardly moves: share {{:.3f}}")
    yield from _most(gates, "max_leakage", measured.unit_leakage, "{:.0%} of the motion is in other regions")


def _shares(measured: Measured, units: Sequence[ActionUnit]) -> dict[str, float]:
    """How far each planned region moves, in shares of the most moved; without those planned fainter than others."""
    strongest = max((unit.intensity or "" for unit in units), default="")
    plain = {unit.region for unit in units if unit.au in CUES and unit.intensity in (None, strongest)}
    most = max(measured.region_motion.values(), default=0.0)
    return {region: moved / most for region, moved in measured.region_motion.items() if region in plain and most}


def _duration(times: Measured | Planned) -> float | None:
    return None if times.onset_ms is None or times.offset_ms is None else times.offset_ms - times.onset_ms


def _alone(measured: Measured, leaks: Leaks, gates: Gates) -> Iterator[str]:
    """Without a plan, a blink, a slow expression or what is left of a head's motion must not pass for one."""
    onset, offset = measured.onset_ms or 0.0, measured.offset_ms or 0.0
    for start, end in leaks.blink_ms:
        if start < offset and onset < end:
            yield f"a blink from {start:.0f} to {end:.0f} ms, during the movement (blinks)"
    if measured.amplitude:
        yield from _most(gates, "max_slow", leaks.movement / measured.amplitude, "moves {:.1f} times as far slowly")
    if any(measured.region_motion.values()):
        moved = measured.region_motion.values()
        yield from _most(gates, "max_spread", min(moved) / max(moved), "every region moves: the least by {:.0%}")


def _neutral(measured: Measured, leaks: Leaks, planned: Planned, fps: float, gates: Gates) -> Iterator[str]:
    yield from _most(gates, "max_rest", leaks.movement, "should show nothing and moves {:.4f} eye distances")


def _macro(measured: Measured, leaks: Leaks, planned: Planned, fps: float, gates: Gates) -> Iterator[str]:
    yield from _unseen(measured, planned, gates)
    small = measured.amplitude is not None and measured.amplitude <= gates.max_amplitude
    if small and measured.onset_ms is not None and measured.offset_ms is not None:
        lasts = measured.offset_ms - measured.onset_ms
        yield from _least(gates, "max_duration_ms", lasts, "should be no micro-expression and lasts {:.0f} ms")


def _blink(measured: Measured, leaks: Leaks, planned: Planned, fps: float, gates: Gates) -> Iterator[str]:
    if leaks.blinks != 1:
        yield f"should be one blink and has {leaks.blinks} (blinks)"
    yield from _neutral(measured, leaks, planned, fps, gates)


def _most(gates: Gates, field: str, value: float | None, text: str, spare: float = 0.0) -> Iterator[str]:
    limit = getattr(gates, field)
    if value is not None and value > limit + spare:
        yield f"{text.format(value)}, at most {limit:g} ({field})"


def _least(gates: Gates, field: str, value: float | None, text: str) -> Iterator[str]:
    limit = getattr(gates, field)
    if value is not None and value < limit:
        yield f"{text.format(value)}, at least {limit:g} ({field})"
