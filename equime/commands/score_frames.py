"""`equime score --frames FOLDER --fps X`: pictures in a folder, as CASME II, SAMM and the like are handed out."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equime.action_units import ActionUnit, parse
from equime.action_units import format as written
from equime.commands.shared import say, warn
from equime.errors import EquimeError
from equime.options import result_fields

Row = Mapping[str, Any]


def score_frames(stage: Any, options: argparse.Namespace) -> int:
    """Score each sequence of pictures in or below a folder; 1 where one could not be scored."""
    from tqdm import tqdm

    from equime.quality.ledger import Ledger
    from equime.quality.sequence import require_fps, sequences

    fps = require_fps(options.fps)
    units = parse(options.units).units
    folders = sequences(options.frames)
    ledger = Ledger(options.out)
    stage.load()
    rows = []
    for folder in tqdm(folders, desc="score", unit="sequence", disable=None if len(folders) > 1 else True, smoothing=0):
        try:
            rows.append(_row(stage, folder, options.frames, fps, units, ledger))
        except EquimeError as error:
            if len(folders) == 1:
                raise
            warn(str(error))
            rows.append({"sequence": _name(folder, options.frames), "score_error": str(error)})
    if options.out is not None:
        warn(f"kept in {options.out}, as JSON lines: the same command goes on from there")
    say(options, "\n".join(map(_line, rows)), rows[0] if len(folders) == 1 else rows)
    return 1 if any(row.get("score_error") for row in rows) else 0


def _row(stage: Any, folder: Path, root: Path, fps: float, units: tuple[ActionUnit, ...], ledger: Any) -> Row:
    from equime.quality.gates import Planned
    from equime.quality.ledger import key_of
    from equime.quality.sequence import Sequence

    sequence = Sequence.of(folder)
    shown = [unit.to_dict() for unit in units]
    key = key_of(stage.version, result_fields(stage), fps, shown, sequence.files)
    kept: Row | None = ledger.get(key)
    if kept is not None:
        return kept
    frames = sequence.frames()
    found = stage.score(frames, fps, Planned(units, known=bool(units)))
    note = f"{sequence.missing} numbers have no picture: the one before is shown" if sequence.missing else ""
    about = {"sequence": _name(folder, root), "num_frames": len(frames), "fps": fps, "first": sequence.numbers[0]}
    found["score_note"] = "; ".join(filter(None, [note, found["score_note"]])) or None
    added: Row = ledger.add(key, json.loads(json.dumps(about | found)))
    return added


def _name(folder: Path, root: Path) -> str:
    return folder.name if folder == root else folder.relative_to(root).as_posix()


def _line(row: Row) -> str:
    """A sequence for people: the verdict, then what was measured."""
    if row.get("score_error"):
        return f"{row['sequence']}: not scored: {row['score_error']}"
    times = [row[f"measured_{moment}_ms"] for moment in ("onset", "apex", "offset")]
    lines = [f"{row['sequence']}: {'a valid micro-expression' if row['accepted'] else 'rejected'}"]
    lines += [f"  {reason}" for reason in row["reject_reasons"] or ()]
    if None not in times:
        onset, apex, offset = times
        places = (min(round(t * row["fps"] / 1000), row["num_frames"] - 1) for t in times)
        at = ", ".join(str(row["first"] + place) for place in places)
        lines.append(f"  onset {onset:.0f} ms, apex {apex:.0f} ms, offset {offset:.0f} ms: files {at}")
    if row["measured_units"]:
        seen = written(ActionUnit.from_dict(unit) for unit in row["measured_units"])
        lines.append(f"  units seen {seen}, side {row['measured_side']}")
    lines += [
        f"  {name} {row[name]:.4g}"
        for name in ("amplitude", "amplitude_percentile", "signal_to_noise", "unit_fidelity", "head_motion")
        if row[name] is not None
    ]
    return "\n".join(lines)
