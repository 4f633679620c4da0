"""What an audit and a report of 75,000 clips take, and group scores with intervals against fairlearn's.

    python bench/audit.py
    python bench/audit.py --json

The workspace has 15,000 subjects and five emotions each, every plan, tag and score column an audit reads filled at
random; all clips are one of eight small real videos. The report is that of the command: everything summed up, every
interval drawn, 24 clips decoded, cut out and encoded. Recall by race and gender with intervals is asked of `fairlearn`
too, which draws clips where this package draws people.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
import pyarrow as pa
from make_clips import clip_bytes
from make_workspace import add_rows

from equime import catalog, schema, video
from equime.table import Table

SUBJECTS, BATCH = 15_000, 3200
UNITS = {"happiness": (6, 12), "sadness": (1, 15), "surprise": (1, 2, 5), "fear": (1, 4, 20), "anger": (4, 7, 23)}
REPEATS = 20
"""Bootstrap draws asked of fairlearn, whose time is then reckoned for 1,000."""


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=SUBJECTS)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="make the workspace here, or use the one that is here")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = options.keep or Path(folder) / "ws"
        if not workspace.exists():
            made(workspace, options.subjects)
        predictions = Path(folder) / "predictions.csv"
        answered(workspace, predictions)
        found = report(workspace, predictions, Path(folder) / "report.html") | against_fairlearn(predictions)
    if options.json:
        print(json.dumps({"claims": claims(found), **found}))
    else:
        print("\n".join(f"{name:42} {value:.2f}" for name, value in found.items()))


def claims(found: dict[str, float]) -> list[dict[str, Any]]:
    """What is held against a goal."""
    rows = [
        ("the report of 75,000 clips and their predictions, catalog there", "-", "report s", "s", "at most 20"),
        ("its page, 24 clips inline", "-", "page MB", "MB", "at most 10"),
        (
            "all scores of 75,000 answers by race x gender, 1,000 draws",
            "fairlearn's recall alone (20 draws timed, 1,000 reckoned)",
            "by group x",
            "x",
            "at least 10",
        ),
    ]
    return [{"claim": c, "against": a, "value": found[n], "unit": u, "goal": g} for c, a, n, u, g in rows]


def made(path: Path, subjects: int) -> None:
    """Write the workspace, a few shards at a time."""
    clips = [
        clip_bytes(schema.NUM_FRAMES, schema.SIZE, seed=seed, gop=schema.NUM_FRAMES, crf="48") for seed in range(8)
    ]
    table, rows = Table.create(path, shard_rows=64), []
    for row in plan(subjects, clips):
        rows.append(row)
        if len(rows) == BATCH:
            add_rows(table, rows)
            rows = []
    if rows:
        add_rows(table, rows)


def plan(subjects: int, clips: list[bytes]) -> Iterator[dict[str, Any]]:
    """Rows of every group."""
    scores = [f.name for f in schema.GROUPS["score"] if pa.types.is_floating(f.type)]
    for subject in range(subjects):
        draw = random.Random(subject)
        gender, age, race = draw.choice(schema.GENDERS), draw.choice(schema.AGE_BANDS), draw.choice(schema.RACES)
        who: dict[str, Any] = {"subject_id": f"p{subject:05}", "split": schema.SPLITS[max(subject % 10 - 7, 0)]}
        who |= {"source_gender": gender, "source_age": age, "source_race": race, "cell": f"{gender}|{age}|{race}"}
        tagged = race if draw.random() < 0.7 else draw.choice(schema.RACES)
        who |= {"gender": gender, "age": draw.uniform(18, 70), "age_std": 2.0, "race": tagged, "tagger": "deepface"}
        who |= {"gender_probs": {g: float(g == gender) for g in schema.GENDERS}, "face_count": 1.0, "agreement": 0.9}
        who |= {"race_probs": {r: 0.75 if r == tagged else 0.05 for r in schema.RACES}, "expression": "neutral"}
        who |= {"skin_ita": draw.uniform(-50, 70), "face_box": [100.0, 100.0, 400.0, 460.0], "epoch": 0}
        for emotion in schema.EMOTIONS:
            yield who | _clip(who, emotion, clips[draw.randrange(len(clips))], scores, draw)


def _clip(who: dict[str, Any], emotion: str, data: bytes, scores: list[str], draw: random.Random) -> dict[str, Any]:
    letter, side = draw.choice("ABCDE"), draw.choice("LRBB")
    units = [{"au": au, "side": side, "intensity": letter} for au in UNITS[emotion]]
    onset, rise = draw.uniform(1000, 4000), draw.uniform(80, 240)
    apex, offset = onset + rise, onset + 2 * rise
    row: dict[str, Any] = {name: draw.random() for name in scores}
    row |= {"clip_id": f"{emotion}/{who['source_gender'][0]}_{who['subject_id']}_01", "emotion": emotion, "sequence": 1}
    row |= {"design": "balanced", "action_units": units, "onset_ms": onset, "apex_ms": apex, "offset_ms": offset}
    row |= {"seed": draw.getrandbits(63), "video": {"bytes": data, "path": None}, "sha256": video.sha256(data)}
    row |= {"num_frames": schema.NUM_FRAMES, "fps": 24.0, "width": schema.SIZE, "height": schema.SIZE}
    row |= {"duration_s": 6.0, "size_bytes": len(data), "bitrate_kbps": 20.0, "generator": "warp"}
    told = f"A {draw.choice(('slight', 'brief', 'faint'))} movement: " + ", ".join(f"AU{au}" for au in UNITS[emotion])
    row |= {"caption": told, "caption_json": json.dumps({"text": told}), "captioner": "template"}
    row |= {"measured_onset_ms": onset + draw.gauss(0, 30), "measured_apex_ms": apex + draw.gauss(0, 30)}
    row |= {"measured_offset_ms": offset + draw.gauss(0, 30), "measured_units": units, "measured_side": side}
    row |= {"region_motion": {region: draw.random() for region in schema.REGIONS}, "blinks": 0}
    accepted = draw.random() < 0.9
    return row | {"accepted": accepted, "reject_reasons": [] if accepted else ["residual 0.4 over 0.3 (residual)"]}


def answered(workspace: Path, path: Path) -> None:
    """Answers to every clip, right two times of three."""
    rng = np.random.default_rng(0)
    rows = Table(workspace).rows(["clip_id", "subject_id", "emotion", "source_race", "source_gender"])
    with path.open("w") as out:
        out.write("clip_id,subject_id,label,prediction,race,gender\n")
        for row in rows:
            answer = row["emotion"] if rng.random() < 2 / 3 else schema.EMOTIONS[rng.integers(5)]
            about = row["clip_id"], row["subject_id"], row["emotion"], answer, row["source_race"], row["source_gender"]
            out.write(",".join(about) + "\n")


def report(workspace: Path, predictions: Path, out: Path) -> dict[str, float]:
    """Seconds of the command from start to end, after the catalog is there, and the size of its page."""
    command = [sys.executable, "-m", "equime", "report", str(workspace), "--predictions", str(predictions)]
    catalog.load(Table(workspace))
    begun = time.perf_counter()
    subprocess.run([*command, "--out", str(out)], check=True, stdout=subprocess.DEVNULL)
    return {"report s": time.perf_counter() - begun, "page MB": out.stat().st_size / 1e6}


def against_fairlearn(predictions: Path) -> dict[str, float]:
    """How many times longer fairlearn takes for one score by group with intervals than this package for all."""
    from fairlearn.metrics import MetricFrame
    from sklearn.metrics import recall_score

    from equime.audit.performance import performance
    from equime.audit.tables.answers import read_answers

    begun = time.perf_counter()
    performance(read_answers(predictions), ["gender+race"])
    ours = time.perf_counter() - begun
    import pandas as pd

    table = pd.read_csv(predictions)
    begun = time.perf_counter()
    MetricFrame(
        metrics=lambda truth, answer: recall_score(truth, answer, average="macro"),
        y_true=table.label,
        y_pred=table.prediction,
        sensitive_features=table[["race", "gender"]],
        n_boot=REPEATS,
        ci_quantiles=[0.025, 0.975],
        random_state=0,
    )
    theirs = (time.perf_counter() - begun) * 1000 / REPEATS
    return {"by group s": ours, "fairlearn s": theirs, "by group x": theirs / ours}


if __name__ == "__main__":
    main()
