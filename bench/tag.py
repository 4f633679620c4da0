"""Tagging clips against a loop of `DeepFace.analyze`, on one core: `python bench/tag.py [--json] [--clips 2]`.

Ours is the whole stage, from the clips' bytes: decoding, finding and following the faces, skin, the networks of gender,
age and race, the averages. The loop gets the same pictures of faces ready-made, in memory, and is told to skip finding
them. The networks are DeepFace's own, of full size, with random weights (6 GB of memory for a minute), so both do the
work they do with the true ones; their probabilities are compared. Without deepface it says "skipped".
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

GOAL, ALIKE = 3.0, 1e-5


def clip(seed: int) -> bytes:
    """Six seconds of a portrait that sways."""
    import cv2
    import numpy as np
    import skimage.data

    from equime import video

    portrait = skimage.data.astronaut()
    turns = np.sin(np.arange(144) / 24 + seed)
    shifts = (np.float32([[1, 0, 6 * turn], [0, 1, 3 * turn * turn]]) for turn in turns)
    return video.encode(cv2.warpAffine(portrait, s, (512, 512), borderMode=cv2.BORDER_REFLECT) for s in shifts)


def measure(clips: int) -> dict[str, Any]:
    """CPU seconds a clip of both ways, and the largest difference between their probabilities."""
    import cv2
    import numpy as np
    import torch
    from deepface import DeepFace

    from equime.builders.tag import Tag
    from equime.clip import Clip, uniform
    from equime.detectors import detector

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    stage, look = Tag(tagger="deepface"), detector("equime")
    stage.load()
    rows = [
        {"clip_id": f"anger/u_{n}_01", "video": {"bytes": clip(n), "path": None}} | dict.fromkeys(stage.reads[1:])
        for n in range(clips)
    ]
    frames = [Clip(row).frames_at(uniform(144, stage.frames)) for row in rows]
    pictures = [[np.ascontiguousarray(look(f)[0].picture[..., ::-1]) for f in several] for several in frames]

    def analyze(picture: Any) -> Any:
        asked = ["age", "gender", "race"]
        return DeepFace.analyze(picture, actions=asked, detector_backend="skip", align=False, silent=True)[0]

    analyze(pictures[0][0])
    stage(rows[:1])
    begun = time.process_time()
    theirs = [[analyze(picture) for picture in several] for several in pictures]
    between = time.process_time()
    ours = stage(rows)
    ended = time.process_time()
    apart = max(
        abs(np.mean([one[group][theirs_name] / 100 for one in said]) - row[f"{group}_probs"][name])
        for row, said in zip(ours, theirs, strict=True)
        for group, names in (("gender", {"Woman": "female"}), ("race", {n: n for n in said[0]["race"]}))
        for theirs_name, name in names.items()
    )
    return {"loop": (between - begun) / clips, "ours": (ended - between) / clips, "apart": float(apart)}


def main() -> None:
    """Print the ratio, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--clips", type=int, default=2, help="how many are tagged (default 2)")
    options = parser.parse_args()
    lacking = [name for name in ("deepface", "torch", "skimage") if importlib.util.find_spec(name) is None]
    if lacking:
        found: dict[str, Any] = {"claims": [], "skipped": f"{', '.join(lacking)} is not installed"}
        print(json.dumps(found) if options.json else f"skipped: {found['skipped']}")
        return
    from tiny_deepface import make_weights

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["DEEPFACE_BACKEND_ENGINE"] = "pytorch"
    with tempfile.TemporaryDirectory() as home:
        os.environ["DEEPFACE_HOME"] = home
        make_weights(Path(home), ("Gender", "Age", "Race"))
        seconds = measure(options.clips)
    if seconds["apart"] > ALIKE:
        raise SystemExit(f"the probabilities differ by {seconds['apart']:.1e}, more than {ALIKE:.0e}")
    claim = {
        "claim": "tagging a clip, from its bytes",
        "against": "`DeepFace.analyze` in a loop on the same faces, one core",
        "value": seconds["loop"] / seconds["ours"],
        "unit": "x",
        "goal": f"at least {GOAL:g}",
    }
    found = {"claims": [claim], **seconds}
    line = f"{seconds['ours']:.2f} s a clip against {seconds['loop']:.2f} s, {claim['value']:.1f} times"
    print(json.dumps(found, indent=1) if options.json else f"{line}; probabilities alike to {seconds['apart']:.0e}")


if __name__ == "__main__":
    main()
