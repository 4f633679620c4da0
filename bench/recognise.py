"""Speed and accuracy of recognition's features: `python bench/recognise.py [--json] [--clips 12]`.

Speed: the flow image of 28x28 from onset to apex, from the clips of a workspace to the array, on one core, in CPU
seconds and in turn. Theirs is a plain loop: PyAV decodes every frame, OpenCV's DIS takes the flow from onset to apex on
the whole frames, strain, shrunk; no face is looked for, no head's motion taken out. Ours does both, over three pairs of
frames. Clips are the packaged generator's (512 x 512, 144 frames).

Accuracy: lip corners and brows of a real portrait move by half a pixel, known everywhere; with noise of 1.5 grey levels
and through H.264 the flow image is compared with what moved (cosine over its 2 x 28 x 28 numbers; 1 is perfect).
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1")
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

GOAL_SPEED, GOAL_RATIO, GOAL_COSINE = 8.0, 2.0, 0.6
NOISE, MOVED = 1.5, 0.5
RISE = [0.0] * 4 + [0.1, 0.35, 0.65, 0.9, 1.0, 0.9, 0.65, 0.35, 0.1] + [0.0] * 4
WAYS = {61: (-0.6, -0.8), 291: (0.6, -0.8), 107: (0.0, -1.0), 336: (0.0, -1.0)}
CHOICES = {"view of 224, 3 pairs": (224, 3), "view of 224, 1 pair": (224, 1)} | {
    f"view of {side}, 3 pairs": (side, 3) for side in (128, 160, 192, 256, 512)
}


# --- speed


def workspace(folder: Path, clips: int) -> Any:
    """A workspace of the packaged generator's clips of one portrait, as samples."""
    import skimage.data
    from make_workspace import add_rows, make_row, make_workspace

    from equime import schema, video
    from equime.action_units import parse
    from equime.generators.scene import Still
    from equime.generators.warp import Warp
    from equime.recognise.equime_clips import clips as samples_of

    still, programmes = Still.of(skimage.data.astronaut()), ("6C+12C", "1B+2B", "4C+7B", "15D")
    rows = []
    for number in range(clips):
        onset, apex, offset = (ms + 250.0 * (number % 11) for ms in (1400.0, 1560.0, 1760.0))
        units = parse(programmes[number % len(programmes)]).units
        data = video.encode(Warp().frames(still, units, onset, apex, offset, number))
        row = make_row(number, number, 0, schema.EMOTIONS[number % 5]) | video.facts(data)
        times = {"onset": onset, "apex": apex, "offset": offset}
        row |= {f"{name}_ms": ms for name, ms in times.items()} | {n: round(ms * 0.024) for n, ms in times.items()}
        rows.append(row | {"video": {"bytes": data, "path": None}})
    add_rows(make_workspace(folder, subjects=0, shard_rows=64), rows, groups=["generate"])
    return samples_of(folder)


