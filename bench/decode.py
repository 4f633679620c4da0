"""Decoding speed, as ratios against the `Video` feature of `datasets`: `python bench/decode.py [--json]`.

What is compared, on one thread, in turn, by the median of CPU seconds:
(a) 16 uniform frames at 224 x 224 from bytes: ours against `datasets.Video` (torchcodec) and torch's
    antialiased bilinear resize, on the same clip at x264's defaults;
(b) the same task: our encoding through our decoder against the same content at x264's defaults through
    `Video`;
(c) all frames of the clip at x264's defaults, not resized.

torchcodec needs FFmpeg's shared libraries. Where they are PyAV's, the script starts itself again with
LD_LIBRARY_PATH set (see `tests/ffmpeg_libs.py`).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

NUM_FRAMES, SIZE, TAKE = 144, 512, 16


def content(seed: int = 0) -> Iterator:
    """A portrait that sways a little, under sensor noise of 1.5 grey levels: uint8 RGB, 512 x 512."""
    import cv2
    import numpy as np
    import skimage.data

    portrait = cv2.resize(skimage.data.astronaut(), (SIZE, SIZE)).astype(np.float32)
    noise = np.random.default_rng(seed)
    for index in range(NUM_FRAMES):
        t = index / 24
        dx, dy = 1.5 * np.sin(1.9 * t) + 0.4 * np.sin(4.5 * t), 0.7 * np.sin(1.3 * t + 1)
        move = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
        frame = cv2.warpAffine(portrait, move, (SIZE, SIZE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        grain = noise.normal(0, 1.5, (SIZE, SIZE, 1)).astype(np.float32)
        yield np.clip(np.round(frame + grain), 0, 255).astype(np.uint8)


def at_defaults(frames: list, crf: str | None = None) -> bytes:
    """The frames as anyone encodes them: libx264 with its defaults (CRF 23, medium), or another CRF."""
    import imageio_ffmpeg

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
        command += ["-s", f"{SIZE}x{SIZE}", "-r", "24", "-i", "-", "-c:v", "libx264", "-pix_fmt", "yuv420p"]
        command += [*(["-crf", crf] if crf else []), str(path)]
        subprocess.run(command, input=b"".join(f.tobytes() for f in frames), check=True)
        return path.read_bytes()


def interleaved(tasks: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median CPU seconds of each task, the tasks taking turns; all threads of the process count."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in range(rounds + 1):
        for name, task in tasks.items():
            start = time.process_time()
            task()
            if turn:  # the first turn warms up
                times[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def measure(rounds: int) -> dict:
    """Encode the content, time every task, and divide."""
    import datasets
    import numpy as np
    import torch

    from equime import video

    torch.set_num_threads(1)
    frames = list(content())
    start = time.process_time()
    ours = video.encode(frames)
    encode_s = time.process_time() - start
    defaults, defaults18 = at_defaults(frames), at_defaults(frames, "18")
    uniform = np.linspace(0, NUM_FRAMES - 1, TAKE).round().astype(int).tolist()
    feature = datasets.Video()

    def theirs(data: bytes, indices: list[int], size: int | None = None) -> torch.Tensor:
        clip = feature.decode_example({"path": None, "bytes": data}).get_frames_at(indices).data
        if size:
            clip = torch.nn.functional.interpolate(clip, (size, size), mode="bilinear", antialias=True)
        return clip

    whole = list(range(NUM_FRAMES))
    same = np.array_equal(video.decode(defaults), theirs(defaults, whole).permute(0, 2, 3, 1).numpy())
    tasks: dict[str, Callable[[], object]] = {
        "16 at 224, x264 defaults, ours": lambda: video.decode(defaults, uniform, size=224),
        "16 at 224, x264 defaults, Video": lambda: theirs(defaults, uniform, 224),
        "16 at 224, our encoding, ours": lambda: video.decode(ours, uniform, size=224),
        "16 at 224, our encoding, Video": lambda: theirs(ours, uniform, 224),
        "16 at 224, x264 CRF 18, ours": lambda: video.decode(defaults18, uniform, size=224),
        "16 at 224, x264 CRF 18, Video": lambda: theirs(defaults18, uniform, 224),
        "all, x264 defaults, ours": lambda: video.decode(defaults),
        "all, x264 defaults, torchcodec": lambda: theirs(defaults, whole),
        "all, our encoding, ours": lambda: video.decode(ours),
        "all, our encoding, torchcodec": lambda: theirs(ours, whole),
    }
    seconds = interleaved(tasks, rounds)
    s = {name: seconds[name] for name in tasks}
    return {
        "same_frames": bool(same),
        "ratios": {
            "a: 16 at 224, same clip": s["16 at 224, x264 defaults, Video"] / s["16 at 224, x264 defaults, ours"],
            "a at CRF 18": s["16 at 224, x264 CRF 18, Video"] / s["16 at 224, x264 CRF 18, ours"],
            "a, our encoding": s["16 at 224, our encoding, Video"] / s["16 at 224, our encoding, ours"],
            "b: ours end to end": s["16 at 224, x264 defaults, Video"] / s["16 at 224, our encoding, ours"],
            "b against CRF 18": s["16 at 224, x264 CRF 18, Video"] / s["16 at 224, our encoding, ours"],
            "c: all frames": s["all, x264 defaults, torchcodec"] / s["all, x264 defaults, ours"],
            "c, our encoding": s["all, our encoding, torchcodec"] / s["all, our encoding, ours"],
        },
        "milliseconds": {name: 1000 * value for name, value in seconds.items()},
        "kilobytes": {
            "ours": len(ours) / 1000,
            "x264 defaults": len(defaults) / 1000,
            "x264 CRF 18": len(defaults18) / 1000,
        },
        "encode_s": encode_s,
    }


CLAIMS = {
    "a: 16 at 224, same clip": ("16 frames at 224, x264's defaults", "`Video` of `datasets` on the same clip", 1.4),
    "a at CRF 18": ("16 frames at 224, x264's defaults at CRF 18", "`Video` on the same clip", 1.4),
    "a, our encoding": ("16 frames at 224, this project's encoding", "`Video` on the same clip", 1.4),
    "b: ours end to end": ("16 frames at 224, encoding and decoder", "x264's defaults through `Video`", 2.5),
    "c: all frames": ("all 144 frames", "torchcodec on the same clip", 1.4),
}


def claims(ratios: dict[str, float]) -> list[dict[str, object]]:
    """The ratios that stand in the README."""
    return [
        {"claim": claim, "against": against, "value": ratios[name], "unit": "x", "goal": f"at least {goal}"}
        for name, (claim, against, goal) in CLAIMS.items()
    ]


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description="Decoding speed, as ratios against datasets' Video feature.")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    parser.add_argument("--rounds", type=int, default=15, help="turns that each task takes (default 15)")
    options = parser.parse_args()
    if "EQUIME_BENCH_LIBRARIES" not in os.environ:
        from ffmpeg_libs import environment

        with tempfile.TemporaryDirectory() as folder:
            env = {**environment(Path(folder)), "EQUIME_BENCH_LIBRARIES": folder, "OMP_NUM_THREADS": "1"}
            sys.exit(subprocess.run([sys.executable, __file__, *sys.argv[1:]], env=env, check=False).returncode)
    result = measure(options.rounds)
    if options.json:
        print(json.dumps({"claims": claims(result["ratios"]), **result}, indent=1))
        return
    for name, value in result["milliseconds"].items():
        print(f"{name:36s} {value:8.1f} ms")
    print(f"kB: {result['kilobytes']}   encoding: {result['encode_s']:.2f} s   same: {result['same_frames']}")
    for name, value in result["ratios"].items():
        print(f"{name:36s} {value:8.2f} x" + (f"   (goal {CLAIMS[name][2]})" if name in CLAIMS else ""))


if __name__ == "__main__":
    main()
