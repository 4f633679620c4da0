"""How long 75,000 clips take to plan from screened sources, and how much memory: under 30 s, and flat.

    python bench/plan.py            # 15,000 subjects with skewed labels, five emotions each
    python bench/plan.py --json

"choose" decides on subjects, splits and order; "write" draws the programmes, words the prompts and writes the shards.
Growth is the resident memory at the end over that after the first tenth of the rows.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from make_sources import make_sources

from equime.builders.generate import Generate
from equime.plan import PlanOptions, plan
from equime.screening.gallery import write_sources
from equime.screening.thresholds import Screen
from equime.table import Table

CLIPS, PER_SUBJECT = 75_000, 5
GOAL_S, GOAL_MB = 30.0, 50.0


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=CLIPS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder) / "ws", options.clips)
    if options.json:
        print(json.dumps({"claims": claims(found), **found}))
    else:
        print("\n".join(f"{name:12} {value:.1f}" for name, value in found.items()))


def measure(path: Path, clips: int) -> dict[str, float]:
    """Seconds and megabytes."""
    Table.create(path, faces=str(path.parent))
    write_sources(path, make_sources(clips // PER_SUBJECT), Screen())
    memory: list[float] = []
    begun = time.perf_counter()
    first: list[float] = []

    def wrote(done: int, total: int) -> None:
        if done == 1:
            first.append(time.perf_counter())
        if done in (total // 10, total):
            memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)

    # The labels are skewed as the published data set's, so all subjects together cannot be even: take them all.
    options = PlanOptions(subjects=clips // PER_SUBJECT, allow_shortfall=True, pseudonyms=True)
    report = plan(path, options, Generate().shows, wrote=wrote)
    ended = time.perf_counter()
    assert report.rows == clips, report.rows
    return {
        "rows": report.rows,
        "choose_s": first[0] - begun,
        "write_s": ended - first[0],
        "total_s": ended - begun,
        "peak_mb": memory[-1],
        "growth_mb": memory[-1] - memory[0],
    }


def claims(found: dict[str, float]) -> list[dict[str, object]]:
    """What stands in the README."""
    return [
        {
            "claim": "75,000 clips planned from screened sources",
            "against": "-",
            "value": found["total_s"],
            "unit": "s",
            "goal": f"at most {GOAL_S:g}",
        },
        {
            "claim": "memory growth, planning 75,000 clips",
            "against": "first 7,500 rows",
            "value": found["growth_mb"],
            "unit": "MB",
            "goal": f"at most {GOAL_MB:g}",
        },
    ]


if __name__ == "__main__":
    main()
