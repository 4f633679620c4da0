"""What a clip of the packaged generator costs, of one core: `python bench/generate.py [--json]`.

From an opened photograph to the encoded file: 144 frames of 512 x 512, warped, with sway and grain, at CRF 18.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


def measure(clips: int) -> dict[str, list[float]]:
    """CPU seconds of warping, and of warping and encoding, for each clip."""
    import skimage.data

    from equime import video
    from equime.action_units import parse
    from equime.generators.scene import Still
    from equime.generators.warp import Warp

    warp = Warp()
    still = Still.of(skimage.data.astronaut())
    seconds: dict[str, list[float]] = {"warped": [], "encoded": []}
    for seed in range(clips):
        units = parse(("6C+12C", "1B+2B+5B", "4B+7C", "1B+15B+17C", "20C+25B")[seed % 5]).units
        for name in seconds:
            begun = time.process_time()
            frames = warp.frames(still, units, 2400.0, 2560.0, 2760.0, seed)
            sum(1 for _ in frames) if name == "warped" else video.encode(frames)
            seconds[name].append(time.process_time() - begun)
    return seconds


def main() -> None:
    """Print the seconds, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--clips", type=int, default=5, help="how many are made (default 5)")
    options = parser.parse_args()
    median = {name: statistics.median(values) for name, values in measure(options.clips).items()}
    claim = {
        "claim": "one clip by the packaged generator, encoded",
        "against": "one core",
        "value": median["encoded"],
        "unit": "s",
        "goal": "at most 4",
    }
    found = {"claims": [claim], "seconds": median}
    print(
        json.dumps(found, indent=1) if options.json else f"{median['encoded']:.2f} s, warping {median['warped']:.2f} s"
    )


if __name__ == "__main__":
    main()