def theirs(data: bytes, onset: int, apex: int) -> Any:
    """The plain loop: decode all, flow on whole frames, strain, shrink."""
    import av
    import cv2
    import numpy as np

    with av.open(io.BytesIO(data)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    first, top = (cv2.cvtColor(frames[number], cv2.COLOR_RGB2GRAY) for number in (onset, apex))
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(first, top, None)
    (uy, ux), (vy, vx) = np.gradient(flow[..., 0]), np.gradient(flow[..., 1])
    full = np.dstack([flow, np.sqrt(ux**2 + vy**2 + (uy + vx) ** 2 / 2)])
    return cv2.resize(full, (28, 28), interpolation=cv2.INTER_AREA)


def speed(samples: Any, rounds: int) -> tuple[float, float]:
    """Median CPU seconds a clip of ours and theirs, taking turns after a warm start."""
    from equime.recognise.features.extract import extract
    from equime.recognise.features.flow_image import FlowImage

    feature = FlowImage()
    extract(samples.take([0]), feature)
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        begun = time.process_time()
        extract(samples, feature)
        seconds[0].append((time.process_time() - begun) / len(samples))
        begun = time.process_time()
        rows = samples.table.to_pylist()
        for row, pictures in zip(rows, samples.open(range(len(rows))), strict=True):
            theirs(pictures.data, row["onset"], row["apex"])
        seconds[1].append((time.process_time() - begun) / len(samples))
    return statistics.median(seconds[0]), statistics.median(seconds[1])


# --- accuracy


class Frames:
    """Pictures in memory."""

    def __init__(self, frames: Any) -> None:
        self.frames, self.numbers = frames, range(len(frames))

    def read(self, numbers: Any) -> list[Any]:
        """Those frames."""
        return [self.frames[number] for number in numbers]

    def digest(self, numbers: Any) -> str:
        """Of no matter here."""
        return ""


def moved(image: Any, field: Any) -> Any:
    """The picture after each of its points went by `field`, found by fixed point iteration."""
    import cv2
    import numpy as np

    y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    back = np.zeros_like(field)
    for _ in range(8):
        back = cv2.remap(field, x - back[..., 0], y - back[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    sampled = (x - back[..., 0], y - back[..., 1])
    return cv2.remap(image, *sampled, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT_101)


def half_pixel(seed: int) -> tuple[Any, Any]:
    """The frames of a clip after H.264, and the field of displacements at its apex, float32 (512, 512, 2)."""
    import numpy as np
    import skimage.data

    from equime import video
    from equime.face import FaceFinder, crop

    photo = skimage.data.astronaut()
    image, face = crop(photo, FaceFinder()(photo)[0])
    y, x = np.mgrid[:512, :512]
    field = np.zeros((512, 512, 2), np.float32)
    for point, way in WAYS.items():
        px, py = face.points[point, :2]
        bell = np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * (0.18 * face.eye_distance) ** 2))
        field += (MOVED * bell[..., None] * np.array(way)).astype(np.float32)
    draw, still = np.random.default_rng(seed), image.astype(np.float32)
    shown = (moved(still, field * np.float32(share)) for share in RISE)
    noisy = [np.clip(np.rint(f + draw.normal(0, NOISE, f.shape)), 0, 255).astype(np.uint8) for f in shown]
    return video.decode(video.encode(noisy)), field * np.float32(1 - RISE[4])


def cosine(side: int, pairs: int, clips: list[tuple[Any, Any]]) -> float:
    """Mean cosine between the flow image and what moved, both of 28x28."""
    import cv2
    import numpy as np

    from equime.recognise.features.face_crop import face_view
    from equime.recognise.features.flow_image import FlowImage

    feature = FlowImage(side=side, pairs=pairs, normalise="none")
    row, found = {"onset": 4, "apex": 8, "offset": 12, "fps": 24.0}, []
    for frames, field in clips:
        matrix = face_view(frames[4], feature.finder).square.to_image(side)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        seen = cv2.warpAffine(field, matrix, (side, side), flags=flags) @ np.linalg.inv(matrix[:, :2]).T
        truth = cv2.resize(seen.astype(np.float32), (28, 28), interpolation=cv2.INTER_AREA)
        flow = np.moveaxis(feature(row, Frames(frames))[:2], 0, 2)
        found.append(float((flow * truth).sum() / np.linalg.norm(flow) / np.linalg.norm(truth)))
    return statistics.mean(found)


def claims(ours: float, plain: float, cosines: dict[str, float]) -> list[dict[str, Any]]:
    """The lines of the README's table."""
    best, one = (cosines[name] for name in list(CHOICES)[:2])
    return [
        {
            "claim": "flow images (28x28, DIS, face and head's motion) from a workspace's MP4, clips a core-second",
            "against": "the goal",
            "value": 1 / ours,
            "unit": "clips/s",
            "goal": f"at least {GOAL_SPEED:g}",
        },
        {
            "claim": "the same flow images",
            "against": "a loop that decodes every frame and takes one flow of the whole frame",
            "value": plain / ours,
            "unit": "x",
            "goal": f"at least {GOAL_RATIO:g}",
        },
        {
            "claim": "cosine of the flow image with a movement of half a pixel",
            "against": f"{one:.2f} with one pair of frames",
            "value": best,
            "unit": "",
            "goal": f"at least {GOAL_COSINE:g}",
        },
    ]


def main() -> None:
    """Print the figures, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--rounds", type=int, default=3, help="turns that each way takes (default 3)")
    parser.add_argument("--clips", type=int, default=12, help="clips of the workspace (default 12)")
    options = parser.parse_args()
    import cv2

    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        ours, plain = speed(workspace(Path(folder) / "ws", options.clips), options.rounds)
    clips = [half_pixel(seed) for seed in range(4)]
    cosines = {name: cosine(side, pairs, clips) for name, (side, pairs) in CHOICES.items()}
    found = {
        "claims": claims(ours, plain, cosines),
        "seconds": {"ours": ours, "theirs": plain},
        "half_pixel": cosines,
    }
    text = f"ours {1 / ours:.1f} clips a core-second, theirs {1 / plain:.1f}: {plain / ours:.1f} x\n" + "\n".join(
        f"{name}: {value:.3f}" for name, value in cosines.items()
    )
    print(json.dumps(found, indent=1) if options.json else text)


if __name__ == "__main__":
    main()
