"""The published table of quality, its arithmetic repeated: one row a clip, as CSV.

    equime score ws --profile reference --out reference.csv

Between consecutive frames, in OpenCV's grey, over all frames:

- `psnr_mean`: on uint8 arrays whose differences and squares wrap modulo 256, and 100 where the mean is 0. No PSNR;
  `psnr_consecutive` is. The two differ as soon as a pixel steps by 16 levels or more.
- `ssim_mean`: scikit-image's `structural_similarity`, 7 x 7 uniform windows, sample covariance, of 255.
- `tv_mean`: piq's `total_variation`, the root of a sum over pixels, of grey / 255: twice the side, twice the value.
- `brisque_mean`, `clip_iqa_mean`: piq's, of grey / 255; empty where their weights are missing (`quality.weights`).
- `size_mb` in MiB, `bitrate_kbps` in kilobits (1000) of the whole file, `duration_s` from frames and frame rate.

PSNR and SSIM between consecutive frames reward stillness: a frozen clip has 100 and 1.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from equime import video
from equime.errors import EquimeError
from equime.quality.fidelity import REFERENCE, Fidelity
from equime.video import Source

COLUMNS = (
    *("video_path", "psnr_mean", "ssim_mean", "tv_mean", "brisque_mean", "clip_iqa_mean"),
    *("num_frames", "size_mb", "duration_s", "bitrate_kbps"),
)
"""The published CSV's columns, in its order."""
NEEDED = (
    *("clip_id", "psnr_reference", "ssim_reference", "total_variation_reference"),
    *("brisque_reference", "clip_iqa_reference", "num_frames", "size_bytes", "duration_s", "bitrate_kbps"),
)
"""The columns of a data set that `reference_row` reads."""


def reference_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """The published columns of a scored clip: a row of a data set with `NEEDED`; absent values stay None."""
    scores = ("psnr", "ssim", "total_variation", "brisque", "clip_iqa")
    values = (
        f"{row['clip_id']}.mp4",
        *(row.get(f"{name}_reference") for name in scores),
        row.get("num_frames"),
        None if row.get("size_bytes") is None else row["size_bytes"] / 2**20,
        row.get("duration_s"),
        row.get("bitrate_kbps"),
    )
    return dict(zip(COLUMNS, values, strict=True))


def reference_file(source: Source, clip_id: str, fidelity: Fidelity | None = None) -> dict[str, Any]:
    """The published columns of a video file, measured now.

    Args:
        source: The file's bytes, or its path.
        clip_id: Its name without `.mp4`.
        fidelity: A loaded one, to keep its networks over many files; by default `Fidelity("reference")`.

    Raises:
        VideoError: The file cannot be read, or ends early.
    """
    measure = fidelity or Fidelity(REFERENCE)
    info = video.probe(source)
    scores = measure(video.decode(source))
    return reference_row({"clip_id": clip_id, **vars(info), **scores})


def reference_csv(rows: Iterable[Mapping[str, Any]], path: Path) -> int:
    """Write rows of a data set as the published CSV; the number of rows written.

    Args:
        rows: Rows with `NEEDED`, in the order wanted. One without scores has empty cells.
        path: The file. It is replaced.

    Raises:
        EquimeError: The file cannot be written.
    """
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            count = 0
            for row in rows:
                writer.writerow(reference_row(row))
                count += 1
    except OSError as error:
        raise EquimeError(f"cannot write {path}: {error.strerror}") from error
    return count
