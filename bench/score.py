"""Speed of the published measures, as a ratio: `python bench/score.py [--json]`.

What is compared, on one thread, in turn, by the median of CPU seconds, on one clip of the packaged generator
(512 x 512, 144 frames): decode, and the mean PSNR (in its wrapping arithmetic), SSIM and total variation of consecutive
grey frames. Theirs is the published loop: OpenCV reads a frame, scikit-image takes SSIM, piq total variation, one call
a frame. Ours is `video.decode` and `Fidelity("reference")`. The values must agree within 1e-6, or it stops.

Then the same work with two worker processes against one, by the clock: processes share nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", TORCH_HOME="/nowhere", XDG_CACHE_HOME="/nowhere")
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

GOAL = 3.0
TOLERANCE = 1e-6


def one_thread() -> None:
    """Keep every library of this process on one core."""
    import cv2

    cv2.setNumThreads(1)


def ready(path: Path, all_of_them: Any) -> None:
    """Import and run once in a worker, and wait for the others."""
    one_thread()
    ours(path)
    all_of_them.wait()


def clip() -> bytes:
    """A clip of the packaged generator, of the portrait that scikit-image ships."""
    import skimage.data

    from equime import video
    from equime.action_units import parse
    from equime.generators.scene import Still
    from equime.generators.warp import Warp

    still = Still.of(skimage.data.astronaut())
    return video.encode(Warp().frames(still, parse("6C+12C").units, 2400.0, 2560.0, 2760.0, 0))


def ours(path: Path) -> tuple[float, ...]:
    """PSNR, SSIM and total variation as the package measures them."""
    from equime import video
    from equime.quality.fidelity import Fidelity

    found = Fidelity("reference")(video.decode(path))
    return tuple(found[f"{name}_reference"] or 0.0 for name in ("psnr", "ssim", "total_variation"))


def theirs(path: Path) -> tuple[float, ...]:
    """The same by the published loop."""
    import cv2
    import numpy as np
    import torch
    from skimage.metrics import structural_similarity

    from equime.quality import piq_measures

    piq = piq_measures.library()
    capture, before = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1]), None
    psnr, ssim, variation = [], [], []
    while (read := capture.read())[0]:
        grey = cv2.cvtColor(read[1], cv2.COLOR_BGR2GRAY)
        variation.append(float(piq.total_variation(torch.tensor(grey / 255)[None, None], norm_type="l2")))
        if before is not None:
            mse = np.mean((before - grey) ** 2)
            psnr.append(100.0 if mse == 0 else 20 * np.log10(255 / np.sqrt(mse)))
            ssim.append(structural_similarity(before, grey))
        before = grey
    return tuple(float(np.mean(values)) for values in (psnr, ssim, variation))


def interleaved(path: Path, rounds: int) -> tuple[float, float]:
    """Median CPU seconds of ours and theirs, taking turns after one turn to warm up."""
    import torch

    torch.set_num_threads(1)
    tasks: tuple[Callable[[Path], tuple[float, ...]], ...] = (ours, theirs)
    values = [task(path) for task in tasks]
    apart = max(abs(a - b) for a, b in zip(*values, strict=True))
    if not apart <= TOLERANCE:
        raise SystemExit(f"values differ by {apart:.1e}: {values}")
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for task, spent in zip(tasks, seconds, strict=True):
            begun = time.process_time()
            task(path)
            spent.append(time.process_time() - begun)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def scaling(path: Path, clips: int) -> float:
    """How many times faster two workers score than one, by the clock; 2 where two cores are free."""
    elapsed = []
    for workers in (1, 2):
        context = get_context("spawn")
        arguments = (path, context.Barrier(workers))
        with ProcessPoolExecutor(workers, context, initializer=ready, initargs=arguments) as pool:
            list(pool.map(ours, [path] * workers))
            begun = time.perf_counter()
            list(pool.map(ours, [path] * clips))
            elapsed.append(time.perf_counter() - begun)
    return elapsed[0] / elapsed[1]


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--rounds", type=int, default=5, help="turns that each task takes (default 5)")
    parser.add_argument("--clips", type=int, default=16, help="clips scored to measure scaling (default 16)")
    options = parser.parse_args()
    one_thread()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        path.write_bytes(clip())
        mine, published = interleaved(path, options.rounds)
        twice = scaling(path, options.clips)
    claim = {
        "claim": "decoding a clip, PSNR, SSIM and total variation, the same values",
        "against": "the published loop: OpenCV, scikit-image, piq",
        "value": published / mine,
        "unit": "x",
        "goal": f"at least {GOAL:g}",
    }
    found = {"claims": [claim], "seconds": {"ours": mine, "theirs": published}, "two_workers": twice}
    text = f"ours {mine:.2f} s, theirs {published:.2f} s: {published / mine:.1f} x; two workers {twice:.2f} x one"
    print(json.dumps(found, indent=1) if options.json else text)


if __name__ == "__main__":
    main()
