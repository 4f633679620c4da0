"""Programmes, interventions on them, and the row of the plan that an intervention would have made.

Why apart: `Do` says which variables of the causal model (`equime.causal`) are set from outside, `changed` writes what
follows into a planned row. Neither draws anything.

    model.sample("fear", partial(noise, 7), Do(units=(4, 7), intensity="B"))
    model.counterfactual(row, Do(emotion="anger"))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from equime import schema
from equime.action_units import FACS, INTENSITIES, ActionUnit, Side
from equime.errors import EquimeError
from equime.scm.manner import PAIRED_UNITS
from equime.scm.times import MIN_GAP_MS

Row = Mapping[str, Any]

FACE_COLUMNS = (
    "subject_id",
    "source",
    "source_sha256",
    "source_licence",
    "source_gender",
    "source_age",
    "source_race",
    "cell",
    "split",
)
"""Columns of the plan that say whose face is shown (perceived labels)."""
NAMED_AFTER = ("clip_id", "twin_id", "twin_contrast", "prompt")
"""Columns of the plan that name or word what other columns hold: emptied when these change, for the planner to fill."""
TIMES = ("onset", "apex", "offset")


@dataclass(frozen=True)
class Programme:
    """What one clip shall show; times in ms from the clip's start, at 10 % of the peak displacement."""

    units: tuple[ActionUnit, ...]
    onset_ms: float
    apex_ms: float
    offset_ms: float

    @property
    def times(self) -> tuple[float, float, float]:
        """Onset, apex and offset in ms."""
        return self.onset_ms, self.apex_ms, self.offset_ms

    def is_like(self, other: Programme) -> bool:
        """Whether both show the same, times to a microsecond."""
        return self.units == other.units and all(
            abs(a - b) < 1e-3 for a, b in zip(self.times, other.times, strict=True)
        )


@dataclass(frozen=True)
class Do:
    """An intervention: the variables that are set, whatever their causes say. None leaves a variable to the model.

    Attributes:
        emotion: E, the intended emotion.
        units: A, all units of the clip, by number; in rising order afterwards.
        intensity: a letter for every unit (weakened to a unit's cap), or unit -> letter for some.
        side: a side for every unit that exists on two, or unit -> side for some.
        times: onset, apex and offset in ms.
        face: D, as columns of the plan (`FACE_COLUMNS`): who is shown. It has no effect on any other variable.

    Raises:
        EquimeError: unknown units, letters, sides or columns, no unit, or times that make no expression of a clip.
    """

    emotion: str | None = None
    units: tuple[int, ...] | None = None
    intensity: str | Mapping[int, str] | None = None
    side: Side | Mapping[int, Side] | None = None
    times: tuple[float, float, float] | None = None
    face: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        """Refuse what no clip can show."""
        if self.units is not None:
            units = tuple(sorted(self.units))
            if not units or len(set(units)) < len(units) or not set(units).issubset(FACS):
                raise EquimeError(f"expected one or more FACS units, each once, got {self.units = }; correct do()")
            object.__setattr__(self, "units", units)
        for au, letter in _each(self.intensity):
            if letter not in tuple(INTENSITIES):
                raise EquimeError(f"expected an intensity A to E of unit {au}, got {letter = }; correct do()")
        for au, side in _each(self.side):
            if side not in ("L", "R", "B") or (au is not None and side != "B" and au not in PAIRED_UNITS):
                raise EquimeError(f"expected a side L, R or B that unit {au} can act on, got {side = }; correct do()")
        if self.times is not None:
            _check_times(self.times)
        if self.face is not None and not set(self.face).issubset(FACE_COLUMNS):
            raise EquimeError(f"expected columns among {', '.join(FACE_COLUMNS)}, got {self.face = }; correct do()")

    def then(self, later: Do) -> Do:
        """Both interventions, the later one where they set the same variable."""
        set_later = {f.name: value for f in fields(later) if (value := getattr(later, f.name)) is not None}
        return replace(self, **set_later)

    def letter(self, au: int, drawn: str, cap: str) -> str:
        """The unit's intensity.

        Raises:
            EquimeError: it is set, for this unit alone, above the unit's cap.
        """
        if self.intensity is None:
            return drawn
        if isinstance(self.intensity, str):
            return min(self.intensity, cap)
        letter = self.intensity.get(au, drawn)
        if letter > cap:
            raise EquimeError(f"expected an intensity of unit {au} up to {cap = }, got {letter = }; correct do()")
        return letter

    def side_of(self, au: int, drawn: Side) -> Side:
        """The unit's side."""
        if self.side is None:
            return drawn
        if isinstance(self.side, str):
            return self.side if au in PAIRED_UNITS else drawn
        return self.side.get(au, drawn)


def _each(value: str | Mapping[int, Any] | None) -> list[tuple[int | None, Any]]:
    if value is None:
        return []
    return [(None, value)] if isinstance(value, str) else list(value.items())


def _check_times(times: tuple[float, float, float]) -> None:
    onset, apex, offset = times
    if not (onset >= 0 and min(apex - onset, offset - apex) >= MIN_GAP_MS - 1e-9 and offset <= schema.DURATION_MS):
        raise EquimeError(
            f"expected onset, apex and offset in ms, a frame ({MIN_GAP_MS:.1f} ms) apart and within the clip, "
            f"got {times = }; correct do()"
        )


def programme_of(row: Row) -> Programme:
    """What a planned row shows.

    Raises:
        EquimeError: the row has no emotion, units or times: it is a control, or no row of a plan.
    """
    wanted = ("emotion", "seed", "action_units", *(f"{name}_ms" for name in TIMES))
    missing = [name for name in wanted if row.get(name) is None]
    if missing or not row["action_units"]:
        clip_id = row.get("clip_id")
        raise EquimeError(f"expected a planned row of an emotion, got {clip_id = } without {missing or 'units'}")
    units = sorted(map(ActionUnit.from_dict, row["action_units"]))
    return Programme(tuple(units), *(float(row[f"{name}_ms"]) for name in TIMES))


def changed(row: Row, before: Programme, after: Programme, do: Do) -> dict[str, Any]:
    """The row with what `do` sets and what follows from it; every other column as it is.

    Args:
        row: the factual row.
        before: what it shows, as drawn.
        after: what it shows under `do`, from the same noise.
        do: the intervention.
    """
    new: dict[str, Any] = dict(do.face or {})
    if do.emotion is not None:
        new["emotion"] = do.emotion
    if after.units != before.units:
        new["action_units"] = [unit.to_dict() for unit in after.units]
    for name, old, ms in zip(TIMES, before.times, after.times, strict=True):
        if ms != old:
            new |= {f"{name}_ms": ms, name: round(ms * schema.FPS / 1000)}
    new = {name: value for name, value in new.items() if row.get(name) != value}
    emptied = {name: None for name in NAMED_AFTER if new and name in row}
    return {**row, **emptied, **new}
