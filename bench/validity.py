"""What judging a clip costs, and what else could have been used: `python bench/validity.py [--json]`.

One clip of the packaged generator (512 x 512, 144 frames) as it comes back from its file; CPU seconds of one core,
medians of turns taken in one run:

- the whole validity block: face, motion of all parts, times, units, leaks, verdict;
- TV-L1 flow of every frame against the first, the field's default: four frames are timed and the rest is reckoned;
- the packaged face mesh on every frame and no flow, with the same measure read from its points: about half the cost,
  and blind to faint clips: the apexes that either finds within a frame, at intensity B, are counted too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.update(OMP_NUM_THREADS="1")
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

if TYPE_CHECKING:
    from equime.face import FaceFinder
    from equime.quality.motion import Motion
    from equime.video import Frames

PROGRAMMES = ("12B", "4B", "L10B", "1B+2B", "15B", "R12B", "17B", "9B")
TIMES = (2400.0, 2560.0, 2760.0)
TIMED_PAIRS = 4


def clip(programme: str, seed: int) -> Frames:
    """The frames of a warped portrait, after its file."""
    import skimage.data

    from equime import video
    from equime.action_units import parse
    from equime.generators.scene import Still
    from equime.generators.warp import Warp

    still = Still.of(skimage.data.astronaut())
    return video.decode(video.encode(Warp().frames(still, parse(programme).units, *TIMES, seed)))


def block(frames: Frames, programme: str, finder: FaceFinder) -> dict[str, Any]:
    """The whole of it."""
    from equime.action_units import parse
    from equime.quality.gates import Gates, Planned
    from equime.quality.validity import validity

    return validity(frames, 24.0, Planned(parse(programme).units, None, *TIMES), finder, Gates())


def tvl1(frames: Frames, count: int) -> None:
    """TV-L1 flow of some frames against the first."""
    from equime.flow import dense

    for frame in frames[:: len(frames) // count][:count]:
        dense(frames[0], frame, "tvl1")


def by_mesh(frames: Frames, finder: FaceFinder) -> Motion:
    """A clip's motion from the mesh's points alone, the head's own taken out at points that hardly move."""
    import numpy as np

    from equime.flow import STABLE_POINTS
    from equime.mesh import region_points
    from equime.quality.motion import WATCHED, Motion

    face = before = finder(frames[0])[0]
    rest, stable = face.points[:, :2], list(STABLE_POINTS)
    moved = []
    for frame in frames:
        before = finder.track(frame, before) or before
        now = before.points[:, :2]
        design = np.column_stack([now, np.ones(len(now))])
        head, *_ = np.linalg.lstsq(design[stable], rest[stable], rcond=None)
        moved.append((design @ head - rest) / face.eye_distance)
    table = np.asarray(moved, np.float32)
    side = {"R": np.array([-1, -1], np.float32), "L": np.array([1, -1], np.float32)}
    traces = {(p, s): table[:, list(region_points(p, s))].mean(1) * side[s] for p in WATCHED for s in side}
    return Motion(24.0, face, traces, np.zeros((len(frames), 4), np.float32))


def seconds(task: Callable[[], Any]) -> float:
    """CPU seconds of one call."""
    begun = time.process_time()
    task()
    return time.process_time() - begun


def costs(rounds: int) -> dict[str, float]:
    """Median CPU seconds a clip of each way."""
    from equime.action_units import parse
    from equime.face import FaceFinder
    from equime.quality.measure import measure

    finder = FaceFinder()
    finder.load()
    frames = clip("12C", 0)
    block(frames, "12C", finder)
    tasks: dict[str, Callable[[], Any]] = {
        "block": lambda: block(frames, "12C", finder),
        "tvl1": lambda: tvl1(frames, TIMED_PAIRS),
        "mesh": lambda: measure(by_mesh(frames, finder), parse("12C").units),
    }
    turns = [{name: seconds(task) for name, task in tasks.items()} for _ in range(rounds)]
    found = {name: statistics.median(turn[name] for turn in turns) for name in tasks}
    return found | {"tvl1": found["tvl1"] * len(frames) / TIMED_PAIRS}


def hits() -> tuple[float, float]:
    """Share of faint clips whose apex is within a frame, by the block and by the mesh alone."""
    from equime.action_units import parse
    from equime.face import FaceFinder
    from equime.quality.measure import measure

    finder, flow, mesh = FaceFinder(), 0, 0
    finder.load()
    for seed, programme in enumerate(PROGRAMMES):
        frames = clip(programme, seed)
        apexes = (
            block(frames, programme, finder)["measured_apex_ms"],
            measure(by_mesh(frames, finder), parse(programme).units).apex_ms,
        )
        near = [apex is not None and abs(apex - TIMES[1]) <= 1000 / 24 for apex in apexes]
        flow, mesh = flow + near[0], mesh + near[1]
    return flow / len(PROGRAMMES), mesh / len(PROGRAMMES)


def claims(spent: dict[str, float], flow: float, mesh: float) -> list[dict[str, Any]]:
    """The lines of the README's table."""
    name, faint = "the validity of one clip, all of it", "apexes within a frame, 8 faint (B) clips"
    return [
        {"claim": name, "against": "one core", "value": spent["block"], "unit": "s", "goal": "at most 2"},
        {
            **{"claim": name, "against": f"TV-L1 flow of its frames ({TIMED_PAIRS} timed, the rest reckoned)"},
            **{"value": spent["tvl1"] / spent["block"], "unit": "x", "goal": "at least 20"},
        },
        {
            **{"claim": faint, "against": f"the mesh's points on every frame ({mesh:.0%})"},
            **{"value": 100 * flow, "unit": "%", "goal": "at least 95"},
        },
    ]


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--rounds", type=int, default=3, help="turns that each way takes (default 3)")
    options = parser.parse_args()
    import cv2

    cv2.setNumThreads(1)
    spent = costs(options.rounds)
    flow, mesh = hits()
    found = {"claims": claims(spent, flow, mesh), "seconds": spent, "within_a_frame": {"block": flow, "mesh": mesh}}
    if options.json:
        print(json.dumps(found, indent=1))
        return
    for way, value in spent.items():
        print(f"{way:8}{value:9.2f} s a clip{value / spent['block']:8.1f} of the block")
    print(f"apexes within a frame at intensity B: block {flow:.0%}, mesh alone {mesh:.0%}")


if __name__ == "__main__":
    main()
