"""What `quality.study` needs of clips, as arrays over them: one pass over rows, read once and dropped.

Why: a study gives some thirty figures for some thirty groups. A row as a dictionary takes 3 kB and would be looked up
a thousand times; as columns it takes 200 bytes, and a group of clips is nothing but places in them.

    clips = Clips.of(table.rows([...]))
    faint = clips[clips.letter == "A"]

Labels of appearance are *perceived*; sides are the subject's own.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from equime import schema
from equime.action_units import REGION, ActionUnit
from equime.quality.cues import regions
from equime.skin import skin_band

Array = npt.NDArray[Any]
Row = Mapping[str, Any]

MOMENTS: Final = ("onset", "apex", "offset")
PERCEIVED: Final = (("source_gender", "gender"), ("source_age", ""), ("source_race", "race"))
"""Where a perceived label stands: as the source gives it, else as tagged."""
CHUNK: Final = 1024


@dataclass(frozen=True)
class Clips:
    """Columns of n clips; null is NaN, False or "".

    Attributes:
        subject: int32 (n,), numbered in the order of their ids.
        control: Kind of control, str (n,).
        expressed: Whether units and times are planned and it is no control, bool (n,).
        letter: Intensity of the strongest unit, str (n,).
        groups: Names of the groups by appearance ("gender female", "skin tan"), object (n, 4); None where it has none.
        frame_ms: Length of a frame, float64 (n,).
        planned: Onset, apex and offset in ms, float64 (n, 3).
        found: The same as measured, float64 (n, 3).
        measured: Whether an apex was found, bool (n,).
        side: That of a programme whose units all share one, str (n,); "" where they differ or it is unsaid.
        found_side: As measured, str (n,).
        regions: Of the planned units themselves, bool (n, 5).
        dragged: Regions that FACS says move too, as the lip with the chin: neither right nor wrong; bool (n, 5).
        motion: How far each region moved, in eye distances, float64 (n, 5); 0 where nothing is known.
        fidelity: Of the units to the plan and to another clip's, float64 (n, 2).
        accepted: bool (n,).
        judged: Whether it was accepted or rejected at all, bool (n,).
        gates: Those that rejected it, each once, object (n,) of tuples.
    """

    subject: Array
    control: Array
    expressed: Array
    letter: Array
    groups: Array
    frame_ms: Array
    planned: Array
    found: Array
    measured: Array
    side: Array
    found_side: Array
    regions: Array
    dragged: Array
    motion: Array
    fidelity: Array
    accepted: Array
    judged: Array
    gates: Array

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Clips:
        """The columns of those rows that plan an expression or are controls; absent ones count as null.

        Args:
            rows: Plan, tag and score columns and `fps`.

        Raises:
            EquimeError: A unit that FACS does not know.
        """
        left = (row for row in rows if row.get("control") or _is_expressed(row))
        parts = [_columns([])]
        while chunk := list(islice(left, CHUNK)):
            parts.append(_columns(chunk))
        joined = {name: np.concatenate([part.pop(name) for part in parts]) for name in list(parts[0])}
        joined["subject"] = np.unique(joined["subject"], return_inverse=True)[1].astype(np.int32)
        return cls(**joined)

    def __len__(self) -> int:
        return len(self.subject)

    def __getitem__(self, chosen: Array) -> Clips:
        """Some of them, by mask or by place."""
        return Clips(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})


def _columns(rows: Sequence[Row]) -> dict[str, Array]:
    expressed = [_is_expressed(row) for row in rows]
    units = [row["action_units"] if told else () for row, told in zip(rows, expressed, strict=True)]
    programmes = [_programme(tuple(tuple(unit.items()) for unit in planned)) for planned in units]
    letters, sides, own, dragged = zip(*programmes, strict=True) if rows else ((), (), (), ())
    motions = [row.get("region_motion") or {} for row in rows]
    accepted = [row.get("accepted") for row in rows]
    return {
        "subject": np.array([str(row.get("subject_id")) for row in rows], str),
        "control": np.array([row.get("control") or "" for row in rows], str),
        "expressed": np.array(expressed, bool),
        "letter": np.array(letters, str),
        "groups": _table([list(_perceived(row)) for row in rows], 4, object),
        "frame_ms": np.array([1000 / (row.get("fps") or schema.FPS) for row in rows], np.float64),
        "planned": _numbers(rows, [f"{moment}_ms" for moment in MOMENTS]),
        "found": _numbers(rows, [f"measured_{moment}_ms" for moment in MOMENTS]),
        "measured": np.array([row.get("measured_apex_ms") is not None for row in rows], bool),
        "side": np.array(sides, str),
        "found_side": np.array([row.get("measured_side") or "" for row in rows], str),
        "regions": _table(own, len(schema.REGIONS), bool),
        "dragged": _table(dragged, len(schema.REGIONS), bool),
        "motion": _table([[m.get(r) or 0.0 for r in schema.REGIONS] for m in motions], len(schema.REGIONS), np.float64),
        "fidelity": _numbers(rows, ["unit_fidelity", "unit_fidelity_shuffled"]),
        "accepted": np.array([said is True for said in accepted], bool),
        "judged": np.array([said is not None for said in accepted], bool),
        "gates": np.fromiter((gates(row) for row in rows), object, len(rows)),
    }


def _is_expressed(row: Row) -> bool:
    return row.get("control") is None and bool(row.get("action_units")) and row.get("apex_ms") is not None


def _numbers(rows: Sequence[Row], names: Sequence[str]) -> Array:
    values = [[np.nan if (value := row.get(name)) is None else value for name in names] for row in rows]
    return _table(values, len(names), np.float64)


def _table(values: Sequence[Sequence[Any]], width: int, kind: npt.DTypeLike) -> Array:
    return np.array(values, kind).reshape(len(values), width)


@lru_cache(maxsize=4096)
def _programme(units: tuple[tuple[tuple[str, Any], ...], ...]) -> tuple[str, str, tuple[bool, ...], tuple[bool, ...]]:
    """Letter, side, own regions and dragged ones: clips share few programmes."""
    found = [ActionUnit.from_dict(dict(unit)) for unit in units]
    sides = {unit.side for unit in found}
    own = {REGION[unit.au] for unit in found}
    return (
        max((unit.intensity or "" for unit in found), default=""),
        next(iter(sides - {"U"})) if len(sides) == 1 and sides != {"U"} else "",
        tuple(region in own for region in schema.REGIONS),
        tuple(region in regions(found) - own for region in schema.REGIONS),
    )


def _perceived(row: Row) -> Iterator[str | None]:
    """The name of the group that a clip's subject is counted in, by each kind of appearance."""
    for first, second in PERCEIVED:
        label = row.get(first) or row.get(second)
        yield sys.intern(f"{first.removeprefix('source_')} {label}") if label else None
    band = skin_band(row.get("skin_ita"))
    yield sys.intern(f"skin {band}") if band else None


def gates(row: Row) -> tuple[str, ...]:
    """The gates that rejected a clip, each once."""
    return tuple(dict.fromkeys(sys.intern(_gate(reason)) for reason in row.get("reject_reasons") or ()))


def _gate(reason: str) -> str:
    """The threshold that a reason names in brackets at its end, or else its words up to the first number."""
    field = re.search(r"\((\w+)[^()]*\)$", reason)
    return field[1] if field else re.split(r"[\d:(]", reason)[0].strip()
